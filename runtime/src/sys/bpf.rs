//! BPF programs of control groups version 2: which devices a group may use (bpf(2), cgroup-v2.rst "Device controller").
#![expect(unsafe_code, reason = "bpf has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::{Result, op};
use crate::cgroup::devices_bpf::BpfInstruction;

/// Loads a `BPF_PROG_TYPE_CGROUP_DEVICE` program (Linux 4.15) and attaches it to a group; the group keeps it alive.
///
/// # Errors
/// What bpf(2) answered.
pub fn attach_devices(cgroup: BorrowedFd<'_>, program: &[BpfInstruction], path: &Path) -> Result<()> {
    op!(
        ("bpf(BPF_PROG_LOAD, CGROUP_DEVICE, {} instructions), bpf(BPF_PROG_ATTACH, {path:?})", program.len()),
        ("bpftool cgroup attach {} device pinned PROGRAM multi", path.display()),
        || {
            const BPF_PROG_LOAD: libc::c_int = 5;
            const BPF_PROG_ATTACH: libc::c_int = 8;
            const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
            const BPF_CGROUP_DEVICE: u32 = 6;
            const BPF_F_ALLOW_MULTI: u32 = 2;
            let license = c"GPL";
            let mut load = [0u64; 16];
            load[0] = u64::from(BPF_PROG_TYPE_CGROUP_DEVICE) | (program.len() as u64) << 32;
            load[1] = program.as_ptr() as u64;
            load[2] = license.as_ptr() as u64;
            let loaded = bpf(BPF_PROG_LOAD, &load)?;
            // SAFETY: the kernel has just made this descriptor for us.
            let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
            let low = |fd: i32| u64::from(u32::try_from(fd).expect("an open descriptor is not negative"));
            let mut attach = [0u64; 16];
            attach[0] = low(cgroup.as_raw_fd()) | low(loaded.as_raw_fd()) << 32;
            attach[1] = u64::from(BPF_CGROUP_DEVICE) | u64::from(BPF_F_ALLOW_MULTI) << 32;
            bpf(BPF_PROG_ATTACH, &attach).map(drop)
        }
    )
}

/// `attributes` is a zero-padded `union bpf_attr` (linux/bpf.h), little-endian pairs of u32 in each u64.
fn bpf(command: libc::c_int, attributes: &[u64; 16]) -> io::Result<i32> {
    // SAFETY: the pointers inside `attributes` refer to memory that the callers keep alive over the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(result).expect("a descriptor fits an int"))
    }
}
