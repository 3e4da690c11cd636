//! `--filter KEY=VALUE` of `prune`: all of them must agree. PURE.

use anyhow::{Context as _, Result, bail};

use crate::clock;
use crate::commands::filter::{Label, key_value, truth};

/// What something must be like to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Made before, ns since 1970.
    Until(u64),
    /// With this label, or without it.
    Label(Label, bool),
    /// Of images: those without a name alone, or all.
    Dangling(bool),
    /// Of volumes: those without a name alone, or all.
    All(bool),
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::commands) struct Filters(Vec<Filter>);

/// Those of containers and networks, and of everything at once.
pub(in crate::commands) const COMMON: &[&str] = &["until", "label", "label!"];

impl Filters {
    /// Understands what was typed, where `known` are the keys that there are; `now` is ns since 1970.
    ///
    /// # Errors
    /// A key that is none, a value that it cannot have.
    pub(in crate::commands) fn new(texts: &[String], known: &[&str], now: u64) -> Result<Filters> {
        texts.iter().map(|text| parse(text, known, now)).collect::<Result<_>>().map(Filters)
    }

    /// Whether something that was made then (ns since 1970) and has these labels may go.
    pub(in crate::commands) fn pass<'l>(
        &self,
        made: u64,
        labels: impl Fn(&str) -> Option<&'l str> + Copy,
    ) -> bool {
        self.0.iter().all(|filter| match filter {
            Filter::Until(time) => made < *time,
            Filter::Label(label, wanted) => label.is_among(labels) == *wanted,
            Filter::Dangling(_) | Filter::All(_) => true,
        })
    }

    /// Whether images with names may go too, whatever else is said: docker takes that for `--all`.
    pub(in crate::commands) fn all_images(&self) -> bool {
        self.0.contains(&Filter::Dangling(false))
    }

    /// Whether volumes with names may go too, if that was said.
    pub(in crate::commands) fn all_volumes(&self) -> Option<bool> {
        self.0.iter().find_map(|filter| if let Filter::All(all) = filter { Some(*all) } else { None })
    }

    /// Whether it depends on when something was made.
    pub(in crate::commands) fn ask_for_times(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Until(_)))
    }
}

fn parse(text: &str, known: &[&str], now: u64) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    Ok(match key {
        other if !known.contains(&other) => {
            bail!("invalid filter {other:?}: one of {}", known.join(", "))
        }
        "until" => Filter::Until(clock::moment(value, now)?),
        "label" => Filter::Label(Label::parse(value), true),
        "label!" => Filter::Label(Label::parse(value), false),
        _ => {
            let value = truth(value)
                .with_context(|| format!("invalid filter {text:?}: {value:?} is neither true nor false"))?;
            if key == "all" { Filter::All(value) } else { Filter::Dangling(value) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Result<Filters> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Filters::new(&texts, &["until", "label", "label!", "dangling"], 100_000_000_000)
    }

    #[test]
    fn all_must_agree() {
        let labels = |key: &str| (key == "tier").then_some("front");
        for (texts, made, expected) in [
            (&[][..], 0, true),
            (&["until=10s"], 89_000_000_000, true),
            (&["until=10s"], 90_000_000_000, false),
            (&["label=tier"], 0, true),
            (&["label=tier=back"], 0, false),
            (&["label!=tier"], 0, false),
            (&["label!=tier=back"], 0, true),
            (&["label=tier", "label=other"], 0, false),
            (&["label=tier", "until=10s"], 99_000_000_000, false),
        ] {
            assert_eq!(filters(texts).unwrap().pass(made, labels), expected, "{texts:?} {made}");
        }
    }

    #[test]
    fn keys_are_those_of_the_command() {
        assert!(filters(&["dangling=false"]).unwrap().all_images());
        assert!(!filters(&["dangling=1"]).unwrap().all_images());
        for (text, complaint) in [
            ("label", "KEY=VALUE"),
            ("name=x", "one of until, label, label!, dangling"),
            ("dangling=maybe", "neither true nor false"),
            ("until=yesterday", "yesterday"),
        ] {
            let error = format!("{:#}", filters(&[text]).unwrap_err());
            assert!(error.contains(complaint), "{text}: {error}");
        }
        assert!(Filters::new(&["dangling=true".to_owned()], COMMON, 0).is_err());
    }
}
