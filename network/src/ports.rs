//! Published ports: docker's `-p` syntax in, docker's PORTS column out. PURE.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is published: packets for the host's side are translated to the container's.
///
/// Its text is docker's, `0.0.0.0:8080->80/tcp`, and can be parsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// One address of the host; 0.0.0.0 is every address it has.
    pub host_ip: Ipv4Addr,
    /// Never 0.
    pub host_port: u16,
    /// Never 0.
    pub container_port: u16,
    /// TCP alone, so far.
    pub protocol: Protocol,
}

/// What one `-p` asks for, port by port; which host port it becomes is [`reserve`](crate::reserve())'s to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// `None`: every address of the host.
    pub host_ip: Option<Ipv4Addr>,
    /// One port, or the choice among several.
    pub host_port: HostPort,
    /// Never 0.
    pub container_port: u16,
    /// TCP alone, so far.
    pub protocol: Protocol,
}

/// Which port of the host is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPort {
    /// Any free one, of the kernel's choice (`net.ipv4.ip_local_port_range`).
    Ephemeral,
    /// This one.
    One(u16),
    /// The first free one of these, both included (`-p 8000-8010:80`).
    FirstFree(u16, u16),
}

/// The transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
}

/// Why a `-p` makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePortError {
    /// `-p ""`, `-p 8080:`
    #[error("no container port in {0:?}")]
    NoContainerPort(String),
    /// Not a number between 1 and 65535, nor a range of such.
    #[error("invalid container port {0:?}")]
    ContainerPort(String),
    /// Not a number between 0 and 65535, nor a range of such.
    #[error("invalid host port {0:?}")]
    HostPort(String),
    /// What stands before the host port is no address.
    #[error("invalid host address {0:?}")]
    HostIp(String),
    /// An IPv6 address: containers have none yet.
    #[error("cannot publish on the IPv6 address {0}: published ports are IPv4 only")]
    Ipv6(String),
    /// `/udp`, `/sctp`: known, not done yet.
    #[error("cannot publish a {0} port: published ports are tcp only")]
    UnsupportedProtocol(String),
    /// Anything else after the slash.
    #[error("invalid protocol {0:?}")]
    Protocol(String),
    /// `8000-8010:80-85`
    #[error("the host's ports {host} and the container's ports {container} are not equally many")]
    Ranges {
        /// As it was typed.
        host: String,
        /// As it was typed.
        container: String,
    },
    /// Not the text of a [`PortMapping`].
    #[error("invalid port mapping {0:?}")]
    Mapping(String),
}

/// Reads one `-p`: `[[HOST_IP:][HOST_PORT]:]CONTAINER_PORT[/PROTOCOL]`, where ports may be ranges.
///
/// The rules are docker's: without a host port each container port gets an ephemeral one; a range of host ports for a
/// single container port is a choice; two ranges must be equally long.
///
/// # Errors
/// Which part is wrong, as it was typed.
pub fn parse_publish(text: &str) -> Result<Vec<PortRequest>, ParsePortError> {
    let (addresses, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        known @ ("udp" | "sctp") => return Err(ParsePortError::UnsupportedProtocol(known.into())),
        _ => return Err(ParsePortError::Protocol(protocol.into())),
    };
    // From the right: an IPv6 address has colons of its own.
    let (rest, container) = cut_last_part(addresses);
    let (ip, host) = rest.map_or((None, ""), cut_last_part);
    let host_ip = ip.map(host_ip).transpose()?.flatten();
    if container.is_empty() {
        return Err(ParsePortError::NoContainerPort(text.into()));
    }
    let containers = range(container).filter(|(first, _)| *first > 0);
    let (first, last) = containers.ok_or_else(|| ParsePortError::ContainerPort(container.into()))?;
    let hosts = match host {
        "" => None,
        _ => Some(range(host).ok_or_else(|| ParsePortError::HostPort(host.into()))?),
    };
    let host_port = |index: u16| match hosts {
        None | Some((0, 0)) => HostPort::Ephemeral,
        Some((from, to)) if to - from == last - first => HostPort::One(from + index),
        Some((from, to)) => HostPort::FirstFree(from, to),
    };
    // A range that begins with 0 asks for no port that exists; several container ports cannot share a choice.
    match hosts {
        Some((0, to)) if to > 0 => return Err(ParsePortError::HostPort(host.into())),
        Some((from, to)) if (from, to) != (0, 0) && first != last && to - from != last - first => {
            return Err(ParsePortError::Ranges { host: host.into(), container: container.into() });
        }
        _ => {}
    }
    let request =
        |port| PortRequest { host_ip, host_port: host_port(port - first), container_port: port, protocol };
    Ok((first..=last).map(request).collect())
}

