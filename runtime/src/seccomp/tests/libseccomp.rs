//! Our programs and libseccomp's give the same verdicts.
//!
//! One difference is wanted: a number above every name in the profile gets ENOSYS, which runc adds to
//! libseccomp's program and we have in ours. [`Newest`] finds out where, from libseccomp's own tables, as
//! runc does.

use std::collections::BTreeSet;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};
use serde_json::{Value, json};

use super::super::abi::{ARM_PRIVATE, Abi, Machine, X32_BIT};
use super::super::assemble::assemble;
use super::super::numbers::{IPC_CALLS, SOCKETCALLS, SPAN, call, name};
use super::super::profile::default_profile;
use super::super::program::Instruction;
use super::interpreter::{Data, run};
use super::library::Library;
use super::{Random, every_call, profile, random_condition, some_calls};
use crate::caps::{self, CapSet};

const ENOSYS: u32 = 0x0005_0026;
const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

/// Names of docker's profile that Debian 12's libseccomp 2.5.4 does not know: they are compared by number.
const NEWER_THAN_2_5_4: [&str; 12] = [
    "getxattrat",
    "listmount",
    "listxattrat",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "mseal",
    "removexattrat",
    "riscv_hwprobe",
    "setxattrat",
    "statmount",
    "uretprobe",
];

/// It became a call of x32, too, after Debian 12's libseccomp was made (Linux 6.7, syscall_64.tbl).
const NEW_IN_X32: &str = "map_shadow_stack";

#[test]
fn every_name_has_the_number_that_libseccomp_gives_it() {
    let library = Library::get();
    let numbers = || (0..SPAN).chain(X32_BIT..X32_BIT + SPAN).chain(ARM_PRIVATE..ARM_PRIVATE + SPAN);
    let mut compared = 0;
    let mut differ = Vec::new();
    for (abi, number) in Abi::ALL.into_iter().flat_map(|abi| numbers().map(move |number| (abi, number))) {
        // What i386 has by socketcall and ipc, libseccomp calls by negative numbers.
        let is_plain =
            |name: &str| abi != Abi::I386 || call(name).is_none_or(|call| call.multiplexed().is_none());
        if let Some(ours) = name(abi, number).filter(|name| library.knows(name) && is_plain(name)) {
            compared += 1;
            if library.number(abi.oci(), ours) != Some(number) {
                differ.push((abi, ours.to_owned()));
            }
        }
        // It names an x32 number without the x32 bit, too.
        let is_theirs = |name: &String| library.number(abi.oci(), name) == Some(number);
        if let Some(theirs) = library.name(abi.oci(), number).filter(is_theirs).filter(|name| is_plain(name))
        {
            compared += 1;
            if call(&theirs).and_then(|call| call.number(abi)) != Some(number) {
                differ.push((abi, theirs));
            }
        }
    }
    differ.retain(|difference| {
        *difference != (Abi::X32, NEW_IN_X32.to_owned()) || library.version() > [2, 5, 4]
    });
    assert_eq!(differ, vec![]);
    assert!(compared > 3000, "only {compared} numbers compared");
}

#[test]
fn dockers_profile_agrees_whatever_the_capabilities() {
    let with_sys_admin = CapSet::DOCKER.plus([caps::parse("SYS_ADMIN").unwrap()].into_iter().collect());
    for bounding in [CapSet::DOCKER, with_sys_admin, CapSet::ALL, CapSet::EMPTY] {
        for machine in MACHINES {
            let mut profile = default_profile(bounding, machine);
            keep_names(&mut profile, |name| Library::get().knows(name) && name != NEW_IN_X32);
            let asked = profile.architectures().clone().unwrap();
            let theirs = Library::get().program(&profile, &asked).unwrap();
            agree(&profile, machine, &every_call(&profile), |_| &theirs);
        }
    }
}

