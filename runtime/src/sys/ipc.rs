//! System V shared memory: what an IPC namespace keeps apart (sysvipc(7), ipc_namespaces(7)).
#![expect(unsafe_code, reason = "shmget has no safe wrapper")]

use std::io;

use super::{Result, op};

/// Makes a segment of shared memory of so many bytes in this process's IPC namespace; returns its id.
///
/// # Errors
/// What shmget(2) answered.
pub fn make_segment(bytes: usize) -> Result<i32> {
    op!(("shmget(IPC_PRIVATE, {bytes}, IPC_CREAT|0600)"), ("ipcmk -M {bytes}"), || {
        // SAFETY: shmget reads three numbers.
        match unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) } {
            id if id >= 0 => Ok(id),
            _ => Err(io::Error::last_os_error()),
        }
    })
}