/// What stands behind the last colon, and what before it.
fn cut_last_part(text: &str) -> (Option<&str>, &str) {
    text.rsplit_once(':').map_or((None, text), |(before, last)| (Some(before), last))
}

/// `None` is every address: docker takes an empty one (`-p :8080:80`) for that, and so does 0.0.0.0.
fn host_ip(text: &str) -> Result<Option<Ipv4Addr>, ParsePortError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse() {
        Ok(IpAddr::V4(ip)) if bare.len() == text.len() => Ok(Some(ip).filter(|ip| !ip.is_unspecified())),
        Ok(IpAddr::V6(_)) => Err(ParsePortError::Ipv6(bare.into())),
        _ if text.is_empty() => Ok(None),
        _ => Err(ParsePortError::HostIp(text.into())),
    }
}

/// `80` or `80-90`, first not above last.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Digits alone: `str::parse` would take a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The PORTS column of `ps`, as docker groups it: runs of equal ports become ranges, ports that the image only exposes
/// (number and protocol) stand without an arrow.
pub fn display_ports(published: &[PortMapping], exposed: &[(u16, &str)]) -> String {
    let mut ports: Vec<_> = published
        .iter()
        .map(|mapping| (mapping.container_port, mapping.host_ip.to_string(), mapping.host_port, "tcp"))
        .chain(
            exposed
                .iter()
                .filter(|(port, protocol)| !is_published(published, *port, protocol))
                .map(|(port, protocol)| (*port, String::new(), 0, *protocol)),
        )
        .collect();
    ports.sort();

    // Per address and protocol the run of ports that is still growing, in order of appearance.
    let mut runs: Vec<(String, &str, u16, u16)> = Vec::new();
    let (mut finished, mut moved) = (Vec::new(), Vec::new());
    for (container, ip, host, protocol) in ports {
        if !ip.is_empty() && host != container {
            moved.push(format!("{ip}:{host}->{container}/{protocol}"));
            continue;
        }
        match runs.iter_mut().find(|run| run.0 == ip && run.1 == protocol) {
            None => runs.push((ip, protocol, container, container)),
            Some(run) if run.3.checked_add(1) == Some(container) => run.3 = container,
            Some(run) => {
                finished.push(display_run(run));
                (run.2, run.3) = (container, container);
            }
        }
    }
    finished.extend(runs.iter().map(display_run));
    finished.extend(moved);
    finished.join(", ")
}

fn is_published(published: &[PortMapping], port: u16, protocol: &str) -> bool {
    published.iter().any(|mapping| mapping.container_port == port && mapping.protocol.to_string() == protocol)
}

fn display_run((ip, protocol, first, last): &(String, &str, u16, u16)) -> String {
    let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if ip.is_empty() { format!("{ports}/{protocol}") } else { format!("{ip}:{ports}->{ports}/{protocol}") }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
        }
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host_ip, host_port, container_port, protocol } = self;
        write!(f, "{host_ip}:{host_port}->{container_port}/{protocol}")
    }
}

