//! `mini inspect`: everything that is known of a container, an image, a network or a volume, under docker's field names.

mod container;
mod host_config;
mod image;
mod limits;
mod mounts;
mod network;
mod spaces;
mod zeros;

use anyhow::{Context as _, Result, bail};
use runtime::state::{Entry, FindError};
use serde_json::{Value, json};

pub(super) use self::container::config_of;
use super::Failures;
use super::ps::{Listed, Look, Shown};
use super::volume::shown;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::networks::{self, Network};
use crate::output;
use crate::output::format::OneFormat;
use crate::plan::as_run;
use crate::settings::Settings;
use crate::volume;

/// Print what is known of containers, images, networks and volumes, as JSON
///
/// A name is looked for among the containers first, then among images, networks and volumes. What is found is printed, what is not is an error, and the others go on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini inspect web\n  mini inspect --type image busybox\n  mini inspect -f '{{.State.Status}} {{.NetworkSettings.IPAddress}}' web\n  mini inspect -f '{{json .NetworkSettings.Ports}}' web\n  mini inspect --as-run web\n\nSee also: mini ps, mini images, mini network ls, mini volume ls"
)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Only things of this type: container, image, network or volume
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

/// Print what is known of containers, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini container inspect web\n  mini container inspect -s -f '{{.SizeRw}}' web\n\nSee also: mini inspect, mini ps"
)]
pub(crate) struct ContainerArgs {
    #[command(flatten)]
    things: ThingArgs,
    /// Count the files of containers: their own, and with their image's
    #[arg(short, long)]
    size: bool,
    /// Print the command line that makes the container again
    #[arg(long, conflicts_with_all = ["format", "size"])]
    as_run: bool,
}

/// Print what is known of images, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini image inspect busybox\n  mini image inspect -f '{{json .Config.Cmd}}' busybox\n\nSee also: mini inspect, mini images"
)]
pub(crate) struct ThingArgs {
    /// Print it as json in one line, or by a TEMPLATE
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
    /// Names, ids, or their beginnings
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Print what is known of networks, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini network inspect bridge\n  mini network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' bridge\n\nSee also: mini network ls, mini inspect"
)]
pub(crate) struct NetworkArgs {
    #[command(flatten)]
    things: ThingArgs,
    /// All of it, as always: what docker adds is of clusters, and mini knows none
    #[arg(short, long)]
    verbose: bool,
}

/// What can be looked at, in the order in which a name is looked for. Whoever keeps another kind of things adds it here, to
/// [`Kind::new`] and to [`Inspection::find`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

const KINDS: [Kind; 4] = [Kind::Container, Kind::Image, Kind::Network, Kind::Volume];

