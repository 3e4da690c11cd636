//! `mini top`: a container's processes, as the host sees them, in ps(1)'s words.

mod field;
mod options;
mod process;

use anyhow::Result;
use runtime::cgroup::Layout;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, table};
use options::Column;
pub(super) use process::name as name_of;
use process::{Host, Process};

/// Print the processes of a container, as ps does on the host
///
/// Process numbers and users are the host's: in a user namespace, the container's root is a number that nobody else has. Of ps's
/// options these are known: -e, -f, -x, aux, -o with a list of fields (pid ppid pgid sid user uid group gid comm args cmd time etime
/// etimes pcpu pmem rss vsz sz stat s tty ni pri nlwp psr wchan stime start lstart and their other names).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini top web\n  mini top web aux\n  mini top web -o pid,etime,args\n\nSee also: mini stats, mini exec, mini ns"
)]
pub(crate) struct TopArgs {
    /// The container
    container: String,
    /// What ps is told; -ef if nothing is said
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS OPTIONS")]
    options: Vec<String>,
}

/// docker's columns are this wide at least here.
const NARROWEST: usize = 20;

/// A row a process, of all in the container's control groups.
pub(crate) fn top(context: &Context, args: &TopArgs) -> Result<ExitCode> {
    let columns = options::columns(&args.options)?;
    let entry = context.state().find(&args.container)?;
    super::running(&entry)?;
    let group = context.group(&entry.record);
    let host = Host::look()?;
    // One that has ended meanwhile is none any more.
    let processes = Layout::detect()?.processes(&group).into_iter().filter_map(Process::look);
    let cells =
        |process: Process| columns.iter().map(|column| (column.field.value)(&process, &host)).collect();
    let rows: Vec<Vec<String>> = processes.map(cells).collect();
    context.happened("top", &entry.record);
    let heading: Vec<&str> = columns.iter().map(Column::heading).collect();
    output::print(table::table_with(NARROWEST, &heading, &rows).as_bytes())?;
    Ok(ExitCode::Success)
}
