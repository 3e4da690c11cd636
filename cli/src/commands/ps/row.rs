//! A container as a line of `ps`, in docker's words.

use runtime::record::Status;
use serde_json::{Value as Json, json};

use super::look::{Listed, Shown};
use crate::clock;
use crate::health::HealthStatus;
use crate::output::format::Row;
use crate::output::{size, table, template};

/// A container that is listed.
pub(in crate::commands) struct ContainerRow<'a> {
    pub(in crate::commands) listed: Listed<'a>,
    /// Nothing is cut short.
    pub(in crate::commands) whole: bool,
    pub(in crate::commands) counted: Counted,
}

/// Which files are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Counted {
    Nothing,
    /// Its own: so many bytes.
    Own(u64),
    /// Its own, and these with its image's.
    All,
}

impl Row for ContainerRow<'_> {
    const KIND: &'static str = "container";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("HealthStatus", "HEALTH STATUS"),
        ("ID", "CONTAINER ID"),
        ("IPAddresses", "IP ADDRESSES"),
        ("Image", "IMAGE"),
        ("Labels", "LABELS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Mounts", "MOUNTS"),
        ("Names", "NAMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
        ("Ports", "PORTS"),
        ("RunningFor", "CREATED"),
        ("Size", "SIZE"),
        ("State", "STATE"),
        ("Status", "STATUS"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let record = &self.listed.entry.record;
        let now = self.listed.look.now;
        let text = match name {
            "Command" => {
                let most = if self.whole { usize::MAX } else { 20 };
                template::quoted(&table::shortened(&command(&record.command), most))
            }
            "CreatedAt" => clock::human_time(record.created / 1_000_000_000 * 1_000_000_000),
            "HealthStatus" => self.listed.health().map_or("", HealthStatus::word).to_owned(),
            "ID" => self.id(&record.id).to_owned(),
            "IPAddresses" => {
                let addresses = self.listed.addresses().into_iter();
                return Some(addresses.map(|(network, address)| format!("{network}/{address}")).collect());
            }
            "Image" => self.image(),
            "Labels" => {
                let labels = self.listed.shown.labels.iter().map(|(key, value)| format!("{key}={value}"));
                labels.collect::<Vec<_>>().join(",")
            }
            "LocalVolumes" => self.listed.volume_count().to_string(),
            "Mounts" => {
                let sources =
                    self.listed.volumes().into_iter().map(|(source, _)| source.display().to_string());
                let most = if self.whole { usize::MAX } else { 15 };
                sources.map(|source| table::shortened(&source, most)).collect::<Vec<_>>().join(",")
            }
            "Names" => record.name.clone(),
            "Networks" => self.listed.network().name().to_owned(),
            "Platform" => self.listed.platform().map(|platform| platform.to_string()).unwrap_or_default(),
            "Ports" if self.listed.is_running() => {
                let shown = &self.listed.shown;
                network::display_ports(&shown.ports, &exposed(shown))
            }
            "Ports" => String::new(),
            "RunningFor" => format!("{} ago", clock::human(now.saturating_sub(record.created))),
            "Size" => self.size(),
            "State" => self.listed.state().to_owned(),
            "Status" => {
                let paused = self.listed.is_running() && self.listed.is_paused();
                status(&self.listed.entry.status, self.listed.health(), paused, now)
            }
            _ => return None,
        };
        Some(text.into())
    }

    fn in_json(&self, name: &str) -> Option<Json> {
        match name {
            "IPAddresses" => {
                let addresses = self.listed.addresses().into_iter();
                Some(
                    addresses
                        .map(|(network, address)| json!({ "IP": address, "Network": network }))
                        .collect(),
                )
            }
            "Platform" => Some(self.listed.platform().map_or(
                Json::Null,
                |platform| json!({ "architecture": platform.architecture, "os": platform.os }),
            )),
            name => self.column(name),
        }
    }

    fn label(&self, key: &str) -> Option<String> {
        Some(self.listed.shown.labels.get(key).cloned().unwrap_or_default())
    }
}

