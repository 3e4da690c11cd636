//! The command line that makes a container again, from what it was asked for. PURE.
//!
//! Everything that a request holds is taken apart by name here: a field that somebody adds does not compile before it is
//! printed too. What a client added of its own (its environment's values, files of variables and labels, the directory that a
//! relative path begins in) is spelled out, so that the line means the same anywhere.

use std::fmt::Display;
use std::path::PathBuf;

use network::{HostPort, PortRequest};

use super::NetworkMode;
use super::health::HealthRequest;
use super::life::{Life, RestartPolicy};
use super::options::{Options, Ulimit};
use super::request::{EnvRequest, PidsLimit, Request};
use super::stdio::Attach;
use super::values::{self, Volume};
use crate::names;
use crate::settings::Settings;

/// `mini run …`, quoted for a shell, of the container with this id and this name. A name that was made up is left out.
pub(crate) fn command_line(id: &str, name: &str, settings: &Settings, request: &Request) -> String {
    let mut line = Line(vec!["mini".to_owned(), "run".to_owned()]);
    let name = Some(name).filter(|name| !is_made_up(name, id));
    of_request(&mut line, request, settings, name);
    line.0.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Whether a container's name is one that its id leads to.
fn is_made_up(name: &str, id: &str) -> bool {
    (0..16).any(|attempt| names::generate(id, attempt) == name)
}

/// Words of a command line.
struct Line(Vec<String>);

impl Line {
    fn switch(&mut self, flag: &str, on: bool) {
        if on {
            self.0.push(flag.to_owned());
        }
    }

    /// A flag a value; one that begins with a dash is no flag of its own.
    fn values(&mut self, flag: &str, values: impl IntoIterator<Item = impl Display>) {
        for value in values {
            let value = value.to_string();
            if value.starts_with('-') {
                self.0.push(format!("{flag}={value}"));
            } else {
                self.0.extend([flag.to_owned(), value]);
            }
        }
    }
}

fn of_request(line: &mut Line, request: &Request, settings: &Settings, name: Option<&str>) {
    let Request {
        image,
        args,
        entrypoint,
        name: _,
        env,
        workdir,
        user,
        hostname,
        volumes,
        tmpfs,
        ports,
        network,
        user_namespace,
        implied_by,
        privileged,
        // What was asked for is kept by name.
        capabilities: _,
        read_only,
        memory,
        nano_cpus,
        cpu_shares,
        pids,
        interactive,
        terminal,
        detached,
        auto_remove,
        publish_all,
        attach,
        options,
    } = request;
    line.switch("-d", *detached);
    line.switch("-i", *interactive);
    line.switch("-t", *terminal);
    line.values("--attach", streams(*attach).into_iter().filter(|_| !*detached));
    line.switch("--rm", *auto_remove);
    line.values("--name", name);
    line.values("--hostname", hostname);
    line.values("--user", user);
    line.values("--workdir", workdir.as_ref().map(|path| path.display()));
    line.values("--entrypoint", entrypoint.as_ref().map(|words| words.join(" ")));
    line.values("-e", env.iter().map(variable));
    line.values("-v", volumes.iter().filter(|volume| !volume.must_exist).map(volume_text));
    line.values("--mount", volumes.iter().filter(|volume| volume.must_exist).map(mount_text));
    line.values("--tmpfs", tmpfs.iter().map(tmpfs_text));
    line.switch("--read-only", *read_only);
    line.values("--network", Some(network.name()).filter(|_| *network != NetworkMode::Bridge));
    line.values("-p", ports.iter().map(port));
    line.switch("-P", *publish_all);
    line.values("--memory", memory.map(size));
    line.values("--cpus", nano_cpus.map(processors));
    line.values("--cpu-shares", cpu_shares);
    line.values(
        "--pids-limit",
        match pids {
            PidsLimit::Default => None,
            PidsLimit::None => Some(-1),
            PidsLimit::Most(limit) => Some(*limit),
        },
    );
    line.switch("--privileged", *privileged);
    line.values(
        "--userns",
        match (user_namespace, implied_by) {
            // What --privileged and --network host imply need not be said, but what contradicts them must.
            (true, _) => Some("private").filter(|_| *privileged || *network == NetworkMode::Host),
            (false, None) => Some("host"),
            (false, Some(_)) => None,
        },
    );
    line.values("--cap-add", &settings.cap_add);
    line.values("--cap-drop", &settings.cap_drop);
    of_options(line, options);
    line.0.push(image.clone());
    line.0.extend(args.iter().cloned());
}

fn of_options(line: &mut Line, options: &Options) {
    let Options {
        labels,
        annotations,
        stop_signal,
        stop_timeout,
        domainname,
        hosts,
        dns,
        dns_search,
        dns_options,
        expose,
        ulimits,
        shm_size,
        sysctls,
        oom_score_adj,
        memory_swap,
        cpu_period,
        cpu_quota,
        no_new_privileges,
        life,
        health,
    } = options;
    let pair = |(key, value): (&String, &String)| format!("{key}={value}");
    line.values("--label", labels.iter().map(pair));
    line.values("--annotation", annotations.iter().map(pair));
    line.values("--stop-signal", stop_signal.map(values::signal_name));
    line.values("--stop-timeout", stop_timeout);
    line.values("--domainname", domainname);
    line.values(
        "--add-host",
        hosts.iter().map(|(name, address)| match address {
            Some(address) => format!("{name}={address}"),
            None => format!("{name}=host-gateway"),
        }),
    );
    line.values("--dns", dns);
    line.values("--dns-search", dns_search);
    line.values("--dns-option", dns_options);
    line.values("--expose", expose);
    line.values("--ulimit", ulimits.iter().map(ulimit));
    line.values("--shm-size", shm_size.map(size));
    line.values("--sysctl", sysctls.iter().map(pair));
    line.values("--oom-score-adj", oom_score_adj);
    line.values(
        "--memory-swap",
        memory_swap.map(|bytes| u64::try_from(bytes).map_or(bytes.to_string(), size)),
    );
    line.values("--cpu-period", cpu_period);
    line.values("--cpu-quota", cpu_quota);
    line.values("--security-opt", no_new_privileges.then_some("no-new-privileges"));
    of_life(line, life);
    of_health(line, health);
}

fn of_life(line: &mut Line, life: &Life) {
    let Life { restart, timeout } = life;
    line.values(
        "--restart",
        match restart {
            RestartPolicy::No => None,
            RestartPolicy::OnFailure { most: most @ 1.. } => Some(format!("{}:{most}", restart.name())),
            RestartPolicy::OnFailure { .. } | RestartPolicy::Always | RestartPolicy::UnlessStopped => {
                Some(restart.name().to_owned())
            }
        },
    );
    line.values("--timeout", timeout);
}

fn of_health(line: &mut Line, health: &HealthRequest) {
    let HealthRequest { test, interval, timeout, start_period, start_interval, retries } = health;
    line.switch("--no-healthcheck", test.first().is_some_and(|kind| kind == "NONE"));
    line.values("--health-cmd", test.get(1));
    for (flag, length) in [
        ("--health-interval", interval),
        ("--health-timeout", timeout),
        ("--health-start-period", start_period),
        ("--health-start-interval", start_interval),
    ] {
        line.values(flag, Some(*length).filter(|length| *length > 0).map(duration));
    }
    line.values("--health-retries", Some(retries).filter(|retries| **retries > 0));
}

/// Those that were named; none where all are meant.
fn streams(attach: Attach) -> Vec<&'static str> {
    let named = [("stdin", attach.input), ("stdout", attach.output), ("stderr", attach.error)];
    let named = named.into_iter().filter(|(_, named)| *named && attach != Attach::ALL);
    named.map(|(name, _)| name).collect()
}

