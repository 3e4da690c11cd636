//! `mini volume create`: a volume that containers can be given.

use anyhow::{Result, bail};

use crate::commands::objects::pairs;
use crate::context::Context;
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::output;
use crate::volume::{ANONYMOUS, Made, Store};

/// Make a volume, and print its name
///
/// Where there is one of that name already, nothing happens.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume create data\n  mini volume create --opt type=none --opt o=bind --opt device=/srv/data shared\n\nSee also: mini run -v, mini volume ls"
)]
pub(super) struct CreateArgs {
    /// Keep a label with it
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// The driver: local
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Bind a directory of the host instead: type=none, o=bind (or bind,ro), device=DIR
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Its name; without one it gets 64 hexadecimal digits
    name: Option<String>,
}

/// Makes it.
pub(super) fn create(context: &Context, store: &Store, args: &CreateArgs) -> Result<ExitCode> {
    if args.driver != "local" {
        bail!("--driver {:?} is not supported: local is", args.driver);
    }
    let mut labels = pairs(&args.label, "label")?;
    let options = pairs(&args.opt, "opt")?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            labels.insert(ANONYMOUS.to_owned(), String::new());
            crate::random::new_id()?
        }
    };
    let (volume, made) = store.create(&name, labels, options)?;
    if made == Made::Now {
        context.journal().record(&[Event::volume("create", &name)]);
    }
    output::print_line(&volume.record.name)?;
    Ok(ExitCode::Success)
}
