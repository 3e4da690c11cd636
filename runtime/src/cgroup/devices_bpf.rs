//! The devices policy as a program, the only form that cgroup v2 takes it in.
//!
//! The kernel runs it at each mknod(2) and open(2) of a device by a process in the cgroup
//! (BPF_PROG_TYPE_CGROUP_DEVICE, Linux 4.15): 1 lets pass, 0 is EPERM. Loading and attaching is done
//! elsewhere: everything here is pure.
//!
//! What loading costs, the verifier decides, which walks every way through the program. So a way asks once
//! for the kind, once for the major and once for the minor number, and ways join where only the access is
//! left to judge. The program is written from its end to its beginning, like a seccomp filter: every target
//! exists before its jump.

use super::devices::{Access, DeviceKind, DevicePolicy, Exception};

/// The program that decides by `policy`.
///
/// Its context is `struct bpf_cgroup_dev_ctx` (linux/bpf.h): kind in the lower and access in the upper half
/// of the first word, then major and minor. It decides as version 1 does (security/device_cgroup.c): what is
/// asked for must be allowed by one exception in whole; one exception that denies a part of it is enough.
pub fn program(policy: &DevicePolicy) -> Vec<BpfInstruction> {
    let default_allow = policy.default_allow;
    let mut program =
        Backward { reversed: Vec::new(), default_allow, decided: [None; 2], judged: Vec::new() };
    let of_kind = |kind| -> Vec<&Exception> {
        policy.exceptions.iter().filter(|exception| exception.devices.kind == kind).collect()
    };
    let block = program.by_major(&of_kind(DeviceKind::Block));
    let char = program.by_major(&of_kind(DeviceKind::Char));
    let entry = program.switch(KIND, &[(DeviceKind::Block as u32, block)], char);
    program.follow(entry);
    let prologue = [
        BpfInstruction::load(KIND, CONTEXT, 0),
        BpfInstruction::copy(ACCESS, KIND),
        BpfInstruction::and(KIND, 0xffff),
        BpfInstruction::shift_right(ACCESS, 16),
        BpfInstruction::load(MAJOR, CONTEXT, 4),
        BpfInstruction::load(MINOR, CONTEXT, 8),
    ];
    prologue.into_iter().chain(program.reversed.into_iter().rev()).collect()
}

/// Whether every jump in the policy's program is short enough, by a generous estimate.
pub(super) fn fits(policy: &DevicePolicy) -> bool {
    // Those for any major number are asked about under each number again.
    let wild = policy.exceptions.iter().filter(|exception| exception.devices.major.is_none()).count();
    100 + 4 * policy.exceptions.len() * (1 + wild) < i16::MAX as usize
}

/// The program so far, last instruction first. Nothing may stand in it that cannot be reached: the verifier
/// refuses.
struct Backward {
    reversed: Vec<BpfInstruction>,
    default_allow: bool,
    /// Where it is decided, each made when it is first needed: denied, allowed.
    decided: [Option<Label>; 2],
    /// Where it is judged by these uses.
    judged: Vec<(Vec<Access>, Label)>,
}

/// An instruction's place, counted from the program's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Label(usize);

impl Backward {
    /// Decides by the exceptions for one kind.
    fn by_major(&mut self, exceptions: &[&Exception]) -> Label {
        self.by_number(MAJOR, exceptions, |exception| exception.devices.major, Backward::by_minor)
    }

    /// Decides by those of them that are left for one major number.
    fn by_minor(&mut self, exceptions: &[&Exception]) -> Label {
        self.by_number(
            MINOR,
            exceptions,
            |exception| exception.devices.minor,
            |program, exceptions| {
                program.judge(exceptions.iter().map(|exception| exception.access).collect())
            },
        )
    }

