//! What a lease's file says: whose address it is and which ports lead to it. PURE.
//!
//! The lock on the file says whether the lease is held; the text tells people, `check`, and whoever has to make a table
//! again that something else has flushed.

use std::fmt;

use crate::ports::PortMapping;

/// First line of the file; another one is another format.
const FORMAT: &str = "mini lease 1";

/// The content of a lease's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) container: String,
    pub(crate) owner: String,
    pub(crate) ports: Vec<PortMapping>,
}

impl Record {
    /// `None`: not a whole record. An empty file is that of a monitor that died before it had written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.lines();
        (lines.next()? == FORMAT).then_some(())?;
        let container = lines.next()?.strip_prefix("container ")?.to_owned();
        let owner = lines.next()?.strip_prefix("owner ")?.to_owned();
        let ports = lines.map(|line| line.strip_prefix("port ")?.parse().ok()).collect::<Option<_>>()?;
        Some(Self { container, owner, ports })
    }

    /// Whether these are containers of `owner`; both may hold anything, a line break too.
    pub(crate) fn is_of(&self, owner: &str) -> bool {
        self.owner == one_line(owner)
    }
}

/// A text without line breaks: escaped as in Rust's literals.
pub(crate) fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORMAT}\ncontainer {}\nowner {}", self.container, self.owner)?;
        self.ports.iter().try_for_each(|port| writeln!(f, "port {port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text() {
        let ports =
            ["0.0.0.0:8080->80/tcp", "127.0.0.1:8443->443/tcp"].map(|port| port.parse().unwrap()).to_vec();
        for ports in [Vec::new(), ports] {
            let record = Record { container: "3f2a".into(), owner: one_line("/var/lib/a b\nport 1"), ports };
            assert_eq!(Record::parse(&record.to_string()), Some(record.clone()));
            assert!(record.is_of("/var/lib/a b\nport 1"));
            assert!(!record.is_of("/var/lib/a b"));
        }
    }

    #[test]
    fn half_a_record_is_none() {
        let whole = "mini lease 1\ncontainer 3f2a\nowner /var/lib/mini\nport 0.0.0.0:8080->80/tcp\n";
        assert!(Record::parse(whole).is_some());
        let whole_without_ports = whole.find("port").unwrap();
        for length in (0..whole.len()).filter(|length| *length != whole_without_ports) {
            assert_eq!(Record::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Record::parse(&whole.replace("lease 1", "lease 2")), None);
    }
}
