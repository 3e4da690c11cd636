//! `--filter KEY=VALUE` of `ps`: all keys must agree, and one value of each is enough; but all labels must, as in docker.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use regex_lite::Regex;
use runtime::record::Status;

use super::ps::Listed;
use crate::health::HealthStatus;

/// What a container must be like to be listed.
#[derive(Debug, Clone)]
enum Filter {
    /// The id begins so.
    Id(String),
    Name(Regex),
    Label(Label),
    Exited(i32),
    Status(String),
    /// None: nobody asks it.
    Health(Option<HealthStatus>),
    Ancestor(String),
    /// Made before this, ns since 1970.
    Before(u64),
    /// Made after this, ns since 1970.
    Since(u64),
    /// Source or target of a volume.
    Volume(String),
    Network(String),
    Publish(Ports),
    Expose(Ports),
}

/// Ports of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

/// `KEY` or `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label(String, Option<String>);

impl Label {
    pub(crate) fn parse(text: &str) -> Label {
        match text.split_once('=') {
            Some((key, value)) => Label(key.to_owned(), Some(value.to_owned())),
            None => Label(text.to_owned(), None),
        }
    }

    /// Whether it is among these.
    pub(crate) fn is_among<'l>(&self, labels: impl Fn(&str) -> Option<&'l str>) -> bool {
        let Label(key, value) = self;
        labels(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
    }

    /// Whether a container has it.
    pub(crate) fn is_of(&self, labels: &BTreeMap<String, String>) -> bool {
        self.is_among(|key| labels.get(key).map(String::as_str))
    }
}

/// `KEY=VALUE`, of any command.
///
/// # Errors
/// Where there is no `=`.
pub(crate) fn key_value(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').with_context(|| format!("invalid filter {text:?}: KEY=VALUE"))
}

/// A value that is true or false, in docker's words.
pub(crate) fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether all keys agree: of a key one value is enough, but where `all_count`, each of its values must.
pub(crate) fn agree<F>(
    filters: &[F],
    all_count: impl Fn(&F) -> bool,
    agrees: impl Fn(&F) -> bool + Copy,
) -> bool {
    filters.iter().all(|filter| {
        let kind = std::mem::discriminant(filter);
        let mut alike = filters.iter().filter(|other| std::mem::discriminant(*other) == kind);
        if all_count(filter) { agrees(filter) } else { alike.any(agrees) }
    })
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Vec<Filter>);

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Filters {
    /// Understands what was typed; `made` says when a container was made, ns since 1970.
    ///
    /// # Errors
    /// A key that is none, a value that it cannot have, a container that there is not.
    pub(crate) fn new(texts: &[String], made: Made<'_>) -> Result<Filters> {
        texts.iter().map(|text| parse(text, made)).collect::<Result<_>>().map(Filters)
    }

    /// Whether a state is asked for, so that containers which do not run are looked at too.
    pub(crate) fn ask_for_states(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)))
    }

    /// Whether a container is to be listed.
    pub(crate) fn pass(&self, listed: &Listed<'_>) -> bool {
        agree(&self.0, |filter| matches!(filter, Filter::Label(_)), |filter| filter.pass(listed))
    }
}

/// When a container of this name was made, ns since 1970.
pub(crate) type Made<'a> = &'a dyn Fn(&str) -> Result<u64>;

fn parse(text: &str, made: Made<'_>) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    let owned = || value.to_owned();
    Ok(match key.trim().to_lowercase().as_str() {
        "id" => Filter::Id(owned()),
        "name" => {
            Filter::Name(Regex::new(value).with_context(|| format!("invalid name in filter {text:?}"))?)
        }
        "label" => Filter::Label(Label::parse(value)),
        "exited" => Filter::Exited(
            value.parse().ok().with_context(|| format!("invalid exit code in filter {text:?}"))?,
        ),
        "status" => {
            ensure!(STATES.contains(&value), "invalid status {value:?}: one of {}", STATES.join(", "));
            Filter::Status(owned())
        }
        "health" => Filter::Health(health(value)?),
        "ancestor" => Filter::Ancestor(owned()),
        "before" => Filter::Before(made(value)?),
        "since" => Filter::Since(made(value)?),
        "volume" => Filter::Volume(owned()),
        "network" => Filter::Network(owned()),
        "publish" => Filter::Publish(ports(value)?),
        "expose" => Filter::Expose(ports(value)?),
        "is-task" => bail!("filter \"is-task\" is not supported: mini has no swarm, and no tasks"),
        "isolation" => bail!("filter \"isolation\" is not supported: it is of Windows"),
        other => bail!(
            "invalid filter {other:?}: one of id, name, label, exited, status, ancestor, before, since, volume, network, \
             publish, expose, health"
        ),
    })
}

