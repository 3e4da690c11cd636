//! `mini ns`: the namespaces of containers and of the host, and who owns them.

mod tree;
mod world;

use anyhow::{Result, ensure};
use runtime::cgroup::Layout;
use runtime::record::Status;
use runtime::state::Entry;
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg, Row};
pub(super) use world::namespaces_of;
use world::{Home, Space};

/// List the namespaces of containers and of the host
///
/// With --tree under the user namespaces that own them (ioctl_ns(2)), those under their parents: who is root in one may change what
/// hangs below it, and nothing else. A map says which ids inside are which outside; a pid namespace shows the processes of
/// containers, with the numbers that they have outside and inside.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini ns\n  mini ns web\n  mini ns --tree\n  mini ns --tree --json web\n\nPlaceholders: .Namespace .Type .Processes .Owner .Who\n\nSee also: mini view, mini ps, lsns(8)"
)]
pub(crate) struct NsArgs {
    /// Under the user namespaces that own them, with id maps and processes
    #[arg(long)]
    tree: bool,
    /// As JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    format: FormatArg,
    /// Only the namespaces of these containers, and what they share
    containers: Vec<String>,
}

/// The plain table.
const TABLE: [&str; 5] = ["Namespace", "Type", "Processes", "Owner", "Who"];

/// Looks through /proc once, and prints a row a namespace, or their tree.
pub(crate) fn ns(context: &Context, args: &NsArgs) -> Result<ExitCode> {
    let asked = if args.json { Some("json") } else { args.format.asked() };
    ensure!(
        !args.tree || matches!(asked, None | Some("json")),
        "--format {:?}: a tree is text or json",
        asked.unwrap_or_default()
    );
    let format = Format::new::<Space>(asked, &TABLE)?;
    let state = context.state();
    let entries = match args.containers.as_slice() {
        [] => state.list()?,
        words => words.iter().map(|word| state.find(word)).collect::<Result<_, _>>()?,
    };
    let homes: Vec<Home> = entries.iter().filter_map(|entry| home(context, entry, args.tree)).collect();
    let spaces = world::look(&homes, args.containers.is_empty());
    let text = match (args.tree, asked) {
        (false, _) => format.text(&spaces.into_iter().filter(Space::is_somebodys).collect::<Vec<_>>())?,
        (true, None) => tree::text(&tree::tree(spaces)),
        (true, Some(_)) => {
            return output::print_json(&tree::json(&tree::tree(spaces))).map(|()| ExitCode::Success);
        }
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}

/// Where a container lives; `None` where it does not.
fn home(context: &Context, entry: &Entry, with_processes: bool) -> Option<Home> {
    let (Status::Running { .. }, Some(live)) = (&entry.status, &entry.live) else { return None };
    let group = context.group(&entry.record);
    let pids = if with_processes { Layout::detect().ok()?.processes(&group) } else { Vec::new() };
    Some(Home { container: entry.record.name.clone(), init: live.init.pid, pids })
}

impl Row for Space {
    const KIND: &'static str = "namespace";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Namespace", "NAMESPACE"),
        ("Owner", "OWNER"),
        ("Processes", "PROCESSES"),
        ("Type", "TYPE"),
        ("Who", "WHO"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        Some(match name {
            "Namespace" => json!(self.inode.to_string()),
            "Owner" => json!(self.owner.map_or_else(|| "-".to_owned(), |owner| format!("user:{owner}"))),
            "Processes" => json!(self.processes.to_string()),
            "Type" => json!(self.kind),
            "Who" => json!(self.who().join(", ")),
            _ => return None,
        })
    }
}
