//! `--filter KEY=VALUE` of `ps`: all keys must agree, one value of each is enough. PURE.

use anyhow::{Context as _, Result, bail, ensure};
use runtime::record::Status;
use runtime::state::Entry;

use crate::plan::NetworkMode;
use crate::settings::Settings;

/// What a container must be like to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Id(String),
    Name(String),
    Label(Label),
    Exited(i32),
    Status(String),
    Ancestor(String),
    /// Made before this one.
    Before(String),
    /// Made after this one.
    Since(String),
    /// Source or target of a volume.
    Volume(String),
    Network(String),
    /// First and last port.
    Publish(u16, u16),
    Expose(u16, u16),
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

    /// Whether a container has it.
    pub(crate) fn is_of(&self, settings: &Settings) -> bool {
        let Label(key, value) = self;
        settings.labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<Filter>);

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Filters {
    /// Understands what was typed.
    ///
    /// # Errors
    /// A key that is none, or a value that it cannot have.
    pub(crate) fn new(texts: &[String]) -> Result<Filters> {
        texts.iter().map(|text| parse(text)).collect::<Result<_>>().map(Filters)
    }

    /// Whether a state is asked for, so that containers which do not run are looked at too.
    pub(crate) fn asks_for_states(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)))
    }

    /// Whether a container is to be listed; `when` says when another one was made.
    ///
    /// # Errors
    /// Where `when` finds no such container.
    pub(crate) fn pass(
        &self,
        entry: &Entry,
        settings: &Settings,
        paused: bool,
        image: &dyn Fn(&str) -> Option<String>,
        when: &dyn Fn(&str) -> Result<u64>,
    ) -> Result<bool> {
        let mut passed = Vec::with_capacity(self.0.len());
        for filter in &self.0 {
            passed.push((std::mem::discriminant(filter), filter.pass(entry, settings, paused, image, when)?));
        }
        Ok(passed.iter().all(|(kind, one)| *one || passed.iter().any(|(other, also)| other == kind && *also)))
    }
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = text.split_once('=').with_context(|| format!("invalid filter {text:?}: KEY=VALUE"))?;
    let owned = || value.to_owned();
    Ok(match key.trim().to_lowercase().as_str() {
        "id" => Filter::Id(owned()),
        "name" => Filter::Name(owned()),
        "label" => Filter::Label(Label::parse(value)),
        "exited" => Filter::Exited(
            value.parse().ok().with_context(|| format!("invalid exit code in filter {text:?}"))?,
        ),
        "status" => {
            ensure!(STATES.contains(&value), "invalid status {value:?}: one of {}", STATES.join(", "));
            Filter::Status(owned())
        }
        "ancestor" => Filter::Ancestor(owned()),
        "before" => Filter::Before(owned()),
        "since" => Filter::Since(owned()),
        "volume" => Filter::Volume(owned()),
        "network" => Filter::Network(owned()),
        "publish" => ports(value).map(|(first, last)| Filter::Publish(first, last))?,
        "expose" => ports(value).map(|(first, last)| Filter::Expose(first, last))?,
        other => bail!(
            "invalid filter {other:?}: one of id, name, label, exited, status, ancestor, before, since, volume, network, \
             publish, expose"
        ),
    })
}

/// `80`, `80/tcp`, `8000-8010`.
fn ports(text: &str) -> Result<(u16, u16)> {
    let range = text.split('/').next().unwrap_or(text);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok();
    number(first).zip(number(last)).with_context(|| format!("invalid port in filter: {text:?}"))
}

impl Filter {
    fn pass(
        &self,
        entry: &Entry,
        settings: &Settings,
        paused: bool,
        image: &dyn Fn(&str) -> Option<String>,
        when: &dyn Fn(&str) -> Result<u64>,
    ) -> Result<bool> {
        let record = &entry.record;
        Ok(match self {
            Filter::Id(id) => record.id.starts_with(id.as_str()),
            // docker has regular expressions here; a part of the name is what people type.
            Filter::Name(name) => match name.strip_prefix('^') {
                Some(name) => {
                    let name = name.trim_start_matches('/');
                    name.strip_suffix('$')
                        .map_or_else(|| record.name.starts_with(name), |whole| record.name == whole)
                }
                None => record.name.contains(name.trim_start_matches('/')),
            },
            Filter::Label(label) => label.is_of(settings),
            Filter::Exited(wanted) => matches!(entry.status, Status::Exited { code, .. } if code == *wanted),
            Filter::Status(state) => state == word(&entry.status, paused),
            Filter::Ancestor(name) => {
                image(name).map_or_else(|| record.image == *name, |id| record.image_id == id)
            }
            Filter::Before(other) => record.created < when(other)?,
            Filter::Since(other) => record.created > when(other)?,
            Filter::Volume(path) => settings.binds.iter().any(|bind| {
                bind.split(':').take(2).any(|part| part.trim_end_matches('/') == path.trim_end_matches('/'))
            }),
            Filter::Network(name) => settings.network.unwrap_or(NetworkMode::Bridge).name() == name,
            Filter::Publish(first, last) => {
                settings.ports.iter().any(|port| (*first..=*last).contains(&port.host_port))
            }
            Filter::Expose(first, last) => settings.exposed.iter().any(|port| {
                port.split('/')
                    .next()
                    .and_then(|port| port.parse().ok())
                    .is_some_and(|port| (*first..=*last).contains(&port))
            }),
        })
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
        let one = |text: &str| Filters::new(&[text.to_owned()]).map(|filters| filters.0[0].clone()).ok();
        assert_eq!(one("label=a=b=c"), Some(Filter::Label(Label("a".into(), Some("b=c".into())))));
        assert_eq!(one("label=a"), Some(Filter::Label(Label("a".into(), None))));
        assert_eq!(one("publish=8000-8010/tcp"), Some(Filter::Publish(8000, 8010)));
        assert_eq!(one("status=exited"), Some(Filter::Status("exited".into())));
        for bad in ["name", "color=red", "exited=x", "status=asleep", "publish=x"] {
            assert_eq!(one(bad), None, "{bad}");
        }
    }
}
