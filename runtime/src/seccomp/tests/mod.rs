//! The programs are run here, on an interpreter, and asked about every system call: [`libseccomp`] compares
//! them with those of the library that runc uses, [`meaning`] with the profile's own words.

mod interpreter;
mod kernel;
mod library;
mod libseccomp;
mod meaning;

use oci_spec::runtime::LinuxSeccomp;
use serde_json::json;

use super::abi::{ARM_PRIVATE, Abi, X32_BIT};
use super::numbers::call;
use super::program::Instruction;
use interpreter::Data;

/// What a program that looks at nothing else says of a number.
pub(super) fn verdict_on_number(program: &[Instruction], number: u32) -> u32 {
    interpreter::run(program, &Data { number, arch: 0, arguments: [0; 6] })
}

/// A profile from JSON, as users write it.
fn profile(json: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

/// Every number that any table has, the gaps between, and some far out.
fn every_number() -> impl Iterator<Item = u32> {
    let far = [
        1000,
        4096,
        0x0090_0000,
        X32_BIT - 1,
        X32_BIT + 5000,
        0x7fff_ffff,
        0xbfff_ffff,
        0xc000_0000,
        u32::MAX,
    ];
    (0..600).chain(X32_BIT..X32_BIT + 600).chain(ARM_PRIVATE - 2..ARM_PRIVATE + 16).chain(far)
}

/// The architectures of both machines, and one of another.
fn every_arch() -> impl Iterator<Item = u32> {
    [Abi::X86_64, Abi::I386, Abi::Aarch64, Abi::Arm].map(Abi::audit_arch).into_iter().chain([0x8000_0016])
}

/// Values on both sides of everything that the profile compares, and of its halves.
fn telling_values(profile: &LinuxSeccomp) -> Vec<u64> {
    // The small numbers are the operations of socketcall and ipc.
    let mut values: Vec<u64> = (0..25).chain([u64::MAX, 0x1234_5678_9abc_def0]).collect();
    for argument in profile.syscalls().iter().flatten().flat_map(|entry| entry.args().iter().flatten()) {
        for value in [argument.value(), argument.value_two().unwrap_or(0)] {
            let halves =
                [value, value & 0xffff_ffff, value >> 32, value << 32, value ^ 1 << 32, value ^ 1 << 63];
            values.extend(
                halves.into_iter().flat_map(|value| [value.wrapping_sub(1), value, value.wrapping_add(1)]),
            );
            values.extend((0..64).step_by(7).map(|bit| value ^ 1 << bit));
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// The numbers of all calls whose arguments the profile looks at.
fn judged_numbers(profile: &LinuxSeccomp) -> Vec<u32> {
    let judged = profile.syscalls().iter().flatten().filter(|entry| entry.args().is_some());
    let names =
        judged.flat_map(|entry| entry.names().iter().map(String::as_str)).chain(["socketcall", "ipc"]);
    let mut numbers: Vec<u32> =
        names.filter_map(call).flat_map(|call| Abi::ALL.iter().filter_map(|&abi| call.number(abi))).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Calls of every number by every architecture, with arguments of every telling value where arguments count.
fn every_call(profile: &LinuxSeccomp) -> Vec<Data> {
    let (values, judged) = (telling_values(profile), judged_numbers(profile));
    let mut calls = Vec::new();
    for arch in every_arch() {
        for number in every_number() {
            let mut ask = |arguments| calls.push(Data { number, arch, arguments });
            ask([0; 6]);
            ask([u64::MAX; 6]);
            if judged.binary_search(&number).is_err() {
                continue;
            }
            for (turn, &value) in values.iter().enumerate() {
                ask([value; 6]);
                for index in 0..6 {
                    let mut arguments =
                        [0, 1, 2, 3, 4, 5].map(|step| values[(turn * 7 + step * 13) % values.len()]);
                    arguments[index] = value;
                    ask(arguments);
                }
            }
        }
    }
    calls
}

/// A few calls of the judged numbers, with arguments by chance.
fn some_calls(profile: &LinuxSeccomp, random: &mut Random) -> Vec<Data> {
    let (values, judged) = (telling_values(profile), judged_numbers(profile));
    let mut calls = Vec::new();
    for arch in every_arch() {
        for &number in &judged {
            for _ in 0..24 {
                calls.push(Data { number, arch, arguments: [0; 6].map(|_: u64| *random.pick(&values)) });
            }
        }
    }
    calls
}

/// Chance that is the same every time (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// An argument's condition by chance, with values that meet each other often.
fn random_condition(random: &mut Random, index: usize) -> serde_json::Value {
    const VALUES: [u64; 10] =
        [0, 1, 5, 7, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x5_0000_0005, 0xffff_ffff_0000_0000, u64::MAX];
    let operator = random.pick(&["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    let (value, second) = (*random.pick(&VALUES), *random.pick(&VALUES));
    let mut condition = json!({ "index": index, "value": value, "op": format!("SCMP_CMP_{operator}") });
    if *operator == "MASKED_EQ" {
        condition["valueTwo"] = json!(second);
    }
    condition
}
