//! How the story is told, as `--explain=WORD,…` says it: how much of it, for whom, in which language.

use super::messages::Language;

/// `--explain`, as every command that tells has it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Tell every kernel operation, in order: how much of it, for whom and in which language, by commas
    #[arg(
        long,
        value_name = "WORDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_delimiter = ','
    )]
    explain: Vec<Word>,
}

/// What may be said of the story; of several words about the same the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Word {
    /// The story: why things happen, and how long each took
    #[value(name = "1")]
    Story,
    /// Every call, and what does the same in a shell
    #[value(name = "2")]
    Calls,
    /// Every call with its manual pages and its section of the OCI specifications
    #[value(name = "3")]
    Pages,
    /// For people
    Text,
    /// For programs: one JSON object a line
    Json,
    /// In English
    En,
    /// In Korean
    Ko,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Why things happen.
    Story,
    /// Every call.
    Calls,
    /// Where each call is written about.
    Pages,
}

/// How the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) level: Level,
    pub(crate) json: bool,
    pub(crate) language: Language,
}

impl Form {
    /// Every call, for programs.
    pub(crate) const JSON: Form = Form { level: Level::Calls, json: true, language: Language::En };
}

impl ExplainArgs {
    /// How to tell, where it is to be told.
    pub(crate) fn form(&self) -> Option<Form> {
        self.form_in(Language::of_environment())
    }

    /// As [`ExplainArgs::form`]; `language` is the caller's own. PURE.
    fn form_in(&self, language: Language) -> Option<Form> {
        if self.explain.is_empty() {
            return None;
        }
        let mut form = Form { level: Level::Calls, json: false, language };
        for word in &self.explain {
            match word {
                Word::Story => form.level = Level::Story,
                Word::Calls => form.level = Level::Calls,
                Word::Pages => form.level = Level::Pages,
                Word::Text => form.json = false,
                Word::Json => form.json = true,
                Word::En => form.language = Language::En,
                Word::Ko => form.language = Language::Ko,
            }
        }
        Some(form)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        explain: ExplainArgs,
        rest: Vec<String>,
    }

    fn form(words: &[&str]) -> Option<(Level, bool, Language)> {
        let line = Line::parse_from(["mini"].iter().chain(words));
        assert_eq!(
            line.rest,
            words.iter().filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>()
        );
        line.explain.form_in(Language::En).map(|form| (form.level, form.json, form.language))
    }

    #[test]
    fn words_say_how_much_for_whom_and_in_which_language() {
        for (words, expected) in [
            (&["busybox"][..], None),
            (&["--explain", "busybox"], Some((Level::Calls, false, Language::En))),
            (&["--explain=1", "busybox", "true"], Some((Level::Story, false, Language::En))),
            (&["--explain=3,json"], Some((Level::Pages, true, Language::En))),
            (&["--explain=ko"], Some((Level::Calls, false, Language::Ko))),
            (&["--explain=json,1,ko,text,en"], Some((Level::Story, false, Language::En))),
        ] {
            assert_eq!(form(words), expected, "{words:?}");
        }
        for bad in ["--explain=xml", "--explain=4", "--explain=1,", "--explain=1,2,fr"] {
            assert!(Line::try_parse_from(["mini", bad]).is_err(), "{bad}");
        }
    }
}