#[test]
fn names_that_libseccomp_lacks_agree_by_number() {
    let mut profile = default_profile(CapSet::ALL, Machine::NATIVE);
    let missing = keep_names(&mut profile.clone(), |name| Library::get().knows(name));
    let expected: BTreeSet<String> = NEWER_THAN_2_5_4.iter().map(ToString::to_string).collect();
    if Library::get().version() == [2, 5, 4] {
        assert_eq!(missing, expected);
    } else {
        assert!(missing.is_subset(&expected), "libseccomp does not know {missing:?}");
    }

    let native = Machine::NATIVE.abis()[0];
    profile.set_architectures(Some(vec![native.oci()]));
    let number = |name: &str| call(name)?.number(native);
    let theirs = Library::get().program_by_number(&profile, number).unwrap();
    let ours = assemble(&profile, Machine::NATIVE).unwrap().instructions;
    let newest = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(LinuxSyscall::names)
        .filter_map(|name| number(name))
        .max();
    for data in every_call(&profile).into_iter().filter(|data| data.arch == native.audit_arch()) {
        let is_newer = data.number < X32_BIT && Some(data.number) > newest;
        let expected = if is_newer { ENOSYS } else { run(&theirs, &data) };
        assert_eq!(run(&ours, &data), expected, "{data:x?}");
    }
}

#[test]
fn every_operator_agrees_at_its_borders() {
    let values = [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x7_ffff_fffe, u64::MAX - 1, u64::MAX];
    for operator in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in values {
            for second in if operator == "MASKED_EQ" { &values[1..6] } else { &[0] } {
                let condition = json!({ "index": 2, "value": value, "valueTwo": second, "op": format!("SCMP_CMP_{operator}") });
                agree_everywhere(
                    &json!([allow(&["write", "sendmsg"], json!([condition]))]),
                    "SCMP_ACT_ERRNO",
                );
            }
        }
    }
}

#[test]
fn every_action_agrees() {
    let actions = ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW"];
    for (turn, default) in actions.iter().enumerate() {
        let names = ["read", "write", "open", "close", "dup", "brk", "ioctl", "lseek"];
        let rule = |(index, action): (usize, &&str)| {
            let action = format!("SCMP_ACT_{action}");
            json!({ "names": [names[index], "pipe2"], "action": action, "errnoRet": index + turn })
        };
        let rules: Vec<Value> = actions.iter().enumerate().map(rule).collect();
        agree_everywhere(&json!(rules), &format!("SCMP_ACT_{default}"));
    }
    // An agent can be asked about single calls only.
    let notify = json!([{ "names": ["mknodat"], "action": "SCMP_ACT_NOTIFY" }]);
    agree_everywhere(&notify, "SCMP_ACT_ALLOW");
}