    /// Asks for one number: each that an exception names leaves that exception and those for any number.
    fn by_number(
        &mut self,
        register: u8,
        exceptions: &[&Exception],
        number: impl Fn(&Exception) -> Option<u32>,
        decide: impl Fn(&mut Backward, &[&Exception]) -> Label,
    ) -> Label {
        let mut numbers: Vec<u32> = exceptions.iter().filter_map(|exception| number(exception)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut left = |asked: Option<u32>| {
            let applies = |exception: &&&Exception| number(exception).is_none() || number(exception) == asked;
            decide(self, &exceptions.iter().filter(applies).copied().collect::<Vec<_>>())
        };
        let cases: Vec<_> = numbers.into_iter().map(|asked| (asked, left(Some(asked)))).collect();
        let otherwise = left(None);
        self.switch(register, &cases, otherwise)
    }

    /// Decides by the access, when these uses are excepted.
    fn judge(&mut self, uses: Vec<Access>) -> Label {
        let mut uses = if self.default_allow {
            vec![uses.into_iter().fold(Access::NONE, Access::union)]
        } else {
            let is_within_another =
                |access: &Access| uses.iter().any(|other| *other != *access && other.cover(*access));
            uses.iter().copied().filter(|access| !is_within_another(access)).collect()
        };
        uses.sort_unstable_by_key(|access| access.bits());
        uses.dedup();
        if let Some((_, label)) = self.judged.iter().find(|(known, _)| *known == uses) {
            return *label;
        }
        // What must not be asked for: the uses denied, or what goes beyond one of those allowed.
        let forbidden = |access: &Access| if self.default_allow { *access } else { access.complement() };
        let label = match uses.iter().map(forbidden).collect::<Vec<_>>()[..] {
            [] => self.decide(false),
            [Access::NONE] => self.decide(true),
            ref forbidden => forbidden.iter().fold(self.decide(false), |otherwise, access| {
                let allow = self.decide(true);
                self.follow(allow);
                self.place_jump(BpfInstruction::jump_if_any_bit(ACCESS, access.bits()), otherwise)
            }),
        };
        self.judged.push((uses, label));
        label
    }

    fn decide(&mut self, allow: bool) -> Label {
        if let Some(label) = self.decided[usize::from(allow)] {
            return label;
        }
        self.place(BpfInstruction::exit());
        let label = self.place(BpfInstruction::set(RESULT, allow.into()));
        self.decided[usize::from(allow)] = Some(label);
        label
    }

    /// Goes to the case that the register equals.
    fn switch(&mut self, register: u8, cases: &[(u32, Label)], otherwise: Label) -> Label {
        let mut label = otherwise;
        for (value, target) in cases.iter().filter(|(_, target)| *target != otherwise) {
            self.follow(label);
            label = self.place_jump(BpfInstruction::jump_if_equal(register, *value), *target);
        }
        label
    }

    /// Makes what is placed next run on into `label`.
    fn follow(&mut self, label: Label) {
        if label.0 != self.reversed.len() {
            self.place_jump(BpfInstruction::jump(), label);
        }
    }

    fn place_jump(&mut self, jump: BpfInstruction, target: Label) -> Label {
        let off = i16::try_from(self.reversed.len() - target.0)
            .expect("`DevicePolicy::of` refuses what does not fit");
        self.place(BpfInstruction { off, ..jump })
    }

    fn place(&mut self, instruction: BpfInstruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len())
    }
}

/// Registers. The kernel hands over the context and expects the result there.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// One instruction, laid out as the kernel's `struct bpf_insn` (linux/bpf.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BpfInstruction {
    /// What it does.
    pub code: u8,
    /// The register written or tested in the lower half, the one read in the upper.
    pub registers: u8,
    /// How many instructions to jump over, or where in the context to read.
    pub off: i16,
    /// The operand.
    pub imm: i32,
}

/// Codes as in Documentation/bpf/standardization/instruction-set.rst; all arithmetic and comparisons have 32
/// bits (Linux 5.1).
impl BpfInstruction {
    const fn new(code: u8, to: u8, from: u8, off: i16, imm: u32) -> BpfInstruction {
        BpfInstruction { code, registers: to | from << 4, off, imm: imm as i32 }
    }

    const fn load(to: u8, address: u8, off: i16) -> BpfInstruction {
        BpfInstruction::new(0x61, to, address, off, 0)
    }

    const fn set(to: u8, value: u32) -> BpfInstruction {
        BpfInstruction::new(0xb4, to, 0, 0, value)
    }

    const fn copy(to: u8, from: u8) -> BpfInstruction {
        BpfInstruction::new(0xbc, to, from, 0, 0)
    }

    const fn and(register: u8, mask: u32) -> BpfInstruction {
        BpfInstruction::new(0x54, register, 0, 0, mask)
    }

    const fn shift_right(register: u8, bits: u32) -> BpfInstruction {
        BpfInstruction::new(0x74, register, 0, 0, bits)
    }

    const fn jump() -> BpfInstruction {
        BpfInstruction::new(0x05, 0, 0, 0, 0)
    }

