//! docker's default seccomp profile: about 370 system calls that a container may make, everything else fails
//! with EPERM.
//!
//! The facts are those of moby's `profiles/seccomp` (its state of 2026, with address families listed one by
//! one). It speaks of many machines and of capabilities; [`default_profile`] resolves it as dockerd does
//! before it writes a container's config.json: for one machine and one bounding set, as plain OCI. What it
//! has for ppc64le, s390x and riscv64 is left out, and its one condition on the kernel (ptrace(2) and such
//! from 4.8 on, where they no longer get around seccomp) is always met: mini needs a newer one.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

use super::abi::Machine;
use crate::caps::CapSet;

/// The default profile for a container whose bounding set is `bounding`, on `machine`.
pub fn default_profile(bounding: CapSet, machine: Machine) -> LinuxSeccomp {
    let applies = |group: &&Group| match group.when {
        When::Always => true,
        When::On(only) => machine == only,
        When::With(capability) => bounding.contains(capability),
        When::Without(capability) => !bounding.contains(capability),
    };
    let architectures = match machine {
        Machine::X86_64 => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        Machine::Aarch64 => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
    };
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(Action::ScmpActErrno)
        .set_default_errno_ret(Some(libc::EPERM as u32))
        .set_architectures(Some(architectures))
        .set_syscalls(Some(GROUPS.iter().filter(applies).flat_map(Group::to_oci).collect()));
    profile
}

/// System calls that are treated alike.
struct Group {
    when: When,
    /// Separated by blanks.
    names: &'static str,
    /// Allowed only when the first argument is one of these; any arguments will do if there is none.
    first_argument: &'static [(Operator, u64)],
    /// Allowed, or failing with this.
    fails_with: Option<u32>,
}

enum When {
    Always,
    On(Machine),
    With(Capability),
    Without(Capability),
}

impl Group {
    const fn allow(when: When, names: &'static str) -> Group {
        Group { when, names, first_argument: &[], fails_with: None }
    }

    const fn allow_if(when: When, names: &'static str, first_argument: &'static [(Operator, u64)]) -> Group {
        Group { when, names, first_argument, fails_with: None }
    }

    /// One entry, or one for each value of the first argument.
    fn to_oci(&self) -> impl Iterator<Item = LinuxSyscall> {
        let unconditional = self.first_argument.is_empty().then_some(None);
        unconditional.into_iter().chain(self.first_argument.iter().map(Some)).map(|argument| {
            let mut entry = LinuxSyscall::default();
            let words = self.names.split_ascii_whitespace();
            let mut names = Vec::with_capacity(words.clone().count());
            names.extend(words.map(str::to_owned));
            entry.set_names(names);
            entry.set_action(self.fails_with.map_or(Action::ScmpActAllow, |_| Action::ScmpActErrno));
            entry.set_errno_ret(self.fails_with);
            entry.set_args(argument.map(|&(operator, value)| {
                let argument =
                    LinuxSeccompArgBuilder::default().index(0_usize).op(operator).value(value).build();
                vec![argument.expect("every field has a default")]
            }));
            entry
        })
    }
}

/// The flags of clone(2) that make namespaces: all of CLONE_NEW* but CLONE_NEWTIME, which clone(2) cannot do.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

