//! Classic BPF as the kernel understands it, for the instructions that a seccomp filter of ours or of
//! libseccomp has.

use super::super::program::Instruction;

/// `struct seccomp_data` (linux/seccomp.h), less the instruction pointer, which no profile can ask about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

/// The verdict on one call. Panics where the kernel would not have taken the program.
pub(super) fn run(program: &[Instruction], data: &Data) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = load(data, k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x45 => jump(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("instruction {} has the unknown code {code:#x}", at - 1),
        }
    }
}

fn load(data: &Data, offset: u32) -> u32 {
    match offset {
        0 => data.number,
        4 => data.arch,
        16..64 if offset.is_multiple_of(4) => {
            let argument = data.arguments[(offset as usize - 16) / 8];
            (argument >> (offset % 8 * 8)) as u32
        }
        _ => panic!("nothing to load at {offset}"),
    }
}
