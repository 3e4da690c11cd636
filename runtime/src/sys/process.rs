//! What one process is: ids, capabilities, filters, limits, descriptors.
#![expect(unsafe_code, reason = "seccomp, keyctl and close_range have no safe wrapper")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Result, op};

/// Fails unless this process has one thread: what follows copies the process, and a copy has only one.
///
/// # Errors
/// Where there are more, or /proc cannot be read.
pub fn assert_single_threaded() -> Result<()> {
    op!(("stat(\"/proc/self/task\")"), ("ls /proc/self/task"), || {
        // A directory has two links and one more for each entry, proc(5).
        let tasks = rustix::fs::stat("/proc/self/task")?.st_nlink;
        if tasks == 3 {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} threads instead of one", tasks - 2)))
        }
    })
}

/// Takes the ids of a user of this user namespace, for good.
///
/// # Errors
/// What setgroups(2), setresgid(2) or setresuid(2) answered: `EINVAL` for an id that is not mapped.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    op!(
        ("setgroups({groups:?}), setresgid({gid}), setresuid({uid})"),
        ("setpriv --reuid {uid} --regid {gid} --groups {groups:?} …"),
        || {
            let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            match rustix::thread::set_thread_groups(&groups) {
                // A user namespace whose map somebody without power has written denies it for good (user_namespaces(7)), which
                // is no harm where there is nothing to give up.
                Err(rustix::io::Errno::PERM)
                    if groups.iter().chain(&rustix::process::getgroups()?).all(|group| *group == gid) => {}
                set => set?,
            }
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)
        }
    )
}

/// Keeps the permitted capabilities through the change of ids that follows (`SECBIT_KEEP_CAPS`), or no longer.
///
/// # Errors
/// What prctl(2) answered.
pub fn keep_capabilities(keep: bool) -> Result<()> {
    op!(("prctl(PR_SET_KEEPCAPS, {})", i32::from(keep)), ("setpriv …"), || {
        rustix::thread::set_keep_capabilities(keep)
    })
}

