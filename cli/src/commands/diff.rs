//! `mini diff`: what a container has changed in its files.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::Became;
use runtime::changes::{Change, Kind};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::own_root::{self, Ids};

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
    let disk = &entry.dirs.disk;
    let changes = match own_root::ids(disk)? {
        None => runtime::changes::changes(&disk.join("upper"), &image.layers)?,
        Some(ids) => of_copy(disk, &crate::prepare::layers(&context.state(), &image)?, &ids)?,
    };
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

/// The same where it has a copy of its image.
fn of_copy(disk: &Path, layers: &[PathBuf], ids: &Ids) -> Result<Vec<Change>> {
    use std::os::unix::ffi::OsStrExt;
    let changes = own_root::changes(disk, layers, ids)?;
    let change = |(path, became): (Vec<u8>, Became)| Change {
        kind: match became {
            Became::Added => Kind::Added,
            Became::Changed => Kind::Changed,
            Became::Deleted => Kind::Deleted,
        },
        path: Path::new("/").join(OsStr::from_bytes(&path)),
    };
    Ok(changes.iter().map(change).collect())
}
