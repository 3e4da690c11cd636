//! A line says what was said.

use std::path::Path;

use clap::Parser;
use runtime::caps::CapSet;
use runtime::plan::IdMap;

use super::*;
use crate::commands::run::RunArgs;
use crate::plan::request::Caller;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    run: RunArgs,
}

/// What `run` understands of a line.
fn understood(words: &[String]) -> (Request, Settings) {
    let args = Typed::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}")).run;
    let environment = |name: &str| (name == "FROM_CLIENT").then(|| "there".to_owned());
    let read = |file: &str| Ok(format!("# of {file}\nIN_FILE=it's here\n"));
    let container = &args.container;
    let caller = Caller {
        first_users: &|| true,
        cwd: Path::new("/cwd"),
        strict: false,
        own: CapSet::ALL,
        ids: IdMap { container: 0, host: 1 << 31, size: 1 << 20 },
        init: false,
        kernel: (6, 1),
        environment: &environment,
        variables: &|| vec![("HERE".to_owned(), "1".to_owned())],
        read: &read,
        find: &|name| Ok(name.replace("web", "0123")),
    };
    let request = Request::new(container, args.detach, &caller);
    let request = request.unwrap_or_else(|error| panic!("{words:?}: {error:#}"));
    let cap = |names: &[String]| names.iter().map(|name| name.to_uppercase()).collect();
    let settings = Settings {
        cap_add: cap(&container.cap_add),
        cap_drop: cap(&container.cap_drop),
        ..Settings::default()
    };
    (request, settings)
}

fn line_of(name: &str, settings: &Settings, request: &Request) -> String {
    command_line(&id(), name, settings, request)
}

fn id() -> String {
    "3f2a9c81d04be577".repeat(4)
}

/// The words of a line, without the first: as sh(1) has them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = line.chars();
    let mut inside = false;
    while let Some(letter) = letters.next() {
        let word = words.last_mut().unwrap();
        match letter {
            '\'' => inside = !inside,
            '\\' if !inside => word.extend(letters.next()),
            ' ' if !inside => words.push(String::new()),
            letter => word.push(letter),
        }
    }
    words.remove(0);
    words
}