#[test]
fn conditions_agree_joined_apart_and_covered() {
    let equal = |index: u32, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let at_least = |index: u32, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_GE" });
    let below = |index: u32, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_LT" });
    let profiles = [
        (
            "all of several arguments",
            json!([allow(&["ioctl"], json!([equal(1, 0x5413), at_least(0, 3), below(5, 9)]))]),
        ),
        ("one argument twice: either", json!([allow(&["ioctl"], json!([equal(1, 1), equal(1, 2)]))])),
        (
            "one argument twice: each alone",
            json!([allow(&["ioctl"], json!([equal(1, 1), equal(1, 2), equal(0, 7)]))]),
        ),
        (
            "two rules: either",
            json!([allow(&["ioctl"], json!([equal(1, 1)])), allow(&["ioctl"], json!([below(3, 2)]))]),
        ),
        (
            "a rule without conditions first",
            json!([allow(&["ioctl"], json!([])), allow(&["ioctl"], json!([equal(1, 1)]))]),
        ),
        (
            "a rule without conditions last",
            json!([allow(&["ioctl"], json!([equal(1, 1)])), allow(&["ioctl"], json!([]))]),
        ),
        (
            "two rules without conditions",
            json!([
            { "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }, allow(&["ioctl"], json!([]))]),
        ),
        (
            "what the default says",
            json!([
            { "names": ["ioctl", "dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }, allow(&["ioctl"], json!([]))]),
        ),
        (
            "a mask without bits",
            json!([allow(
                &["ioctl"],
                json!([{ "index": 0, "value": 0, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ" }])
            )]),
        ),
        (
            "names that nobody has",
            json!([allow(&["ioctl", "frobnicate", "umount", "chown32", "set_tls"], json!([]))]),
        ),
        ("nothing at all", json!([])),
    ];
    for (_what, rules) in &profiles {
        agree_everywhere(rules, "SCMP_ACT_ERRNO");
    }
}

#[test]
fn socketcall_and_ipc_agree() {
    let equal = |index: u32, value: u64| json!([{ "index": index, "value": value, "op": "SCMP_CMP_EQ" }]);
    let profiles = [
        json!([allow(
            &["socket", "accept", "send", "recv", "shmat", "semop", "semtimedop", "msgctl"],
            json!([])
        )]),
        json!([allow(&["socket"], equal(0, 1)), allow(&["socketpair"], equal(2, 3))]),
        json!([allow(&["socketcall", "ipc"], json!([])), allow(&["socket"], equal(0, 1))]),
        json!([allow(&["socket"], equal(0, 1)), allow(&["socketcall", "ipc"], json!([]))]),
        json!([allow(&["ipc"], equal(0, 3)), allow(&["shmdt"], json!([]))]),
    ];
    profiles.iter().for_each(|rules| agree_everywhere(rules, "SCMP_ACT_ERRNO"));
    // Each operation fails in a way of its own.
    let names = SOCKETCALLS.into_iter().chain(IPC_CALLS.map(|(name, _)| name));
    let rule = |(errno, name)| json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let refused: Vec<Value> = (10..).zip(names).map(rule).collect();
    agree_everywhere(&json!(refused), "SCMP_ACT_ALLOW");
}

#[test]
fn random_profiles_agree() {
    const NAMES: [&str; 8] =
        ["read", "openat", "socket", "ioctl", "shmat", "personality", "execve", "futimesat"];
    let mut random = Random(0x5eed);
    for _ in 0..300 {
        // One rule of any kind for a name, or several that ask for equality. Of several inequalities for one
        // argument libseccomp 2.5.4 loses some when it joins them, and of several actions its sorting
        // decides.
        let mut rules = Vec::new();
        for name in (0..3).map(|_| NAMES[random.below(NAMES.len())]).collect::<BTreeSet<_>>() {
            let index = random.below(6);
            let action = *random.pick(&["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"]);
            let mut rule =
                |args: Value| rules.push(json!({ "names": [name], "action": action, "args": args }));
            if random.below(2) == 0 {
                let mut joined = vec![random_condition(&mut random, index)];
                if random.below(2) == 0 {
                    joined.push(random_condition(&mut random, (index + 1) % 6));
                }
                rule(json!(joined));
                continue;
            }
            for _ in 0..1 + random.below(4) {
                let mut condition = random_condition(&mut random, index);
                condition["op"] = json!("SCMP_CMP_EQ");
                rule(json!([condition]));
            }
        }
        for machine in MACHINES {
            let profile = with_every_arch(&json!(rules), "SCMP_ACT_ERRNO", machine);
            agree_by_abi(&profile, machine, &some_calls(&profile, &mut random));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write a `json!`")]
fn allow(names: &[&str], args: Value) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args })
}

/// All ABIs of a machine, and the native one alone.
fn agree_everywhere(rules: &Value, default: &str) {
    for machine in MACHINES {
        let mut profile = with_every_arch(rules, default, machine);
        let calls = every_call(&profile);
        agree_by_abi(&profile, machine, &calls);
        profile.set_architectures(Some(vec![machine.abis()[0].oci()]));
        agree_by_abi(&profile, machine, &calls);
    }
}

fn with_every_arch(rules: &Value, default: &str, machine: Machine) -> LinuxSeccomp {
    let mut profile = profile(json!({ "defaultAction": default, "defaultErrnoRet": 1, "syscalls": rules }));
    profile.set_architectures(Some(machine.abis().iter().map(|abi| abi.oci()).collect()));
    profile
}

/// Compares with a program of libseccomp for each ABI alone: in programs for several that are small, 2.5.4
/// leaves out some of the instructions that load the call's number, and compares the architecture instead.
fn agree_by_abi(profile: &LinuxSeccomp, machine: Machine, calls: &[Data]) {
    let text = || serde_json::to_string(profile).unwrap();
    let program = |arch: &Arch| match Library::get().program(profile, &[*arch]) {
        Ok(program) => (*arch, program),
        Err(error) => panic!("libseccomp says {error} to {}", text()),
    };
    let theirs: Vec<_> = profile.architectures().iter().flatten().map(program).collect();
    agree(profile, machine, calls, |data| {
        let (_, program) = theirs.iter().find(|(arch, _)| Some(*arch) == arch_of(data)).unwrap_or(&theirs[0]);
        program
    });
}

fn agree<'a>(
    profile: &LinuxSeccomp,
    machine: Machine,
    calls: &[Data],
    theirs: impl Fn(&Data) -> &'a [Instruction],
) {
    let ours = assemble(profile, machine).unwrap().instructions;
    let newest = Newest::of(profile);
    for data in calls {
        let expected = if newest.is_before(data) { ENOSYS } else { run(theirs(data), data) };
        let verdict = run(&ours, data);
        let text = || serde_json::to_string(profile).unwrap();
        assert_eq!(verdict, expected, "{verdict:#x}, libseccomp {expected:#x} for {data:x?} by {}", text());
    }
}

fn arch_of(data: &Data) -> Option<Arch> {
    match data.arch {
        0xc000_003e if data.number >= X32_BIT => Some(Arch::ScmpArchX32),
        0xc000_003e => Some(Arch::ScmpArchX86_64),
        0x4000_0003 => Some(Arch::ScmpArchX86),
        0xc000_00b7 => Some(Arch::ScmpArchAarch64),
        0x4000_0028 => Some(Arch::ScmpArchArm),
        _ => None,
    }
}

/// What runc's patchbpf finds out: for each architecture the greatest number that the profile names.
struct Newest {
    common: Vec<(Arch, u32)>,
    arm_private: Option<u32>,
}

impl Newest {
    fn of(profile: &LinuxSeccomp) -> Newest {
        use LinuxSeccompAction::{ScmpActAllow, ScmpActLog, ScmpActTrace};
        if matches!(profile.default_action(), ScmpActAllow | ScmpActLog | ScmpActTrace) {
            return Newest { common: Vec::new(), arm_private: None };
        }
        let names = || profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
        // Not runc's: the calls that i386 has by socketcall and ipc count, too. libseccomp has negative
        // numbers for them.
        let i386 = |name: &String| {
            let (multiplexer, _) = call(name)?.multiplexed()?;
            (359..403)
                .find(|number| Library::get().name(Arch::ScmpArchX86, *number).as_ref() == Some(name))
                .or(Some(multiplexer))
        };
        let number = |arch, name: &String| match arch {
            Arch::ScmpArchX86 => Library::get().number(arch, name).or_else(|| i386(name)),
            _ => Library::get().number(arch, name),
        };
        // Not runc's: arm's private calls are no measure for what is new.
        let is_common = |number: &u32| number & !X32_BIT < ARM_PRIVATE;
        let numbers = |arch| names().filter_map(move |name| number(arch, name));
        let newest = |arch| Some((arch, numbers(arch).filter(is_common).max()?));
        Newest {
            common: profile.architectures().iter().flatten().copied().filter_map(newest).collect(),
            arm_private: numbers(Arch::ScmpArchArm).filter(|number| !is_common(number)).max(),
        }
    }

    fn is_before(&self, data: &Data) -> bool {
        let arch = arch_of(data);
        let is_private = arch == Some(Arch::ScmpArchArm)
            && data.number >= ARM_PRIVATE
            && Some(data.number) <= self.arm_private;
        self.common.iter().any(|(known, newest)| Some(*known) == arch && data.number > *newest) && !is_private
    }
}

/// Takes the other names out, and says which they were.
fn keep_names(profile: &mut LinuxSeccomp, keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut dropped = BTreeSet::new();
    let mut syscalls = profile.syscalls().clone().unwrap();
    for entry in &mut syscalls {
        let (kept, others): (Vec<_>, Vec<_>) = entry.names().iter().cloned().partition(|name| keep(name));
        entry.set_names(kept);
        dropped.extend(others);
    }
    profile.set_syscalls(Some(syscalls));
    dropped
}
