//! `mini inspect`: everything that is known of a container or an image, under docker's field names.

mod container;
mod host_config;
mod image;
mod network;

use anyhow::{Result, bail};
use runtime::state::FindError;
use serde_json::Value;

use self::container::container;
use self::image::image;
use super::Failures;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Print what is known of containers and images, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini inspect web\n  mini inspect busybox\n\nSee also: mini ps, mini images"
)]
pub(crate) struct InspectArgs {
    /// Containers or images
    #[arg(required = true)]
    names: Vec<String>,
}

/// A container where there is one of that name, else an image.
pub(crate) fn inspect(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| look(context, name))
}

/// Containers alone.
pub(crate) fn containers(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| container(context, &context.state().find(name)?))
}

/// Images alone.
pub(crate) fn images(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| Ok(image(&context.store()?.resolve(name)?)))
}

fn print(args: &InspectArgs, look: impl Fn(&str) -> Result<Value>) -> Result<ExitCode> {
    let mut failures = Failures::default();
    let mut found = Vec::new();
    for name in &args.names {
        match look(name) {
            Ok(value) => found.push(value),
            Err(error) => failures.add(&error),
        }
    }
    output::print_json(&found)?;
    Ok(failures.code())
}

fn look(context: &Context, name: &str) -> Result<Value> {
    match context.state().find(name) {
        Ok(entry) => container(context, &entry),
        Err(FindError::NotFound(_)) => match context.store()?.resolve(name) {
            Ok(found) => Ok(image(&found)),
            Err(::image::ResolveError::NotFound(_)) => bail!("no such object: {name}"),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}
