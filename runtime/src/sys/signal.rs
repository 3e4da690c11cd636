//! Signals: which arrive as data, which are blocked, and what a new process must not inherit.
#![expect(unsafe_code, reason = "sigaction and real-time signals have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Result, op};

/// Blocks `signals` and returns a descriptor from which they are read (signalfd(2)).
///
/// # Errors
/// What sigprocmask(2) or signalfd(2) answered.
pub fn as_descriptor(signals: &[i32]) -> Result<OwnedFd> {
    op!(("sigprocmask(SIG_BLOCK, {signals:?}), signalfd()"), ("trap … {signals:?}"), || {
        // SAFETY: all-zero is a valid sigset_t, and sigemptyset fills it; the calls below only read and write our set.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
        }
    })
}

/// The next signal that [`as_descriptor`] holds, if any.
pub fn next(descriptor: BorrowedFd<'_>) -> Option<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    let length = rustix::io::read(descriptor, &mut info).ok()?;
    // signalfd_siginfo begins with ssi_signo, a u32 (signalfd(2)).
    (length == info.len()).then(|| i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

/// Where [`note`] writes to.
static NOTES: AtomicI32 = AtomicI32::new(-1);

/// A descriptor that can be read when one of `signals` has come, which [`noted`] tells. The first of a kind does nothing else; the second does
/// what it always does, and so does the first in what is executed meanwhile: nothing is blocked. What the caller has ignored,
/// as nohup(1) does, stays ignored.
///
/// # Errors
/// What pipe2(2) or sigaction(2) answered.
pub fn once(signals: &[i32]) -> Result<OwnedFd> {
    let (notes, into) = super::socket::pipe()?;
    // Open for as long as this process lives: the handler may run at any time.
    NOTES.store(into.into_raw_fd(), Ordering::Relaxed);
    op!(("sigaction({signals:?}, SA_RESETHAND)"), ("trap … {signals:?}"), || {
        for signal in signals {
            // SAFETY: all-zero is a valid sigaction, and the handler does nothing but what signal-safety(7) allows.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(*signal, std::ptr::null(), &raw mut action) < 0 {
                    return Err(io::Error::last_os_error());
                }
                if action.sa_sigaction == libc::SIG_IGN {
                    continue;
                }
                action.sa_sigaction = note as extern "C" fn(i32) as usize;
                action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
                if libc::sigaction(*signal, &raw const action, std::ptr::null_mut()) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(())
    })?;
    Ok(notes)
}

extern "C" fn note(signal: i32) {
    let [byte, ..] = signal.to_le_bytes();
    // SAFETY: write(2) may be called in a handler (signal-safety(7)), and errno is given back to whom it has interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(NOTES.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *errno = before;
    }
}

/// The first signal that [`once`] has noted; waits for one.
pub fn noted(notes: BorrowedFd<'_>) -> Option<i32> {
    let mut byte = [0];
    (rustix::io::read(notes, &mut byte).ok()? == 1).then(|| byte[0].into())
}

/// Ignores a signal.
///
/// # Errors
/// What sigprocmask(2) answered.
pub fn ignore(signal: i32) -> Result<()> {
    op!(("sigaction({signal}, SIG_IGN)"), ("trap '' {signal}"), || {
        // SAFETY: SIG_IGN is a valid disposition and no handler of ours is replaced.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    })
}

/// Lets children be waited for: a caller that ignores SIGCHLD has the kernel bury them unseen (wait(2)).
///
/// # Errors
/// What sigaction(2) answered.
pub fn await_children() -> Result<()> {
    op!(("sigaction(SIGCHLD, SIG_DFL)"), ("trap - CHLD"), || {
        // SAFETY: SIG_DFL is a valid disposition and no handler of ours is replaced.
        if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    })
}

/// Blocks every signal: each waits until somebody asks for it (sigtimedwait(2)).
///
/// # Errors
/// What sigprocmask(2) answered.
pub fn block_all() -> Result<()> {
    op!(("sigprocmask(SIG_BLOCK, all)"), ("trap '' …"), || {
        let all = !0u64;
        // SAFETY: the kernel reads a set of the size given. libc would leave out the two signals that it keeps for itself.
        let blocked = unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_BLOCK,
                &raw const all,
                std::ptr::null_mut::<u64>(),
                8usize,
            )
        };
        if blocked < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// Gives a process that is about to execve what every program expects: all dispositions default, nothing blocked.
///
/// Rust ignores SIGPIPE, callers may have run under nohup(1), and execve(2) keeps both.
///
/// # Errors
/// What sigprocmask(2) answered.
pub fn reset() -> Result<()> {
    op!(("sigaction(all, SIG_DFL), sigprocmask(SIG_SETMASK, none)"), ("trap - …"), || {
        // SAFETY: an all-zero action is SIG_DFL without flags, and the size is the kernel's own of a signal set. libc keeps
        // two signals for itself and refuses to touch them, though a caller may have left them ignored: so the kernel is
        // asked directly. EINVAL for SIGKILL and SIGSTOP is expected.
        unsafe {
            let default = [0u64; 4]; // struct kernel_sigaction: handler, flags, restorer, mask
            for signal in 1..=64 {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    std::ptr::null_mut::<u64>(),
                    8usize,
                );
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    })
}

/// Real-time signals have no name in the safe wrapper.
pub(super) fn send_realtime(pidfd: BorrowedFd<'_>, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: pidfd_send_signal reads nothing but its integers when info is null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        return Err(rustix::io::Errno::from_raw_os_error(errno));
    }
    Ok(())
}

/// Ends this process by a signal, as if it had never been handled: its parent sees the truth.
pub fn die_of(signal: i32) -> ! {
    super::terminal::restore();
    // SAFETY: the disposition is reset and the signal unblocked before it is raised; `_exit` is for a signal that does not kill.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut only: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, std::ptr::null_mut());
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}

/// Takes a signal that [`as_descriptor`] blocks as if nobody had asked for it: most end this process, one stops it for a while.
pub fn take(signal: i32) {
    match signal {
        libc::SIGCONT | libc::SIGWINCH => {}
        // SAFETY: SIGSTOP cannot be handled; raise returns when somebody lets the process go on.
        libc::SIGTSTP => drop(unsafe { libc::raise(libc::SIGSTOP) }),
        signal => die_of(signal),
    }
}

/// What people call a signal (signal(7)).
pub fn name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("SIGRTMIN+{}", signal - 34),
    }
}
