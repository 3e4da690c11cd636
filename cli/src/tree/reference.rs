//! The whole tree as one JSON value: what tests and documentation are made from.

use clap::builder::ValueRange;
use clap::{Arg, Command};
use serde_json::{Value, json};

use super::{below, notes, path};

/// Every command of a whole tree, mini itself first.
pub(crate) fn reference(tree: &Command) -> Value {
    json!({
        "name": tree.get_name(),
        "version": tree.get_version(),
        "commands": below(tree).into_iter().map(command).collect::<Vec<_>>(),
    })
}

fn command(command: &Command) -> Value {
    let usage = command.clone().render_usage().to_string();
    json!({
        "path": path(command),
        "aliases": command.get_all_aliases().collect::<Vec<_>>(),
        "hidden": command.is_hide_set(),
        "group": command.has_subcommands(),
        "summary": command.get_about().map(ToString::to_string),
        "description": command.get_long_about().map(ToString::to_string),
        "usage": usage.trim_start_matches("Usage: ").trim_end(),
        "notes": notes::notes(command)
            .into_iter()
            .map(|note| json!({ "heading": note.heading, "lines": note.lines }))
            .collect::<Vec<_>>(),
        "examples": notes::lines(command, notes::EXAMPLES),
        "see_also": notes::see_also(command),
        "arguments": command.get_arguments().map(argument).collect::<Vec<_>>(),
    })
}

/// A flag, or something that stands on its own.
fn argument(arg: &Arg) -> Value {
    let range = arg.get_num_args().unwrap_or(ValueRange::EMPTY);
    let most = Some(range.max_values()).filter(|most| *most != usize::MAX);
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let names = arg.get_value_names().unwrap_or_default();
    json!({
        "id": arg.get_id().as_str(),
        "long": arg.get_long(),
        "short": arg.get_short(),
        "aliases": arg.get_all_aliases().unwrap_or_default(),
        "positional": arg.is_positional(),
        "help": arg.get_help().map(ToString::to_string),
        "hidden": arg.is_hide_set(),
        "global": arg.is_global_set(),
        "required": arg.is_required_set(),
        "repeatable": matches!(arg.get_action(), clap::ArgAction::Append),
        "takes_value": range.takes_values(),
        "least_values": range.min_values(),
        "most_values": most,
        "takes_the_rest": arg.is_trailing_var_arg_set(),
        "needs_equals": arg.is_require_equals_set(),
        "value_names": names.iter().map(clap::builder::Str::as_str).collect::<Vec<_>>(),
        "values": values,
        "defaults": arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>(),
        "variable": arg.get_env().map(|variable| variable.to_string_lossy()),
    })
}
