//! The life of a container's init that only buries: no memory but one page of stack, and no function of the standard library.
#![expect(unsafe_code, reason = "memory is given back under our own feet: only bare system calls may follow")]

use rustix::process::Pid;

use super::memory::{PAGE, droppable, set_apart};

/// What is mapped and need not be.
#[derive(Debug)]
pub struct Memory {
    /// As (first address, length); a length of 0 is none.
    ranges: [(usize, usize); MOST],
    /// The lowest address of the stack.
    stack: usize,
}

/// More mappings than this program has.
const MOST: usize = 64;

impl Memory {
    /// Looks at what is mapped, as long as /proc can be looked at. It may have become more when it is given back; that is
    /// kept.
    pub fn find() -> Option<Memory> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut ranges = [(0, 0); MOST];
        let all = droppable(&smaps).into_iter().chain(anonymous(&smaps));
        for (place, (start, end)) in ranges.iter_mut().zip(all) {
            *place = (start, end - start);
        }
        let stack = smaps.lines().find(|line| line.ends_with("[stack]"))?;
        Some(Memory { ranges, stack: usize::from_str_radix(stack.split('-').next()?, 16).ok()? })
    }
}

/// The heap, and what was mapped for it: writable, of no file, and not the zeroed variables that follow the program's own
/// (proc_pid_smaps(5)). PURE.
fn anonymous(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut after_program = 0;
    for line in smaps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some((start, end)) = fields.first().and_then(|range| range.split_once('-')) else { continue };
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        let (Some(start), Some(end), Some(mode)) = (number(start), number(end), fields.get(1)) else {
            continue;
        };
        match fields.get(5) {
            Some(path) if path.starts_with('/') => after_program = end,
            Some(&"[heap]") => found.push((start, end)),
            None if mode.starts_with("rw-p") && start != after_program => found.push((start, end)),
            _ => {}
        }
    }
    found
}

/// Forgets everything, passes signals on to `child`, buries the dead, and ends with the child's code, 128+n for a signal.
///
/// Every signal must be blocked: that is how they arrive here. Signals that the kernel sends for a terminal in the
/// background are nobody's (as tini has it).
pub fn reap(child: Pid, memory: Option<&Memory>) -> ! {
    // The frames of what is called, and room for what the kernel puts there.
    const KEPT_STACK: usize = 8 << 10;
    set_apart(forget_and_reap as *const () as usize);
    let mut ranges = memory.map_or([(0, 0); MOST], |memory| memory.ranges);
    if let Some(memory) = memory {
        let here = std::ptr::from_ref(&ranges).addr() & !(PAGE - 1);
        let unused = here.saturating_sub(KEPT_STACK).saturating_sub(memory.stack);
        if let Some(free) = ranges.iter_mut().find(|(_, length)| *length == 0) {
            *free = (memory.stack, unused);
        }
    }
    forget_and_reap(child.as_raw_nonzero().get(), &ranges)
}

/// Calls nothing but system calls: the heap is gone.
#[inline(never)]
fn forget_and_reap(child: i32, ranges: &[(usize, usize); MOST]) -> ! {
    /// A kernel's signal set, and its size.
    static ALL: u64 = !0;
    const SET: usize = 8;
    // SAFETY: what is given back is the heap, of which nothing is used any more (this function does not return, and `ranges`
    // lies on the stack above), the stack below this frame, and unchanged pages of files. The calls below get numbers and
    // pointers to a static and to this frame. errno is written into a page that is then made anew.
    unsafe {
        for (start, length) in ranges {
            if *length > 0 {
                // Advice that is not taken costs memory, nothing else.
                libc::syscall(libc::SYS_madvise, *start, *length, libc::MADV_DONTNEED);
            }
        }
        loop {
            let nobody = std::ptr::null::<u8>();
            let signal = libc::syscall(libc::SYS_rt_sigtimedwait, &raw const ALL, nobody, nobody, SET);
            if signal == libc::SIGCHLD as libc::c_long {
                let mut code = -1;
                loop {
                    let mut status: libc::c_int = 0;
                    let pid = libc::syscall(libc::SYS_wait4, -1, &raw mut status, libc::WNOHANG, nobody);
                    if pid <= 0 {
                        break;
                    }
                    if pid == child as libc::c_long {
                        code = match status & 0x7f {
                            0 => status >> 8 & 0xff,
                            signal => 128 + signal,
                        };
                    }
                }
                if code >= 0 {
                    libc::syscall(libc::SYS_exit_group, code);
                }
            } else if signal > 0
                && signal != libc::SIGTTIN as libc::c_long
                && signal != libc::SIGTTOU as libc::c_long
            {
                libc::syscall(libc::SYS_kill, child, signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_goes_and_the_programs_variables_stay() {
        let smaps = "00400000-00500000 r-xp 00001000 fe:00 123   /usr/bin/mini\nAnonymous:      0 kB\n\
                     00510000-00520000 rw-p 00111000 fe:00 123   /usr/bin/mini\nAnonymous:      8 kB\n\
                     00520000-00530000 rw-p 00000000 00:00 0 \nAnonymous:      8 kB\n\
                     01000000-01100000 rw-p 00000000 00:00 0   [heap]\nAnonymous:      64 kB\n\
                     7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \nAnonymous:      4 kB\n\
                     7f0000001000-7f0000002000 r--p 00000000 00:00 0   [vvar]\nAnonymous:      0 kB\n\
                     7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0   [stack]\nAnonymous:      12 kB\n";
        assert_eq!(anonymous(smaps), [(0x0100_0000, 0x0110_0000), (0x7f00_0000_0000, 0x7f00_0000_1000)]);
    }
}
