//! What may be said of a container beyond the everyday: labels, names, limits, kernel settings. PURE.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};
use serde::{Deserialize, Serialize};

use super::NetworkMode;
use super::devices::Devices;
use super::health::HealthRequest;
use super::life::Life;
use super::limits::Resources;
use super::logging::LogRequest;
use super::origin::Origin;
use super::security::Security;
use super::spaces::Spaces;
use super::storage::Storage;
use super::values;
use crate::commands::flags::MoreArgs;

/// Kept with the container; every field has a default, so that an older record can be read. What nobody asked for is not
/// written: every `ps` would read past it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// signal(7).
    pub(crate) stop_signal: Option<i32>,
    /// Seconds; negative is for ever.
    pub(crate) stop_timeout: Option<i64>,
    pub(crate) domainname: Option<String>,
    /// Names with their addresses; without one, the host as the container reaches it.
    pub(crate) hosts: Vec<(String, Option<IpAddr>)>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) dns_options: Vec<String>,
    /// Ports that the container listens on: `80/tcp`.
    pub(crate) expose: Vec<String>,
    pub(crate) ulimits: Vec<Ulimit>,
    /// Bytes.
    pub(crate) shm_size: Option<u64>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) oom_score_adj: Option<i32>,
    /// Memory and swap together, bytes; -1 is unlimited.
    pub(crate) memory_swap: Option<i64>,
    /// µs.
    pub(crate) cpu_period: Option<u64>,
    /// µs a period.
    pub(crate) cpu_quota: Option<i64>,
    /// What an older record says here; [`Security`] says it now.
    pub(crate) no_new_privileges: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) life: Life,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) health: HealthRequest,
    /// What becomes of its output.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) log: LogRequest,
    /// Whose namespaces it lives in.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) spaces: Spaces,
    /// What its processes may do.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) security: Security,
    /// Where its files come from.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) origin: Origin,
    /// What it may use, beyond the everyday.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) resources: Resources,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) devices: Devices,
    /// Volumes and secrets.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) storage: Storage,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One `--ulimit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ulimit {
    /// As bash's ulimit calls it: `nofile`.
    pub(crate) name: String,
    /// `u64::MAX` is none.
    pub(crate) soft: u64,
    /// `u64::MAX` is none.
    pub(crate) hard: u64,
}

impl Options {
    /// Understands the flags; `read` is how files are read.
    ///
    /// # Errors
    /// The first value that makes no sense, or a file that cannot be read.
    pub(crate) fn new(
        args: &MoreArgs,
        network: NetworkMode,
        read: &dyn Fn(&str) -> Result<String>,
    ) -> Result<Options> {
        let mut labels = BTreeMap::new();
        for file in &args.label_file {
            for line in lines(&read(file)?) {
                labels.extend([label(line)?]);
            }
        }
        for text in &args.label {
            labels.extend([label(text)?]);
        }
        Ok(Options {
            labels,
            annotations: args.annotation.iter().map(|text| label(text)).collect::<Result<_>>()?,
            stop_signal: args
                .stop_signal
                .as_deref()
                .map(values::signal)
                .transpose()
                .context("--stop-signal")?,
            stop_timeout: args.stop_timeout,
            domainname: args.domainname.clone(),
            hosts: args.add_host.iter().map(|text| host(text)).collect::<Result<_>>()?,
            dns: args.dns.iter().map(|text| address(text).context("--dns")).collect::<Result<_>>()?,
            // A dot alone: no domain is searched.
            dns_search: args.dns_search.iter().filter(|domain| *domain != ".").cloned().collect(),
            dns_options: args.dns_option.clone(),
            expose: expose(&args.expose)?,
            ulimits: args.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_>>()?,
            shm_size: args.shm_size.as_deref().map(values::bytes).transpose().context("--shm-size")?,
            sysctls: args.sysctl.iter().map(|text| sysctl(text, network)).collect::<Result<_>>()?,
            oom_score_adj: match args.oom_score_adj {
                Some(score) if !(-1000..=1000).contains(&score) => {
                    bail!("--oom-score-adj {score}: from -1000 to 1000")
                }
                score => score,
            },
            ..Options::default()
        })
    }
}

impl Options {
    /// Nothing that is executed gains privileges.
    pub(crate) fn no_new_privileges(&self) -> bool {
        self.no_new_privileges || self.security.no_new_privileges
    }
}

