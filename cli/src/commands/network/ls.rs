//! `mini network ls`: which networks there are.

use anyhow::{Context as _, Result, bail};
use regex_lite::Regex;
use serde_json::Value as Json;

use crate::clock;
use crate::commands::filter::{Label, agree, key_value, truth};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::networks::{ALL, Network};
use crate::output;
use crate::output::format::{Format, FormatArg, Row};

/// List networks
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini network ls\n  mini network ls -q --filter driver=bridge\n  mini network ls --format '{{.Name}} {{.Driver}}'\n\nPlaceholders: .ID .Name .Driver .Scope .IPv4 .IPv6 .Internal .CreatedAt .Labels, {{.Label \"KEY\"}}\n\nSee also: mini network inspect, mini network prune"
)]
pub(super) struct LsArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only those that are so: driver=NAME, id=PART, label=NAME[=VALUE], name=PART, scope=NAME, type=builtin|custom,
    /// dangling=true|false
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// What a network must be like to be listed.
#[derive(Debug)]
enum Filter {
    /// Unused and made by a user: mini's own are not.
    Dangling(bool),
    Driver(String),
    Id(String),
    Label(Label),
    Name(Regex),
    Scope(String),
    /// There before anybody makes one.
    Builtin(bool),
}

/// A network as it is listed.
struct NetworkRow {
    network: Network,
    /// Whole ids.
    whole: bool,
    /// ns since 1970; `None`: nobody made it.
    made: Option<u64>,
}

const TABLE: [&str; 4] = ["ID", "Name", "Driver", "Scope"];

/// docker's form for people without columns.
const RAW: &str = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";

impl Row for NetworkRow {
    const KIND: &'static str = "network";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("ID", "NETWORK ID"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("Scope", "SCOPE"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        Some(match name {
            "CreatedAt" => match self.made {
                Some(time) => clock::human_time(time).into(),
                None => "0001-01-01 00:00:00 +0000 UTC".into(),
            },
            "Driver" => self.network.driver().into(),
            "ID" if self.whole => self.network.id().into(),
            "ID" => self.network.id()[..12].into(),
            "IPv4" => (self.network != Network::None).to_string().into(),
            "IPv6" | "Internal" => "false".into(),
            "Labels" => "".into(),
            "Name" => self.network.name().into(),
            "Scope" => "local".into(),
            _ => return None,
        })
    }

    fn label(&self, _key: &str) -> Option<String> {
        Some(String::new())
    }
}

/// Asks, prints; by name, as docker sorts them.
pub(super) fn ls(context: &Context, args: &LsArgs) -> Result<ExitCode> {
    let format = match args.format.asked() {
        // Only a plain table gives way to -q, as in docker.
        None | Some("table") if args.quiet => Format::only("ID"),
        Some("raw") if args.quiet => Format::new::<NetworkRow>(Some("network_id: {{.ID}}"), &TABLE)?,
        Some("raw") => Format::new::<NetworkRow>(Some(RAW), &TABLE)?,
        asked => Format::new::<NetworkRow>(asked, &TABLE)?,
    };
    let filters = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let timed = format.asks_for("CreatedAt") || args.format.asked() == Some("json");
    let mut rows = Vec::new();
    for network in ALL.into_iter().filter(|network| passes(&filters, *network)) {
        let made = if timed { network.made(context)? } else { None };
        rows.push(NetworkRow { network, whole: args.no_trunc, made });
    }
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    let owned = || value.to_owned();
    Ok(match key.trim().to_lowercase().as_str() {
        "dangling" => {
            let wanted = truth(value);
            let wanted =
                wanted.with_context(|| format!("invalid filter {text:?}: dangling is true or false"))?;
            Filter::Dangling(wanted)
        }
        "driver" => Filter::Driver(owned()),
        "id" => Filter::Id(owned()),
        "label" => Filter::Label(Label::parse(value)),
        "name" => {
            Filter::Name(Regex::new(value).with_context(|| format!("invalid name in filter {text:?}"))?)
        }
        "scope" => Filter::Scope(owned()),
        "type" => match value {
            "builtin" => Filter::Builtin(true),
            "custom" => Filter::Builtin(false),
            _ => bail!("invalid filter {text:?}: type is builtin or custom"),
        },
        other => {
            bail!("invalid filter {other:?}: one of dangling, driver, id, label, name, scope, type")
        }
    })
}

/// All keys must agree, and of a key one value; of labels all.
fn passes(filters: &[Filter], network: Network) -> bool {
    let agrees = |filter: &Filter| match filter {
        Filter::Dangling(wanted) => !*wanted,
        Filter::Driver(driver) => driver == network.driver(),
        Filter::Id(part) => network.id().contains(part.as_str()),
        Filter::Label(label) => label.is_among(|_| None),
        Filter::Name(name) => name.is_match(network.name()),
        Filter::Scope(scope) => scope == "local",
        Filter::Builtin(wanted) => *wanted,
    };
    agree(filters, |filter| matches!(filter, Filter::Label(_)), agrees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_keys_with_values() {
        for (texts, expected) in [
            (&[][..], &["bridge", "host", "none"][..]),
            (&["driver=bridge"], &["bridge"]),
            (&["driver=bridge", "driver=null"], &["bridge", "none"]),
            (&["driver=bridge", "name=host"], &[]),
            (&["name=o"], &["host", "none"]),
            (&["name=^h"], &["host"]),
            (&["id=4740ae6347b0"], &["host"]),
            (&["scope=swarm"], &[]),
            (&["scope=local", "type=builtin"], &["bridge", "host", "none"]),
            (&["type=custom"], &[]),
            (&["type=custom", "type=builtin"], &["bridge", "host", "none"]),
            (&["dangling=true"], &[]),
            (&["dangling=0"], &["bridge", "host", "none"]),
            (&["label=x"], &[]),
        ] {
            let filters = texts.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>().unwrap();
            let all = ALL.into_iter().filter(|network| passes(&filters, *network));
            assert_eq!(all.map(Network::name).collect::<Vec<_>>(), expected, "{texts:?}");
        }
        for (text, complaint) in [
            ("nonsense=1", "invalid filter \"nonsense\": one of dangling"),
            ("driver", "KEY=VALUE"),
            ("dangling=maybe", "true or false"),
            ("type=x", "builtin or custom"),
            ("name=(", "invalid name"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
