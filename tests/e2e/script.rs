//! `mini script`: the script makes the very container that `mini run` makes, seen from inside and from the host.
//!
//! Both are given the same flags and the same program, which tells everything that it can see of its container. What is left after
//! [`normal`] has taken out ids, addresses and places is [`DIFFERENCES`], each with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::command::Mini;
use tests::{Host, Output};

/// What a container can see of itself. A line has a word before it that says what it is about.
const TELL: &str = r#"
tell() { while read -r line; do echo "$1 $line"; done; }
cut -d' ' -f4- /proc/self/mountinfo | tell mount
for ns in /proc/self/ns/*; do echo "namespace ${ns##*/} $(readlink $ns)"; done
cat /proc/self/uid_map | tell uid_map
cat /proc/self/gid_map | tell gid_map
cat /proc/self/setgroups | tell setgroups
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask|SigBlk|SigIgn)' /proc/self/status | tell status
cat /proc/self/limits | tell limits
cat /proc/self/oom_score_adj | tell oom_score_adj
cat /proc/self/cgroup | tell cgroup
cat /proc/1/cmdline | tr '\0' ' ' | head -c 20 | tell first
cat /proc/sys/kernel/hostname | tell hostname
cat /proc/sys/kernel/domainname | tell domainname
pwd | tell pwd
id | tell id
tr '\0' '\n' </proc/self/environ | sort | tell env
for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/self/fd/$fd ] || echo "fd $fd"; done
ls -lnR /dev | tell dev
ls -ln / /etc | tell files
cat /etc/hosts | tell hosts
cat /etc/resolv.conf | tell resolv
cat /etc/hostname | tell etc-hostname
ip -o addr | tell address
ip route | tell route
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range | tell sysctl
cat /proc/sys/net/ipv6/conf/*/disable_ipv6 2>/dev/null | tell ipv6
cat /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max 2>/dev/null | tell sysctl
for path in /proc/kcore /proc/keys /proc/timer_list /proc/scsi /proc/acpi /sys/firmware; do
    [ ! -e $path ] || echo "masked $path $(ls -ldn $path | cut -c1-40) $(ls -A $path 2>/dev/null | wc -l)"
done
for path in /proc/sys/kernel/panic /proc/sysrq-trigger /proc/irq; do [ -w $path ] && echo "writable $path"; done
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us \
    cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus devices/devices.list; do
    [ ! -e /sys/fs/cgroup/$file ] || cat /sys/fs/cgroup/$file | tell $file
done
for file in memory.max cpu.max cpu.weight pids.max cpuset.cpus; do
    [ ! -e /sys/fs/cgroup/$file ] || cat /sys/fs/cgroup/$file | tell $file
done
ls -ln /data /mnt /v 2>/dev/null | tell shown
touch /written 2>/dev/null && echo "root can be written"
echo the end
"#;

/// Lines of the one that are not the other's, where that is as it should be: how mini's begins, how the script's does, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "status Seccomp: 2",
        "status Seccomp: 0",
        "no program of Debian 12 loads a filter of system calls for another",
    ),
    ("status Seccomp_filters: 1", "status Seccomp_filters: 0", "the same"),
    (
        "dev drwxrwxrwt 65534 65534 mqueue",
        "dev drwxrwxrwt 0 0 mqueue",
        "who joins a user namespace with nsenter(1) is its root before its own namespaces are made: the queues are root's",
    ),
];

/// What a container says of itself, without what is another's in every container.
fn normal(host: &Host, output: &Output) -> BTreeSet<String> {
    let text = output.text();
    assert!(text.contains("the end"), "not all is told:\n{text}");
    let own: Vec<(String, String)> = ["ipc", "mnt", "net", "pid", "user", "uts", "cgroup", "time"]
        .iter()
        .filter_map(|kind| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            Some((link.to_string_lossy().into_owned(), format!("{kind} of the host")))
        })
        .collect();
    let mut replaced = text.clone();
    let base = host.ids();
    for id in base.clone().step_by(65536) {
        // Group tty, of terminals, is the one other id that is shown with the host's number.
        replaced = replaced.replace(&id.to_string(), "BASE").replace(&(id + 5).to_string(), "BASE+5");
    }
    let address = text.lines().find(|line| line.contains("eth0") && line.contains(" inet "));
    let address = address.and_then(|line| line.split(" inet ").nth(1)?.split('/').next().map(str::to_owned));
    if let Some(address) = address {
        replaced = replaced.replace(&address, "ADDRESS");
    }
    let line = |line: &str| {
        let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        for (link, name) in &own {
            line = line.replace(link.as_str(), name);
        }
        match line.split(' ').next().unwrap_or_default() {
            "namespace" if !line.contains("of the host") => {
                line = line.split(" ").take(2).collect::<Vec<_>>().join(" ") + " of its own";
            }
            "mount" => line = mount(&line),
            "dev" | "files" | "shown" => line = without_times(&line),
            "status" => line = without_signals_of_glibc(&line),
            _ => {}
        }
        without_ids(&line)
    };
    replaced.lines().map(line).collect()
}

/// Where layers and mini's own files lie is no property of the container.
fn mount(line: &str) -> String {
    let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let ours = ["/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    if ours.contains(&fields[2].as_str()) {
        fields[1] = "PLACE".into();
        let options: Vec<_> = fields.last().expect("a line").split(',').map(str::to_owned).collect();
        let kept = |option: &String| ["rw", "ro", "volatile", "nodev"].contains(&option.as_str());
        let last = fields.len() - 1;
        fields[last] = options.into_iter().filter(kept).collect::<Vec<_>>().join(",");
        if fields[2] != "/" {
            fields[last - 1] = "SOURCE".into();
            fields[last - 2] = "KIND".into();
        }
    }
    fields.join(" ")
}

/// Signals 32 and 33 are glibc's own: where whoever starts a script ignores them, env(1) cannot change that.
fn without_signals_of_glibc(line: &str) -> String {
    match line.strip_prefix("status SigIgn: ").and_then(|mask| u64::from_str_radix(mask, 16).ok()) {
        Some(mask) => format!("status SigIgn: {:x}", mask & !(3 << 31)),
        None => line.to_owned(),
    }
}

/// `ls -l` without links, time and size of directories, and their sum; a device has two numbers for its size.
fn without_times(line: &str) -> String {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.len() {
        11.. if fields[5].ends_with(',') => [&fields[..2], &fields[3..7], &fields[10..]].concat().join(" "),
        10.. => [&fields[..2], &fields[3..5], &fields[9..]].concat().join(" "),
        3 if fields[1] == "total" => fields[..2].join(" "),
        _ => fields.join(" "),
    }
}

/// Twelve hexadecimal digits and more are a container's id.
fn without_ids(line: &str) -> String {
    if line.starts_with("status Cap") {
        return line.to_owned();
    }
    let mut out = String::new();
    let mut run = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_digit() || ('a'..='f').contains(&letter) {
            run.push(letter);
            continue;
        }
        out += if run.len() >= 12 { "ID" } else { &run };
        run.clear();
        out.push(letter);
    }
    out.trim_end().to_owned()
}

/// A script, written as a student would.
pub(crate) fn write(host: &Host, args: &[&str]) -> PathBuf {
    let text = host.mini(["script"]).args(args).run().ok().text();
    let path = host.home().join("container.sh");
    fs::write(&path, text).expect("write the script");
    for shell in ["sh", "dash"] {
        let status = Command::new(shell).arg("-n").arg(&path).status().expect("a shell");
        assert!(status.success(), "{shell} -n {}", path.display());
    }
    path
}

/// A script that is carried out.
pub(crate) fn carry_out(host: &Host, script: &PathBuf) -> Mini {
    let mut command = Command::new("dash");
    command.arg(script).env_clear().envs(host.environment()).current_dir("/");
    Mini::new(command)
}

/// Compares both ways to a container; `flags` stand before the image.
#[track_caller]
fn same(host: &Host, flags: &[&str]) {
    let args = [flags, &["busybox", "sh", "-c", TELL]].concat();
    let run = host.mini(["run", "--rm"]).args(&args).run().ok();
    let script = write(host, &[&["--rm"], &args[..]].concat());
    let made = carry_out(host, &script).run().ok();
    let (run, made) = (normal(host, &run), normal(host, &made));
    let is_known = |line: &String, side: fn(&(&'static str, &'static str, &str)) -> &'static str| {
        DIFFERENCES.iter().any(|known| !side(known).is_empty() && line.starts_with(side(known)))
    };
    let missing: Vec<_> = run.difference(&made).filter(|line| !is_known(line, |known| known.0)).collect();
    let added: Vec<_> = made.difference(&run).filter(|line| !is_known(line, |known| known.1)).collect();
    assert!(
        missing.is_empty() && added.is_empty(),
        "{flags:?}\n--- mini run\n{missing:#?}\n+++ the script\n{added:#?}"
    );
}

#[test]
fn the_default_container() {
    same(&Host::with_busybox(), &[]);
}

#[test]
fn files_of_the_host_and_in_memory() {
    let host = Host::with_busybox();
    fs::write(host.work().join("file"), "hello").expect("write");
    let (directory, file) =
        (host.work().display().to_string(), host.work().join("file").display().to_string());
    let (data, one) = (format!("{directory}:/data"), format!("{file}:/mnt/it's a \"file\":ro"));
    let mount = format!("type=bind,src={directory},dst=/var/run/x,readonly");
    let flags = ["-v", &data, "-v", &one, "--mount", &mount, "--tmpfs", "/v:size=1m,mode=700"];
    same(&host, &[&flags[..], &["-w", "/made/here", "--shm-size", "8m"]].concat());
    same(&host, &["--read-only", "--tmpfs", "/run", "-v", &data]);
}

#[test]
fn variables_users_and_names() {
    let host = Host::with_busybox();
    let hostile = "A=it's $(reboot) `id` \"x\" \\ *\nand a line";
    let flags = ["-e", hostile, "-e", "EMPTY=", "-e", "PWD=/elsewhere", "-e", "HOME=/h", "--umask", "0027"];
    same(&host, &[&flags[..], &["--hostname", "lesson", "--domainname", "school"]].concat());
    same(&host, &["-u", "nobody", "--group-add", "users", "--group-add", "7"]);
    same(
        &host,
        &["-u", "1000:1001", "--add-host", "db:10.0.0.9", "--dns", "9.9.9.9", "--oom-score-adj", "500"],
    );
}

#[test]
fn what_it_may_do() {
    let host = Host::with_busybox();
    same(&host, &["--cap-add", "SYS_TIME", "--cap-drop", "NET_RAW", "--security-opt", "no-new-privileges"]);
    same(&host, &["--cap-drop", "ALL", "--security-opt", "seccomp=unconfined"]);
    let limits = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=50"];
    let kernel = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=99", "--sysctl", "kernel.shmmax=1000"];
    same(&host, &[&limits[..], &kernel].concat());
    same(&host, &["--security-opt", "mask=/etc/passwd", "--device", "/dev/null:/dev/more/nothing:r"]);
}

#[test]
fn what_it_may_use() {
    let host = Host::with_busybox();
    same(&host, &["-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpu-shares", "512"]);
    same(&host, &["--cpuset-cpus", "0", "--memory-reservation", "16m"]);
}

#[test]
fn networks() {
    let host = Host::with_busybox();
    same(&host, &["--network", "none"]);
    same(&host, &["--network", "host"]);
    same(&host, &["-p", "8080:80"]);
}

#[test]
fn what_is_shared_with_the_host() {
    let host = Host::with_busybox();
    same(&host, &["--userns", "host"]);
    same(&host, &["--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"]);
    same(&host, &["--privileged"]);
}

#[test]
fn what_is_shared_with_another_container() {
    let host = Host::with_busybox();
    let other = host.start(["--name", "other", "--hostname", "others", "busybox", "sleep", "1000"]);
    same(&host, &["--network", "container:other"]);
    same(&host, &["--pid", "container:other"]);
    drop(other);
}
