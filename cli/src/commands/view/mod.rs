//! `mini view`: a container from both sides, the host's and its own, side by side.
//!
//! One look reads what the kernel says ([`Subject`], and each section's own file); what is shown of it is worked out from that
//! alone ([`Row`]); [`layout`] makes lines of rows, and [`screen`] draws them again and again.

mod address;
mod file;
mod group;
mod layout;
mod mount;
mod process;
mod rights;
mod screen;
mod space;
mod status;
mod subject;
mod user;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::Language;
use crate::output;
use crate::words::Words;
use subject::Subject;

/// Look at a running container from both sides: what the host sees, and what it sees itself
///
/// The same process, user, file, mount, address and control group, with what each is called outside and inside. In a terminal it is
/// looked at again every second: 1 to 8 and the arrows turn pages, q leaves. Where there is no terminal it is printed once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini view web\n  mini view --once web\n  mini view --once web /etc/passwd /tmp\n  mini view --json web\n  mini view --once --lang ko web\n\nSee also: mini ns, mini top, mini inspect, mini diff"
)]
pub(crate) struct ViewArgs {
    /// Print it once, and end
    #[arg(long)]
    once: bool,
    /// Print it once, as one JSON object
    #[arg(long)]
    json: bool,
    /// The language; without it, the environment's, and English with --json
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
    /// The container
    container: String,
    /// Files of it to find on the host; its program, its users and what is mounted where nothing is said
    #[arg(value_name = "INSIDE")]
    paths: Vec<PathBuf>,
}

/// One thing, as it is called on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    what: String,
    host: String,
    container: String,
}

impl Row {
    fn new(what: impl Into<String>, host: impl Into<String>, container: impl Into<String>) -> Row {
        Row { what: what.into(), host: host.into(), container: container.into() }
    }
}

/// Things of one kind: a page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: &'static str,
    rows: Vec<Row>,
}

/// One look at a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    id: String,
    name: String,
    status: &'static str,
    pid: i32,
    sections: Vec<Section>,
}

/// Looks, and shows what was seen: once, or until somebody has seen enough.
pub(crate) fn view(context: &Context, args: &ViewArgs) -> Result<ExitCode> {
    let id = context.state().find(&args.container)?.record.id;
    let language = match args.json {
        // Whoever reads it is a program: what it is told depends on no environment.
        true => args.lang.unwrap_or(Language::En),
        false => args.lang.unwrap_or_else(Language::of_environment),
    };
    let words = words(language);
    let first = look(context, &id, &args.paths, &words)?;
    if args.json {
        return output::print_json(&first.json()).map(|()| ExitCode::Success);
    }
    if args.once || !crate::screen::is_possible() {
        let columns = std::io::stdout().is_terminal().then(crate::session::window).flatten();
        let width = columns.map(|(_, columns)| usize::from(columns));
        output::print(layout::once(&first, width, &words).as_bytes())?;
        return Ok(ExitCode::Success);
    }
    let name = first.name.clone();
    let mut again = || match look(context, &id, &args.paths, &words) {
        // Ended, or being removed: no error of whoever has watched it.
        Err(_) if !super::is_live(&context.state(), &id) => Ok(None),
        view => view.map(Some),
    };
    screen::show(first, &words, &mut again)?;
    if !super::is_live(&context.state(), &id) {
        output::notice(&words.filled("screen.ended", &[("name", name)]));
    }
    Ok(ExitCode::Success)
}

/// What things are called in a language.
fn words(language: Language) -> Words {
    Words::read(match language {
        Language::En => include_str!("words/en.toml"),
        Language::Ko => include_str!("words/ko.toml"),
    })
}

/// Reads everything, one section after the other; nothing is changed.
fn look(context: &Context, id: &str, paths: &[PathBuf], words: &Words) -> Result<View> {
    let subject = Subject::look(context, id, words)?;
    let sections = vec![
        Section { name: "process", rows: process::look(&subject) },
        Section { name: "user", rows: user::look(&subject)? },
        Section { name: "file", rows: file::look(&subject, paths) },
        Section { name: "mount", rows: mount::look(&subject) },
        Section { name: "address", rows: address::look(&subject)? },
        Section { name: "group", rows: group::look(&subject)? },
        Section { name: "rights", rows: rights::look(&subject)? },
        Section { name: "namespace", rows: space::look(&subject)? },
    ];
    // Asked last: until here its numbers were its own.
    subject.still_runs()?;
    let record = &subject.entry.record;
    Ok(View {
        id: record.id.clone(),
        name: record.name.clone(),
        status: if subject.paused { "paused" } else { "running" },
        pid: subject.pid,
        sections,
    })
}

impl View {
    /// One object. PURE.
    fn json(&self) -> Json {
        let row = |row: &Row| json!({ "What": row.what, "Host": row.host, "Container": row.container });
        let section = |section: &Section| (section.name.to_owned(), section.rows.iter().map(row).collect());
        let sections: Map<String, Json> = self.sections.iter().map(section).collect();
        json!({ "Id": self.id, "Name": self.name, "Status": self.status, "Pid": self.pid, "Sections": sections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::parity;

    #[test]
    fn both_languages_have_the_same_words() {
        parity::check(&words(Language::En), &words(Language::Ko));
    }
}
