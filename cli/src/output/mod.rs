//! What mini says: data on stdout, everything else on stderr.

pub(crate) mod format;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod table;
pub(crate) mod template;

use std::io::{IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;

/// One line of data. A reader that has closed its end has had enough: that is no error.
pub(crate) fn print_line(text: &str) -> Result<()> {
    print(format!("{text}\n").as_bytes())
}

/// Data as it is.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    crate::launch::write(&mut std::io::stdout().lock(), bytes);
    Ok(())
}

/// Pretty JSON, as docker's inspect indents it.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    print(&text)
}

/// Data for people, in colours where they are wanted.
pub(crate) fn print_styled(text: &clap::builder::StyledStr) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let coloured = wants_colours(&variable, std::io::stdout().is_terminal());
    let text = if coloured { text.ansi().to_string() } else { text.to_string() };
    crate::launch::write(&mut std::io::stdout().lock(), text.as_bytes());
}

/// Whether what is said on stderr is to have colours.
pub(crate) fn stderr_has_colours() -> bool {
    wants_colours(&|name| std::env::var(name).unwrap_or_default(), std::io::stderr().is_terminal())
}

/// Colours are for terminals that know them, and for who insists (no-color.org, bixense.com/clicolors). PURE.
fn wants_colours(variable: &dyn Fn(&str) -> String, terminal: bool) -> bool {
    let is_forced = !["", "0"].contains(&variable("CLICOLOR_FORCE").as_str());
    let is_known = !["", "dumb"].contains(&variable("TERM").as_str()) && variable("CLICOLOR") != "0";
    variable("NO_COLOR").is_empty() && (is_forced || terminal && is_known)
}

/// An error, whole; unless the user knows it already.
pub(crate) fn error(error: &anyhow::Error) {
    if error.downcast_ref::<crate::error::Told>().is_some() {
        return;
    }
    say(&crate::error::text(error));
}

/// Something that goes on, but not as asked.
pub(crate) fn warn(text: &str) {
    say(&format!("mini: warning: {text}"));
}

/// Something worth knowing, for a person only.
pub(crate) fn notice(text: &str) {
    if std::io::stderr().is_terminal() {
        say(&format!("mini: {text}"));
    }
}

/// An error with all that led to it, as one line.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A line on stderr; who has closed it does not want to know.
pub(crate) fn say(text: &str) {
    let _unread = writeln!(std::io::stderr().lock(), "{text}");
}

/// A prompt on stderr, whose answer follows on the same line.
pub(crate) fn ask(text: &str) {
    let mut error = std::io::stderr().lock();
    let _unread = write!(error, "{text}").and_then(|()| error.flush());
}

/// A defect of mini.
pub(crate) fn panic(text: &str) {
    say(&format!("mini: this is a defect of mini, please report it: {text}"));
}

/// Words of others, such as the names of processes and files, as they may be shown on a terminal: what would move its cursor or
/// turn its letters around is written out as its number. PURE.
pub(crate) fn visible(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_written_out() {
        for (text, expected) in [
            ("sh -c '한국'", "sh -c '한국'"),
            ("a\x1b[2Jb\n", "a\\u{1b}[2Jb\\n"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
        }
    }

    #[test]
    fn colours_are_for_terminals_that_know_them_and_for_who_insists() {
        for (variables, terminal, expected) in [
            (&[("TERM", "xterm")][..], true, true),
            (&[("TERM", "xterm")], false, false),
            (&[("TERM", "dumb")], true, false),
            (&[], true, false),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], true, false),
            (&[("TERM", "xterm"), ("NO_COLOR", "")], true, true),
            (&[("TERM", "xterm"), ("CLICOLOR", "0")], true, false),
            (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned()).unwrap_or_default()
            };
            assert_eq!(wants_colours(&variable, terminal), expected, "{variables:?} {terminal}");
        }
    }
}
