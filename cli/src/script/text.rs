//! Text of a shell script: words that are what they say, whatever is in them, and comments that stay comments. PURE.

use std::path::Path;

use anyhow::{Context as _, Result};

/// How long a line of a comment may become, in characters.
const WIDTH: usize = 110;

/// A script, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a part: an empty line, and a comment.
    pub(super) fn part(&mut self, sentence: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.comment(sentence);
    }

    /// A comment, broken into lines.
    pub(super) fn comment(&mut self, text: &str) {
        for line in wrapped(text) {
            self.0.push_str(&format!("# {line}\n"));
        }
    }

    /// One line, or several, as they are.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Writes `content` into a file while the script runs; nothing in it is expanded.
    pub(super) fn file(&mut self, command: &str, content: &str) {
        // No line of the content may be the mark that ends it.
        let marks = std::iter::once("END".to_owned()).chain((1_u32..).map(|number| format!("END{number}")));
        let mark = marks.into_iter().find(|mark| content.lines().all(|line| line != mark));
        let mark = mark.expect("a text has an end, and numbers have none");
        self.line(&format!("{command} <<'{mark}'"));
        self.0.push_str(content);
        if !content.ends_with('\n') {
            self.0.push('\n');
        }
        self.line(&mark);
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A comment's lines. What would end a line, or do something to a terminal, is shown by its code.
fn wrapped(text: &str) -> Vec<String> {
    let plain: String = text
        .chars()
        .flat_map(|letter| match letter.is_control() {
            true => letter.escape_default().collect::<Vec<_>>(),
            false => vec![letter],
        })
        .collect();
    let mut lines = vec![String::new()];
    for word in plain.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// One word of a command line, the same whatever it holds (POSIX.1, Shell Command Language 2.2.2).
pub(crate) fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_./:=,@%+-".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A path as one word.
///
/// # Errors
/// One that is no text.
pub(super) fn path(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{path:?} is not UTF-8: no script can name it"))?;
    Ok(word(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_say() {
        for (text, expected) in [
            ("plain-1.0/x=y", "plain-1.0/x=y"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)`reboot`\\", "'$(reboot)`reboot`\\'"),
            ("two\nlines", "'two\nlines'"),
            ("~root", "'~root'"),
            ("*?[x]", "'*?[x]'"),
            ("한글", "'한글'"),
        ] {
            assert_eq!(word(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_comment_stays_one() {
        let mut text = Text::default();
        text.part("named x\nreboot\r\u{1b}[2J");
        assert_eq!(text.finish(), "# named x\\nreboot\\r\\u{1b}[2J\n");
        let long = wrapped(&"word ".repeat(60));
        assert!(long.len() > 1 && long.iter().all(|line| line.len() <= WIDTH), "{long:?}");
    }

    #[test]
    fn the_end_of_a_file_is_no_line_of_it() {
        let mut text = Text::default();
        text.file("cat >x", "a\nEND\nEND1\nrm -rf /");
        assert_eq!(text.finish(), "cat >x <<'END2'\na\nEND\nEND1\nrm -rf /\nEND2\n");
    }
}
