//! Every sentence of the lessons, in one file a language.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English
    En,
    /// Korean
    Ko,
}

impl Language {
    /// The one that a person has chosen for messages (locale(7)). PURE.
    pub(crate) fn of(environment: impl Fn(&str) -> Option<String>) -> Language {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let chosen = names.iter().find_map(|name| environment(name).filter(|value| !value.is_empty()));
        if chosen.is_some_and(|value| value.starts_with("ko")) { Language::Ko } else { Language::En }
    }
}

/// The messages of one language, by keys with dots.
#[derive(Debug)]
pub(crate) struct Messages(BTreeMap<String, String>);

impl Messages {
    /// Reads a language's file, which is part of this program.
    pub(crate) fn of(language: Language) -> Messages {
        let text = match language {
            Language::En => include_str!("en.toml"),
            Language::Ko => include_str!("ko.toml"),
        };
        let table: Table = toml::from_str(text).expect("a test has read this file");
        let mut messages = BTreeMap::new();
        flatten("", &table, &mut messages);
        Messages(messages)
    }

    /// A message; the key itself where there is none, which a test rules out.
    pub(crate) fn text(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    /// A message with values in its places.
    pub(crate) fn filled(&self, key: &str, values: &[(&str, String)]) -> String {
        let mut text = self.text(key);
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

fn flatten(above: &str, table: &Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Table(below) => flatten(&key, below, into),
            Value::String(text) => {
                into.insert(key, text.trim().to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lessons::LESSONS;
    use super::*;

    /// The places of a message: `{name}`.
    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    #[test]
    fn both_languages_have_the_same_keys_and_the_same_places() {
        let (en, ko) = (Messages::of(Language::En), Messages::of(Language::Ko));
        let keys = |messages: &Messages| messages.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&en), keys(&ko));
        for (key, text) in &en.0 {
            assert_eq!(places(text), places(&ko.0[key]), "{key}");
            assert!(!text.is_empty() && !ko.0[key].is_empty(), "{key}");
        }
    }

    #[test]
    fn korean_is_korean() {
        let hangul = |text: &str| text.chars().any(|letter| ('가'..='힣').contains(&letter));
        for (key, text) in &Messages::of(Language::Ko).0 {
            assert!(hangul(text), "{key}: {text}");
        }
        assert!(!Messages::of(Language::En).0.values().any(|text| hangul(text)));
    }

    #[test]
    fn every_lesson_has_all_its_words() {
        let words = [
            "title",
            "why",
            "predict",
            "do1",
            "answer",
            "break",
            "fix",
            "done",
            "check.nothing",
            "check.leaks",
            "check.holds",
        ];
        let messages = Messages::of(Language::En);
        for lesson in LESSONS {
            for word in words {
                assert!(messages.0.contains_key(&format!("{}.{word}", lesson.key)), "{}.{word}", lesson.key);
            }
            for number in 1..=lesson.acts.len() {
                assert!(messages.0.contains_key(&format!("{}.do{number}", lesson.key)), "{}", lesson.key);
            }
        }
    }

    #[test]
    fn the_language_is_the_callers() {
        let of = |set: &[(&str, &str)]| {
            Language::of(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Language::En);
        assert_eq!(of(&[("LANG", "ko_KR.UTF-8")]), Language::Ko);
        assert_eq!(of(&[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "C")]), Language::En);
        assert_eq!(of(&[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "")]), Language::Ko);
    }
}
