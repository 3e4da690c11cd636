//! `--filter KEY=VALUE` of `events`: all keys must agree, one value of each is enough. PURE.

use anyhow::{Result, bail};

use super::{Event, Kind};
use crate::commands::filter::{Label, agree, key_value};

/// What an event must be like to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Container(String),
    Event(String),
    Image(String),
    Label(Label),
    Network(String),
    Volume(String),
    Type(String),
    Scope(String),
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<Filter>);

impl Filters {
    /// Understands what was typed.
    ///
    /// # Errors
    /// A key that is none.
    pub(crate) fn new(texts: &[String]) -> Result<Filters> {
        texts.iter().map(|text| parse(text)).collect::<Result<_>>().map(Filters)
    }

    /// Whether an event is to be shown.
    pub(crate) fn pass(&self, event: &Event) -> bool {
        agree(&self.0, |_| false, |filter| filter.pass(event))
    }
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    let owned = || value.to_owned();
    Ok(match key.trim().to_lowercase().as_str() {
        "container" => Filter::Container(owned()),
        "event" => Filter::Event(owned()),
        "image" => Filter::Image(owned()),
        "label" => Filter::Label(Label::parse(value)),
        "network" => Filter::Network(owned()),
        "volume" => Filter::Volume(owned()),
        "type" => Filter::Type(owned()),
        "scope" => Filter::Scope(owned()),
        other @ ("config" | "daemon" | "node" | "plugin" | "secret" | "service") => {
            bail!("invalid filter {other:?}: mini has no events of that kind")
        }
        other => bail!(
            "invalid filter {other:?}: one of container, event, image, label, network, volume, type, scope"
        ),
    })
}

impl Filter {
    fn pass(&self, event: &Event) -> bool {
        let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
        let is = |kind: Kind, wanted: &str| {
            event.kind == kind && (event.id.starts_with(wanted) || attribute("name") == Some(wanted))
        };
        match self {
            Filter::Container(wanted) => {
                is(Kind::Container, wanted)
                    || attribute("container").is_some_and(|id| id.starts_with(wanted.as_str()))
            }
            // What stands behind a colon is said of it, not its name.
            Filter::Event(wanted) => {
                event.action == *wanted || event.action.split(':').next() == Some(wanted)
            }
            Filter::Image(wanted) => {
                let found = if event.kind == Kind::Image { attribute("name") } else { attribute("image") };
                let without_tag = |name: &str| name.rsplit_once(':').map(|(name, _)| name.to_owned());
                event.kind == Kind::Image && event.id == *wanted
                    || found == Some(wanted)
                    || found.and_then(without_tag).as_ref() == Some(wanted)
            }
            Filter::Label(label) => label.is_among(attribute),
            Filter::Network(wanted) => is(Kind::Network, wanted),
            Filter::Volume(wanted) => is(Kind::Volume, wanted),
            Filter::Type(wanted) => event.kind.word() == wanted,
            Filter::Scope(wanted) => wanted == "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_together_and_values_are_alternatives() {
        let die = Event::new(Kind::Container, "die", "f00ba4")
            .with("name", "box")
            .with("image", "busybox:latest")
            .with("tier", "front");
        let health = Event::new(Kind::Container, "health_status: healthy", "f00ba4");
        let volume = Event::new(Kind::Volume, "mount", "data").with("container", "f00ba4");
        let pull = Event::new(Kind::Image, "pull", "busybox:latest").with("name", "busybox");
        for (filters, expected) in [
            (&[][..], [true, true, true, true]),
            (&["container=box"], [true, false, false, false]),
            (&["container=f00"], [true, true, true, false]),
            (&["event=die", "event=mount"], [true, false, true, false]),
            (&["event=health_status"], [false, true, false, false]),
            (&["event=health_status: healthy"], [false, true, false, false]),
            (&["type=container", "event=die"], [true, false, false, false]),
            (&["image=busybox"], [true, false, false, true]),
            (&["image=busybox:latest"], [true, false, false, true]),
            (&["label=tier"], [true, false, false, false]),
            (&["label=tier=back"], [false, false, false, false]),
            (&["volume=data"], [false, false, true, false]),
            (&["scope=swarm"], [false, false, false, false]),
        ] {
            let texts: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
            let filters = Filters::new(&texts).unwrap();
            assert_eq!(
                [&die, &health, &volume, &pull].map(|event| filters.pass(event)),
                expected,
                "{texts:?}"
            );
        }
        for bad in ["name", "node=x", "color=red"] {
            assert!(Filters::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
