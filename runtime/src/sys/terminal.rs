//! Terminals: the container's pseudo-terminal, opened by descriptor in its own devpts, and the user's, put back as found.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};

use super::{Result, op};

/// A new pseudo-terminal of the devpts instance whose root directory is `devpts`: (master, slave).
///
/// The slave is opened through the master (`TIOCGPTPEER`, Linux 4.13), so no path can be redirected, and the master is
/// checked to be devpts's own.
///
/// # Errors
/// What openat(2) or ioctl(2) answered; `EXDEV` where the file is not of a devpts.
pub fn open_pair(devpts: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd)> {
    op!(("openat(DEVPTS, \"ptmx\"), ioctl(TIOCSPTLCK, 0), ioctl(TIOCGPTPEER)"), ("script …"), || {
        const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1; // linux/magic.h
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?;
        if rustix::fs::fstatfs(&master)?.f_type != DEVPTS_SUPER_MAGIC {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        rustix::pty::unlockpt(&master)?;
        let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
        Ok((master, slave))
    })
}

/// Makes `terminal` the controlling terminal of this session.
///
/// # Errors
/// What ioctl(2) answered.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    op!(("setsid(), ioctl(TIOCSCTTY)"), ("setsid --ctty …"), || rustix::process::ioctl_tiocsctty(terminal))
}

/// Makes this process's group the one that the terminal's keys are for; SIGTTOU must be blocked, or it would stop us.
///
/// # Errors
/// What ioctl(2) answered.
pub fn to_foreground(terminal: BorrowedFd<'_>) -> Result<()> {
    op!(("tcsetpgrp(getpgrp())"), ("fg"), || rustix::termios::tcsetpgrp(terminal, rustix::process::getpgrp()))
}

/// The window size of a terminal.
///
/// # Errors
/// What ioctl(2) answered: `ENOTTY` where it is none.
pub fn size(terminal: BorrowedFd<'_>) -> io::Result<Winsize> {
    Ok(rustix::termios::tcgetwinsize(terminal)?)
}

/// Sets the window size of a terminal; its foreground processes get SIGWINCH.
///
/// # Errors
/// What ioctl(2) answered.
pub fn set_size(terminal: BorrowedFd<'_>, size: Winsize) -> Result<()> {
    op!(
        ("ioctl(TIOCSWINSZ, {}x{})", size.ws_col, size.ws_row),
        ("stty cols {} rows {}", size.ws_col, size.ws_row),
        || rustix::termios::tcsetwinsize(terminal, size)
    )
}

/// The user's terminal in raw mode; as it was again when this is dropped, and on every other way out by [`restore`].
#[derive(Debug)]
pub struct Raw(());

/// The terminal to be put back, and how it was. One process has one.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Where a whole screen is drawn over the user's own, which comes back with [`restore`].
static SCREEN: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Another screen, without a cursor; and back (xterm's "alternate screen buffer").
const OTHER_SCREEN: &[u8] = b"\x1b[?1049h\x1b[?25l";
const OWN_SCREEN: &[u8] = b"\x1b[?25h\x1b[?1049l";

impl Raw {
    /// Puts the terminal in raw mode: every key goes to the container.
    ///
    /// # Errors
    /// What ioctl(2) answered.
    pub fn enter(terminal: BorrowedFd<'_>) -> Result<Raw> {
        op!(("tcsetattr(raw)"), ("stty raw -echo"), || {
            let terminal = terminal.try_clone_to_owned()?;
            let before = rustix::termios::tcgetattr(&terminal)?;
            let mut raw = before.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw)?;
            *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
            Ok::<_, io::Error>(Raw(()))
        })
    }

    /// As [`Raw::enter`], and gives way to a screen that is drawn on `output`, and that is gone when the terminal is put back.
    ///
    /// # Errors
    /// What ioctl(2) or write(2) answered.
    pub fn enter_screen(terminal: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<Raw> {
        let raw = Raw::enter(terminal)?;
        op!(("write(STDOUT, another screen)"), ("tput smcup; tput civis"), || {
            let output = output.try_clone_to_owned()?;
            rustix::io::write(&output, OTHER_SCREEN)?;
            *SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
            Ok::<_, io::Error>(())
        })?;
        Ok(raw)
    }
}

/// Remembers how a terminal is, for [`restore`]: another process is about to change it, and may die before it can put it back.
pub fn remember(terminal: BorrowedFd<'_>) {
    if let (Ok(terminal), Ok(before)) = (terminal.try_clone_to_owned(), rustix::termios::tcgetattr(terminal))
    {
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the user's terminal back as it was, where it was changed: also for a panic and for the way out by a signal, which
/// drop nothing.
pub fn restore() {
    if let Ok(mut screen) = SCREEN.try_lock()
        && let Some(output) = screen.take()
    {
        // As below.
        let _gone = rustix::io::write(&output, OWN_SCREEN);
    }
    if let Ok(mut before) = BEFORE.try_lock()
        && let Some((terminal, before)) = before.take()
    {
        // The terminal may be gone by now (a closed window): nothing can be put back then.
        let _gone = rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}

/// A terminal or pipe opened once more to be written without waiting: an open file of its own, so that whoever shares the
/// first one still waits as before.
///
/// # Errors
/// What open(2) answered: `ENXIO` where nobody reads a pipe any more.
pub fn open_again(stream: BorrowedFd<'_>) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    op!(("open({path:?}, O_WRONLY|O_NONBLOCK)"), ("exec 3>{path}"), || rustix::fs::open(
        path.as_str(),
        flags,
        Mode::empty()
    ))
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

/// The host's /dev/null, to read and write.
///
/// # Errors
/// What open(2) answered.
pub fn open_null() -> Result<OwnedFd> {
    op!(("open(\"/dev/null\", O_RDWR)"), ("exec 3<>/dev/null"), || rustix::fs::open(
        Path::new("/dev/null"),
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty()
    ))
}

/// The slave of a pseudo-terminal's master, opened without becoming anybody's controlling terminal.
///
/// # Errors
/// What ioctl(2) answered.
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    op!(("ioctl(TIOCGPTPEER)"), ("# the terminal's other end"), || rustix::pty::ioctl_tiocgptpeer(
        master, flags
    ))
}
