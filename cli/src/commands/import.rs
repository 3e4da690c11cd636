//! `mini import`: an archive of files becomes an image.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use anyhow::{Context as _, Result, bail};
use image::{About, Download, ImportOptions, Limits, Platform};
use serde_json::json;

use super::tag;
use crate::change;
use crate::clock;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output;
use crate::registries;

/// Make an image of an archive of files
///
/// A tar archive, plain, gzip or zstd, such as mini export writes: the image's one layer. Its configuration says nothing but what
/// is asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini export web | mini import - web:flat\n  mini import -c 'CMD [\"sh\"]' -m 'by hand' rootfs.tar.gz box\n  mini import --platform linux/arm64 rootfs.tar box:arm64\n\nSee also: mini commit, mini export, mini load"
)]
pub(crate) struct ImportArgs {
    /// Give it a configuration by an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Why; where it came from, if nothing is said
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// What its programs run on, if not on a machine like this one
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The archive: a file, an address of http or https, or - for standard input
    #[arg(value_name = "FILE")]
    source: String,
    /// What the image is to be called; the tag is latest where none is given
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Reads, makes, and says the new image's id.
pub(crate) fn import(context: &Context, args: &ImportArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let name = args.name.as_deref().map(tag::new_name).transpose()?;
    let mut config = json!({});
    change::apply(&mut config, &args.change)?;
    let (input, from) = open(context, &args.source)?;
    let about = About {
        config,
        created: clock::rfc3339_nano(clock::now()),
        comment: args.message.clone().unwrap_or_else(|| format!("Imported from {from}")),
        ..About::default()
    };
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let options = ImportOptions { platform, name: name.clone(), about, limits: Limits::default() };
    let made = image::import(&context.store()?, input, options)?;
    let id = made.id.to_string();
    context.journal().record(&[Event::new(Kind::Image, "import", &id).with("name", &id)]);
    if let Some(name) = &name {
        tag::tagged(context, made.id, name);
    }
    output::print_line(&id)?;
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

/// The archive, and where docker says that it came from: of a file its client tells nobody the name.
fn open<'s>(context: &Context, source: &'s str) -> Result<(Box<dyn Read>, &'s str)> {
    if source == "-" {
        if io::stdin().is_terminal() {
            bail!("give an archive: a file, an address, or one on standard input");
        }
        return Ok((Box::new(io::stdin()), "-"));
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        // How its host is reached: by the proxies, the certificates that are configured.
        let host = source.split('/').nth(2).unwrap_or_default();
        let hosts = registries::hosts(&context.config, host)?;
        let download = Download::begin(source, registries::offline(), hosts);
        let download = download.context("cannot fetch the archive")?;
        return Ok((Box::new(download), source));
    }
    let file = File::open(source).with_context(|| format!("cannot open {source}"))?;
    Ok((Box::new(file), "-"))
}
