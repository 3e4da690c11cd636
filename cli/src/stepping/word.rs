//! What is typed between two operations. PURE.

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Next,
    Skip,
    /// To a call or a step of this name.
    RunTo(String),
    /// A shell, or this command.
    Inside(Option<String>),
    Outside(Option<String>),
    Continue,
    Quit,
    Help,
    /// `r` alone.
    NoName,
    Unknown,
}

/// Understands a line.
pub(super) fn word(line: &str) -> Word {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let more = || (!rest.is_empty()).then(|| rest.to_owned());
    match name {
        "i" | "inside" => Word::Inside(more()),
        "o" | "outside" => Word::Outside(more()),
        "r" | "run" => more().map_or(Word::NoName, Word::RunTo),
        _ if !rest.is_empty() => Word::Unknown,
        "" | "n" | "next" => Word::Next,
        "s" | "skip" => Word::Skip,
        "c" | "continue" => Word::Continue,
        "q" | "quit" => Word::Quit,
        "h" | "help" | "?" => Word::Help,
        _ => Word::Unknown,
    }
}

/// Whether an operation is the one that `name` means: its call begins so, or its step has it in its sentence, in English or as
/// it is shown.
pub(super) fn is_meant(name: &str, call: &str, why: &str, shown: &str) -> bool {
    let name = name.to_lowercase();
    call.to_lowercase().starts_with(&name)
        || [why, shown].iter().any(|text| text.to_lowercase().contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command() {
        let some = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("", Word::Next),
            (" n ", Word::Next),
            ("skip", Word::Skip),
            ("r pivot_root", Word::RunTo("pivot_root".to_owned())),
            ("run Become the program", Word::RunTo("Become the program".to_owned())),
            ("r", Word::NoName),
            ("i", Word::Inside(None)),
            ("i  ls -l /", Word::Inside(some("ls -l /"))),
            ("o id", Word::Outside(some("id"))),
            ("c", Word::Continue),
            ("q", Word::Quit),
            ("?", Word::Help),
            ("next please", Word::Unknown),
            ("x", Word::Unknown),
        ] {
            assert_eq!(word(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_name_is_a_call_or_in_a_sentence() {
        let (call, why, shown) =
            ("pivot_root(\".\", \".\")", "Make that stack our root", "그 스택을 우리의 루트로 삼고");
        for (name, expected) in [
            ("pivot_root", true),
            ("PIVOT", true),
            ("stack our", true),
            ("루트로", true),
            ("root(", false),
            ("mount", false),
        ] {
            assert_eq!(is_meant(name, call, why, shown), expected, "{name}");
        }
    }
}