    const fn jump_if_equal(register: u8, value: u32) -> BpfInstruction {
        BpfInstruction::new(0x16, register, 0, 0, value)
    }

    const fn jump_if_any_bit(register: u8, bits: u32) -> BpfInstruction {
        BpfInstruction::new(0x46, register, 0, 0, bits)
    }

    const fn exit() -> BpfInstruction {
        BpfInstruction::new(0x95, 0, 0, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "the kernel's verifier is the best judge of a program")]
    #![expect(clippy::disallowed_methods, reason = "bpf(2) has no wrapper")]

    use std::io;
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::super::devices::{ALWAYS_ALLOWED, DOCKER, DeviceRule, DeviceRuleError, Devices};
    use super::*;

    /// What is asked of a program: `struct bpf_cgroup_dev_ctx`.
    #[derive(Clone, Copy, Debug)]
    struct Asked {
        access: u32,
        kind: u32,
        major: u32,
        minor: u32,
    }

    #[test]
    fn the_verifier_takes_every_program() {
        for policy in policies() {
            if let Err(error) = load(&program(&policy)) {
                panic!("bpf(BPF_PROG_LOAD), which needs root: {error}, for {policy:?}");
            }
        }
    }

    #[test]
    fn programs_decide_as_version_1_does() {
        for policy in policies() {
            let program = program(&policy);
            for asked in everything() {
                assert_eq!(run(&program, asked), decision(&policy, asked), "{asked:?} by {policy:?}");
            }
        }
    }

    #[test]
    fn a_container_of_dockers_may_use_null_and_make_but_not_open_a_disk() {
        let program = program(&DevicePolicy::of(DOCKER.iter().chain(&ALWAYS_ALLOWED)).unwrap());
        let (block, char) = (DeviceKind::Block as u32, DeviceKind::Char as u32);
        let (make, read, read_write) = (1, 2, 6);
        let cases = [
            ("null", char, 1, 3, read_write, true),
            ("a terminal", char, 136, 7, read_write, true),
            ("mknod of a disk", block, 8, 0, make, true),
            ("a disk", block, 8, 0, read, false),
            ("a block device with null's numbers", block, 1, 3, read, false),
            ("mem", char, 1, 1, read, false),
            ("fuse", char, 10, 229, read_write, false),
            ("fuse, made and read in one", char, 10, 229, make | read, false),
        ];
        for (what, kind, major, minor, access, expected) in cases {
            assert_eq!(run(&program, Asked { access, kind, major, minor }), expected, "{what}");
        }
        assert!(program.len() <= 25, "{} instructions: the verifier takes its time for each", program.len());
    }

    #[test]
    fn a_thousand_devices_fit_and_what_does_not_is_refused() {
        let rules = |count: u32| -> Vec<DeviceRule> {
            let devices =
                |number| Devices { kind: DeviceKind::Block, major: Some(number % 32), minor: Some(number) };
            let rule =
                |number| DeviceRule { allow: true, devices: Some(devices(number)), access: Access::READ };
            ALWAYS_ALLOWED.into_iter().chain((0..count).map(rule)).collect()
        };
        let policy = DevicePolicy::of(&rules(1000)).unwrap();
        let program = program(&policy);
        load(&program).unwrap();
        assert!(run(&program, Asked { access: 2, kind: 1, major: 999 % 32, minor: 999 }));
        assert_eq!(DevicePolicy::of(&rules(5000)), Err(DeviceRuleError::TooMany { count: 5010 }));
    }

    fn policies() -> Vec<DevicePolicy> {
        let devices = |kind, major, minor| Some(Devices { kind, major, minor });
        let (block, char) = (DeviceKind::Block, DeviceKind::Char);
        let deny = |devices, access| DeviceRule { allow: false, devices, access };
        let allow = |devices, access| DeviceRule { allow: true, devices, access };
        let read_write = [
            allow(devices(char, Some(1), None), Access::READ),
            allow(devices(char, Some(1), Some(3)), Access::WRITE),
            allow(devices(block, None, Some(3)), Access::MAKE),
            allow(devices(char, Some(u32::MAX), Some(0x8000_0000)), Access::ALL),
        ];
        let all_but = [
            allow(None, Access::ALL),
            deny(devices(char, Some(10), Some(229)), Access::ALL),
            deny(devices(block, None, None), Access::WRITE),
            deny(devices(block, Some(8), None), Access::MAKE),
        ];
        let docker: Vec<DeviceRule> = DOCKER.iter().chain(&ALWAYS_ALLOWED).copied().collect();
        let lists: [&[DeviceRule]; 5] = [&[], &docker, &read_write, &all_but, &all_but[..1]];
        let listed = lists.into_iter().map(|rules| DevicePolicy::of(rules).unwrap());
        listed.chain(random_policies()).collect()
    }

