//! `mini diff`: what a container has changed in its files.

use std::io::IsTerminal;

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Print what a container has changed in its files: A is added, C is changed, D is deleted
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini diff web\n\nSee also: mini inspect")]
pub(crate) struct DiffArgs {
    /// The container
    container: String,
}

/// A line a file.
pub(crate) fn diff(context: &Context, args: &DiffArgs) -> Result<ExitCode> {
    let entry = context.state().find(&args.container)?;
    let (image, _pin) = context.image_of(&entry.record)?;
    let changes = runtime::changes::changes(&entry.dirs.disk.join("upper"), &image.layers)?;
    // A name may hold what a terminal obeys; a program gets it as it is.
    let terminal = std::io::stdout().is_terminal();
    let mut text = Vec::new();
    for change in changes {
        let name = change.path.into_os_string().into_encoded_bytes();
        text.extend_from_slice(format!("{} ", char::from(change.kind)).as_bytes());
        match terminal {
            true => text.extend(
                String::from_utf8_lossy(&name)
                    .chars()
                    .map(|character| if character.is_control() { '?' } else { character })
                    .collect::<String>()
                    .into_bytes(),
            ),
            false => text.extend_from_slice(&name),
        }
        text.push(b'\n');
    }
    output::print(&text)?;
    Ok(ExitCode::Success)
}
