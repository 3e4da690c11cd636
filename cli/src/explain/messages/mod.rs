//! The words of the story in each language: labels in a file each, and the sentences of steps, whose English is in the sources.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A language that mini speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English
    En,
    /// Korean
    Ko,
}

impl Language {
    /// The one that the caller has chosen for messages (locale(7)); English where that is another. PURE.
    pub(crate) fn of(variable: &dyn Fn(&str) -> Option<String>) -> Language {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let chosen = names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        if chosen.is_some_and(|value| value.starts_with("ko")) { Language::Ko } else { Language::En }
    }

    /// The one of this process's environment.
    pub(crate) fn of_environment() -> Language {
        Language::of(&|name| std::env::var(name).ok())
    }
}

/// The words of one language.
#[derive(Debug, Deserialize)]
pub(crate) struct Messages {
    labels: BTreeMap<String, String>,
    /// By the English sentence, which may have a place: `{flag}`.
    #[serde(default)]
    steps: BTreeMap<String, String>,
    /// What stands in the place of such a sentence.
    #[serde(default)]
    parts: BTreeMap<String, String>,
}

impl Messages {
    /// Reads the file of a language, which is part of this program.
    pub(crate) fn of(language: Language) -> Messages {
        let text = match language {
            Language::En => include_str!("en.toml"),
            Language::Ko => include_str!("ko.toml"),
        };
        toml::from_str(text).expect("a test has read this file")
    }

    /// A label; a key that is none is shown itself.
    pub(crate) fn label<'a>(&'a self, key: &'a str) -> &'a str {
        self.labels.get(key).map_or(key, String::as_str)
    }

    /// The sentence of a step.
    pub(crate) fn step(&self, english: &str) -> String {
        if let Some(text) = self.steps.get(english) {
            return text.clone();
        }
        let filled = self.steps.iter().find_map(|(key, text)| self.filled(key, text, english));
        filled.unwrap_or_else(|| english.to_owned())
    }

    /// A sentence with a place, filled with what the English one has there.
    fn filled(&self, key: &str, text: &str, english: &str) -> Option<String> {
        let (before, rest) = key.split_once('{')?;
        let (name, after) = rest.split_once('}')?;
        let value = english.strip_prefix(before)?.strip_suffix(after)?;
        Some(text.replace(&format!("{{{name}}}"), self.parts.get(value).map_or(value, String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::sources;
    use super::*;

    fn is_korean(text: &str) -> bool {
        text.chars().any(|letter| ('가'..='힣').contains(&letter))
    }

    #[test]
    fn the_language_is_the_callers() {
        let of = |variables: &[(&str, &str)]| {
            Language::of(&|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Language::En);
        assert_eq!(of(&[("LANG", "ko_KR.UTF-8")]), Language::Ko);
        assert_eq!(of(&[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "C")]), Language::En);
        assert_eq!(of(&[("LANG", "en_US.UTF-8"), ("LC_ALL", ""), ("LC_MESSAGES", "ko")]), Language::Ko);
    }

    #[test]
    fn both_languages_have_the_same_labels() {
        let (en, ko) = (Messages::of(Language::En), Messages::of(Language::Ko));
        assert_eq!(en.labels.keys().collect::<Vec<_>>(), ko.labels.keys().collect::<Vec<_>>());
        for (key, text) in en.labels.iter().chain(&ko.labels) {
            assert!(!text.trim().is_empty(), "{key}");
            assert_eq!(text.matches("{}").count(), en.labels[key].matches("{}").count(), "{key}");
        }
    }

    #[test]
    fn every_step_of_the_sources_has_its_korean_sentence_and_no_other_is_there() {
        let ko = Messages::of(Language::Ko);
        let steps = sources::steps();
        assert!(steps.len() > 100, "{}", steps.len());
        let known: BTreeSet<_> = ko.steps.keys().cloned().collect();
        let missing: Vec<_> = steps.difference(&known).collect();
        let stale: Vec<_> = known.difference(&steps).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "cli/src/explain/messages/ko.toml lacks {missing:#?} and has {stale:#?}, which no source says"
        );
        for (english, text) in &ko.steps {
            assert!(is_korean(text) && !text.ends_with('.'), "{english}: {text}");
            assert_eq!(english.contains('{'), text.contains('{'), "{english}: {text}");
        }
        for (english, text) in &ko.parts {
            assert!(is_korean(text) && sources::say(english), "{english}: {text}");
        }
        assert!(Messages::of(Language::En).steps.is_empty(), "the English sentences are in the sources");
    }

    #[test]
    fn a_place_is_filled_with_what_the_sentence_has_there() {
        let ko = Messages::of(Language::Ko);
        let text =
            ko.step("--pid host shares the host's user namespace: root in the container is root on the host");
        assert!(is_korean(&text) && text.contains("--pid host"), "{text}");
        let text = ko.step("with a user namespace of its own, the host's shared memory and queues are used, but those of its root cannot be opened or removed");
        assert!(is_korean(&text) && !text.contains("memory"), "{text}");
        assert_eq!(ko.step("What nobody has translated"), "What nobody has translated");
        assert_eq!(Messages::of(Language::En).step("Become the program"), "Become the program");
    }
}
