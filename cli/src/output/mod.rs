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

/// A line on stderr; who has closed it does not want to know.
pub(crate) fn say(text: &str) {
    let _unread = writeln!(std::io::stderr().lock(), "{text}");
}

/// A defect of mini.
pub(crate) fn panic(text: &str) {
    say(&format!("mini: this is a defect of mini, please report it: {text}"));
}