/// `30s`, of ns.
fn duration(length: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)];
    let unit = units.into_iter().find(|(_, unit)| length.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{length}ns"), |(name, unit)| format!("{}{name}", length / unit))
}

fn variable(variable: &EnvRequest) -> String {
    match variable {
        EnvRequest::Set(name, value) => format!("{name}={value}"),
        EnvRequest::Unset(name) => name.clone(),
    }
}

fn volume_text(volume: &Volume) -> String {
    let Volume { source, target, read_only, propagation, must_exist: _ } = volume;
    let mut options = Vec::new();
    options.extend(read_only.then_some("ro"));
    options.extend(Some(propagation.as_str()).filter(|propagation| *propagation != "rprivate"));
    let options = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
    format!("{}:{}{options}", source.display(), target.display())
}

fn mount_text(volume: &Volume) -> String {
    let Volume { source, target, read_only, propagation, must_exist: _ } = volume;
    let mut text = format!("type=bind,src={},dst={}", source.display(), target.display());
    text += if *read_only { ",readonly" } else { "" };
    if propagation != "rprivate" {
        text += &format!(",bind-propagation={propagation}");
    }
    text
}

/// Three options are there unless their opposite was said.
fn tmpfs_text((target, options): &(PathBuf, Vec<String>)) -> String {
    const DEFAULTS: [(&str, &str); 3] = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];
    let mut said = Vec::new();
    let mut rest = options.as_slice();
    for (default, opposite) in DEFAULTS {
        match rest.split_first() {
            Some((first, others)) if first == default => rest = others,
            _ => said.push(opposite),
        }
    }
    said.extend(rest.iter().map(String::as_str));
    let said = if said.is_empty() { String::new() } else { format!(":{}", said.join(",")) };
    format!("{}{said}", target.display())
}

