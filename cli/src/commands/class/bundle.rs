//! `mini class bundle`: one file for machines without a network.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use image::Save;
use runtime::sys::whole::NewFile;

use crate::class::bundle;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, size};

/// The image of every example.
const IMAGE: &str = "busybox";

/// Write mini, images and lessons as one offline file
///
/// On a machine without a network `sh FILE` verifies it, unpacks it, loads the images as root, and tries whether the machine is
/// fit. It needs sh, tar, sha256sum and mkdir. The same program and images give the same bytes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini class bundle lessons.sh\n  mini class bundle lessons.sh --image busybox --image nginx\n\nSee also: mini class check, mini learn, mini save"
)]
pub(super) struct BundleArgs {
    /// The file; it appears when it is whole
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An image that goes with it; may be repeated; busybox where none is given
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,
}

/// Finds the images, and writes everything.
pub(super) fn bundle(context: &Context, args: &BundleArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let is_other = args.file.metadata().is_ok_and(|about| !about.is_file());
    ensure!(!is_other, "{} is no file: a bundle is a file, to be copied", args.file.display());
    let images = match args.image.as_slice() {
        [] => vec![IMAGE.to_owned()],
        images => images.to_vec(),
    };
    let store = context.existing_store(&images[0])?;
    let save = Save::find(&store, &images, None)?;
    let written = NewFile::begin(&args.file, 0o755).map_err(anyhow::Error::from).and_then(|mut file| {
        bundle::write(&mut file, &save)?;
        file.sync()?;
        Ok(file.finish()?)
    });
    store.saved(save)?;
    written?;
    let bytes = args.file.metadata().with_context(|| format!("stat({:?})", args.file))?.len();
    let name = args.file.display();
    output::print_line(&format!("{name}: {}; on another machine: sh {name}", size::decimal_to_four(bytes)))?;
    Ok(ExitCode::Success)
}
