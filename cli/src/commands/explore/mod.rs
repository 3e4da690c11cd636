//! `mini image explore`: what each layer of an image adds, changes and hides, and what of it is wasted.
//!
//! Everything is read once ([`Subject`]); [`report`] prints it, [`browse`] makes screens of it, [`screen`] draws them.

mod browse;
mod report;
mod screen;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use image::{Explored, Image, ResolveError, Store, Supplier};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::own_root;

/// Look into an image or a container layer by layer: what each adds, changes and hides
///
/// WASTED are the bytes that lie in a layer and are seen no more, since a layer above hides or replaces them; efficiency is the part of
/// all bytes that is seen. In a terminal arrows and enter open a layer, q leaves; where there is no terminal it is printed once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini image explore busybox\n  mini image explore --plain busybox\n  mini image explore --path /etc/passwd busybox\n  mini image explore --json web\n\nSee also: mini image tree, mini diff, mini images"
)]
pub(crate) struct ExploreArgs {
    /// Print it once, and end
    #[arg(long)]
    plain: bool,
    /// Print it once, as one JSON object
    #[arg(long)]
    json: bool,
    /// Which layers have something at this path, and whose is seen; links on the way are not followed
    #[arg(long, value_name = "INSIDE")]
    path: Option<PathBuf>,
    /// The image or the container
    #[arg(value_name = "IMAGE|CONTAINER")]
    subject: String,
}

/// What is looked into.
struct Subject {
    image: Image,
    /// As it was typed, or a container's name.
    name: String,
    /// A container's own files.
    upper: Option<PathBuf>,
    /// What made each layer.
    made_by: Vec<String>,
}

/// Looks, and shows it.
pub(crate) fn explore(context: &Context, args: &ExploreArgs) -> Result<ExitCode> {
    ensure!(!(args.json && args.plain), "--json and --plain are two forms: one of them");
    let store = context.store()?;
    // Nobody removes a layer that is being read.
    let _pin = store.pin().context("cannot hold the image store")?;
    let subject = Subject::find(context, &store, &args.subject)?;
    let upper = subject.upper.as_deref();
    if let Some(path) = &args.path {
        let bytes = path.as_os_str().as_encoded_bytes();
        let suppliers: Vec<Supplier> =
            store.suppliers(&subject.image, upper, bytes).context("cannot read the layers")?;
        ensure!(
            !suppliers.is_empty(),
            "no layer of {} has {}",
            args.subject,
            output::visible(&path.to_string_lossy())
        );
        match args.json {
            true => output::print_json(&report::suppliers_json(&subject, path, &suppliers))?,
            false => output::print(report::suppliers(&subject, &suppliers).as_bytes())?,
        }
        return Ok(ExitCode::Success);
    }
    let explored: Explored = store.explore(&subject.image, upper).context("cannot read the layers")?;
    if args.json {
        output::print_json(&report::json(&subject, &explored))?;
    } else if args.plain || !crate::screen::is_possible() {
        output::print(report::text(&subject, &explored).as_bytes())?;
    } else {
        screen::show(&subject, &explored)?;
    }
    Ok(ExitCode::Success)
}

impl Subject {
    /// An image of this name, or else a container.
    fn find(context: &Context, store: &Store, word: &str) -> Result<Subject> {
        let missing = match store.resolve(word) {
            Ok(image) => return Ok(Subject::new(image, word.to_owned(), None)),
            Err(error @ (ResolveError::NotFound(_) | ResolveError::Reference(_))) => error,
            Err(error) => return Err(error.into()),
        };
        let Ok(entry) = context.state().find(word) else { return Err(missing.into()) };
        let (image, _pin) = context.image_of(&entry.record)?;
        ensure!(
            store.root().join("layers").exists()
                && image.layers.iter().all(|layer| layer.starts_with(store.root())),
            "container {word} was made of a directory, which has no layers"
        );
        if own_root::is_there(&entry.dirs.disk) {
            output::notice(
                "it has a copy of its image, and no layer of its own: mini diff tells what it has changed",
            );
            return Ok(Subject::new(image, entry.record.name, None));
        }
        Ok(Subject::new(image, entry.record.name, Some(entry.dirs.disk.join("upper"))))
    }

    fn new(image: Image, name: String, upper: Option<PathBuf>) -> Subject {
        Subject { made_by: super::forest::made_by(&image), image, name, upper }
    }

    /// What a layer is called, by its place.
    fn label(&self, index: usize, explored: &Explored) -> String {
        match explored.layers[index].diff_id {
            Some(diff_id) => diff_id.hex()[..12].to_owned(),
            None => "(container)".to_owned(),
        }
    }

    /// What made a layer, fit to be shown.
    fn command(&self, index: usize, explored: &Explored) -> String {
        match explored.layers[index].diff_id {
            Some(_) => output::visible(self.made_by.get(index).map_or("", String::as_str)),
            None => "what the container has changed".to_owned(),
        }
    }
}