impl Kind {
    fn new(text: &str) -> Result<Kind> {
        match text {
            "container" => Ok(Kind::Container),
            "image" => Ok(Kind::Image),
            "network" => Ok(Kind::Network),
            "volume" => Ok(Kind::Volume),
            "config" | "node" | "plugin" | "secret" | "service" | "task" => {
                bail!("type {text:?} is not supported: mini has no swarm and no plugins")
            }
            other => bail!("unknown type {other:?}: container, image, network or volume"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

/// A container where there is one of that name, else an image; or one of the type that was asked for.
pub(crate) fn inspect(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    let kind = args.kind.as_deref().map(Kind::new).transpose()?;
    let ContainerArgs { things, size, as_run } = &args.container;
    Inspection { context, size: *size, kind }.print(things, *as_run)
}

/// Containers alone.
pub(crate) fn containers(context: &Context, args: &ContainerArgs) -> Result<ExitCode> {
    Inspection { context, size: args.size, kind: Some(Kind::Container) }.print(&args.things, args.as_run)
}

/// Images alone.
pub(crate) fn images(context: &Context, args: &ThingArgs) -> Result<ExitCode> {
    Inspection { context, size: false, kind: Some(Kind::Image) }.print(args, false)
}

/// Networks alone.
pub(crate) fn networks(context: &Context, args: &NetworkArgs) -> Result<ExitCode> {
    Inspection { context, size: false, kind: Some(Kind::Network) }.print(&args.things, false)
}

struct Inspection<'a> {
    context: &'a Context,
    size: bool,
    /// Only things of this kind.
    kind: Option<Kind>,
}

impl Inspection<'_> {
    fn print(&self, args: &ThingArgs, as_run: bool) -> Result<ExitCode> {
        let form = args.format.as_deref().filter(|form| !form.is_empty() && *form != "json");
        let format = match form.map(OneFormat::new).transpose() {
            Ok(format) => format,
            Err(error) => {
                output::error(&error);
                return Ok(ExitCode::Format);
            }
        };
        let mut failures = Failures::default();
        let (mut found, mut text) = (Vec::new(), String::new());
        for name in &args.names {
            let printed = match &format {
                _ if as_run => self.as_run(name).map(|line| text += &line),
                Some(format) => {
                    self.look(name).and_then(|value| format.text(&value)).map(|line| text += &line)
                }
                None => self.look(name).map(|value| found.push(value)),
            };
            if let Err(error) = printed {
                failures.add(&error);
            }
        }
        match format {
            _ if as_run => output::print(text.as_bytes())?,
            // docker ends a line also where there is none.
            Some(_) if text.is_empty() => output::print_line("")?,
            Some(_) => output::print(text.as_bytes())?,
            None if args.format.is_some() => output::print_line(&Value::Array(found).to_string())?,
            None => output::print_json(&found)?,
        }
        Ok(failures.code())
    }

    fn look(&self, name: &str) -> Result<Value> {
        for kind in KINDS {
            if self.kind.is_none_or(|wanted| wanted == kind)
                && let Some(value) = self.find(kind, name)?
            {
                if self.size && kind != Kind::Container {
                    output::warn(&format!("--size is left aside: {name} is of type {}", kind.name()));
                }
                return Ok(value);
            }
        }
        Err(self.not_found(name))
    }

    /// A thing of one kind; `None` where there is none of that name.
    fn find(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        match kind {
            Kind::Container => {
                let Some(entry) = self.entry(name)? else { return Ok(None) };
                match self.container(&entry) {
                    // It was removed while it was looked at.
                    Err(_) if self.context.state().load(&entry.record.id)?.is_none() => Ok(None),
                    shown => shown.map(Some),
                }
            }
            Kind::Image => {
                let store = self.context.store()?;
                match store.resolve(name) {
                    Ok(found) => image::image(&store, &found).map(zeros::image).map(Some),
                    // What is no name of an image is not found among them.
                    Err(::image::ResolveError::NotFound(_) | ::image::ResolveError::Reference(_)) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Kind::Network => Network::find(name)?.map(|network| self.network(network)).transpose(),
            Kind::Volume => {
                Ok(volume::Store::new(&self.context.dirs.root).get(name)?.map(|volume| shown(&volume)))
            }
        }
    }

    fn network(&self, network: Network) -> Result<Value> {
        let look = Look::new(self.context, clock::now());
        let all = self.context.state().list_as::<Shown>()?;
        let all: Vec<_> = all.into_iter().map(|(entry, shown)| Listed::new(entry, shown, &look)).collect();
        network.shown(self.context, &all)
    }

    /// docker's own names begin with a slash.
    fn entry(&self, name: &str) -> Result<Option<Entry>> {
        match self.context.state().find(name.strip_prefix('/').unwrap_or(name)) {
            Ok(entry) => Ok(Some(entry)),
            Err(FindError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn not_found(&self, name: &str) -> anyhow::Error {
        match self.kind {
            Some(Kind::Container) => FindError::NotFound(name.to_owned()).into(),
            Some(Kind::Image) => ::image::ResolveError::NotFound(name.to_owned()).into(),
            Some(Kind::Network) => networks::NotFound(name.to_owned()).into(),
            Some(Kind::Volume) => volume::NotFound(name.to_owned()).into(),
            None => anyhow::anyhow!("no such object: {name}"),
        }
    }

    fn container(&self, entry: &Entry) -> Result<Value> {
        let mut value = zeros::container(container::container(self.context, entry)?);
        if self.size {
            let look = Look::new(self.context, clock::now());
            let (own, all) = Listed::new(entry.clone(), Shown::default(), &look).sizes();
            value["SizeRw"] = json!(own);
            value["SizeRootFs"] = json!(all);
        }
        Ok(value)
    }

    /// The command line that makes a container again.
    fn as_run(&self, name: &str) -> Result<String> {
        let entry = self.entry(name)?;
        let entry = match (entry, self.kind) {
            (Some(entry), None | Some(Kind::Container)) => entry,
            (None, None | Some(Kind::Container)) => bail!(FindError::NotFound(name.to_owned())),
            (_, Some(Kind::Image)) => bail!("--as-run is of containers: an image is not run yet"),
            (_, Some(kind)) => bail!("--as-run is of containers: a {} is not run", kind.name()),
        };
        let settings = Settings::of(&entry.record);
        let request = settings.request.as_ref().with_context(|| {
            format!(
                "container {} was made by an older mini, which did not keep what it was asked for",
                entry.record.name
            )
        })?;
        Ok(as_run::command_line(&entry.record.id, &entry.record.name, &settings, request) + "\n")
    }
}
