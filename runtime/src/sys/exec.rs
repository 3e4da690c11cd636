//! Becoming another program, and what stays open then.
#![expect(unsafe_code, reason = "execve and execveat take pointers; an inherited descriptor is a number")]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

use rustix::io::FdFlags;

use super::{Result, op};

/// Becomes another program; returns only when that failed.
///
/// # Errors
/// What execve(2) answered.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> super::OpError {
    let executed: Result<Infallible> = op!(
        ("execve({program:?}, {arguments:?}, {} variables)", environment.len()),
        ("exec {}", program.to_string_lossy()),
        || {
            let (argv, envp) = (pointers(arguments), pointers(environment));
            // SAFETY: three NUL-terminated things that live until the call returns, if it does.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
            Err(io::Error::last_os_error())
        }
    );
    executed.expect_err("execve returns only on failure")
}

/// As execve(2) takes strings; they must outlive it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Becomes the program in a descriptor (execveat(2), `AT_EMPTY_PATH`); returns only when that failed.
///
/// # Errors
/// What execveat(2) answered.
pub fn execute_descriptor(
    program: &OwnedFd,
    arguments: &[CString],
    environment: &[CString],
) -> super::OpError {
    let executed: Result<Infallible> =
        op!(("execveat(FD, \"\", AT_EMPTY_PATH)"), ("exec /proc/self/fd/FD"), || {
            let (argv, envp) = (pointers(arguments), pointers(environment));
            let flags = libc::AT_EMPTY_PATH;
            // SAFETY: as in `execute`.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    program.as_raw_fd(),
                    c"".as_ptr(),
                    argv.as_ptr(),
                    envp.as_ptr(),
                    flags,
                )
            };
            Err(io::Error::last_os_error())
        });
    executed.expect_err("execveat returns only on failure")
}

/// Whether a descriptor stays open when this process becomes another program (fcntl(2), `FD_CLOEXEC`).
///
/// # Errors
/// What fcntl(2) answered.
pub fn keep_when_executing(descriptor: BorrowedFd<'_>, keep: bool) -> Result<()> {
    let flags = if keep { FdFlags::empty() } else { FdFlags::CLOEXEC };
    op!(("fcntl(FD, F_SETFD, {flags:?})"), ("# the shell keeps what it opened"), || rustix::io::fcntl_setfd(
        descriptor, flags
    ))
}

/// Takes a descriptor over that the program which this process was before kept open, and was named by it; it is closed when
/// this process becomes another program again.
///
/// # Errors
/// It is not open.
pub fn adopt(number: i32) -> Result<OwnedFd> {
    op!(("fcntl({number}, F_SETFD, FD_CLOEXEC)"), ("# the shell keeps what it opened"), || {
        if number <= 2 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: whoever was this process before has named the descriptor, each one once, and nothing in this program has
        // opened or adopted one yet: nobody else in it knows the number.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        match rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
            Ok(()) => Ok(descriptor),
            Err(error) => {
                // Nothing to close.
                let _never_open = descriptor.into_raw_fd();
                Err(error.into())
            }
        }
    })
}
