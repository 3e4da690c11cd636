//! Every sentence of the lessons, in one file a language.

use crate::explain::Language;
use crate::words::Words;

/// The sentences of a language.
pub(crate) fn of(language: Language) -> Words {
    Words::read(match language {
        Language::En => include_str!("en.toml"),
        Language::Ko => include_str!("ko.toml"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::lessons::LESSONS;
    use super::*;
    use crate::words::parity;

    #[test]
    fn both_languages_have_the_same_keys_and_the_same_places() {
        parity::check(&of(Language::En), &of(Language::Ko));
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
        let messages = of(Language::En);
        for lesson in LESSONS {
            for word in words {
                assert!(messages.has(&format!("{}.{word}", lesson.key)), "{}.{word}", lesson.key);
            }
            for number in 1..=lesson.acts.len() {
                assert!(messages.has(&format!("{}.do{number}", lesson.key)), "{}", lesson.key);
            }
        }
    }
}