fn health(word: &str) -> Result<Option<HealthStatus>> {
    if word == "none" {
        return Ok(None);
    }
    let known = HealthStatus::ALL.into_iter().find(|status| status.word() == word);
    known
        .map(Some)
        .with_context(|| format!("invalid health {word:?}: one of starting, healthy, unhealthy, none"))
}

/// `80`, `80/udp`, `8000-8010`.
fn ports(text: &str) -> Result<Ports> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok();
    let both = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    let (first, last) = both.with_context(|| format!("invalid port in filter: {text:?}"))?;
    Ok(Ports { first, last, protocol: protocol.to_lowercase() })
}

impl Ports {
    fn have(&self, port: u16, protocol: &str) -> bool {
        (self.first..=self.last).contains(&port) && self.protocol == protocol
    }
}

impl Filter {
    fn pass(&self, listed: &Listed<'_>) -> bool {
        let record = &listed.entry.record;
        match self {
            Filter::Id(id) => record.id.starts_with(id.as_str()),
            // docker's names begin with a slash, and some scripts know.
            Filter::Name(name) => name.is_match(&record.name) || name.is_match(&format!("/{}", record.name)),
            Filter::Label(label) => label.is_of(&listed.shown.labels),
            Filter::Exited(wanted) => {
                matches!(listed.entry.status, Status::Exited { code, .. } if code == *wanted)
            }
            Filter::Status(state) => state == listed.state(),
            Filter::Health(health) => *health == listed.health(),
            Filter::Ancestor(name) => match listed.look.image_id(name) {
                Some(id) => record.image_id == id,
                None => record.image == *name,
            },
            Filter::Before(other) => record.created < *other,
            Filter::Since(other) => record.created > *other,
            Filter::Volume(path) => {
                let path = std::path::Path::new(path);
                listed.volumes().iter().any(|(source, target)| source == path || target == path)
            }
            Filter::Network(name) => listed.network().name() == name,
            Filter::Publish(ports) => listed.shown.ports.iter().any(|port| ports.have(port.host_port, "tcp")),
            Filter::Expose(ports) => listed.shown.exposed.iter().any(|port| {
                let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                port.parse().is_ok_and(|port| ports.have(port, protocol))
            }),
        }
    }
}

/// The state in docker's one word.
pub(crate) fn word(status: &Status, paused: bool) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running { .. } if paused => "paused",
        Status::Running { .. } => "running",
        Status::Restarting { .. } => "restarting",
        Status::Exited { .. } => "exited",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_keys_with_values() {
        let made = |word: &str| if word == "there" { Ok(7) } else { bail!("no such container: {word}") };
        let one = |text: &str| {
            parse(text, &made).map(|filter| format!("{filter:?}")).map_err(|error| error.to_string())
        };
        for (text, expected) in [
            ("label=a=b=c", "Label(Label(\"a\", Some(\"b=c\")))"),
            ("label=a", "Label(Label(\"a\", None))"),
            ("publish=8000-8010/tcp", "Publish(Ports { first: 8000, last: 8010, protocol: \"tcp\" })"),
            ("expose=53/UDP", "Expose(Ports { first: 53, last: 53, protocol: \"udp\" })"),
            ("STATUS=exited", "Status(\"exited\")"),
            ("before=there", "Before(7)"),
            ("health=none", "Health(None)"),
            ("health=unhealthy", "Health(Some(Unhealthy))"),
            ("name=^/?web[0-9]+$", "Name(Regex(\"^/?web[0-9]+$\"))"),
        ] {
            assert_eq!(one(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, complaint) in [
            ("name", "KEY=VALUE"),
            ("color=red", "one of id, name"),
            ("exited=x", "exit code"),
            ("status=asleep", "one of created"),
            ("health=well", "one of starting"),
            ("publish=x", "invalid port"),
            ("expose=9-8", "invalid port"),
            ("since=gone", "no such container"),
            ("name=(", "invalid name"),
            ("is-task=true", "no swarm"),
            ("isolation=hyperv", "Windows"),
        ] {
            assert!(one(text).is_err_and(|error| error.contains(complaint)), "{text}: {:?}", one(text));
        }
    }

    #[test]
    fn ports_are_of_a_protocol() {
        let ports = ports("80-90/udp").unwrap();
        assert!(ports.have(80, "udp") && ports.have(90, "udp"));
        assert!(!ports.have(80, "tcp") && !ports.have(91, "udp"));
    }
}
