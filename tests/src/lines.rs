//! Command lines as they are written down, and what they print without what differs from run to run.

use regex_lite::Regex;

/// As sh(1) splits a line; nothing is expanded.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Puts a word in the place of each id, time, age and address, and one space in the place of several.
#[derive(Debug)]
pub struct Normal(Vec<(Regex, &'static str)>);

impl Normal {
    /// The rules, ready.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "there is nothing that could be set")]
    pub fn new() -> Normal {
        let rules = [
            (r"\b[0-9a-f]{64}\b", "ID"),
            (r"\b[0-9a-f]{12}\b", "id"),
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d( UTC)?)?", "TIME"),
            (
                r"(Less than a second|About an? (minute|hour)|\d+ (second|minute|hour|day|week|month|year)s?)( ago)?",
                "AGE",
            ),
            (r"\b(\d{1,3}\.){3}\d{1,3}\b", "ADDRESS"),
            (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
            (r"[ \t]+", " "),
        ];
        Normal(rules.into_iter().map(|(rule, word)| (Regex::new(rule).expect("a rule"), word)).collect())
    }

    /// What is the same in each run.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let text = self
            .0
            .iter()
            .fold(text.to_owned(), |text, (rule, word)| rule.replace_all(&text, *word).into_owned());
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}
