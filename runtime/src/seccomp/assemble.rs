//! From an OCI seccomp profile to the program that the kernel runs at every system call.
//!
//! The verdicts are those of runc, which docker's containers live under: libseccomp's for the rules, and on
//! top of them runc's rule for the future: a call with a number above every call that the profile names fails
//! with ENOSYS, not with the profile's default error, so that a libc that tries a call newer than the profile
//! falls back to an older one instead of giving up with "operation not permitted". What the two leave open is
//! settled here:
//!
//! - of several conditional rules for one call that match with different actions, the first in the profile's
//!   order counts (libseccomp: the order of its internal sorting, or an error);
//! - where a profile names no architecture at all, the native one gets runc's ENOSYS rule too;
//! - on 32-bit arm "above every call" looks at the common numbers: the private ones begin at 0xf0000, so that
//!   runc never says ENOSYS there.
//!
//! The shape is chosen for the time that loading takes, which the number of instructions decides: system
//! calls with one verdict become ranges, the ranges a binary tree of comparisons, and comparisons of
//! arguments trees too. At run time the kernel keeps a bitmap of the calls that are always allowed and never
//! runs the program for them (Linux 5.11).

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag, LinuxSyscall,
};

use super::abi::{Abi, Machine, X32_BIT};
use super::arguments::{Rule, judge};
use super::program::{Backward, Instruction, Target, Test};
use super::resolve::{Block, Cell, Resolved};

/// A filter, ready for seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The program, at most [`MAX_INSTRUCTIONS`] long.
    pub instructions: Vec<Instruction>,
    /// The flags for `SECCOMP_SET_MODE_FILTER`. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` the call returns the
    /// descriptor at which an agent receives the calls whose verdict is NOTIFY.
    pub flags: u32,
}

/// The kernel's limit on a program's length (`BPF_MAXINSNS`, linux/bpf_common.h).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// A profile that no filter can be made of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// An agent that is asked about every call is asked about the calls by which it would be told.
    #[error("seccomp default action SCMP_ACT_NOTIFY asks an agent about the very calls that lead to it")]
    NotifyByDefault,
    /// The verdict has 16 bits for it.
    #[error("seccomp errnoRet {value} of {of} does not fit into 16 bits")]
    ErrnoTooLarge {
        /// The rule's first system call, or `the default action`.
        of: String,
        /// The value asked for.
        value: u32,
    },
    /// System calls have six arguments.
    #[error("seccomp rule for {syscall} looks at argument {index}, but the last one is 5")]
    NoSuchArgument {
        /// The rule's first system call.
        syscall: String,
        /// The index asked for.
        index: usize,
    },
    /// The kernel answers EINVAL: there is nobody to wait for.
    #[error("seccomp flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY")]
    NobodyToWaitFor,
    /// More than the kernel takes.
    #[error("seccomp profile makes {length} instructions, the kernel's limit is {MAX_INSTRUCTIONS}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// Writes the program for `profile`.
///
/// Names that an ABI does not have are skipped there, as runc does: profiles name the calls of all machines.
/// So are architectures by which this machine's kernel cannot be called. The native one is always in.
///
/// # Errors
/// See [`AssembleError`].
pub fn assemble(profile: &LinuxSeccomp, machine: Machine) -> Result<Filter, AssembleError> {
    let default = profile.default_action();
    if default == Action::ScmpActNotify {
        return Err(AssembleError::NotifyByDefault);
    }
    let asked = profile.architectures().as_deref().unwrap_or_default();
    let is_asked = |abi: &Abi| *abi == machine.abis()[0] || asked.contains(&abi.oci());
    let default_verdict = verdict(default, profile.default_errno_ret(), || "the default action".to_owned())?;
    let mut resolved = Resolved::new(machine.abis().iter().copied().filter(is_asked), default_verdict);
    for entry in profile.syscalls().iter().flatten() {
        add(&mut resolved, entry)?;
    }
    // A tracer or a log is there to see new calls, not to lose them: for runc both are actions that allow.
    let newer = match default {
        Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace => default_verdict,
        _ => ERRNO | libc::ENOSYS as u32,
    };
    let instructions = write(&resolved, newer);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(AssembleError::TooLong { length: instructions.len() });
    }
    Ok(Filter { instructions, flags: flags(profile)? })
}