/// The lines of an env or label file that say something: not empty, no comment.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `K=V`, or `K` for an empty value.
fn label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    ensure!(!key.trim().is_empty(), "invalid label {text:?}: it has no name");
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; the address may be `host-gateway`.
fn host(text: &str) -> Result<(String, Option<IpAddr>)> {
    let split = text.split_once(['=', ':']).filter(|(name, _)| !name.is_empty());
    let (name, at) = split.with_context(|| format!("invalid host {text:?}: NAME:ADDRESS"))?;
    ensure!(
        !name.contains(|character: char| character.is_whitespace() || character.is_control()),
        "invalid host name {name:?}"
    );
    let at = if at == "host-gateway" { None } else { Some(address(at).context("--add-host")?) };
    Ok((name.to_owned(), at))
}

fn address(text: &str) -> Result<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok().with_context(|| format!("invalid address: {text:?}"))
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn expose(texts: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for text in texts {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        ensure!(["tcp", "udp", "sctp"].contains(&protocol), "invalid protocol in --expose {text:?}");
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        match number(first).zip(number(last)) {
            Some((first, last)) if first <= last => {
                all.extend((first..=last).map(|port| format!("{port}/{protocol}")));
            }
            _ => bail!("invalid port in --expose {text:?}"),
        }
    }
    Ok(all)
}