fn port(port: &PortRequest) -> String {
    let PortRequest { host_ip, host_port, container_port, protocol: network::Protocol::Tcp } = port;
    let host = match host_port {
        HostPort::Ephemeral => String::new(),
        HostPort::One(port) => port.to_string(),
        HostPort::FirstFree(first, last) => format!("{first}-{last}"),
    };
    match (host_ip, host.as_str()) {
        (Some(ip), host) => format!("{ip}:{host}:{container_port}"),
        (None, "") => container_port.to_string(),
        (None, host) => format!("{host}:{container_port}"),
    }
}

fn ulimit(limit: &Ulimit) -> String {
    let Ulimit { name, soft, hard } = limit;
    let number = |limit: u64| if limit == u64::MAX { "-1".to_owned() } else { limit.to_string() };
    format!("{name}={}:{}", number(*soft), number(*hard))
}

/// `64m`, and bytes where that is not exact.
fn size(bytes: u64) -> String {
    let units = [("g", 30), ("m", 20), ("k", 10)];
    let unit = units.into_iter().find(|(_, bits)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| bytes.to_string(), |(letter, bits)| format!("{}{letter}", bytes >> bits))
}

/// `1.5`, of billionths.
fn processors(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A word as a shell reads it back (POSIX shell, 2.2).
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_@%+=:,./-".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use runtime::caps::CapSet;

    use super::*;
    use crate::commands::run::RunArgs;

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
        let request =
            Request::new(container, args.detach, Path::new("/cwd"), false, CapSet::ALL, &environment, &read);
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
            (
                "-v ./data:/data:ro -v /a:/b:rshared,z busybox",
                "-v /cwd/data:/data:ro -v /a:/b:rshared busybox",
            ),
            (
                "--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rslave busybox",
                "--mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave busybox",
            ),
            (
                "--tmpfs /t --tmpfs /u:exec,size=1m,noexec --mount type=tmpfs,dst=/w,tmpfs-mode=1770 busybox",
                "--tmpfs /t --tmpfs /u:exec,size=1m,noexec --tmpfs /w:mode=1770 busybox",
            ),
            (
                "-p 80 -p 127.0.0.1:8000-8010:81 -p 1.2.3.4::82 -p 9000-9001:90-91 -P busybox",
                "-p 80 -p 127.0.0.1:8000-8010:81 -p 1.2.3.4::82 -p 9000:90 -p 9001:91 -P busybox",
            ),
            (
                "-m 64m --memory-swap -1 --cpus 1.5 -c 512 --pids-limit -1 busybox",
                "--memory 64m --cpus 1.5 --cpu-shares 512 --pids-limit=-1 --memory-swap=-1 busybox",
            ),
            ("-m 1g --memory-swap 0 busybox", "--memory 1g --memory-swap 2g busybox"),
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
            ("--restart on-failure:3 busybox", "--restart on-failure:3 busybox"),
            ("--restart on-failure busybox", "--restart on-failure busybox"),
            ("-a stdout -a STDERR -i busybox", "-i --attach stdout --attach stderr busybox"),
            ("--no-healthcheck busybox", "--no-healthcheck busybox"),
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
}
