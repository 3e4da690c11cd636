//! The two files that tell a container who it is and whom to ask: /etc/hosts and /etc/resolv.conf. PURE.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// What docker writes into every /etc/hosts, in its order.
const LOCAL: [(&str, &str); 6] = [
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
];

/// Whom docker asks where the host names no server that a container could reach.
const PUBLIC_SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)];

/// /etc/hosts as docker writes it: the local names, what `--add-host` adds, and the container itself.
///
/// `own` is the container's address, `None` without a network. A host name with a domain also gets its first part, as
/// hosts(5) advises: canonical name first, aliases after.
pub fn hosts_file(hostname: &str, own: Option<Ipv4Addr>, extra: &[(String, IpAddr)]) -> String {
    let mut text = String::new();
    let mut line = |address: &str, names: &str| {
        writeln!(text, "{address}\t{names}").expect("a String takes every text");
    };
    for (address, names) in LOCAL {
        line(address, names);
    }
    for (name, address) in extra {
        line(&address.to_string(), name);
    }
    if let Some(address) = own {
        let alias = hostname.split_once('.').map(|(short, _)| format!(" {short}")).unwrap_or_default();
        line(&address.to_string(), &format!("{hostname}{alias}"));
    }
    text
}

/// The container's resolv.conf, made from the host's as docker makes it.
///
/// Every line stays but the name servers that mean nothing inside: those on the host's loopback (they would be the
/// container's own) and those with an IPv6 address (containers have none). Where no server is left, public ones are asked.
pub fn resolv_conf(host: &str) -> String {
    let mut text = String::new();
    let mut servers = 0;
    for line in host.lines() {
        match name_server(line) {
            Some(server) if usable(server) => servers += 1,
            Some(_) => continue,
            None => {}
        }
        text.push_str(line);
        text.push('\n');
    }
    if servers == 0 {
        for server in PUBLIC_SERVERS {
            writeln!(text, "nameserver {server}").expect("a String takes every text");
        }
    }
    text
}

/// Whether systemd-resolved's stub is all that the host's resolv.conf names: the servers behind it then stand in
/// /run/systemd/resolve/resolv.conf (systemd-resolved.service(8)).
pub fn is_systemd_stub(host: &str) -> bool {
    let mut servers = host.lines().filter_map(name_server).peekable();
    servers.peek().is_some() && servers.all(|server| server == "127.0.0.53")
}

/// The server that a line names: the keyword stands at the line's beginning, white space follows (resolv.conf(5)).
fn name_server(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("nameserver")?;
    rest.starts_with([' ', '\t']).then(|| rest.split_whitespace().next())?
}

fn usable(server: &str) -> bool {
    server.parse::<Ipv4Addr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL_TEXT: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                              ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

    #[test]
    fn hosts_is_what_docker_writes() {
        let own = Some(Ipv4Addr::new(10, 87, 0, 2));
        let extra =
            [("db".to_owned(), "10.0.0.9".parse().unwrap()), ("six".to_owned(), "fd00::1".parse().unwrap())];
        assert_eq!(hosts_file("web", own, &[]), format!("{LOCAL_TEXT}10.87.0.2\tweb\n"));
        assert_eq!(
            hosts_file("web.example.org", own, &[]),
            format!("{LOCAL_TEXT}10.87.0.2\tweb.example.org web\n")
        );
        assert_eq!(
            hosts_file("web", own, &extra),
            format!("{LOCAL_TEXT}10.0.0.9\tdb\nfd00::1\tsix\n10.87.0.2\tweb\n")
        );
        assert_eq!(hosts_file("web", None, &[]), LOCAL_TEXT);
    }

    #[test]
    fn resolv_conf_keeps_what_works_inside() {
        let public = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
        let table = [
            ("nameserver 10.0.0.2\n", "nameserver 10.0.0.2\n".to_owned()),
            ("nameserver 10.0.0.2", "nameserver 10.0.0.2\n".to_owned()),
            ("nameserver\t10.0.0.2 \n", "nameserver\t10.0.0.2 \n".to_owned()),
            ("", public.to_owned()),
            ("search a b\n", format!("search a b\n{public}")),
            (
                "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n",
                format!("options edns0 trust-ad\nsearch lan\n{public}"),
            ),
            ("nameserver 127.1.2.3\nnameserver 10.0.0.2\n", "nameserver 10.0.0.2\n".to_owned()),
            ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n", public.to_owned()),
            ("nameserver 0.0.0.0\n", public.to_owned()),
            (
                "# nameserver 10.0.0.2\n nameserver 10.0.0.3\nnameservers 10.0.0.4\n",
                format!("# nameserver 10.0.0.2\n nameserver 10.0.0.3\nnameservers 10.0.0.4\n{public}"),
            ),
        ];
        for (host, expected) in table {
            assert_eq!(resolv_conf(host), expected, "{host:?}");
        }
    }

    #[test]
    fn the_stub_alone_is_the_stub() {
        let table = [
            ("nameserver 127.0.0.53\noptions edns0\n", true),
            ("nameserver 127.0.0.53\nnameserver 10.0.0.2\n", false),
            ("nameserver 127.0.0.1\n", false),
            ("search lan\n", false),
            ("", false),
        ];
        for (host, expected) in table {
            assert_eq!(is_systemd_stub(host), expected, "{host:?}");
        }
    }
}
