//! The kernel takes docker's profile and obeys it.

#![expect(unsafe_code, reason = "a filter cannot be taken off again: a process of its own gets it")]
#![expect(clippy::disallowed_methods, reason = "raw system calls are what is tested")]

use super::super::assemble::{Filter, assemble};
use super::super::{Machine, profile::default_profile};
use crate::caps::CapSet;

/// A system call and its first argument, and the error that a process under docker's filter gets from it.
///
/// What passes the filter may fail in the kernel: all other arguments are 0.
const CALLS: [(&str, i64, i64, i32); 12] = [
    ("getpid", libc::SYS_getpid, 0, 0),
    ("socket of AF_UNIX", libc::SYS_socket, libc::AF_UNIX as i64, libc::ESOCKTNOSUPPORT),
    ("socket of AF_ALG", libc::SYS_socket, libc::AF_ALG as i64, libc::EPERM),
    ("socket of AF_VSOCK", libc::SYS_socket, libc::AF_VSOCK as i64, libc::EPERM),
    ("personality, asked", libc::SYS_personality, 0xffff_ffff, 0),
    ("personality with READ_IMPLIES_EXEC", libc::SYS_personality, 0x0040_0000, libc::EPERM),
    ("unshare of nothing", libc::SYS_unshare, 0, libc::EPERM),
    ("clone with a new user namespace", libc::SYS_clone, libc::CLONE_NEWUSER as i64, libc::EPERM),
    ("clone3", libc::SYS_clone3, 0, libc::ENOSYS),
    ("bpf", libc::SYS_bpf, 0, libc::EPERM),
    ("keyctl", libc::SYS_keyctl, 0, libc::EPERM),
    ("open_tree_attr, newer than the profile", 467, 0, libc::ENOSYS),
];

#[test]
fn the_kernel_takes_the_filter_and_obeys_it() {
    let filter = assemble(&default_profile(CapSet::DOCKER, Machine::NATIVE), Machine::NATIVE).unwrap();
    for (index, (what, ..)) in CALLS.iter().enumerate() {
        assert_eq!(errno_under(&filter, index), CALLS[index].3, "{what}");
    }
}

/// Makes the call in a child under the filter. 200 says that the kernel refused the filter.
fn errno_under(filter: &Filter, index: usize) -> i32 {
    let (_, number, argument, _) = CALLS[index];
    let length = u16::try_from(filter.instructions.len()).unwrap();
    let program = libc::sock_fprog { len: length, filter: filter.instructions.as_ptr().cast_mut().cast() };
    // SAFETY: the child makes system calls and nothing else; the arguments it does not pass are zeros.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let flags = libc::c_ulong::from(filter.flags);
            if libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program) != 0 {
                libc::_exit(200);
            }
            let result = libc::syscall(number, argument, 0, 0, 0, 0, 0);
            libc::_exit(if result < 0 { *libc::__errno_location() } else { 0 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert!(libc::WIFEXITED(status), "the child ended with status {status:#x}");
        libc::WEXITSTATUS(status)
    }
}
