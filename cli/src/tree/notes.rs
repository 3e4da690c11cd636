//! What stands below a command's flags in its help: examples, placeholders, other commands to look at. PURE.
//!
//! ```text
//! Examples:
//!   mini ps -a
//!
//! Placeholders: .ID .Image
//!
//! See also: mini run, lsns(8)
//! ```

use clap::Command;

/// A paragraph with its heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) heading: String,
    pub(super) lines: Vec<String>,
}

/// The heading of lines that can be typed as they are.
pub(super) const EXAMPLES: &str = "Examples";

/// The heading of other commands.
pub(super) const SEE_ALSO: &str = "See also";

/// All paragraphs of a command.
pub(super) fn notes(command: &Command) -> Vec<Note> {
    let text = command.get_after_long_help().or_else(|| command.get_after_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(note).collect()
}

fn note(paragraph: &str) -> Note {
    let (heading, rest) = paragraph.split_once(':').unwrap_or(("", paragraph));
    let lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
    Note { heading: heading.to_owned(), lines: lines.map(str::to_owned).collect() }
}

/// The lines of the paragraph with this heading.
pub(super) fn lines(command: &Command, heading: &str) -> Vec<String> {
    notes(command).into_iter().find(|note| note.heading == heading).map(|note| note.lines).unwrap_or_default()
}

/// Other commands: `mini run`, `lsns(8)`.
pub(super) fn see_also(command: &Command) -> Vec<String> {
    let lines = lines(command, SEE_ALSO);
    lines.iter().flat_map(|line| line.split(", ")).map(|name| name.trim_end_matches(',').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_have_headings_and_lines() {
        let help = "Examples:\n  mini ps -a\n  mini ps --format '{{.ID}}: {{.Names}}'\n\nPlaceholders: .ID .Names\n\nSee also: mini run, lsns(8)";
        let command = Command::new("ps").after_help(help);
        assert_eq!(lines(&command, EXAMPLES), ["mini ps -a", "mini ps --format '{{.ID}}: {{.Names}}'"]);
        assert_eq!(lines(&command, "Placeholders"), [".ID .Names"]);
        assert_eq!(see_also(&command), ["mini run", "lsns(8)"]);
        assert_eq!(notes(&Command::new("x")), []);
    }
}