impl ContainerRow<'_> {
    fn id<'t>(&self, id: &'t str) -> &'t str {
        if self.whole { id } else { short(id) }
    }

    /// As it was asked for; its id where that name is another image's by now.
    fn image(&self) -> String {
        let record = &self.listed.entry.record;
        let (name, id) = (&record.image, &record.image_id);
        if id.is_empty() {
            return name.clone(); // a directory
        }
        if self.listed.look.image_id(name).as_ref() != Some(id) {
            return self.id(id).to_owned();
        }
        if self.whole {
            return name.clone();
        }
        if short(name) == short(id) {
            return short(id).to_owned();
        }
        let reference: Option<image::Reference> = name.parse().ok();
        // The digest is cut off, the tag is not.
        reference.map_or_else(
            || name.clone(),
            |name| {
                let tag = name.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
                name.familiar_name() + &tag
            },
        )
    }

    /// `0B (virtual 4.26MB)`; without `--size` docker counts nothing, and says so with a 0.
    fn size(&self) -> String {
        let (own, all) = match self.counted {
            Counted::Nothing => (0, 0),
            Counted::Own(own) => (own, 0),
            Counted::All => self.listed.sizes(),
        };
        match all {
            0 => size::decimal(own),
            all => format!("{} (virtual {})", size::decimal(own), size::decimal(all)),
        }
    }
}

/// The twelve digits that people type.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// Program and arguments, those with spaces in quotes. PURE.
fn command(words: &[String]) -> String {
    let quoted = |(index, word): (usize, &String)| match word.contains(' ') && index > 0 {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    words.iter().enumerate().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The STATUS column. PURE.
fn status(status: &Status, health: Option<HealthStatus>, paused: bool, now: u64) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running { since, supervised } => {
            let alone = if *supervised { "" } else { " (unsupervised)" };
            let health = health.map_or("", HealthStatus::in_brackets);
            let remark = if paused { " (Paused)" } else { health };
            format!("Up {}{alone}{remark}", clock::human(now.saturating_sub(*since)))
        }
        Status::Restarting { code, finished } => {
            format!("Restarting ({code}) {} ago", clock::human(now.saturating_sub(*finished)))
        }
        Status::Exited { code, finished: Some(finished), .. } => {
            format!("Exited ({code}) {} ago", clock::human(now.saturating_sub(*finished)))
        }
        Status::Exited { code, finished: None, reason } => {
            format!("Exited ({code}) {}", reason.as_deref().unwrap_or("at an unknown time"))
        }
    }
}

/// `80/tcp` → (80, "tcp").
fn exposed(shown: &Shown) -> Vec<(u16, &str)> {
    shown
        .exposed
        .iter()
        .filter_map(|text| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            Some((port.parse().ok()?, protocol))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_dockers_words() {
        let minute = 60_000_000_000;
        let exited = |finished, reason: Option<&str>| Status::Exited {
            code: 137,
            finished,
            reason: reason.map(Into::into),
        };
        let running = |supervised| Status::Running { since: 8 * minute, supervised };
        for (given, health, paused, expected) in [
            (Status::Created, None, false, "Created"),
            (running(true), None, false, "Up 2 minutes"),
            (running(true), Some(HealthStatus::Starting), false, "Up 2 minutes (health: starting)"),
            (running(true), Some(HealthStatus::Healthy), false, "Up 2 minutes (healthy)"),
            (running(true), Some(HealthStatus::Unhealthy), false, "Up 2 minutes (unhealthy)"),
            (running(true), Some(HealthStatus::Healthy), true, "Up 2 minutes (Paused)"),
            (running(false), None, false, "Up 2 minutes (unsupervised)"),
            (exited(Some(10 * minute - 3_000_000_000), None), None, false, "Exited (137) 3 seconds ago"),
            (
                Status::Restarting { code: 1, finished: 10 * minute - 5_000_000_000 },
                None,
                false,
                "Restarting (1) 5 seconds ago",
            ),
            (exited(None, Some("monitor lost")), None, false, "Exited (137) monitor lost"),
        ] {
            assert_eq!(status(&given, health, paused, 10 * minute), expected);
        }
    }

    #[test]
    fn arguments_with_spaces_are_in_quotes() {
        let words = ["/my program", "-c", "echo a b", "", "x"].map(String::from);
        assert_eq!(command(&words), "/my program -c 'echo a b'  x");
        assert_eq!(command(&words[..1]), "/my program");
    }
}
