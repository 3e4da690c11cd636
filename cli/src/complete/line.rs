//! A line of bash as bash would take it apart, up to the cursor; and what it wants of a word that is completed. PURE.
//!
//! bash gives completion the whole line, and replaces only what follows the last of `COMP_WORDBREAKS` in the word at the cursor:
//! of `--network=ho` it replaces `ho`, of `alpine:3.2` the `3.2`.

/// A line up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its words without quotes; the last, maybe empty, is the one at the cursor.
    pub(super) words: Vec<String>,
    /// What of the last word stays as it is.
    kept: String,
    /// The last word is in quotes that are still open.
    quoted: bool,
}

impl Line {
    /// Takes a line apart.
    pub(super) fn new(line: &str, breaks: &str) -> Line {
        let mut words = vec![String::new()];
        let (mut quote, mut begun, mut kept) = (None, false, 0);
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            let word = words.last_mut().expect("there is always one");
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (Some('"') | None, '\\') => word.extend(letters.next()),
                (Some(_), letter) => word.push(letter),
                (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
                (None, letter) if letter.is_whitespace() => {
                    if begun || !word.is_empty() {
                        words.push(String::new());
                        (begun, kept) = (false, 0);
                    }
                }
                (None, letter) => {
                    word.push(letter);
                    if "=:".contains(letter) && breaks.contains(letter) {
                        kept = word.len();
                    }
                }
            }
        }
        let last = words.last().expect("there is always one");
        let quoted = quote.is_some();
        Line { kept: if quoted { String::new() } else { last[..kept].to_owned() }, quoted, words }
    }

    /// How bash has a whole word typed; `None` where it does not begin as what is typed already.
    pub(super) fn typed(&self, word: &str, goes_on: bool) -> Option<String> {
        let rest = word.strip_prefix(&self.kept)?;
        let space = if goes_on || self.quoted { "" } else { " " };
        Some(if self.quoted { rest.to_owned() } else { escaped(rest) + space })
    }
}

/// With a backslash before everything that bash would understand.
fn escaped(word: &str) -> String {
    let mut text = String::new();
    for (at, letter) in word.chars().enumerate() {
        let plain = letter.is_alphanumeric() || "_-./=:,@%+".contains(letter) || (letter == '~' && at == 0);
        if !plain {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'><=;|&(:";

    #[test]
    fn a_line_has_its_words_without_quotes() {
        for (line, words) in [
            ("mini st", &["mini", "st"][..]),
            ("mini  stop ", &["mini", "stop", ""]),
            ("mini run -e 'A=1 2' --network=ho", &["mini", "run", "-e", "A=1 2", "--network=ho"]),
            (r#"mini run -v "/a b/c"#, &["mini", "run", "-v", "/a b/c"]),
            (r"mini run -v /a\ b", &["mini", "run", "-v", "/a b"]),
            ("mini run -e '' x", &["mini", "run", "-e", "", "x"]),
            ("", &[""]),
        ] {
            assert_eq!(Line::new(line, BREAKS).words, words, "{line}");
        }
    }

    #[test]
    fn a_word_is_typed_as_bash_wants_it() {
        for (line, word, goes_on, typed) in [
            ("mini st", "stop", false, Some("stop ")),
            ("mini run --network=ho", "--network=host", false, Some("host ")),
            ("mini run --network=", "--network=container:", true, Some("container:")),
            ("mini run --network=container:w", "--network=container:web", false, Some("web ")),
            ("mini run alpine:3", "alpine:3.20", false, Some("3.20 ")),
            ("mini run alpine:3", "busybox", false, None),
            ("mini run -v /a\\ ", "/a b/", true, Some("/a\\ b/")),
            ("mini run -v '/a ", "/a b", false, Some("/a b")),
            ("mini run -v ~/x", "~/x$y", false, Some("~/x\\$y ")),
        ] {
            assert_eq!(Line::new(line, BREAKS).typed(word, goes_on).as_deref(), typed, "{line}");
        }
        assert_eq!(
            Line::new("mini run alpine:3", " ").typed("alpine:3.20", false).as_deref(),
            Some("alpine:3.20 ")
        );
    }
}