fn add(resolved: &mut Resolved, entry: &LinuxSyscall) -> Result<(), AssembleError> {
    let first = || entry.names().first().cloned().unwrap_or_default();
    let arguments = entry.args().as_deref().unwrap_or_default();
    if let Some(argument) = arguments.iter().find(|argument| argument.index() > 5) {
        return Err(AssembleError::NoSuchArgument { syscall: first(), index: argument.index() });
    }
    resolved.add(entry.names(), verdict(entry.action(), entry.errno_ret(), first)?, arguments);
    Ok(())
}

/// Sections one after the other, each for one `AUDIT_ARCH_*`, the native one's test first.
fn write(resolved: &Resolved, newer: u32) -> Vec<Instruction> {
    let mut program = Backward::default();
    let mut known = Vec::new();
    let by_arch = |one: &Block, other: &Block| one.abi.audit_arch() == other.abi.audit_arch();
    let mut sections = Vec::new();
    for blocks in resolved.blocks.chunk_by(by_arch).rev() {
        let leaves = leaves(resolved, blocks, newer, |list, wide| {
            judged(&mut program, &mut known, resolved, list, wide)
        });
        sections.push((blocks[0].abi.audit_arch(), program.switch(NUMBER, &leaves)));
    }
    let entry = sections.iter().fold(Target::Return(BAD_ARCH), |other, &(arch, section)| {
        program.branch(Test::Equal, arch, section, other)
    });
    let entry = program.load(ARCH, entry);
    program.finish(entry)
}

/// The ranges of numbers that have one verdict, by their first numbers.
fn leaves(
    resolved: &Resolved,
    blocks: &[Block],
    newer: u32,
    mut judged: impl FnMut(usize, bool) -> Target,
) -> Vec<(u32, Target)> {
    let mut leaves: Vec<(u32, Target)> = Vec::with_capacity(256);
    let mut leaf = |first: u32, target: Target| {
        if leaves.last().is_none_or(|(_, before)| *before != target) {
            leaves.push((first, target));
        }
    };
    for Block { abi, base, cells } in blocks {
        for (number, cell) in (*base..).zip(cells) {
            let target = match *cell {
                Cell::Always(verdict) => Target::Return(verdict),
                Cell::Rules(list) => judged(list as usize, abi.wide()),
            };
            leaf(number, target);
        }
        let is_named = blocks.iter().any(|block| block.abi == *abi && !block.cells.is_empty());
        let beyond = if is_named { newer } else { resolved.default };
        leaf(base + cells.len() as u32, Target::Return(beyond));
    }
    // Without x32 its numbers belong to an ABI that is not asked for; but a tracer writes -1 to skip a call.
    if blocks.len() == 1 && blocks[0].abi == Abi::X86_64 {
        leaf(X32_BIT, Target::Return(BAD_ARCH));
        leaf(u32::MAX, Target::Return(resolved.default));
    }
    leaves
}

/// The code for one list of rules. ABIs that compare alike share it.
fn judged(
    program: &mut Backward,
    known: &mut Vec<(Vec<usize>, bool, Target)>,
    resolved: &Resolved,
    list: usize,
    wide: bool,
) -> Target {
    let list = &resolved.lists[list];
    if let Some((_, _, target)) = known.iter().find(|(other, as_wide, _)| other == list && *as_wide == wide) {
        return *target;
    }
    let rules: Vec<&Rule> = list.iter().map(|&rule| &resolved.rules[rule]).collect();
    let target = judge(program, &rules, wide, resolved.default);
    known.push((list.clone(), wide, target));
    target
}

fn verdict(action: Action, errno: Option<u32>, of: impl Fn() -> String) -> Result<u32, AssembleError> {
    // EPERM is what runc returns, and tells a tracer, where the profile says nothing.
    let data = errno.unwrap_or(libc::EPERM as u32);
    let with_data = |verdict: u32| match u16::try_from(data) {
        Ok(data) => Ok(verdict | u32::from(data)),
        Err(_) => Err(AssembleError::ErrnoTooLarge { of: of(), value: data }),
    };
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => KILL_THREAD,
        Action::ScmpActKillProcess => KILL_PROCESS,
        Action::ScmpActTrap => TRAP,
        Action::ScmpActErrno => with_data(ERRNO)?,
        Action::ScmpActNotify => NOTIFY,
        Action::ScmpActTrace => with_data(TRACE)?,
        Action::ScmpActLog => LOG,
        Action::ScmpActAllow => ALLOW,
    })
}

