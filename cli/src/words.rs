//! Sentences by keys, in a file a language: [`learn`](crate::learn) and `mini view` have theirs. PURE.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The sentences of one language, by keys with dots.
#[derive(Debug)]
pub(crate) struct Words(BTreeMap<String, String>);

impl Words {
    /// Reads a file, which is part of this program.
    pub(crate) fn read(file: &str) -> Words {
        let table: Table = toml::from_str(file).expect("a test has read this file");
        let mut words = BTreeMap::new();
        flatten("", &table, &mut words);
        Words(words)
    }

    /// A sentence; the key itself where there is none, which tests rule out.
    pub(crate) fn text(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    /// A sentence with values in its places.
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

/// What is true of every pair of files.
#[cfg(test)]
pub(crate) mod parity {
    use super::Words;

    impl Words {
        pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
            self.0.iter()
        }

        pub(crate) fn has(&self, key: &str) -> bool {
            self.0.contains_key(key)
        }
    }

    /// The places of a sentence: `{name}`.
    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    pub(crate) fn is_korean(text: &str) -> bool {
        text.chars().any(|letter| ('가'..='힣').contains(&letter))
    }

    /// The same keys, the same places, and each in its language.
    pub(crate) fn check(en: &Words, ko: &Words) {
        let keys = |words: &Words| words.all().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(en), keys(ko));
        for ((key, text), (_, korean)) in en.all().zip(ko.all()) {
            assert_eq!(places(text), places(korean), "{key}");
            assert!(!text.is_empty() && !is_korean(text), "{key}: {text}");
            assert!(is_korean(korean), "{key}: {korean}");
        }
    }
}