/// Drops every capability that is not in `keep` from the bounding set: nothing executed later gains it (capabilities(7)).
///
/// # Errors
/// What prctl(2) answered.
pub fn bound_capabilities(keep: u64) -> Result<()> {
    op!(("prctl(PR_CAPBSET_DROP, all but {keep:#x})"), ("setpriv --bounding-set …"), || {
        for capability in 0..64u64 {
            if keep & 1 << capability != 0 {
                continue;
            }
            let bit = CapabilitySet::from_bits_retain(1 << capability);
            match rustix::thread::remove_capability_from_bounding_set(bit) {
                Ok(()) => {}
                Err(rustix::io::Errno::INVAL) => break, // beyond the last that this kernel knows
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    })
}

/// Sets the capabilities of this thread; ambient ones only where `ambient` has any.
///
/// # Errors
/// What capset(2) or prctl(2) answered.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64, ambient: u64) -> Result<()> {
    op!(
        ("capset(effective {effective:#x}, permitted {permitted:#x}, inheritable {inheritable:#x})"),
        ("setpriv --inh-caps … --ambient-caps …"),
        || {
            let set = CapabilitySet::from_bits_retain;
            rustix::thread::set_capabilities(
                None,
                CapabilitySets {
                    effective: set(effective),
                    permitted: set(permitted),
                    inheritable: set(inheritable),
                },
            )?;
            for capability in (0..64u64).filter(|capability| ambient & 1 << capability != 0) {
                rustix::thread::configure_capability_in_ambient_set(set(1 << capability), true)?;
            }
            Ok::<_, io::Error>(())
        }
    )
}

/// What this process itself may do: its permitted capabilities; none where that cannot be asked.
pub fn own_capabilities() -> crate::caps::CapSet {
    let own = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
    crate::caps::CapSet::from_bits(own)
}

/// No program executed from here on gains privileges by setuid bits or file capabilities (prctl(2)).
///
/// # Errors
/// What prctl(2) answered.
pub fn set_no_new_privileges() -> Result<()> {
    op!(("prctl(PR_SET_NO_NEW_PRIVS, 1)"), ("setpriv --no-new-privs …"), || {
        rustix::thread::set_no_new_privs(true)
    })
}

/// One instruction of a seccomp filter (`struct sock_filter`, linux/filter.h).
pub type Instruction = libc::sock_filter;

/// Loads a seccomp filter: from here on it judges every system call of this process and its children (seccomp(2)).
///
/// # Errors
/// What seccomp(2) answered: `EACCES` without CAP_SYS_ADMIN and no_new_privs, `EINVAL` for a filter the kernel refuses.
pub fn load_filter(filter: &[Instruction], flags: u32) -> Result<()> {
    op!(
        ("seccomp(SECCOMP_SET_MODE_FILTER, {flags:#x}, {} instructions)", filter.len()),
        ("# a shell cannot load a filter"),
        || {
            let length =
                u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
            let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
            // SAFETY: `program` points to `length` instructions that outlive the call; the kernel copies them.
            let result = unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
    )
}

/// This process dies with its parent (prctl(2)); a change of ids clears it, so it is set after the last.
///
/// # Errors
/// What prctl(2) answered.
pub fn die_with_parent() -> Result<()> {
    op!(("prctl(PR_SET_PDEATHSIG, SIGKILL)"), ("setpriv --pdeathsig KILL …"), || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
    })
}

/// This process goes on when its parent ends.
///
/// # Errors
/// What prctl(2) answered.
pub fn outlive_parent() -> Result<()> {
    op!(("prctl(PR_SET_PDEATHSIG, 0)"), ("setpriv --pdeathsig clear …"), || {
        rustix::process::set_parent_process_death_signal(None)
    })
}

/// Nothing of the container may look into this process or its copies (`PR_SET_DUMPABLE` 0, prctl(2)).
///
/// # Errors
/// What prctl(2) answered.
pub fn hide_memory() -> Result<()> {
    op!(("prctl(PR_SET_DUMPABLE, 0)"), ("# not dumpable"), || rustix::process::set_dumpable_behavior(
        DumpableBehavior::NotDumpable
    ))
}

/// Whoever has this process's ids may look into it again, and at its namespaces below /proc (`PR_SET_DUMPABLE` 1, prctl(2)).
///
/// # Errors
/// What prctl(2) answered.
pub fn show_memory() -> Result<()> {
    op!(("prctl(PR_SET_DUMPABLE, 1)"), ("# dumpable"), || rustix::process::set_dumpable_behavior(
        DumpableBehavior::Dumpable
    ))
}

/// Orphans below this process become its children (prctl(2), `PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// What prctl(2) answered.
pub fn become_subreaper() -> Result<()> {
    op!(("prctl(PR_SET_CHILD_SUBREAPER, 1)"), ("# subreaper"), || rustix::process::set_child_subreaper(
        Pid::from_raw(1)
    ))
}

/// A session of its own, without a terminal.
///
/// # Errors
/// What setsid(2) answered.
pub fn new_session() -> Result<()> {
    op!(("setsid()"), ("setsid …"), || rustix::process::setsid().map(drop))
}

/// A process group of its own, of which it is the leader.
///
/// # Errors
/// What setpgid(2) answered.
pub fn new_group() -> Result<()> {
    op!(("setpgid(0, 0)"), ("set -m; … &"), || rustix::process::setpgid(None, None))
}

/// Sets the file mode mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask));
}

/// Changes the working directory by path.
///
/// # Errors
/// What chdir(2) answered.
pub fn change_dir(path: &Path) -> Result<()> {
    op!(("chdir({path:?})"), ("cd {}", path.display()), || rustix::process::chdir(path))
}

/// Changes the working directory to an open one.
///
/// # Errors
/// What fchdir(2) answered.
pub fn change_dir_to(dir: BorrowedFd<'_>, path: &Path) -> Result<()> {
    op!(("fchdir({path:?})"), ("cd {}", path.display()), || rustix::process::fchdir(dir))
}

/// Makes an open directory the root of what this process finds by name, and its working directory (chroot(2)).
///
/// # Errors
/// What fchdir(2) or chroot(2) answered.
pub fn change_root(dir: BorrowedFd<'_>, path: &Path) -> Result<()> {
    op!(("chroot({path:?})"), ("chroot {} …", path.display()), || {
        rustix::process::fchdir(dir)?;
        rustix::process::chroot(".")
    })
}

/// Whether the working directory lies inside this process's root: getcwd(2) says "(unreachable)" where it does not.
///
/// # Errors
/// Where it does not, or getcwd(2) failed.
pub fn assert_inside_root() -> Result<()> {
    op!(("getcwd()"), ("pwd"), || {
        let path = rustix::process::getcwd(Vec::new())?;
        if path.to_bytes().starts_with(b"/") {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the working directory lies outside the container",
            ))
        }
    })
}

