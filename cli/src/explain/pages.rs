//! Where a call is written about: its manual pages, and what the OCI specifications say about what it does. PURE.

/// Manual pages, and a section of a specification.
pub(super) type Pages = (&'static str, Option<&'static str>);

/// How a call begins, what it has in it, its manual pages, and its section: the first line that fits counts.
type Entry = (&'static str, &'static str, &'static str, &'static str);

const TABLE: &[Entry] = &[
    // What is asked for with a file of /proc or of a control group is said there.
    ("write(", "/uid_map", "user_namespaces(7)", "config-linux.md#user-namespace-mappings"),
    ("write(", "/gid_map", "user_namespaces(7)", "config-linux.md#user-namespace-mappings"),
    ("write(", "oom_score_adj", "proc(5)", "config.md#linux-process"),
    ("write(", "/proc/sys/", "sysctl(8), proc(5)", "config-linux.md#sysctl"),
    ("write(PROC/sys", "", "sysctl(8), proc(5)", "config-linux.md#sysctl"),
    ("write(", "freezer", "cgroups(7)", "config-linux.md#control-groups"),
    ("write(", "/sys/fs/cgroup", "cgroups(7)", "config-linux.md#control-groups"),
    ("write(\"start\"", "", "write(2), pipe(7)", "runtime.md#start"),
    ("mkdir(", "/sys/fs/cgroup", "cgroups(7), mkdir(2)", "config-linux.md#cgroups-path"),
    ("rmdir(", "/sys/fs/cgroup", "cgroups(7), rmdir(2)", "runtime.md#delete"),
    ("open(", "/sys/fs/cgroup", "cgroups(7), open(2)", "config-linux.md#cgroups-path"),
    ("open(", "/ns/", "namespaces(7), open(2)", "config-linux.md#namespaces"),
    ("bpf(", "CGROUP_DEVICE", "bpf(2), cgroups(7)", "config-linux.md#allowed-device-list"),
    // Namespaces and processes.
    ("clone3(", "", "clone3(2), namespaces(7), pid_namespaces(7)", "config-linux.md#namespaces"),
    ("clone(", "", "clone(2)", ""),
    ("fork(", "", "fork(2)", ""),
    ("unshare(CLONE_NEWCGROUP", "", "unshare(2), cgroup_namespaces(7)", "config-linux.md#namespaces"),
    ("unshare(CLONE_FS", "", "unshare(2)", ""),
    ("unshare(", "", "unshare(2), mount_namespaces(7)", "config-linux.md#namespaces"),
    ("setns(", "", "setns(2), namespaces(7)", "config-linux.md#namespaces"),
    ("ioctl(NS", "", "ioctl_ns(2), user_namespaces(7)", ""),
    ("sethostname(", "", "sethostname(2), uts_namespaces(7)", "config.md#hostname"),
    ("setdomainname(", "", "setdomainname(2), uts_namespaces(7)", "config.md#domainname"),
    ("execve(", "", "execve(2)", "config.md#process"),
    ("execveat(", "", "execveat(2)", ""),
    ("pidfd_open(", "", "pidfd_open(2)", ""),
    ("pidfd_send_signal(", "", "pidfd_send_signal(2), signal(7)", "runtime.md#kill"),
    ("waitid(", "", "waitid(2)", ""),
    ("utimensat(", "", "utimensat(2)", ""),
    ("setsid(), ioctl(TIOCSCTTY", "", "setsid(2), ioctl_tty(2), credentials(7)", "config.md#process"),
    ("setsid(", "", "setsid(2), credentials(7)", ""),
    ("setpgid(", "", "setpgid(2), credentials(7)", ""),
    // The root, and everything that is mounted.
    ("fsopen(\"overlay\"", "", "fsopen(2), mount(8)", "config.md#root"),
    ("fsopen(\"proc\"", "", "fsopen(2), proc(5)", "config.md#mounts"),
    ("fsopen(\"sysfs\"", "", "fsopen(2), sysfs(5)", "config.md#mounts"),
    ("fsopen(\"tmpfs\"", "", "fsopen(2), tmpfs(5)", "config.md#mounts"),
    ("fsopen(\"cgroup", "", "fsopen(2), cgroups(7)", "config.md#mounts"),
    ("fsopen(", "", "fsopen(2), mount(8)", "config.md#mounts"),
    ("open_tree(", "", "open_tree(2)", "config.md#mounts"),
    ("move_mount(MOUNT, \"/\")", "", "move_mount(2), mount_namespaces(7)", "config.md#root"),
    ("move_mount(", "", "move_mount(2)", "config.md#mounts"),
    ("mount_setattr(", "IDMAP", "mount_setattr(2), user_namespaces(7)", "config.md#posix-platform-mounts"),
    (
        "mount_setattr(",
        "propagation",
        "mount_setattr(2), mount_namespaces(7)",
        "config.md#linux-mount-options",
    ),
    ("mount_setattr(", "", "mount_setattr(2)", "config-linux.md#readonly-paths"),
    ("mount(\"overlay\"", "", "mount(2), mount(8)", "config.md#root"),
    ("mount(", "", "mount(2), mount_namespaces(7)", "config-linux.md#rootfs-mount-propagation"),
    ("umount2(", "", "umount2(2)", "config.md#root"),
    ("pivot_root(", "", "pivot_root(2), mount_namespaces(7)", "config.md#root"),
    ("mknodat(", "", "mknod(2), null(4)", "config-linux.md#default-devices"),
    ("symlinkat(", "", "symlink(2)", "runtime-linux.md#dev-symbolic-links"),
    ("openat(DEVPTS", "", "pts(4), ioctl_tty(2)", "config.md#process"),
    ("ioctl(TIOC", "", "ioctl_tty(2)", "config.md#process"),
    ("tcsetattr(", "", "termios(3)", ""),
    ("tcsetpgrp(", "", "tcsetpgrp(3)", ""),
    // What a process may do.
    ("prctl(PR_CAPBSET_DROP", "", "prctl(2), capabilities(7)", "config.md#linux-process"),
    ("prctl(PR_SET_NO_NEW_PRIVS", "", "prctl(2)", "config.md#linux-process"),
    ("prctl(PR_SET_KEEPCAPS", "", "prctl(2), capabilities(7)", ""),
    ("prctl(PR_SET_PDEATHSIG", "", "prctl(2)", ""),
    ("prctl(PR_SET_DUMPABLE", "", "prctl(2), proc(5)", ""),
    ("prctl(PR_SET_SECUREBITS", "", "prctl(2), setfsuid(2)", ""),
    ("prctl(PR_SET_CHILD_SUBREAPER", "", "prctl(2)", ""),
    ("capset(", "", "capset(2), capabilities(7)", "config.md#linux-process"),
    ("seccomp(", "", "seccomp(2)", "config-linux.md#seccomp"),
    ("setgroups(", "", "setgroups(2), setresuid(2), credentials(7)", "config.md#posix-platform-user"),
    ("setfsuid(", "", "setfsuid(2), credentials(7)", ""),
    ("setrlimit(", "", "setrlimit(2)", "config.md#posix-process"),
    ("setpriority(", "", "setpriority(2), sched_setaffinity(2), personality(2)", "config.md#linux-process"),
    ("shmget(", "", "shmget(2), sysvipc(7)", ""),
    ("keyctl(", "", "keyctl(2), keyrings(7)", ""),
    ("sigaction(", "", "sigaction(2), signal(7)", ""),
    ("sigprocmask(", "", "sigprocmask(2), signalfd(2)", ""),
    // The network.
    ("sendto(rtnetlink", "veth", "rtnetlink(7), veth(4), ip-link(8)", ""),
    ("sendto(rtnetlink", "", "rtnetlink(7), ip(8)", ""),
    ("sendto(nfnetlink", "", "nft(8), netlink(7)", ""),
    ("sendto(", "", "sendto(2), unix(7)", ""),
    ("socket(AF_NETLINK", "ROUTE", "netlink(7), rtnetlink(7)", ""),
    ("socket(AF_NETLINK", "", "netlink(7)", ""),
    ("socket(AF_UNIX", "", "socket(2), unix(7)", ""),
    ("socketpair(", "", "socketpair(2), unix(7)", ""),
    ("sendmsg(", "", "sendmsg(2), unix(7)", ""),
    ("recvmsg(", "", "recvmsg(2), unix(7)", ""),
    ("bind(", "", "bind(2), ip(7)", ""),
    ("getsockopt(", "", "getsockopt(2), socket(7)", ""),
    ("ioctl(SIOCGSKNS", "", "ioctl(2), network_namespaces(7)", ""),
    ("ioctl(SIOC", "", "netdevice(7)", ""),
    // Files and descriptors.
    ("openat2(", "", "openat2(2), path_resolution(7)", ""),
    ("openat(", "", "openat(2)", ""),
    ("open(", "", "open(2)", ""),
    ("read(", "", "read(2)", ""),
    ("readdir(", "", "readdir(3)", ""),
    ("write(", "", "write(2)", ""),
    ("pipe2(", "", "pipe(2), pipe(7)", ""),
    ("memfd_create(", "", "memfd_create(2)", ""),
    ("close_range(", "", "close_range(2)", ""),
    ("dup2(", "", "dup(2)", "config.md#process"),
    ("fcntl(", "", "fcntl(2)", ""),
    ("flock(", "", "flock(2)", ""),
    ("fsync(", "", "fsync(2)", ""),
    ("fdatasync(", "", "fsync(2)", ""),
    ("ftruncate(", "", "truncate(2)", ""),
    ("syncfs(", "", "sync(2)", ""),
    ("mkdir(", "", "mkdir(2)", ""),
    ("mkdirat(", "", "mkdir(2)", ""),
    ("rmdir(", "", "rmdir(2)", ""),
    ("unlink(", "", "unlink(2)", ""),
    ("unlinkat(", "", "unlink(2)", ""),
    ("rename", "", "rename(2)", ""),
    ("link(", "", "link(2)", ""),
    ("linkat(", "", "link(2)", ""),
    ("chmod(", "", "chmod(2)", ""),
    ("fchown(", "", "chown(2)", ""),
    ("stat(", "", "stat(2)", ""),
    ("fstat(", "", "stat(2)", ""),
    ("chdir(", "", "chdir(2)", "config.md#process"),
    ("fchdir(", "", "chdir(2)", ""),
    ("chroot(", "", "chroot(2)", ""),
    ("getcwd(", "", "getcwd(2)", ""),
    // Images.
    ("unpack(", "", "tar(5), mount(8)", "image-spec layer.md#applying-changesets"),
    ("extract(", "", "tar(5)", ""),
    (
        "copy(",
        "",
        "copy_file_range(2), fchown(2), user_namespaces(7)",
        "image-spec layer.md#applying-changesets",
    ),
    ("GET ", "/manifests/", "RFC 9110", "distribution-spec spec.md#pulling-manifests"),
    ("GET ", "/uploads/", "RFC 9110", "distribution-spec spec.md#pushing-a-blob-in-chunks"),
    ("GET ", "/blobs/", "RFC 9110", "distribution-spec spec.md#pulling-blobs"),
    ("GET ", "/tags/list", "RFC 9110", "distribution-spec spec.md#listing-tags"),
    ("GET ", "", "RFC 9110", "distribution-spec spec.md#pull"),
    ("HEAD ", "/blobs/", "RFC 9110", "distribution-spec spec.md#checking-if-content-exists-in-the-registry"),
    ("POST ", "/uploads/", "RFC 9110", "distribution-spec spec.md#pushing-blobs"),
    ("PATCH ", "/uploads/", "RFC 5789", "distribution-spec spec.md#pushing-a-blob-in-chunks"),
    ("PUT ", "/uploads/", "RFC 9110", "distribution-spec spec.md#pushing-blobs"),
    ("PUT ", "/manifests/", "RFC 9110", "distribution-spec spec.md#pushing-manifests"),
    ("DELETE ", "/uploads/", "RFC 9110", "distribution-spec spec.md#pushing-blobs"),
    ("HEAD ", "", "RFC 9110", "distribution-spec spec.md#pulling-manifests"),
    ("POST ", "", "RFC 9110", "distribution-spec spec.md#pull"),
];