#[test]
fn a_line_says_what_was_said() {
    for (typed, expected) in [
        ("busybox", "busybox"),
        (
            "-it --rm busybox sh -c 'echo \"it'\\''s\" $HOME; exit'",
            "-i -t --rm busybox sh -c 'echo \"it'\\''s\" $HOME; exit'",
        ),
        ("-d --name web -p 8080:80 nginx", "-d --name web -p 8080:80 nginx"),
        (
            "-e A=1 -e FROM_CLIENT -e GONE --env-file vars busybox",
            "-e 'IN_FILE=it'\\''s here' -e A=1 -e FROM_CLIENT=there -e GONE busybox",
        ),
        (
            "-l a=b -l c --label-file x busybox",
            "--label 'IN_FILE=it'\\''s here' --label a=b --label c= busybox",
        ),
        ("-v ./data:/data:ro -v /a:/b:rslave,z busybox", "-v /cwd/data:/data:ro -v /a:/b:rslave,z busybox"),
        (
            "-v data:/d:nocopy,ro -v /anonymous --volumes-from web:ro busybox",
            "-v data:/d:nocopy,ro -v /anonymous --volumes-from web:ro busybox",
        ),
        (
            "--mount 'type=bind,\"src=/a,b\",dst=/x:y,readonly,bind-recursive=writable,bind-create-src' --mount type=bind,src=./c,dst=/c,bind-nonrecursive,consistency=cached busybox",
            "--mount 'type=bind,\"src=/a,b\",dst=/x:y,readonly=true,bind-recursive=writable,bind-create-src=true' --mount type=bind,src=/cwd/c,dst=/c,consistency=cached,bind-recursive=disabled busybox",
        ),
        (
            "--mount dst=/n,volume-nocopy,volume-driver=local,volume-label=a=b,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/x --mount src=data,dst=/d,volume-subpath=a/b busybox",
            "--mount type=volume,dst=/n,volume-nocopy=true,volume-driver=local,volume-label=a=b,volume-opt=device=/x,volume-opt=o=bind,volume-opt=type=none --mount type=volume,src=data,dst=/d,volume-subpath=a/b busybox",
        ),
        (
            "--secret key --secret key,target=/etc/k,uid=7,mode=400 --secret src=key,type=env,target=KEY busybox",
            "--secret key --secret key,target=/etc/k,uid=7,mode=0400 --secret key,type=env,target=KEY busybox",
        ),
        (
            "--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rslave busybox",
            "--mount type=bind,src=/a,dst=/b,readonly=true,bind-propagation=rslave busybox",
        ),
        (
            "--tmpfs /t --tmpfs /u:exec,size=1m,noexec --mount type=tmpfs,dst=/w,tmpfs-mode=1770 busybox",
            "--mount type=tmpfs,dst=/w,tmpfs-mode=1770 --tmpfs /t --tmpfs /u:exec,size=1m,noexec busybox",
        ),
        (
            "-p 80 -p 127.0.0.1:8000-8010:81 -p 1.2.3.4::82 -p 9000-9001:90-91 -P busybox",
            "-p 80 -p 127.0.0.1:8000-8010:81 -p 1.2.3.4::82 -p 9000:90 -p 9001:91 -P busybox",
        ),
        (
            "-m 64m --memory-swap -1 --cpus 1.5 -c 512 --pids-limit -1 busybox",
            "--memory 64m --cpus 1.5 --cpu-shares 512 --pids-limit=-1 --memory-swap=-1 busybox",
        ),
        ("-m 1g --memory-swap 0 busybox", "--memory 1g busybox"),
        (
            "--memory 6291457 --cpu-quota 50000 --cpu-period 100000 busybox",
            "--memory 6291457 --cpu-period 100000 --cpu-quota 50000 busybox",
        ),
        (
            "--ulimit nofile=1024:2048 --ulimit core=-1 --shm-size 1k --oom-score-adj -500 busybox",
            "--ulimit nofile=1024:2048 --ulimit core=-1:-1 --shm-size 1k --oom-score-adj=-500 busybox",
        ),
        ("--privileged busybox", "--privileged busybox"),
        ("--privileged --userns private busybox", "--privileged --userns private busybox"),
        ("--network host busybox", "--network host busybox"),
        (
            "--network none --userns host --cap-add net_admin --cap-drop ALL busybox",
            "--network none --userns host --cap-add NET_ADMIN --cap-drop ALL busybox",
        ),
        (
            "--security-opt no-new-privileges --sysctl net.core.somaxconn=9 --read-only busybox",
            "--read-only --sysctl net.core.somaxconn=9 --security-opt no-new-privileges busybox",
        ),
        ("--entrypoint '' busybox ls", "--entrypoint '' busybox ls"),
        ("--entrypoint /bin/ls busybox -l --name x", "--entrypoint /bin/ls busybox -l --name x"),
        (
            "-h boxed --domainname d -u 1:2 -w '/my dir' busybox",
            "--hostname boxed --user 1:2 --workdir '/my dir' --domainname d busybox",
        ),
        (
            "--add-host db:10.0.0.1 --add-host v6=fe80::1 --add-host me:host-gateway --dns 9.9.9.9 --dns-search a --dns-option ndots:1 busybox",
            "--add-host db=10.0.0.1 --add-host v6=fe80::1 --add-host me=host-gateway --dns 9.9.9.9 --dns-search a --dns-option ndots:1 busybox",
        ),
        (
            "--expose 53/udp --stop-signal RTMIN+3 --stop-timeout -1 --annotation a=b busybox",
            "--annotation a=b --stop-signal SIGRTMIN+3 --stop-timeout=-1 --expose 53/udp busybox",
        ),
        ("--restart always --timeout 60 busybox", "--restart always --timeout 60 busybox"),
        (
            "--memory-reservation 32m --memory-swappiness 0 --oom-kill-disable --cpu-rt-runtime 1000 --cpu-rt-period 2000 --cpuset-cpus 0-1 --cpuset-mems 0 --blkio-weight 300 busybox",
            "--memory-reservation 32m --memory-swappiness 0 --oom-kill-disable --cpu-rt-period 2000 --cpu-rt-runtime 1000 --cpuset-cpus 0-1 --cpuset-mems 0 --blkio-weight 300 busybox",
        ),
        (
            "--device-write-iops /dev/vdb:9 --device-read-bps /dev/vda:1kb --blkio-weight-device /dev/vda:500 --cgroup-parent /jobs busybox",
            "--blkio-weight-device /dev/vda:500 --device-read-bps /dev/vda:1024 --device-write-iops /dev/vdb:9 --cgroup-parent /jobs busybox",
        ),
        (
            "--device /dev/fuse --device /dev/kvm:/dev/virt:r --device-cgroup-rule 'c 1:* rw' busybox",
            "--device /dev/fuse:/dev/fuse --device /dev/kvm:/dev/virt:r --device-cgroup-rule 'c 1:* rw' busybox",
        ),
        (
            "--log-driver local --log-opt max-size=1m --log-opt compress=false busybox",
            "--log-driver local --log-opt compress=false --log-opt max-size=1m busybox",
        ),
        ("--log-driver json-file --log-opt tag={{.Name}} busybox", "--log-opt 'tag={{.Name}}' busybox"),
        ("--restart on-failure:3 busybox", "--restart on-failure:3 busybox"),
        ("--restart on-failure busybox", "--restart on-failure busybox"),
        ("-a stdout -a STDERR -i busybox", "-i --attach stdout --attach stderr busybox"),
        ("--no-healthcheck busybox", "--no-healthcheck busybox"),
        (
            "--pid host --ipc shareable --uts container:web --cgroupns host busybox",
            "--pid host --ipc shareable --uts container:0123 --cgroupns host busybox",
        ),
        (
            "--network container:web --ipc container:web --userns container:web busybox",
            "--network container:0123 --userns container:0123 --ipc container:0123 busybox",
        ),
        (
            "--network ns:/run/netns/x --uts private busybox",
            "--network ns:/run/netns/x --uts private busybox",
        ),
        ("--pid host --userns private busybox", "--userns private --pid host busybox"),
        (
            "--uidmap 0:100000:10 --uidmap 20:200000:1 --gidmap 0:1:2 busybox",
            "--uidmap 0:100000:10 --uidmap 20:200000:1 --gidmap 0:1:2 busybox",
        ),
        ("--userns keep-id -u 7:8 busybox", "--user 7:8 --userns keep-id busybox"),
        (
            "--init --group-add audio --group-add 7 --umask 77 --security-opt systempaths=unconfined busybox",
            "--init --security-opt systempaths=unconfined --group-add audio --group-add 7 --umask 0077 busybox",
        ),
        (
            "--security-opt 'seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}' busybox",
            "--security-opt 'seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}' busybox",
        ),
        (
            "--rootfs --tz Europe/Berlin --no-hosts --pidfile pid --env-host --unsetenv A ./dir ls",
            "--rootfs --tz Europe/Berlin --no-hosts --pidfile /cwd/pid --env-host --unsetenv A /cwd/dir ls",
        ),
        ("--platform linux/arm64 --tz local busybox", "--platform linux/arm64 --tz local busybox"),
        (
            "--health-cmd 'a || exit 1' --health-interval 1m30s --health-timeout 1.5s --health-start-period 1ms --health-start-interval 5s --health-retries 2 busybox",
            "--health-cmd 'a || exit 1' --health-interval 90s --health-timeout 1500ms --health-start-period 1ms --health-start-interval 5s --health-retries 2 busybox",
        ),
        ("-l=-x=1 '-e=-y=a\nb' busybox '' -- '*'", "'-e=-y=a\nb' --label=-x=1 busybox '' -- '*'"),
    ] {
        let typed = words(&format!("mini run {typed}"));
        let (request, settings) = understood(&typed);
        let name = request.name.clone().unwrap_or_else(|| names::generate(&id(), 3));
        let line = line_of(&name, &settings, &request);
        assert_eq!(line, format!("mini run {expected}"), "{typed:?}");
        let (again, its_settings) = understood(&words(&line));
        assert_eq!((again, its_settings), (request, settings), "{line}");
    }
}

#[test]
fn a_name_is_said_where_somebody_gave_it() {
    let (request, settings) = understood(&words("mini run --name old busybox"));
    assert_eq!(line_of("renamed", &settings, &request), "mini run --name renamed busybox");
}

#[test]
fn words_are_quoted_for_a_shell() {
    for (word, expected) in [
        ("plain-1_@%+=:,./", "plain-1_@%+=:,./"),
        ("", "''"),
        ("a b", "'a b'"),
        ("$x`y`\"\\", "'$x`y`\"\\'"),
        ("it's", "'it'\\''s'"),
        ("~", "'~'"),
        ("a\nb", "'a\nb'"),
        ("é", "'é'"),
    ] {
        assert_eq!(quoted(word), expected);
    }
}