/// `NAME=SOFT[:HARD]`; -1 is no limit.
fn ulimit(text: &str) -> Result<Ulimit> {
    let invalid = || format!("invalid ulimit {text:?}: NAME=SOFT[:HARD]");
    let (name, limits) = text.split_once('=').with_context(invalid)?;
    ensure!(
        kind(name).is_some(),
        "unknown ulimit {name:?}: one of {}",
        RLIMITS.map(|(name, _)| name).join(", ")
    );
    let number = |text: &str| match text {
        "-1" | "unlimited" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = number(soft).zip(number(hard)).with_context(invalid)?;
    ensure!(soft <= hard, "ulimit {text:?}: the soft limit must not be above the hard one");
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// The names that `--ulimit` takes.
pub(crate) fn limit_names() -> impl Iterator<Item = &'static str> {
    RLIMITS.iter().map(|(name, _)| *name)
}

/// Names of limits (setrlimit(2)), as docker takes them.
const RLIMITS: [(&str, PosixRlimitType); 15] = [
    ("core", PosixRlimitType::RlimitCore),
    ("cpu", PosixRlimitType::RlimitCpu),
    ("data", PosixRlimitType::RlimitData),
    ("fsize", PosixRlimitType::RlimitFsize),
    ("locks", PosixRlimitType::RlimitLocks),
    ("memlock", PosixRlimitType::RlimitMemlock),
    ("msgqueue", PosixRlimitType::RlimitMsgqueue),
    ("nice", PosixRlimitType::RlimitNice),
    ("nofile", PosixRlimitType::RlimitNofile),
    ("nproc", PosixRlimitType::RlimitNproc),
    ("rss", PosixRlimitType::RlimitRss),
    ("rtprio", PosixRlimitType::RlimitRtprio),
    ("rttime", PosixRlimitType::RlimitRttime),
    ("sigpending", PosixRlimitType::RlimitSigpending),
    ("stack", PosixRlimitType::RlimitStack),
];

fn kind(name: &str) -> Option<PosixRlimitType> {
    RLIMITS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

impl Ulimit {
    /// As an OCI spec says it.
    ///
    /// # Errors
    /// A name that is none: a record that was not written by this mini.
    pub(crate) fn of_oci(&self) -> Result<PosixRlimit> {
        let kind = kind(&self.name).with_context(|| format!("unknown ulimit {:?}", self.name))?;
        Ok(PosixRlimitBuilder::default().typ(kind).soft(self.soft).hard(self.hard).build()?)
    }
}

/// `KEY=VALUE`; only what belongs to a namespace of the container's own (runc's rule).
fn sysctl(text: &str, network: NetworkMode) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').with_context(|| format!("invalid sysctl {text:?}: KEY=VALUE"))?;
    let key = key.trim();
    let dotted = key.replace('/', ".");
    ensure!(!dotted.split('.').any(str::is_empty), "invalid sysctl {text:?}");
    let of_ipc =
        ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"]
            .contains(&dotted.as_str())
            || ["kernel.shmmni", "kernel.shm_rmid_forced"].contains(&dotted.as_str())
            || dotted.starts_with("fs.mqueue.");
    let of_network = dotted.starts_with("net.");
    ensure!(
        !of_network || network != NetworkMode::Host,
        "sysctl {key:?} cannot be set with --network host: it is the host's"
    );
    ensure!(
        of_ipc || of_network,
        "sysctl {key:?} belongs to no namespace of the container: it would be set for the whole host"
    );
    Ok((key.to_owned(), value.to_owned()))
}

/// The container's resolv.conf: the host's as it may be seen inside, with what was asked for in its place (docker's rule:
/// each kind replaces its own).
pub(crate) fn resolv_conf(options: &Options, host: &str) -> String {
    let mut text = String::new();
    let replaced = |line: &str| {
        let keyword = line.split_whitespace().next().unwrap_or_default();
        match keyword {
            "nameserver" => !options.dns.is_empty(),
            "search" | "domain" => !options.dns_search.is_empty(),
            "options" => !options.dns_options.is_empty(),
            _ => false,
        }
    };
    for line in host.lines().filter(|line| !replaced(line)) {
        text += &format!("{line}\n");
    }
    if !options.dns_search.is_empty() {
        text += &format!("search {}\n", options.dns_search.join(" "));
    }
    for server in &options.dns {
        text += &format!("nameserver {server}\n");
    }
    if !options.dns_options.is_empty() {
        text += &format!("options {}\n", options.dns_options.join(" "));
    }
    text
}

/// Names for /etc/hosts; the host is its bridge's address, or loopback on its own network.
pub(crate) fn extra_hosts(options: &Options, gateway: Option<Ipv4Addr>) -> Vec<(String, IpAddr)> {
    let host = IpAddr::V4(gateway.unwrap_or(Ipv4Addr::LOCALHOST));
    options.hosts.iter().map(|(name, address)| (name.clone(), address.unwrap_or(host))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_are_as_docker_takes_them() {
        let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
        assert_eq!(ulimit("nofile=1024:2048").unwrap(), limit("nofile", 1024, 2048));
        assert_eq!(ulimit("core=-1").unwrap(), limit("core", u64::MAX, u64::MAX));
        assert_eq!(ulimit("nproc=3").unwrap(), limit("nproc", 3, 3));
        for bad in ["nofile", "nofile=", "nofile=2:1", "what=1", "nofile=-1:5", "nofile=a"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_sysctls_of_the_containers_own_namespaces() {
        let bridge = |text| sysctl(text, NetworkMode::Bridge);
        for good in
            ["net.ipv4.ip_forward=1", "kernel.shmmax=1000", "fs.mqueue.msg_max=20", "net/core/somaxconn=9"]
        {
            assert!(bridge(good).is_ok(), "{good}");
        }
        for bad in
            ["kernel.panic=1", "vm.swappiness=1", "net..x=1", "x", "kernel.hostname=x", "fs.file-max=1"]
        {
            assert!(bridge(bad).is_err(), "{bad}");
        }
        assert!(sysctl("net.ipv4.ip_forward=1", NetworkMode::Host).is_err());
    }

    #[test]
    fn each_kind_of_resolver_setting_replaces_its_own() {
        let host = "search example\nnameserver 10.0.0.1\noptions ndots:2\n";
        let options = Options { dns: vec![[9, 9, 9, 9].into()], ..Options::default() };
        assert_eq!(resolv_conf(&options, host), "search example\noptions ndots:2\nnameserver 9.9.9.9\n");
        let options = Options {
            dns_search: vec!["a".into(), "b".into()],
            dns_options: vec!["rotate".into()],
            ..Options::default()
        };
        assert_eq!(resolv_conf(&options, host), "nameserver 10.0.0.1\nsearch a b\noptions rotate\n");
        assert_eq!(resolv_conf(&Options::default(), host), host);
    }

    #[test]
    fn hosts_have_names_and_addresses() {
        assert_eq!(host("db:10.0.0.1").unwrap(), ("db".into(), Some([10, 0, 0, 1].into())));
        assert_eq!(host("v6=::1").unwrap().1, Some("::1".parse().unwrap()));
        assert_eq!(host("v6:[fe80::1]").unwrap().1, Some("fe80::1".parse().unwrap()));
        assert_eq!(host("me:host-gateway").unwrap().1, None);
        for bad in ["db", ":1.2.3.4", "db:1.2.3", "a b:1.2.3.4", "a\n1.1.1.1 b:1.2.3.4"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_of_labels_have_comments_and_empty_lines() {
        let text = "\u{feff}A=1\n\n# no\n  B=2 \n";
        assert_eq!(lines(text).collect::<Vec<_>>(), ["A=1", "B=2 "]);
    }

    #[test]
    fn ports_are_exposed_one_by_one() {
        let ports = expose(&["80".into(), "8000-8002/udp".into()]).unwrap();
        assert_eq!(ports, ["80/tcp", "8000/udp", "8001/udp", "8002/udp"]);
        for bad in ["0", "x", "80/icmp", "9-8"] {
            assert!(expose(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
