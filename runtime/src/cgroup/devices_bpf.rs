//! The devices policy as a program, the only form that cgroup v2 takes it in.
//!
//! The kernel runs it at each mknod(2) and open(2) of a device by a process in the cgroup
//! (BPF_PROG_TYPE_CGROUP_DEVICE, Linux 4.15): 1 lets pass, 0 is EPERM. The instructions are written here, a
//! handful for each exception; loading and attaching them is done elsewhere: everything here is pure.

use super::devices::{DevicePolicy, Devices, Exception};

/// The program that decides by `policy`.
///
/// Its context is `struct bpf_cgroup_dev_ctx` (linux/bpf.h): kind in the lower and access in the upper half
/// of the first word, then major and minor. It decides as version 1 does (security/device_cgroup.c): what is
/// asked for must be allowed by one exception in whole; one exception that denies a part of it is enough.
pub fn program(policy: &DevicePolicy) -> Vec<BpfInstruction> {
    let mut program = vec![
        BpfInstruction::load(KIND, CONTEXT, 0),
        BpfInstruction::copy(ACCESS, KIND),
        BpfInstruction::and(KIND, 0xffff),
        BpfInstruction::shift_right(ACCESS, 16),
        BpfInstruction::load(MAJOR, CONTEXT, 4),
        BpfInstruction::load(MINOR, CONTEXT, 8),
    ];
    for exception in &policy.exceptions {
        program.extend(block(exception, !policy.default_allow));
    }
    program.extend(decide(policy.default_allow));
    program
}

/// Decides if the exception is about this device and these uses; else runs into what follows.
fn block(Exception { devices, access }: &Exception, allow: bool) -> Vec<BpfInstruction> {
    let Devices { kind, major, minor } = *devices;
    let tests = [(KIND, Some(kind as u32)), (MAJOR, major), (MINOR, minor)];
    let tests = tests.into_iter().filter_map(|(register, value)| Some((register, value?)));
    let mut block: Vec<_> =
        tests.map(|(register, value)| BpfInstruction::jump_unless_equal(register, value)).collect();
    if allow {
        block.push(BpfInstruction::jump_if_any_bit(ACCESS, access.complement().bits(), TO_END));
    } else {
        block.push(BpfInstruction::jump_if_any_bit(ACCESS, access.bits(), OVER_NEXT));
        block.push(BpfInstruction::jump());
    }
    block.extend(decide(allow));
    let length = block.len();
    for (index, instruction) in
        block.iter_mut().enumerate().filter(|(_, instruction)| instruction.off == TO_END)
    {
        instruction.off = (length - index - 1) as i16;
    }
    block
}

fn decide(allow: bool) -> [BpfInstruction; 2] {
    [BpfInstruction::set(RESULT, allow.into()), BpfInstruction::exit()]
}

/// Registers. The kernel hands over the context and expects the result there.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Jumps over one instruction.
const OVER_NEXT: i16 = 1;
/// Jumps behind the end of the block; stands there until that is known.
const TO_END: i16 = i16::MAX;

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
        BpfInstruction::new(0x05, 0, 0, TO_END, 0)
    }

    const fn jump_unless_equal(register: u8, value: u32) -> BpfInstruction {
        BpfInstruction::new(0x56, register, 0, TO_END, value)
    }

    const fn jump_if_any_bit(register: u8, bits: u32, off: i16) -> BpfInstruction {
        BpfInstruction::new(0x46, register, 0, off, bits)
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

    use super::super::devices::{ALWAYS_ALLOWED, Access, DOCKER, DeviceKind, DevicePolicy, DeviceRule};
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
        assert!(program.len() <= 69, "{} instructions, more than there were", program.len());
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
        let lists: [&[DeviceRule]; 5] = [&[], &DOCKER, &read_write, &all_but, &all_but[..1]];
        lists.into_iter().map(|rules| DevicePolicy::of(rules).unwrap()).collect()
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
                0x56 => jump(registers[to] != operand),
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
