//! The programs do what the profile says, read as it stands: nothing here knows trees, ranges or halves.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
    LinuxSyscall,
};
use serde_json::{Value, json};

use super::super::abi::{ARM_PRIVATE, Abi, Machine, X32_BIT};
use super::super::assemble::assemble;
use super::super::numbers::call;
use super::super::profile::default_profile;
use super::super::program::JUMP;
use super::interpreter::{Data, run};
use super::{Random, every_call, profile, random_condition, some_calls};
use crate::caps::CapSet;

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

#[test]
fn dockers_profile_is_what_it_says() {
    for machine in MACHINES {
        let profile = default_profile(CapSet::DOCKER, machine);
        hold(&profile, machine, &every_call(&profile));
    }
}

#[test]
fn calls_newer_than_dockers_profile_fail_with_enosys_and_gaps_with_eperm() {
    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const KILL: u32 = 0;
    let (amd64, arm64) = (Machine::X86_64, Machine::Aarch64);
    let cases = [
        ("removexattrat, the newest that the profile names", amd64, Abi::X86_64, 466, ALLOW),
        ("open_tree_attr, one above", amd64, Abi::X86_64, 467, ENOSYS),
        ("uprobe, newer but in a gap", amd64, Abi::X86_64, 336, EPERM),
        ("a number that nobody has", amd64, Abi::X86_64, 400, EPERM),
        ("the greatest without the bit of x32", amd64, Abi::X86_64, X32_BIT - 1, ENOSYS),
        ("pwritev2 of x32", amd64, Abi::X86_64, X32_BIT + 547, ALLOW),
        ("above all of x32", amd64, Abi::X86_64, X32_BIT + 548, ENOSYS),
        ("-1, a call that a tracer skips", amd64, Abi::X86_64, u32::MAX, ENOSYS),
        ("removexattrat of i386", amd64, Abi::I386, 466, ALLOW),
        ("open_tree_attr of i386", amd64, Abi::I386, 467, ENOSYS),
        ("arm on a machine that is none", amd64, Abi::Arm, 3, KILL),
        ("removexattrat of aarch64", arm64, Abi::Aarch64, 466, ALLOW),
        ("open_tree_attr of aarch64", arm64, Abi::Aarch64, 467, ENOSYS),
        ("open_tree_attr of arm, below the private numbers", arm64, Abi::Arm, 467, ENOSYS),
        ("set_tls of arm", arm64, Abi::Arm, ARM_PRIVATE + 5, ALLOW),
        ("usr26 of arm", arm64, Abi::Arm, ARM_PRIVATE + 3, EPERM),
        ("above all of arm", arm64, Abi::Arm, ARM_PRIVATE + 6, ENOSYS),
    ];
    for (what, machine, abi, number, expected) in cases {
        let program = assemble(&default_profile(CapSet::DOCKER, machine), machine).unwrap().instructions;
        let data = Data { number, arch: abi.audit_arch(), arguments: [0; 6] };
        assert_eq!(run(&program, &data), expected, "{what}");
    }
}

#[test]
fn a_container_opens_the_sockets_that_docker_allows() {
    let program =
        assemble(&default_profile(CapSet::DOCKER, Machine::X86_64), Machine::X86_64).unwrap().instructions;
    // DECnet, Econet, ATMSVC, IrDA, WANPIPE, ISDN, CAIF, ALG, VSOCK
    let refused = [12, 19, 20, 23, 25, 34, 37, 38, 40];
    for family in (0..60).chain([1 << 32, 1 << 32 | 1, u64::MAX]) {
        let expected = family < 46 && !refused.contains(&family);
        let data = Data { number: 41, arch: Abi::X86_64.audit_arch(), arguments: [family, 1, 0, 0, 0, 0] };
        assert_eq!(run(&program, &data) == 0x7fff_0000, expected, "socket({family}, SOCK_STREAM, 0)");
    }
}

