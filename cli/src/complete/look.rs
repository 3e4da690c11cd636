//! What there is of a kind. Nothing is written, and as little is read as the answer takes: a name that is not meant is not looked
//! behind. What cannot be read, by a user who is not root for instance, is not there.

use std::ffi::OsStr;

use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use runtime::caps::{self, CapSet};
use runtime::record::Status;

use super::choices::Choice;
use super::kind::{Kind, Which};
use crate::dirs::Dirs;
use crate::plan::{options, values};

/// Something that can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) word: String,
    /// What it is, for shells that show it.
    pub(super) help: String,
}

fn found(word: impl Into<String>, help: impl Into<String>) -> Found {
    Found { word: word.into(), help: help.into() }
}

/// Everything of a kind that begins with what was typed.
pub(super) fn look(kind: &Kind, dirs: &Dirs, typed: &str) -> Vec<Found> {
    let mut all = match kind {
        Kind::Containers(which) => containers(dirs, *which, typed),
        Kind::Images => images(dirs, typed),
        Kind::Things => [containers(dirs, Which::All, typed), images(dirs, typed)].concat(),
        Kind::Kept(place) => kept(dirs, place),
        Kind::Files => paths(&PathCompleter::any(), typed),
        Kind::Directories => paths(&PathCompleter::dir(), typed),
        Kind::Source => source(dirs, typed),
        Kind::Copied => copied(dirs, typed),
        Kind::Mount(types) => mount(types, typed),
        Kind::Variables => {
            let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            names.map(|name| found(name, "")).collect()
        }
        Kind::Signals => signals(typed),
        Kind::Capabilities => capabilities(typed),
        Kind::Limits => options::limit_names().map(|name| found(format!("{name}="), "")).collect(),
        Kind::Words(choices) => words(choices, dirs, typed),
    };
    all.retain(|found| found.word.starts_with(typed));
    all
}

/// Whether somebody is typing an id: one letter may well be the first of a name.
fn is_id_begun(typed: &str, id: &str) -> bool {
    typed.len() > 1 && id.starts_with(typed)
}

/// By name; by the first twelve digits of the id where some of them were typed.
fn containers(dirs: &Dirs, which: Which, typed: &str) -> Vec<Found> {
    let state = dirs.state();
    let mut all = Vec::new();
    for (name, id) in state.written_names() {
        let short = id.get(..12).unwrap_or(&id);
        let by_id = is_id_begun(typed, short);
        if !name.starts_with(typed) && !by_id {
            continue;
        }
        let Ok(Some(entry)) = state.load(&id) else { continue };
        let up = entry.status.is_up();
        if entry.record.name != name || which == Which::Up && !up || which == Which::Resting && up {
            continue;
        }
        let does = match entry.status {
            Status::Running { .. } => "running",
            Status::Restarting { .. } => "restarting",
            Status::Created => "created",
            Status::Exited { .. } => "exited",
        };
        let help = format!("{}, {does}", entry.record.image);
        if by_id {
            all.push(found(short, format!("{name}: {help}")));
        }
        all.push(found(name, help));
    }
    all.sort_by(|one, other| one.word.cmp(&other.word));
    all
}

/// By name, `:latest` left out where no tag was begun; by id where digits were typed.
fn images(dirs: &Dirs, typed: &str) -> Vec<Found> {
    let names =
        image::Store::open_existing(&dirs.image()).ok().flatten().and_then(|store| store.names().ok());
    let Some(names) = names else { return Vec::new() };
    let last = typed.rsplit('/').next().unwrap_or_default();
    let shown = names.all().map(|(name, id)| {
        let tagged = last.contains(':') || typed.contains('@');
        let short = name.strip_suffix(":latest").filter(|_| !tagged).map(str::to_owned);
        found(short.unwrap_or(name), id.hex()[..12].to_owned())
    });
    let mut all: Vec<_> = shown.filter(|image| typed.contains('@') || !image.word.contains('@')).collect();
    let ids = names.ids().into_iter().map(|id| id.hex()[..12].to_owned());
    let begun = ids.filter(|short| is_id_begun(typed, short));
    all.extend(begun.map(|short| found(short, "")));
    all.sort_by(|one, other| one.word.cmp(&other.word));
    all.dedup();
    all
}

