//! This process's own memory and binary: a sealed copy to run from, and pages given back.
#![expect(unsafe_code, reason = "madvise, malloc_trim, mallopt and the argument area have no safe wrapper")]

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, Timespec};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::{Advice, madvise};

use super::{Result, op};

/// Copies this process's binary into a memory file that nobody can write to any more (memfd_create(2)).
///
/// # Errors
/// What memfd_create(2), sendfile(2) or fcntl(2) answered.
pub fn sealed_copy_of_self() -> Result<OwnedFd> {
    op!(
        ("memfd_create(\"mini\"), sendfile(\"/proc/self/exe\"), fcntl(F_ADD_SEALS)"),
        ("cp /proc/self/exe …"),
        || {
            let own = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            // MFD_EXEC is needed from Linux 6.3 on where the sysctl vm.memfd_noexec is set; older kernels refuse it.
            let copy = match rustix::fs::memfd_create("mini", flags | MemfdFlags::EXEC) {
                Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("mini", flags)?,
                other => other?,
            };
            while rustix::fs::sendfile(&copy, &own, None, 1 << 30)? > 0 {}
            rustix::fs::fcntl_add_seals(
                &copy,
                SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
            )?;
            Ok::<_, io::Error>(copy)
        }
    )
}

/// A file in memory, with this content (memfd_create(2)).
///
/// # Errors
/// What memfd_create(2) or write(2) answered.
pub fn file_with(bytes: &[u8]) -> Result<OwnedFd> {
    let length = bytes.len();
    op!(("memfd_create(\"handover\"), write({length} bytes)"), ("# a here-document is such a file"), || {
        // From Linux 6.3 on it can be said that nobody will execute it; older kernels do not know the flag.
        let flags = MemfdFlags::CLOEXEC;
        let file = match rustix::fs::memfd_create("handover", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("handover", flags)?,
            other => other?,
        };
        super::fs::write_all(std::os::fd::AsFd::as_fd(&file), bytes)?;
        Ok::<_, io::Error>(file)
    })
}

/// Overwrites this process's arguments and environment with `title`: neither `ps` nor /proc/PID/environ shows `-e PASSWORD=…`.
pub fn overwrite_arguments(title: &str) {
    let (start, end) = arguments::area();
    if start.is_null() || end <= start {
        return;
    }
    // SAFETY: libc forgets the environment first, so nothing refers to the area any more; Rust's argument iterator has been
    // used up by the command line's parser, and what it returned are copies. The area is this process's own stack memory,
    // from the first argument to the end of the last environment string, as the kernel laid it out (proc_pid_cmdline(5)).
    unsafe {
        libc::clearenv();
        let length = end.offset_from_unsigned(start);
        let title = &title.as_bytes()[..title.len().min(length - 1)];
        std::ptr::write_bytes(start, 0, length);
        std::ptr::copy_nonoverlapping(title.as_ptr(), start, title.len());
    }
}

mod arguments {
    //! libc hands argc, argv and envp to every function in `.init_array`; Rust keeps only what it needs.

    use std::ffi::{c_char, c_int};
    use std::sync::atomic::{AtomicPtr, Ordering};

    static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
    static END: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

    #[used]
    #[unsafe(link_section = ".init_array")]
    static AT_START: extern "C" fn(c_int, *const *mut c_char, *const *mut c_char) = remember;

    extern "C" fn remember(argc: c_int, argv: *const *mut c_char, envp: *const *mut c_char) {
        let Ok(argc) = usize::try_from(argc) else { return };
        if argc == 0 || argv.is_null() {
            return;
        }
        // SAFETY: argv has argc strings, envp ends with a null pointer; the kernel laid the strings out one after the other.
        unsafe {
            let mut last = *argv.add(argc - 1);
            let mut variable = envp;
            while !variable.is_null() && !(*variable).is_null() {
                last = *variable;
                variable = variable.add(1);
            }
            START.store((*argv).cast(), Ordering::Relaxed);
            END.store(last.add(libc::strlen(last) + 1).cast(), Ordering::Relaxed);
        }
    }

    pub(super) fn area() -> (*mut u8, *mut u8) {
        (START.load(Ordering::Relaxed), END.load(Ordering::Relaxed))
    }
}

/// Pages that a sleeping process need not keep.
#[derive(Debug, Default)]
pub struct Spare {
    /// Mappings of files, as (first address, length).
    files: Vec<(usize, usize)>,
    /// The lowest address of the stack.
    stack: usize,
}

/// Has every allocation of 256 KiB and more be a mapping of its own, so that it is the kernel's again when it is freed. By itself
/// the C library raises that bound to what was freed last, and each thread's arena would keep a decoder's window of megabytes
/// (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn map_large_allocations() {
    const BOUND: libc::c_int = 256 << 10;
    // SAFETY: it changes a number of the allocator's, under the allocator's lock.
    let _kept_as_it_is = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BOUND) };
}

