//! The command line that makes a container again, from what it was asked for. PURE.
//!
//! Everything that a request holds is taken apart by name here: a field that somebody adds does not compile before it is
//! printed too. What a client added of its own (its environment's values, files of variables and labels, the directory that a
//! relative path begins in) is spelled out, so that the line means the same anywhere.

mod life;
mod resources;
mod spaces;
mod storage;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use network::{HostPort, PortRequest};

use super::NetworkMode;
use super::logging::{LogDriver, LogRequest};
use super::options::{Options, Ulimit};
use super::request::{EnvRequest, PidsLimit, Request};
use super::stdio::Attach;
use super::values;
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
        binds,
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
    storage::of_storage(line, binds, tmpfs, &options.storage);
    line.switch("--read-only", *read_only);
    line.values("--network", spaces::network(*network, &options.spaces));
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
    // What --privileged and --network host imply need not be said, but what contradicts them must.
    let shares = *privileged || *network == NetworkMode::Host;
    line.values("--userns", spaces::users(&options.spaces, *user_namespace, implied_by.is_some(), shares));
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
        log,
        resources,
        devices,
        spaces,
        security,
        origin,
        // Said above.
        storage: _,
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
    life::of_life(line, life);
    life::of_health(line, health);
    of_log(line, log);
    resources::of_resources(line, resources);
    resources::of_devices(line, devices);
    spaces::of_spaces(line, spaces);
    spaces::of_security(line, security);
    spaces::of_origin(line, origin);
}

fn of_log(line: &mut Line, log: &LogRequest) {
    let LogRequest { driver, options } = log;
    line.values("--log-driver", Some(driver.name()).filter(|_| *driver != LogDriver::default()));
    line.values("--log-opt", options.iter().map(|(key, value)| format!("{key}={value}")));
}

/// Those that were named; none where all are meant.
fn streams(attach: Attach) -> Vec<&'static str> {
    let named = [("stdin", attach.input), ("stdout", attach.output), ("stderr", attach.error)];
    let named = named.into_iter().filter(|(_, named)| *named && attach != Attach::ALL);
    named.map(|(name, _)| name).collect()
}

fn variable(variable: &EnvRequest) -> String {
    match variable {
        EnvRequest::Set(name, value) => format!("{name}={value}"),
        EnvRequest::Unset(name) => name.clone(),
    }
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
