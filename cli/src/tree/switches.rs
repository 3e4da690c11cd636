//! Switches as docker reads them: `--rm=false`, `-d=1`. PURE.
//!
//! clap's switches take no value. Hardly a line gives one, so only a line that makes no sense otherwise is read a second time
//! by a tree whose switches take one.

use clap::{Arg, ArgAction, Command};

/// The tree, in which every switch takes one of Go's truths or none.
pub(super) fn with_values(tree: Command) -> Command {
    tree.mut_args(with_value).mut_subcommands(with_values)
}

fn with_value(arg: Arg) -> Arg {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let arg = arg.action(ArgAction::Set).num_args(0..=1).require_equals(true).value_name("BOOL");
        return arg
            .hide_default_value(true)
            .default_value("false")
            .default_missing_value("true")
            .value_parser(truth);
    }
    let values: Vec<_> = arg.get_possible_values();
    let is_bool = values.iter().map(clap::builder::PossibleValue::get_name).eq(["true", "false"]);
    if is_bool { arg.value_parser(truth) } else { arg }
}

/// What Go's `strconv.ParseBool` takes.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false"),
    }
}