impl Spare {
    /// Looks at what is mapped; the program's own mappings do not change afterwards.
    pub fn find() -> Spare {
        set_apart(give_back_and_wait as *const () as usize);
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let files = droppable(&smaps).into_iter().map(|(start, end)| (start, end - start)).collect();
        let stack = smaps
            .lines()
            .find(|line| line.ends_with("[stack]"))
            .and_then(|line| usize::from_str_radix(line.split('-').next()?, 16).ok());
        Spare { files, stack: stack.unwrap_or(usize::MAX) }
    }

    /// Waits for one of `waits`, for ever or for `limit`, on as few pages as can be: free heap, the unused stack and the program's own
    /// pages go back to the kernel; the latter are read again from the page cache when they are needed (madvise(2),
    /// `MADV_DONTNEED` on a file mapping).
    ///
    /// # Errors
    /// What poll(2) answered: `EINTR`.
    pub fn sleep(&self, waits: &mut [PollFd<'_>], limit: Option<&Timespec>) -> rustix::io::Result<usize> {
        // The frame of what is called, and room for what that calls.
        const KEPT_STACK: usize = 4 << 10;
        let here = std::ptr::from_ref(&waits).addr();
        let unused = (here & !(PAGE - 1)).saturating_sub(KEPT_STACK).saturating_sub(self.stack);
        // SAFETY: malloc_trim only returns free memory.
        unsafe { libc::malloc_trim(0) };
        give_back_and_wait((self.stack, unused), &self.files, waits, limit)
    }
}

/// The smallest page of x86_64 and aarch64, bytes.
pub(super) const PAGE: usize = 4096;

/// The last thing before the wait, and the first after it: one function that calls no other, on pages of its own
/// ([`set_apart`]), so that a sleeping process has these pages of the program and no more.
#[inline(never)]
fn give_back_and_wait(
    stack: (usize, usize),
    files: &[(usize, usize)],
    waits: &mut [PollFd<'_>],
    limit: Option<&Timespec>,
) -> rustix::io::Result<usize> {
    // SAFETY: the stack below its top holds nothing that is used again; a mapping of a file that cannot be written, and of
    // which no page is our own, holds what the file holds: dropped pages come back the same.
    unsafe {
        // Advice that is not taken costs memory, nothing else.
        let _kept = madvise(stack.0 as *mut _, stack.1, Advice::LinuxDontNeed);
        for (start, length) in files {
            let _kept = madvise(*start as *mut _, *length, Advice::LinuxDontNeed);
        }
    }
    rustix::event::poll(waits, limit)
}

/// Makes the two pages from `address` on a mapping of their own: where code is needed, the kernel maps the 64 KiB around it
/// that are in its page cache, but none of another mapping (`do_fault_around`, mm/memory.c). What makes the difference, that
/// these pages are not dumped with a core, means nothing else.
pub(super) fn set_apart(address: usize) {
    // SAFETY: what a core dump holds is nothing that this program relies on.
    let _one_mapping = unsafe { madvise((address & !(PAGE - 1)) as *mut _, 2 * PAGE, Advice::LinuxDontDump) };
}

/// Mappings of files, not writable, none of whose pages was changed (relocations do that) (proc_pid_smaps(5)). PURE.
pub(super) fn droppable(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(first), second) = (fields.next(), fields.next()) else { continue };
        if let Some((start, end)) = first.split_once('-') {
            let file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
            let read_only = second.is_some_and(|mode| !mode.contains('w'));
            let number = |digits| usize::from_str_radix(digits, 16).ok();
            current = number(start).zip(number(end)).filter(|_| file && read_only);
        } else if first == "Anonymous:" && second == Some("0") {
            found.extend(current.take());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_read_only_file_pages_are_dropped() {
        let smaps = "00400000-00500000 r-xp 00001000 fe:00 123   /usr/bin/mini\nRss: 4 kB\nAnonymous:      0 kB\n\
                     00500000-00510000 r--p 00101000 fe:00 123   /usr/bin/mini\nAnonymous:      8 kB\n\
                     00510000-00520000 rw-p 00111000 fe:00 123   /usr/bin/mini\nAnonymous:      0 kB\n\
                     7f0000000000-7f0000001000 r--p 00000000 00:00 0   [vvar]\nAnonymous:      0 kB\n";
        assert_eq!(droppable(smaps), [(0x40_0000, 0x50_0000)]);
    }

    #[test]
    fn the_program_goes_on_after_giving_its_pages_back() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"x").unwrap();
        let mut waits = [PollFd::new(&read, rustix::event::PollFlags::IN)];
        assert_eq!(Spare::find().sleep(&mut waits, None), Ok(1));
        assert_eq!(format!("{:?}", (1, "two")), "(1, \"two\")");
    }
}