static GROUPS: &[Group] = &[
    Group::allow(When::Always, ALWAYS),
    Group::allow(When::Always, "process_vm_readv process_vm_writev ptrace"),
    Group::allow_if(When::Always, "socket", SOCKET_FAMILIES),
    Group::allow_if(When::Always, "personality", PERSONALITIES),
    Group::allow(
        When::On(Machine::Aarch64),
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    Group::allow(When::On(Machine::X86_64), "arch_prctl"),
    Group::allow(When::On(Machine::X86_64), "modify_ldt"),
    Group::allow(When::With(Capability::DacReadSearch), "open_by_handle_at"),
    Group::allow(
        When::With(Capability::SysAdmin),
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    Group::allow_if(
        When::Without(Capability::SysAdmin),
        "clone",
        // The mask; what is left must be 0.
        &[(Operator::ScmpCmpMaskedEq, CLONE_NAMESPACES)],
    ),
    // Its flags lie behind a pointer. With ENOSYS a libc falls back to clone(2), whose flags a filter reads.
    Group {
        when: When::Without(Capability::SysAdmin),
        names: "clone3",
        first_argument: &[],
        fails_with: Some(libc::ENOSYS as u32),
    },
    Group::allow(When::With(Capability::SysBoot), "reboot"),
    Group::allow(When::With(Capability::SysChroot), "chroot"),
    Group::allow(When::With(Capability::SysModule), "delete_module init_module finit_module"),
    Group::allow(When::With(Capability::SysPacct), "acct"),
    Group::allow(
        When::With(Capability::SysPtrace),
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    Group::allow(When::With(Capability::SysRawio), "iopl ioperm"),
    Group::allow(When::With(Capability::SysTime), "settimeofday stime clock_settime clock_settime64"),
    Group::allow(When::With(Capability::SysTtyConfig), "vhangup"),
    Group::allow(
        When::With(Capability::SysNice),
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    Group::allow(When::With(Capability::Syslog), "syslog"),
    Group::allow(When::With(Capability::Bpf), "bpf"),
    Group::allow(When::With(Capability::Perfmon), "perf_event_open"),
];

/// The address families of socket(2): all of linux/socket.h but those that the kernel no longer has (DECnet
/// 12, Econet 19, ATMSVC 20, IrDA 23, WANPIPE 25, ISDN 34, CAIF 37) and two that reach too far: ALG 38, the
/// kernel's cryptography, and VSOCK 40, the host under a virtual machine. By i386's socketcall(2), whose
/// arguments no filter can see, all are open.
const SOCKET_FAMILIES: &[(Operator, u64)] = &[
    (Operator::ScmpCmpLt, 12),
    (Operator::ScmpCmpEq, 13),
    (Operator::ScmpCmpEq, 14),
    (Operator::ScmpCmpEq, 15),
    (Operator::ScmpCmpEq, 16),
    (Operator::ScmpCmpEq, 17),
    (Operator::ScmpCmpEq, 18),
    (Operator::ScmpCmpEq, 21),
    (Operator::ScmpCmpEq, 22),
    (Operator::ScmpCmpEq, 24),
    (Operator::ScmpCmpEq, 26),
    (Operator::ScmpCmpEq, 27),
    (Operator::ScmpCmpEq, 28),
    (Operator::ScmpCmpEq, 29),
    (Operator::ScmpCmpEq, 30),
    (Operator::ScmpCmpEq, 31),
    (Operator::ScmpCmpEq, 32),
    (Operator::ScmpCmpEq, 33),
    (Operator::ScmpCmpEq, 35),
    (Operator::ScmpCmpEq, 36),
    (Operator::ScmpCmpEq, 39),
    (Operator::ScmpCmpEq, 41),
    (Operator::ScmpCmpEq, 42),
    (Operator::ScmpCmpEq, 43),
    (Operator::ScmpCmpEq, 44),
    (Operator::ScmpCmpEq, 45),
];

/// personality(2): Linux and 32-bit Linux, each with or without UNAME26, and the question which it is.
const PERSONALITIES: &[(Operator, u64)] = &[
    (Operator::ScmpCmpEq, 0),
    (Operator::ScmpCmpEq, 8),
    (Operator::ScmpCmpEq, 0x0002_0000),
    (Operator::ScmpCmpEq, 0x0002_0008),
    (Operator::ScmpCmpEq, 0xffff_ffff),
];

const ALWAYS: &str = "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 \
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 \
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl \
    fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 \
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait \
    futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid \
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list \
    getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr \
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link \
    linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat \
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod \
    mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv \
    msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat \
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll \
    ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 \
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 \
    restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop \
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 \
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid \
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list \
    setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl \
    shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair \
    splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs \
    sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 \
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe \
    utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::numbers::call;
    use super::*;
    use crate::caps;

    fn names(profile: &LinuxSeccomp) -> BTreeSet<&str> {
        profile
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|entry| entry.names().iter().map(String::as_str))
            .collect()
    }

    #[test]
    fn a_capability_brings_its_calls() {
        let cases = [
            ("SYS_BOOT", "reboot"),
            ("SYS_CHROOT", "chroot"),
            ("SYS_MODULE", "delete_module finit_module init_module"),
            ("SYS_PACCT", "acct"),
            ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
            ("SYS_RAWIO", "ioperm iopl"),
            ("SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
            ("SYS_TTY_CONFIG", "vhangup"),
            ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
            ("SYSLOG", "syslog"),
            ("BPF", "bpf"),
            ("PERFMON", "perf_event_open"),
            ("DAC_READ_SEARCH", "open_by_handle_at"),
            ("NET_ADMIN", ""),
        ];
        let without = default_profile(CapSet::EMPTY, Machine::X86_64);
        for (capability, expected) in cases {
            let with =
                default_profile([caps::parse(capability).unwrap()].into_iter().collect(), Machine::X86_64);
            let brought: Vec<_> = names(&with).difference(&names(&without)).copied().collect();
            assert_eq!(brought.join(" "), expected, "{capability}");
        }
    }

    #[test]
    fn sys_admin_frees_clone_and_clone3() {
        let about_clone = |bounding| {
            let profile = default_profile(bounding, Machine::X86_64);
            let entries = profile.syscalls().clone().unwrap().into_iter();
            let is_about = |entry: &LinuxSyscall| entry.names().iter().any(|name| name.starts_with("clone"));
            let about: Vec<_> = entries
                .filter(is_about)
                .map(|mut entry| {
                    let names =
                        entry.names().iter().filter(|name| name.starts_with("clone")).cloned().collect();
                    entry.set_names(names);
                    entry
                })
                .collect();
            serde_json::to_value(about).unwrap()
        };
        assert_eq!(
            about_clone(CapSet::DOCKER),
            json!([
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 0x7e02_0000, "op": "SCMP_CMP_MASKED_EQ" }] },
                { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            ])
        );
        assert_eq!(
            about_clone(CapSet::ALL),
            json!([{ "names": ["clone", "clone3"], "action": "SCMP_ACT_ALLOW" }])
        );
    }

    #[test]
    fn the_profile_is_written_as_dockerd_writes_it() {
        let profile = default_profile(CapSet::DOCKER, Machine::X86_64);
        let mut written = serde_json::to_value(&profile).unwrap();
        let entries = written["syscalls"].as_array_mut().unwrap();
        let always = entries.remove(0);
        assert_eq!(always["action"], "SCMP_ACT_ALLOW");
        assert_eq!(always["names"].as_array().unwrap().len(), 361);
        assert_eq!(
            entries[1],
            json!({ "names": ["socket"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": 12, "op": "SCMP_CMP_LT" }] })
        );
        // ptrace and such, 26 socket rules, 5 of personality, arch_prctl, modify_ldt, clone, clone3, chroot
        assert_eq!(entries.len(), 1 + 26 + 5 + 5);
        entries.clear();
        assert_eq!(
            written,
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [],
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] })
        );
    }

    #[test]
    fn every_name_is_a_call_that_we_know_but_riscvs() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let profile = default_profile(CapSet::ALL, machine);
            let unknown: Vec<_> = names(&profile).into_iter().filter(|name| call(name).is_none()).collect();
            assert_eq!(unknown, ["riscv_hwprobe"]);
        }
        let of_arm = |machine| names(&default_profile(CapSet::DOCKER, machine)).contains("set_tls");
        assert!(of_arm(Machine::Aarch64) && !of_arm(Machine::X86_64));
    }
}
