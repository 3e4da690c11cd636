//! `mini commit`: a container's files, and what it was told, as a new image.

mod hold;

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail, ensure};
use image::{About, CommitOptions, Limits, Reference};
use runtime::cgroup::Layout;
use runtime::op::OpError;
use runtime::state::Entry;
use runtime::sys;
use serde_json::{Value, json};

use self::hold::Hold;
use super::{inspect, tag};
use crate::change;
use crate::clock;
use crate::context::Context;
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output;
use crate::own_root;
use crate::settings::Settings;

/// Make an image of what a container has written
///
/// The image has the layers of the container's own, and one more with what the container has written, changed and removed; what is
/// mounted in it is no part of that. Its configuration is the container's, with the changes that are asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini commit web\n  mini commit -m 'with our pages' -a me web localhost:5000/web:2\n  mini commit -c 'CMD [\"httpd\", \"-f\"]' -c 'ENV DEBUG=1' -c 'EXPOSE 80' web web:2\n\nSee also: mini diff, mini export, mini history, mini tag"
)]
pub(crate) struct CommitArgs {
    /// Who made it
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    author: String,
    /// Change its configuration by an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// Let the container stand still while its files are read
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pause: bool,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container
    container: String,
    /// What the image is to be called; the tag is latest where none is given
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Reads, makes, and says the new image's id.
pub(crate) fn commit(context: &Context, args: &CommitArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let name = args.name.as_deref().map(tag::new_name).transpose()?;
    let state = context.state();
    let entry = state.find(&args.container)?;
    if let Some(directory) =
        Settings::of(&entry.record).request.and_then(|request| request.options.origin.rootfs)
    {
        bail!(
            "container {} has the directory {} for its root, and no image that another one could be made on: export it, and import that",
            entry.record.name,
            directory.display()
        );
    }
    let about = about(&entry, args)?;
    let store = context.existing_store(&entry.record.image)?;
    let parent = store.resolve(&entry.record.image_id).with_context(|| {
        format!("the image {} that it was made of is not here any more", entry.record.image)
    })?;
    // Nobody starts or removes one that does not run.
    let rest = super::lock_at_rest(&state, &entry.record.id)?;
    let layout = Layout::detect()?;
    let hold = match args.pause && rest.is_none() && super::still_runs(&entry) {
        true => Hold::begin(context, &layout, &entry)?,
        false => None,
    };
    let options = CommitOptions { parent: parent.id, name: name.clone(), about, limits: Limits::default() };
    let is_there = || {
        let released = hold.map(|hold| hold.end(context, &entry));
        if let Some(Err(error)) = released {
            output::error(&error);
        }
        matches!(state.load(&entry.record.id), Ok(Some(_)))
    };
    let made = match own_root::ids(&entry.dirs.disk)? {
        None => {
            let upper = upper(&entry)?.map(image::Written::Upper);
            image::commit(&store, upper, options, is_there)?
        }
        Some(ids) => {
            let layers = crate::prepare::layers(&state, &parent)?;
            let changes = own_root::changes(&entry.dirs.disk, &layers, &ids)?;
            let copy = sys::fs::open_dir(&own_root::files(&entry.dirs.disk))?;
            let inside = |kind, id| ids.inside(kind, id);
            image::commit(&store, Some(image::Written::Copy(copy, changes, &inside)), options, is_there)?
        }
    };
    drop(rest);
    tell(context, &entry, &made, name.as_ref(), &args.message)?;
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

fn tell(
    context: &Context,
    entry: &Entry,
    made: &image::New,
    name: Option<&Reference>,
    message: &str,
) -> Result<()> {
    if made.left_out > 0 {
        output::warn(&format!("{} things have no form in a layer and were left out", made.left_out));
    }
    let mut event = Event::container("commit", &entry.record).with("imageID", made.id);
    if let Some(name) = name {
        event = event.with("imageRef", name);
        tag::tagged(context, made.id, name);
    }
    context.journal().record(&[event.with("comment", message)]);
    output::print_line(&made.id.to_string())
}

/// What was written in it; nothing was where there is no such directory.
fn upper(entry: &Entry) -> Result<Option<OwnedFd>> {
    match sys::fs::open_dir(&entry.dirs.disk.join("upper")) {
        Err(OpError { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        upper => Ok(Some(upper?)),
    }
}

/// What the image says about itself.
fn about(entry: &Entry, args: &CommitArgs) -> Result<About> {
    let own = docker_config(inspect::config_of(entry)?);
    let mut config = own.clone();
    change::apply(&mut config, &args.change)?;
    change::merge(&mut config, &own);
    let words = own["Cmd"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    ensure!(config.is_object(), "the container's configuration is damaged");
    Ok(About {
        config,
        created: clock::rfc3339_nano(clock::now()),
        created_by: words.join(" "),
        author: args.author.clone(),
        comment: args.message.clone(),
        container: Some((entry.record.id.clone(), own)),
    })
}

/// docker's `Config` of a container, without what says nothing, and what only mini knows.
fn docker_config(mut config: Value) -> Value {
    let fields = config.as_object_mut().expect("an object was made");
    let is_usual = |name: &str, value: &Value| match name {
        "Secrets" | "Umask" => true,
        "WorkingDir" => *value == json!("/"),
        "StopSignal" => *value == json!("SIGTERM"),
        "ExposedPorts" | "Healthcheck" | "StopTimeout" | "Volumes" => value.is_null() || *value == json!({}),
        _ => false,
    };
    fields.retain(|name, value| !is_usual(name, value));
    config
}