fn flags(profile: &LinuxSeccomp) -> Result<u32, AssembleError> {
    let notifies = profile.syscalls().iter().flatten().any(|entry| entry.action() == Action::ScmpActNotify);
    let listener = if notifies { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // What runc asks for where a profile says nothing: a filter makes memory no slower. Linux 5.16 agrees.
    let Some(asked) = profile.flags() else {
        return Ok((listener | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) as u32);
    };
    asked.iter().try_fold(listener as u32, |flags, flag| {
        let flag = match flag {
            // There is one thread, and TSYNC forbids a listener.
            Flag::SeccompFilterFlagTsync => 0,
            Flag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
            Flag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            Flag::SeccompFilterFlagWaitKillableRecv if !notifies => {
                return Err(AssembleError::NobodyToWaitFor);
            }
            Flag::SeccompFilterFlagWaitKillableRecv => libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        };
        Ok(flags | flag as u32)
    })
}

/// Where `struct seccomp_data` has the call's number and its `AUDIT_ARCH_*`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Verdicts (seccomp(2), linux/seccomp.h).
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// For a call by an architecture that the profile does not list: libseccomp's default, which runc leaves.
const BAD_ARCH: u32 = KILL_THREAD;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::profile::default_profile;
    use super::*;
    use crate::caps::CapSet;

    fn assembled(json: Value) -> Result<Filter, AssembleError> {
        assemble(&serde_json::from_value(json).unwrap(), Machine::X86_64)
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let rule = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
        let argument = json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]);
        let cases = [
            (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), AssembleError::NotifyByDefault),
            (
                json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536 }),
                AssembleError::ErrnoTooLarge { of: "the default action".into(), value: 65536 },
            ),
            (
                rule(json!({ "names": ["read", "dup"], "action": "SCMP_ACT_TRACE", "errnoRet": 70000 })),
                AssembleError::ErrnoTooLarge { of: "read".into(), value: 70000 },
            ),
            (
                rule(json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": argument })),
                AssembleError::NoSuchArgument { syscall: "read".into(), index: 6 },
            ),
            (
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }),
                AssembleError::NobodyToWaitFor,
            ),
        ];
        for (profile, expected) in cases {
            assert_eq!(assembled(profile.clone()), Err(expected), "{profile}");
        }
    }

    #[test]
    fn a_program_above_the_kernels_limit_is_refused_with_its_length() {
        let rule = |value: u64| {
            json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW",
                    "args": [{ "index": 0, "value": value, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" }] })
        };
        let profile = |rules: u64| {
            let rules: Vec<Value> = (1..=rules).map(rule).collect();
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
        };
        assert!(assembled(profile(1000)).is_ok());
        assert!(
            matches!(assembled(profile(2000)), Err(AssembleError::TooLong { length }) if length > MAX_INSTRUCTIONS)
        );
    }

    #[test]
    fn flags_are_passed_on_as_runc_does() {
        const LISTENER: u32 = 1 << 3;
        let flag = |name: &str| format!("SECCOMP_FILTER_FLAG_{name}");
        let cases = [
            (None, false, 1 << 2),
            (None, true, 1 << 2 | LISTENER),
            (Some(vec![]), false, 0),
            (Some(vec![flag("TSYNC")]), false, 0),
            (Some(vec![flag("LOG"), flag("SPEC_ALLOW")]), false, 1 << 1 | 1 << 2),
            (Some(vec![flag("WAIT_KILLABLE_RECV")]), true, 1 << 5 | LISTENER),
        ];
        for (flags, notifies, expected) in cases {
            let action = if notifies { "SCMP_ACT_NOTIFY" } else { "SCMP_ACT_ALLOW" };
            let mut profile = json!({ "defaultAction": "SCMP_ACT_ERRNO",
                                      "syscalls": [{ "names": ["mknodat"], "action": action }] });
            if let Some(flags) = &flags {
                profile["flags"] = json!(flags);
            }
            assert_eq!(assembled(profile).map(|filter| filter.flags), Ok(expected), "{flags:?} {notifies}");
        }
    }

    #[test]
    fn dockers_profile_makes_a_small_program() {
        // Loading takes about 0.2 µs an instruction: growth is felt at every start.
        for (machine, limit) in [(Machine::X86_64, 260), (Machine::Aarch64, 210)] {
            let length =
                assemble(&default_profile(CapSet::DOCKER, machine), machine).unwrap().instructions.len();
            assert!(length <= limit, "{length} instructions for {machine:?}");
        }
    }
}