/// What to read about a call; `None` where this table has a gap, which a test looks for.
pub(super) fn of(call: &str) -> Option<Pages> {
    let (.., man, spec) =
        TABLE.iter().find(|(begin, within, ..)| call.starts_with(begin) && call.contains(within))?;
    Some((man, Some(*spec).filter(|spec| !spec.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::super::sources;
    use super::*;

    #[test]
    fn every_call_of_the_sources_can_be_read_about() {
        let calls = sources::calls();
        assert!(calls.len() > 120, "{}", calls.len());
        let gaps: Vec<_> = calls.iter().filter(|call| of(call).is_none()).collect();
        assert!(gaps.is_empty(), "no manual page in cli/src/explain/pages.rs for {gaps:#?}");
    }

    #[test]
    fn what_a_file_means_says_where_it_is_written_about() {
        for (call, man, spec) in [
            (
                "write(\"/proc/7/uid_map\", \"0 1 1\")",
                "user_namespaces(7)",
                Some("config-linux.md#user-namespace-mappings"),
            ),
            (
                "write(\"/sys/fs/cgroup/x/cgroup.procs\", \"0\")",
                "cgroups(7)",
                Some("config-linux.md#control-groups"),
            ),
            ("write(\"/x\", \"y\")", "write(2)", None),
            (
                "mount_setattr(\"/a\", IDMAP, userns of init)",
                "mount_setattr(2), user_namespaces(7)",
                Some("config.md#posix-platform-mounts"),
            ),
            ("pivot_root(\".\", \".\")", "pivot_root(2), mount_namespaces(7)", Some("config.md#root")),
        ] {
            assert_eq!(of(call), Some((man, spec)), "{call}");
        }
        assert_eq!(of("frobnicate()"), None);
    }

    /// An entry behind one that is more general says nothing.
    #[test]
    fn no_entry_hides_another() {
        for (at, (begin, within, ..)) in TABLE.iter().enumerate() {
            let hidden = TABLE[..at].iter().any(|(earlier, part, ..)| {
                begin.starts_with(earlier) && (within.contains(part) || begin.contains(part))
            });
            assert!(!hidden, "{begin} {within}");
        }
    }
}