#[test]
fn random_profiles_are_what_they_say() {
    const NAMES: [&str; 12] = [
        "read",
        "openat",
        "socket",
        "accept",
        "send",
        "ioctl",
        "shmat",
        "semop",
        "socketcall",
        "ipc",
        "set_tls",
        "execve",
    ];
    const ACTIONS: [&str; 7] = ["KILL", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW"];
    let mut random = Random(0xca11);
    for _ in 0..1500 {
        let action = |random: &mut Random| format!("SCMP_ACT_{}", random.pick(&ACTIONS));
        let mut rules = Vec::new();
        for _ in 0..random.below(12) {
            let names: Vec<&str> = (0..1 + random.below(2)).map(|_| *random.pick(&NAMES)).collect();
            let conditions: Vec<Value> = (0..random.below(4))
                .map(|_| {
                    let index = random.below(3);
                    random_condition(&mut random, index)
                })
                .collect();
            let errno = random.below(3);
            rules.push(json!({ "names": names, "action": action(&mut random), "errnoRet": errno, "args": conditions }));
        }
        let default = action(&mut random);
        let machine = *random.pick(&MACHINES);
        let asked: Vec<_> =
            machine.abis().iter().filter(|_| random.below(4) > 0).map(|abi| abi.oci()).collect();
        let mut profile =
            profile(json!({ "defaultAction": default, "defaultErrnoRet": 1, "syscalls": rules }));
        profile.set_architectures((!asked.is_empty()).then_some(asked));
        hold(&profile, machine, &some_calls(&profile, &mut random));
    }
}

#[test]
fn programs_of_every_length_jump_as_far_as_they_must() {
    // Two joined conditions a rule: the code for one call grows past the reach of a conditional jump, in
    // small steps so that some targets lie just within it and some just beyond.
    let rule = |value: u64| {
        let equal = json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
        let greater = json!({ "index": 1, "value": value, "op": "SCMP_CMP_GT" });
        json!({ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [equal, greater] })
    };
    let mut far = 0;
    for rules in (20..70).chain([200]) {
        let rules: Vec<Value> = (0..rules).map(|value| rule(value << 28)).collect();
        let archs = json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        let profile =
            profile(json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": archs, "syscalls": rules }));
        let program = assemble(&profile, Machine::X86_64).unwrap().instructions;
        far += usize::from(program.iter().any(|instruction| instruction.code == JUMP));
        hold(&profile, Machine::X86_64, &some_calls(&profile, &mut Random(1)));
    }
    assert!((10..51).contains(&far), "{far} of 51 programs have a far jump");
}

fn hold(profile: &LinuxSeccomp, machine: Machine, calls: &[Data]) {
    let program = assemble(profile, machine).unwrap().instructions;
    let meaning = Meaning::of(profile, machine);
    for data in calls {
        let (verdict, expected) = (run(&program, data), meaning.verdict(data));
        let text = || serde_json::to_string(profile).unwrap();
        assert_eq!(verdict, expected, "{verdict:#x} instead of {expected:#x} for {data:x?} by {}", text());
    }
}

/// The entries of a profile that speak of a call, for each ABI that may call.
struct Meaning<'a> {
    default: u32,
    permissive: bool,
    abis: Vec<(Abi, BTreeMap<u32, Vec<Spoken<'a>>>)>,
}

/// An entry, and the operation of socketcall or ipc that it speaks of.
#[derive(Clone, Copy)]
struct Spoken<'a> {
    entry: &'a LinuxSyscall,
    operation: Option<u32>,
}

impl<'a> Meaning<'a> {
    fn of(profile: &'a LinuxSeccomp, machine: Machine) -> Meaning<'a> {
        let asked = profile.architectures().as_deref().unwrap_or_default();
        let native = machine.abis()[0];
        let abis = machine.abis().iter().filter(|abi| **abi == native || asked.contains(&abi.oci()));
        let calls = |abi: Abi| {
            let mut calls = BTreeMap::<u32, Vec<Spoken>>::new();
            for entry in profile.syscalls().iter().flatten() {
                for call in entry.names().iter().filter_map(|name| call(name)) {
                    let direct = call.number(abi).map(|number| (number, None));
                    let multiplexed = call.multiplexed().filter(|_| abi == Abi::I386);
                    let multiplexed = multiplexed.map(|(number, operation)| (number, Some(operation)));
                    for (number, operation) in direct.into_iter().chain(multiplexed) {
                        calls.entry(number).or_default().push(Spoken { entry, operation });
                    }
                }
            }
            calls
        };
        Meaning {
            default: profile.default_action().as_u32(profile.default_errno_ret()),
            permissive: matches!(
                profile.default_action(),
                Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
            ),
            abis: abis.map(|abi| (*abi, calls(*abi))).collect(),
        }
    }

    fn verdict(&self, data: &Data) -> u32 {
        let is_x32 = data.arch == Abi::X32.audit_arch() && data.number >= X32_BIT;
        let is_way = |abi: Abi| abi.audit_arch() == data.arch && (abi == Abi::X32) == is_x32;
        let Some((abi, calls)) = self.abis.iter().find(|(abi, _)| is_way(*abi)) else {
            // A tracer's -1 is no call of an ABI.
            let is_native = self.abis[0].0.audit_arch() == data.arch;
            return if is_native && data.number == u32::MAX { self.default } else { 0 };
        };
        if !self.permissive && !calls.is_empty() && is_newer(*abi, calls, data.number) {
            return 0x0005_0026;
        }
        let spoken = calls.get(&data.number).map(Vec::as_slice).unwrap_or_default();
        let mut conditional = None;
        for Spoken { entry, operation } in spoken {
            let action = entry.action().as_u32(entry.errno_ret());
            if action == self.default {
                continue;
            }
            for arguments in alternatives(entry) {
                let asks = |argument: &&LinuxSeccompArg| {
                    let is_empty = argument.op() == Operator::ScmpCmpMaskedEq && argument.value() == 0;
                    !is_empty && (operation.is_none() || argument.index() != 0)
                };
                let asks: Vec<_> = arguments.iter().filter(asks).collect();
                let is_operation = operation.is_none_or(|operation| data.arguments[0] as u32 == operation);
                if !is_operation || !asks.iter().all(|argument| holds(argument, *abi, data)) {
                    continue;
                }
                if operation.is_none() && asks.is_empty() {
                    return action;
                }
                conditional.get_or_insert(action);
            }
        }
        conditional.unwrap_or(self.default)
    }
}

/// Above every number that the profile names; arm's private numbers are judged among themselves.
fn is_newer(abi: Abi, calls: &BTreeMap<u32, Vec<Spoken>>, number: u32) -> bool {
    let is_private = |number: u32| abi == Abi::Arm && number >= ARM_PRIVATE;
    let alike = calls.keys().filter(|known| is_private(**known) == is_private(number));
    alike.max().is_none_or(|newest| number > *newest)
}

/// Conditions on one argument twice are rules of their own.
fn alternatives(entry: &LinuxSyscall) -> Vec<&[LinuxSeccompArg]> {
    let arguments = entry.args().as_deref().unwrap_or_default();
    let repeated =
        (0..6).any(|index| arguments.iter().filter(|argument| argument.index() == index).count() > 1);
    if repeated { arguments.chunks(1).collect() } else { vec![arguments] }
}

fn holds(argument: &LinuxSeccompArg, abi: Abi, data: &Data) -> bool {
    let seen = |value: u64| if abi.wide() { value } else { value & 0xffff_ffff };
    let (actual, value) = (seen(data.arguments[argument.index()]), seen(argument.value()));
    match argument.op() {
        Operator::ScmpCmpNe => actual != value,
        Operator::ScmpCmpLt => actual < value,
        Operator::ScmpCmpLe => actual <= value,
        Operator::ScmpCmpEq => actual == value,
        Operator::ScmpCmpGe => actual >= value,
        Operator::ScmpCmpGt => actual > value,
        Operator::ScmpCmpMaskedEq => actual & value == seen(argument.value_two().unwrap_or(0)) & value,
    }
}
