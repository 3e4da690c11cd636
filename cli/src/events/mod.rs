//! What happens to containers, images, volumes and networks: written down by whoever does it, read by `mini events`.
//!
//! There is no daemon to ask, so there is a journal: one JSON object a line, appended whole, in two files of bounded size. What
//! cannot be written is not written: nothing that happens depends on it.

mod filter;
mod journal;

use std::collections::BTreeMap;

use runtime::record::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::networks::Network;
use crate::output::template::Object;
use crate::settings::Brief;
use crate::volume::users::volumes_of;

pub(crate) use filter::Filters;
pub(crate) use journal::Journal;

/// What something happened to, in docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When, ns since 1970.
    pub(crate) time: u64,
    pub(crate) kind: Kind,
    /// docker's word; behind a colon, what exactly.
    pub(crate) action: String,
    /// What it happened to.
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
}

/// What more is known, by name.
pub(crate) type Attributes = BTreeMap<String, String>;

impl Kind {
    /// docker's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

impl Event {
    /// Something happens now.
    pub(crate) fn new(kind: Kind, action: &str, id: &str) -> Event {
        let (action, id) = (action.to_owned(), id.to_owned());
        Event { time: clock::now(), kind, action, id, attributes: Attributes::new() }
    }

    /// Something happens now to a container: its image and its labels are said with it.
    pub(crate) fn container(action: &str, record: &Record) -> Event {
        let mut event = Event::new(Kind::Container, action, &record.id);
        event.attributes = Brief::of(record).labels;
        event.with("image", &record.image).with("name", &record.name)
    }

    /// A container comes into its network, or leaves it.
    pub(crate) fn network(action: &str, record: &Record, network: Network) -> Event {
        let event = Event::new(Kind::Network, action, &network.id());
        event.with("container", &record.id).with("name", network.name()).with("type", network.driver())
    }

    /// Something happens now to a volume.
    pub(crate) fn volume(action: &str, name: &str) -> Event {
        Event::new(Kind::Volume, action, name).with("driver", "local")
    }

    /// A container begins or ends to use its volumes.
    pub(crate) fn of_volumes(action: &'static str, record: &Record) -> impl Iterator<Item = Event> {
        volumes_of(record).into_iter().map(move |volume| {
            let event = Event::volume(action, &volume.name).with("container", &record.id);
            match action {
                "mount" => event
                    .with("destination", volume.target.display())
                    .with("propagation", "")
                    .with("read/write", !volume.read_only),
                _ => event,
            }
        })
    }

    /// The same, with one attribute more.
    #[expect(clippy::needless_pass_by_value, reason = "texts and numbers are given alike")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Event {
        self.attributes.insert(name.to_owned(), value.to_string());
        self
    }

    /// For people, as docker prints it; what a terminal would obey is not.
    pub(crate) fn text(&self) -> String {
        let Event { time, kind, action, id, attributes } = self;
        let attributes: Vec<String> =
            attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let line =
            format!("{} {} {action} {id} ({})", clock::local_nano(*time), kind.word(), attributes.join(", "));
        line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }
}

impl Object for Event {
    fn kind(&self) -> &'static str {
        "event"
    }

    /// Under the names that docker's type has.
    fn field(&self, name: &str) -> Option<Value> {
        let key = match name {
            "Type" | "Action" | "Actor" => name,
            "Status" => "status",
            "ID" => "id",
            "From" => "from",
            "Scope" => "scope",
            "Time" => "time",
            "TimeNano" => "timeNano",
            _ => return None,
        };
        Some(self.json().get(key).cloned().unwrap_or_else(|| Value::from("")))
    }

    fn call(&self, _name: &str, _argument: &str) -> Option<String> {
        None
    }

    /// docker's object.
    fn json(&self) -> Value {
        let Event { time, kind, action, id, attributes } = self;
        let mut event = json!({
            "Type": kind.word(),
            "Action": action,
            "Actor": { "ID": id, "Attributes": attributes },
            "scope": "local",
            "time": time / 1_000_000_000,
            "timeNano": time,
        });
        // docker's older names, which it keeps for these two kinds.
        if matches!(kind, Kind::Container | Kind::Image) {
            event["status"] = json!(action);
            event["id"] = json!(id);
        }
        if *kind == Kind::Container {
            event["from"] = json!(attributes.get("image"));
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let event = Event::new(Kind::Container, "die", "f00").with("image", "busybox").with("exitCode", 7);
        Event { time: 1_700_000_000_000_000_001, ..event }
    }

    #[test]
    fn programs_get_dockers_object() {
        let expected = json!({
            "status": "die", "id": "f00", "from": "busybox", "Type": "container", "Action": "die",
            "Actor": { "ID": "f00", "Attributes": { "image": "busybox", "exitCode": "7" } },
            "scope": "local", "time": 1_700_000_000_u64, "timeNano": 1_700_000_000_000_000_001_u64,
        });
        assert_eq!(event().json(), expected);
        let volume = Event::new(Kind::Volume, "create", "data").json();
        assert!(volume.get("status").is_none() && volume["Type"] == "volume", "{volume}");
    }

    #[test]
    fn people_get_one_harmless_line() {
        let text = event().with("label", "a\nb\x1b[31m").text();
        assert!(text.ends_with(" container die f00 (exitCode=7, image=busybox, label=a b [31m)"), "{text}");
        assert!(text.starts_with("2023-11-1"), "{text}");
    }
}