/// Names of things that have a directory each.
fn kept(dirs: &Dirs, place: &str) -> Vec<Found> {
    let entries = std::fs::read_dir(dirs.root.join(place)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<_> = names.filter(|name| !name.starts_with('.')).map(|name| found(name, "")).collect();
    all.sort_by(|one, other| one.word.cmp(&other.word));
    all
}

fn paths(completer: &PathCompleter, typed: &str) -> Vec<Found> {
    let candidates = completer.complete(OsStr::new(typed));
    let is_wanted = |hidden: bool| !hidden || typed.rsplit('/').next().unwrap_or_default().starts_with('.');
    let wanted = candidates.into_iter().filter(|candidate| is_wanted(candidate.is_hide_set()));
    wanted.filter_map(|path| Some(found(path.get_value().to_str()?, ""))).collect()
}

/// `-v`: a path, or a volume and its colon; what follows the colon is the container's.
fn source(dirs: &Dirs, typed: &str) -> Vec<Found> {
    if typed.contains(':') {
        return Vec::new();
    }
    let volumes = kept(dirs, "volume").into_iter().map(|volume| found(volume.word + ":", "volume"));
    let is_path = typed.starts_with(['/', '.', '~']);
    let mut all: Vec<_> = volumes.filter(|_| !is_path).collect();
    all.extend(paths(&PathCompleter::any(), typed).into_iter().filter(|path| is_path || path.word != "."));
    all
}

/// `cp`: a container and its colon, or a path; what follows the colon is the container's.
fn copied(dirs: &Dirs, typed: &str) -> Vec<Found> {
    if typed.contains(':') {
        return Vec::new();
    }
    let of_containers = containers(dirs, Which::All, typed).into_iter();
    let mut all: Vec<_> =
        of_containers.map(|container| found(container.word + ":", container.help)).collect();
    all.extend(paths(&PathCompleter::any(), typed));
    all
}

/// `--mount`: its type first, paths where a source is named.
fn mount(types: &[Choice], typed: &str) -> Vec<Found> {
    let at = typed.rfind(',').map_or(0, |comma| comma + 1);
    let (before, last) = typed.split_at(at);
    let key = ["source=", "src="].into_iter().find(|key| last.starts_with(key));
    match key {
        Some(key) => paths(&PathCompleter::any(), &last[key.len()..])
            .into_iter()
            .map(|path| found(format!("{before}{key}{}", path.word), ""))
            .collect(),
        None => types.iter().map(|choice| found(format!("{},", choice.word), "")).collect(),
    }
}

/// With `SIG` where that was typed.
fn signals(typed: &str) -> Vec<Found> {
    let names = (1..=31).map(values::signal_name).filter(|name| name.starts_with("SIG"));
    names.map(|name| found(if typed.starts_with("SIG") { &name } else { &name[3..] }, "")).collect()
}

/// With `CAP_` where that was typed.
fn capabilities(typed: &str) -> Vec<Found> {
    let whole = typed.starts_with("CAP_");
    let names =
        CapSet::ALL.iter().map(caps::name).map(|name| if whole { name } else { &name["CAP_".len()..] });
    names.chain(["ALL"]).map(|name| found(name, "")).collect()
}

/// Words, and where one goes on what it goes on with.
fn words(choices: &[Choice], dirs: &Dirs, typed: &str) -> Vec<Found> {
    let mut all = Vec::new();
    for Choice { word, rest } in choices {
        let begun = typed.strip_prefix(word.as_str());
        let rest = match (rest.as_deref(), begun) {
            (Some("NAME" | "CONTAINER"), Some(begun)) if word == "container:" => {
                containers(dirs, Which::Up, begun)
            }
            (Some("FILE" | "PATH"), Some(begun)) => paths(&PathCompleter::any(), begun),
            _ => vec![found("", "")],
        };
        all.extend(rest.into_iter().map(|rest| found(format!("{word}{}", rest.word), rest.help)));
    }
    all
}
