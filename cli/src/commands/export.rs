//! `mini export`: a container's files as one tar archive.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use image::{Limits, Pack, PackOptions};
use runtime::op::step;
use runtime::sys::whole::NewFile;

use crate::context::Context;
use crate::copy::{self, container};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};

/// Write a container's files as a tar archive
///
/// Its own files and its image's, as they are now; nothing of what is mounted in it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini export web > web.tar\n  mini export -o web.tar web\n\nSee also: mini cp, mini diff"
)]
pub(crate) struct ExportArgs {
    /// Write it here instead of to standard output; the file appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container
    container: String,
}

/// Packs, and writes.
pub(crate) fn export(context: &Context, args: &ExportArgs) -> Result<ExitCode> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    let story = context.listen(args.explain.form())?;
    let file = args.output.as_deref().map(|path| NewFile::begin(path, 0o600)).transpose()?;
    let opened = container::open_alone(context, &args.container)?;
    context.happened("export", opened.record());
    let root = opened.root().try_clone_to_owned().context("dup")?;
    let ids = |kind, id| opened.id_inside(kind, id);
    let mut pack = Pack::new(
        root,
        PackOptions {
            called: Vec::new(),
            ids: &ids,
            nanoseconds: false,
            left_empty: Vec::new(),
            entries_max: Limits::default().layer_entries,
        },
    );
    step("Read the container's files, and write them as one archive");
    match file {
        None => copy::stream(&mut pack)?,
        Some(mut file) => {
            io::copy(&mut pack, &mut file).map_err(copy::packing)?;
            file.finish()?;
        }
    }
    copy::tell_packed(pack.packed());
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}
