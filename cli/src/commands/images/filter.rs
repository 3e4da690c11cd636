//! `--filter KEY=VALUE` of `images`. PURE.

use anyhow::{Context as _, Result, bail};

use crate::commands::filter::{Label, key_value, truth};
use crate::commands::pattern;

/// What an image must be like to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Without a name, or with one.
    Dangling(bool),
    Label(Label),
    /// Built before this, ns since 1970.
    Before(u64),
    /// Built after this, ns since 1970.
    Since(u64),
    /// A pattern of names.
    Reference(String),
}

/// All of them: an image must pass each, but for names one pattern is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    /// Understands what was typed; `built` says when an image was built, ns since 1970; `now` is that too.
    ///
    /// # Errors
    /// A key that is none, a value that it cannot have, an image that is not here.
    pub(super) fn new(texts: &[String], built: &dyn Fn(&str) -> Result<u64>, now: u64) -> Result<Filters> {
        texts.iter().map(|text| parse(text, built, now)).collect::<Result<_>>().map(Filters)
    }

    /// The same, and of these names alone.
    ///
    /// # Errors
    /// A pattern that does not end.
    pub(super) fn and_names(mut self, pattern: &str) -> Result<Filters> {
        self.0.push(reference(pattern)?);
        Ok(self)
    }

    /// Whether an image is to be listed, whatever its names and labels.
    pub(super) fn pass(&self, image: &image::Overview, built: Option<u64>) -> bool {
        self.0.iter().all(|filter| match filter {
            Filter::Dangling(true) => image.tags.is_empty(),
            // docker's rule: a digest is a name here, and none there.
            Filter::Dangling(false) => !(image.tags.is_empty() && image.pinned.is_empty()),
            // When it was built is not known of every image: docker takes the beginning of time for that.
            Filter::Before(time) => built.unwrap_or(0) < *time,
            Filter::Since(time) => built.unwrap_or(0) > *time,
            Filter::Label(_) | Filter::Reference(_) => true,
        })
    }

    /// Whether only images with some labels are asked for.
    pub(super) fn ask_for_labels(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Label(_)))
    }

    /// Whether an image has the labels that are asked for.
    pub(super) fn labels(&self, image: &image::Image) -> bool {
        let labels = image.config.config().as_ref().and_then(|config| config.labels().as_ref());
        self.0.iter().all(|filter| match filter {
            Filter::Label(label) => label.is_among(|key| labels?.get(key).map(String::as_str)),
            _ => true,
        })
    }

    /// Whether only some names are asked for.
    pub(super) fn ask_for_names(&self) -> bool {
        self.0.iter().any(|filter| matches!(filter, Filter::Reference(_)))
    }

    /// Whether a name is to be listed.
    pub(super) fn name(&self, name: &image::Reference) -> bool {
        !self.ask_for_names()
            || self.0.iter().any(|filter| matches!(filter, Filter::Reference(pattern) if fits(pattern, name)))
    }
}

/// docker's rule: the whole name as it is printed, or the repository alone; and a name that is spelled out in full.
fn fits(pattern: &str, name: &image::Reference) -> bool {
    let fits = |text: &str| pattern::matches(pattern, text) == Ok(true);
    fits(&name.familiar())
        || fits(&name.familiar_name())
        || pattern.parse::<image::Reference>().is_ok_and(|wanted| {
            let any_tag = wanted.tag().is_none() && wanted.digest().is_none();
            wanted.same_repository(name) && (any_tag || wanted == *name)
        })
}

fn parse(text: &str, built: &dyn Fn(&str) -> Result<u64>, now: u64) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    Ok(match key.trim().to_lowercase().as_str() {
        "dangling" => Filter::Dangling(
            truth(value)
                .with_context(|| format!("invalid filter {text:?}: {value:?} is neither true nor false"))?,
        ),
        "label" => Filter::Label(Label::parse(value)),
        "before" => Filter::Before(built(value)?),
        "since" => Filter::Since(built(value)?),
        "until" => Filter::Before(crate::clock::moment(value, now)?),
        "reference" => reference(value)?,
        other => bail!("invalid filter {other:?}: one of dangling, label, before, since, until, reference"),
    })
}

fn reference(pattern: &str) -> Result<Filter> {
    pattern::matches(pattern, "").with_context(|| format!("invalid name {pattern:?}"))?;
    Ok(Filter::Reference(pattern.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns_and_spellings() {
        for (pattern, name, expected) in [
            ("busybox", "busybox:latest", true),
            ("busy*", "busybox:1.36", true),
            ("*:latest", "busybox:latest", true),
            ("*", "team/app:1", false),
            ("team/*", "team/app:1", true),
            ("docker.io/library/busybox", "busybox:1.36", true),
            ("docker.io/library/busybox:1.36", "busybox:1.36", true),
            ("docker.io/library/busybox:1.35", "busybox:1.36", false),
            ("library/busybox", "busybox:1.36", true),
            ("box", "busybox:1.36", false),
            ("localhost:5000/*", "localhost:5000/x:1", true),
        ] {
            assert_eq!(fits(pattern, &name.parse().unwrap()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn filters_are_keys_with_values() {
        let built = |name: &str| if name == "here" { Ok(7) } else { bail!("no such image: {name}") };
        let second = 1_000_000_000;
        for (text, expected) in [
            ("dangling=true", Some(Filter::Dangling(true))),
            ("dangling=0", Some(Filter::Dangling(false))),
            ("label=a=b", Some(Filter::Label(Label::parse("a=b")))),
            ("before=here", Some(Filter::Before(7))),
            ("since=here", Some(Filter::Since(7))),
            ("until=10s", Some(Filter::Before(90 * second))),
            ("reference=a*", Some(Filter::Reference("a*".to_owned()))),
            ("dangling=maybe", None),
            ("before=gone", None),
            ("until=yesterday", None),
            ("reference=[", None),
            ("color=red", None),
            ("label", None),
        ] {
            assert_eq!(parse(text, &built, 100 * second).ok(), expected, "{text}");
        }
    }
}