/// Puts `descriptors` in the places 0, 1 and 2.
///
/// # Errors
/// What dup3(2) answered.
pub fn set_stdio(descriptors: [BorrowedFd<'_>; 3]) -> Result<()> {
    op!(("dup2({} …, 0, 1, 2)", descriptors[0].as_raw_fd()), ("exec 0<… 1>… 2>…"), || {
        // Copies first: a source may itself be 0, 1 or 2.
        let copies = descriptors.map(|descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, 3));
        let [input, output, error] = copies;
        rustix::stdio::dup2_stdin(input?)?;
        rustix::stdio::dup2_stdout(output?)?;
        rustix::stdio::dup2_stderr(error?)
    })
}

/// Closes every descriptor from 3 on but `keep`; only at execve(2) where `at_exec`.
///
/// # Errors
/// What close_range(2) (Linux 5.9; `CLOSE_RANGE_CLOEXEC` 5.11) answered.
pub fn close_descriptors(keep: &[i32], at_exec: bool) -> Result<()> {
    let when = if at_exec { ", CLOSE_RANGE_CLOEXEC" } else { "" };
    op!(("close_range(3, ~0{when}) but {keep:?}"), ("exec 3>&- …"), || {
        let mut keep: Vec<u32> =
            keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
        keep.sort_unstable();
        let mut first = 3;
        for kept in keep.into_iter().chain([u32::MAX]) {
            let last = if kept == u32::MAX { u32::MAX } else { kept - 1 };
            if first <= last {
                let flags = if at_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
                // SAFETY: the callers own no descriptor in these ranges that they use again: the monitor lists what it
                // keeps, init executes next.
                if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            first = kept.saturating_add(1);
        }
        Ok(())
    })
}

/// Sets a resource limit; a hard limit that this process may not raise stays where it is. Returns what was set.
///
/// # Errors
/// What setrlimit(2) answered.
pub fn set_limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Result<Rlimit> {
    op!(("setrlimit({resource:?}, {soft:?}, {hard:?})"), ("prlimit --pid $$ …"), || {
        let wanted = Rlimit { current: soft, maximum: hard };
        match rustix::process::setrlimit(resource, wanted) {
            Err(rustix::io::Errno::PERM) => {
                let ceiling = rustix::process::getrlimit(resource).maximum;
                let current = least(soft, ceiling);
                let capped = Rlimit { current, maximum: ceiling };
                rustix::process::setrlimit(resource, capped).map(|()| capped)
            }
            other => other.map(|()| wanted),
        }
    })
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What else a process inherits and a container must not: nice value, processor affinity, personality.
///
/// The monitor does it before it clones init: lowering a nice value needs a capability of the first user namespace.
///
/// # Errors
/// What getpriority(2), sched_setaffinity(2) or personality(2) answered.
pub fn reset_inherited() -> Result<()> {
    op!(
        ("setpriority(0), sched_setaffinity(all), personality(PER_LINUX)"),
        ("renice 0 $$; taskset -p ffffffff $$; setarch linux64 …"),
        || {
            if rustix::process::getpriority_process(None)? != 0 {
                // Without CAP_SYS_NICE it stays as it is: a slower container, nothing worse.
                let _kept = rustix::process::setpriority_process(None, 0);
            }
            // SAFETY: all-ones is a valid cpu_set_t; the kernel takes the processors that exist.
            let affinity = unsafe {
                let mut all: libc::cpu_set_t = std::mem::zeroed();
                libc::memset((&raw mut all).cast(), 0xff, size_of::<libc::cpu_set_t>());
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const all)
            };
            if affinity < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: personality takes a number; 0 is PER_LINUX.
            unsafe { libc::personality(0) };
            Ok(())
        }
    )
}

/// Takes a new, anonymous session keyring: the caller's keys are not the container's (keyrings(7)).
///
/// # Errors
/// What keyctl(2) answered; a kernel without keyrings has nothing to shed.
pub fn new_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1; // linux/keyctl.h
    op!(("keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)"), ("keyctl session - …"), || {
        let anonymous = std::ptr::null::<libc::c_char>();
        // SAFETY: a null name makes an anonymous keyring.
        if unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) } < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENOSYS) {
                return Err(error);
            }
        }
        Ok(())
    })
}

/// What `ps -o comm` calls this process; at most 15 bytes (prctl(2), `PR_SET_NAME`).
pub fn set_name(name: &CStr) {
    // A name that stays is no harm.
    let _stays = rustix::thread::set_name(name);
}

/// Ends this process at once: no destructors, no handlers of a copied parent.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and touches nothing of ours.
    unsafe { libc::_exit(code) }
}