    /// Few numbers, so that exceptions meet each other.
    fn random_policies() -> impl Iterator<Item = DevicePolicy> {
        let mut chance = 1_u32;
        let mut below = move |limit: u32| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 16) % limit
        };
        (0..200).map(move |_| {
            let allow = below(2) == 1;
            let first = DeviceRule { allow: !allow, devices: None, access: Access::ALL };
            let rules = (0..below(12)).map(|_| {
                let mut number = || Some([1, 3, 8][below(3) as usize]).filter(|_| below(3) > 0);
                let (major, minor) = (number(), number());
                let kind = if below(2) == 0 { DeviceKind::Block } else { DeviceKind::Char };
                let letters = [Access::MAKE, Access::READ, Access::WRITE];
                let first = letters[below(3) as usize];
                let access = letters.into_iter().filter(|_| below(2) == 0).fold(first, Access::union);
                DeviceRule { allow, devices: Some(Devices { kind, major, minor }), access }
            });
            let rules: Vec<DeviceRule> = std::iter::once(first).chain(rules).collect();
            DevicePolicy::of(&rules).unwrap()
        })
    }

    fn everything() -> impl Iterator<Item = Asked> {
        let numbers = [0, 1, 3, 5, 8, 10, 136, 229, 0x8000_0000, u32::MAX];
        let kinds = (0..8).flat_map(|access| [1, 2].map(|kind| (access, kind)));
        let majors = kinds.flat_map(move |(access, kind)| numbers.map(move |major| (access, kind, major)));
        majors.flat_map(move |(access, kind, major)| {
            numbers.map(move |minor| Asked { access, kind, major, minor })
        })
    }

    /// match_exception and match_exception_partial of security/device_cgroup.c.
    fn decision(policy: &DevicePolicy, asked: Asked) -> bool {
        let is_it = |number: Option<u32>, asked: u32| number.is_none_or(|number| number == asked);
        let mut alike = policy.exceptions.iter().filter(|Exception { devices, .. }| {
            devices.kind as u32 == asked.kind
                && is_it(devices.major, asked.major)
                && is_it(devices.minor, asked.minor)
        });
        match policy.default_allow {
            true => alike.all(|exception| exception.access.bits() & asked.access == 0),
            false => alike.any(|exception| exception.access.bits() & asked.access == asked.access),
        }
    }

    fn run(program: &[BpfInstruction], asked: Asked) -> bool {
        let context = [asked.access << 16 | asked.kind, asked.major, asked.minor];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let BpfInstruction { code, registers: pair, off, imm } = program[at];
            let (to, from, operand) = (usize::from(pair & 15), usize::from(pair >> 4), imm as u32);
            let mut jump = |taken: bool| at += if taken { usize::try_from(off).unwrap() } else { 0 };
            match code {
                0x61 => registers[to] = context[usize::try_from(off).unwrap() / 4],
                0xb4 => registers[to] = operand,
                0xbc => registers[to] = registers[from],
                0x54 => registers[to] &= operand,
                0x74 => registers[to] >>= operand,
                0x05 => jump(true),
                0x16 => jump(registers[to] == operand),
                0x46 => jump(registers[to] & operand != 0),
                0x95 => return registers[0] == 1,
                _ => panic!("instruction {at} has the unknown code {code:#x}"),
            }
            at += 1;
        }
    }

    /// The first members of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Load {
        kind: u32,
        length: u32,
        instructions: *const BpfInstruction,
        license: *const libc::c_char,
    }

    fn load(program: &[BpfInstruction]) -> io::Result<OwnedFd> {
        const BPF_PROG_LOAD: libc::c_long = 5;
        const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
        let length = u32::try_from(program.len()).unwrap();
        let (instructions, license) = (program.as_ptr(), c"".as_ptr());
        let load = Load { kind: BPF_PROG_TYPE_CGROUP_DEVICE, length, instructions, license };
        // SAFETY: the attributes and what they point to outlive the call, and it is told their size.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}