impl FromStr for PortMapping {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (host, container) = text.split_once("->")?;
            let (ip, host_port) = host.split_once(':')?;
            let container_port = container.strip_suffix("/tcp")?;
            let (host_port, container_port) = (number(host_port)?, number(container_port)?);
            let mapping =
                Self { host_ip: ip.parse().ok()?, host_port, container_port, protocol: Protocol::Tcp };
            (host_port > 0 && container_port > 0).then_some(mapping)
        };
        parse().ok_or_else(|| ParsePortError::Mapping(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host_ip: Option<&str>, host_port: HostPort, container_port: u16) -> PortRequest {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        PortRequest { host_ip, host_port, container_port, protocol: Protocol::Tcp }
    }

    #[test]
    fn publish_is_read_as_docker_reads_it() {
        use HostPort::{Ephemeral, FirstFree, One};
        let table = [
            ("80", vec![request(None, Ephemeral, 80)]),
            ("80/tcp", vec![request(None, Ephemeral, 80)]),
            ("80/TCP", vec![request(None, Ephemeral, 80)]),
            ("8080:80", vec![request(None, One(8080), 80)]),
            (":80", vec![request(None, Ephemeral, 80)]),
            ("0:80", vec![request(None, Ephemeral, 80)]),
            ("127.0.0.1:8080:80", vec![request(Some("127.0.0.1"), One(8080), 80)]),
            ("127.0.0.1::80", vec![request(Some("127.0.0.1"), Ephemeral, 80)]),
            ("0.0.0.0:8080:80", vec![request(None, One(8080), 80)]),
            (":8080:80", vec![request(None, One(8080), 80)]),
            (
                "80-82",
                vec![
                    request(None, Ephemeral, 80),
                    request(None, Ephemeral, 81),
                    request(None, Ephemeral, 82),
                ],
            ),
            ("8000-8001:80-81", vec![request(None, One(8000), 80), request(None, One(8001), 81)]),
            ("8000-8010:80", vec![request(None, FirstFree(8000, 8010), 80)]),
            ("127.0.0.1:8000-8010:80", vec![request(Some("127.0.0.1"), FirstFree(8000, 8010), 80)]),
            ("8000-8000:80", vec![request(None, One(8000), 80)]),
            ("65535:65535", vec![request(None, One(65535), 65535)]),
        ];
        for (text, expected) in table {
            assert_eq!(parse_publish(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn publish_names_the_part_that_is_wrong() {
        use ParsePortError as Error;
        let ranges =
            |host: &str, container: &str| Error::Ranges { host: host.into(), container: container.into() };
        let table = [
            ("", Error::NoContainerPort(String::new())),
            ("8080:", Error::NoContainerPort("8080:".into())),
            ("/tcp", Error::NoContainerPort("/tcp".into())),
            ("8080:x", Error::ContainerPort("x".into())),
            ("8080:0", Error::ContainerPort("0".into())),
            ("8080:+80", Error::ContainerPort("+80".into())),
            ("8080:65536", Error::ContainerPort("65536".into())),
            ("90-80", Error::ContainerPort("90-80".into())),
            ("x:80", Error::HostPort("x".into())),
            ("127.0.0.1:80", Error::HostPort("127.0.0.1".into())),
            ("-8080:80", Error::HostPort("-8080".into())),
            ("0-10:80", Error::HostPort("0-10".into())),
            ("localhost:8080:80", Error::HostIp("localhost".into())),
            ("1.2.3:8080:80", Error::HostIp("1.2.3".into())),
            ("[127.0.0.1]:8080:80", Error::HostIp("[127.0.0.1]".into())),
            ("[::1]:8080:80", Error::Ipv6("::1".into())),
            ("::1:8080:80", Error::Ipv6("::1".into())),
            ("53:53/udp", Error::UnsupportedProtocol("udp".into())),
            ("53:53/SCTP", Error::UnsupportedProtocol("sctp".into())),
            ("80/http", Error::Protocol("http".into())),
            ("80/", Error::Protocol(String::new())),
            ("8000-8010:80-85", ranges("8000-8010", "80-85")),
            ("8000:80-85", ranges("8000", "80-85")),
        ];
        for (text, expected) in table {
            assert_eq!(parse_publish(text), Err(expected), "{text}");
        }
    }

    fn mapping(text: &str) -> PortMapping {
        text.parse().unwrap()
    }

    #[test]
    fn a_mapping_survives_its_text() {
        for text in ["0.0.0.0:8080->80/tcp", "127.0.0.1:1->65535/tcp"] {
            assert_eq!(mapping(text).to_string(), text);
        }
        for text in [
            "",
            "0.0.0.0:8080->80/udp",
            "0.0.0.0:0->80/tcp",
            "0.0.0.0:80->0/tcp",
            "8080->80/tcp",
            "x:1->1/tcp",
        ] {
            assert_eq!(text.parse::<PortMapping>(), Err(ParsePortError::Mapping(text.into())));
        }
    }

    #[test]
    fn ports_are_grouped_as_docker_groups_them() {
        type Row<'a> = (&'a [&'a str], &'a [(u16, &'a str)], &'a str);
        let table: [Row<'_>; 7] = [
            (&[], &[], ""),
            (&["0.0.0.0:8080->80/tcp"], &[], "0.0.0.0:8080->80/tcp"),
            (
                &["0.0.0.0:80->80/tcp", "0.0.0.0:81->81/tcp", "0.0.0.0:83->83/tcp"],
                &[],
                "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:83->83/tcp",
            ),
            (
                &["127.0.0.1:80->80/tcp", "0.0.0.0:81->81/tcp"],
                &[],
                "127.0.0.1:80->80/tcp, 0.0.0.0:81->81/tcp",
            ),
            (
                &["0.0.0.0:9000->90/tcp", "0.0.0.0:443->443/tcp"],
                &[],
                "0.0.0.0:443->443/tcp, 0.0.0.0:9000->90/tcp",
            ),
            (
                &["0.0.0.0:8080->80/tcp"],
                &[(80, "tcp"), (443, "tcp"), (444, "tcp"), (53, "udp")],
                "53/udp, 443-444/tcp, 0.0.0.0:8080->80/tcp",
            ),
            (&[], &[(65535, "tcp")], "65535/tcp"),
        ];
        for (published, exposed, expected) in table {
            let published: Vec<_> = published.iter().map(|text| mapping(text)).collect();
            assert_eq!(display_ports(&published, exposed), expected);
        }
    }
}
