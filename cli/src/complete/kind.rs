//! Of what kind the value of a flag or an argument is, by the name that its help gives it. PURE.
//!
//! `mini stop [OPTIONS] CONTAINER…` wants containers, `--env-file FILE` a file: what a value is called is all that completion
//! knows of a command. What is called by no name of this file is completed by nothing.

use clap::Arg;

use super::choices::{Choice, choices};
use crate::networks::{ALL, Network};

/// What a value is one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Containers that are so.
    Containers(Which),
    /// Images.
    Images,
    /// Containers and images.
    Things,
    /// Directories in this one below the root, a thing each: `volume`, `secrets`.
    Kept(&'static str),
    /// Paths of the host.
    Files,
    /// Directories of the host.
    Directories,
    /// A path of the host, or a volume where there are some, and a colon.
    Source,
    /// A path of the host, or a container and a colon.
    Copied,
    /// `type=bind,source=PATH`, of these types.
    Mount(Vec<Choice>),
    /// Variables of the environment.
    Variables,
    /// Signals.
    Signals,
    /// Capabilities.
    Capabilities,
    /// Limits of processes.
    Limits,
    /// Words that help lists.
    Words(Vec<Choice>),
}

/// Which containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Those that run, or are about to.
    Up,
    /// All others.
    Resting,
}

/// The kind of an argument of the command at `path`; `None` where nothing is known, or clap knows by itself.
pub(super) fn kind(path: &str, arg: &Arg) -> Option<Kind> {
    if !arg.get_possible_values().is_empty() {
        return None;
    }
    let names = arg.get_value_names().unwrap_or_default();
    let name = names.first().map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string);
    let long = arg.get_long().unwrap_or_default();
    // `[SOURCE|NAME:]TARGET` → `SOURCE`
    let first = name
        .trim_start_matches('[')
        .split(|letter: char| !letter.is_ascii_uppercase())
        .next()
        .unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words = choices(&help);
    Some(match (first, long) {
        (_, "workdir" | "cgroup-parent") => return None, // of the container, of control groups
        (_, "format") => Kind::Words(vec![Choice { word: "json".to_owned(), rest: None }]),
        (_, "env") => Kind::Variables,
        (_, "ulimit") => Kind::Limits,
        ("CONTAINER" | "CONTAINERS", _) => Kind::Containers(which(path)),
        ("IMAGE" | "IMAGES", _) => Kind::Images,
        ("VOLUME" | "VOLUMES", _) => Kind::Kept("volume"),
        ("SECRET" | "SECRETS", _) | (_, "secret") => Kind::Kept("secrets"),
        ("NAME", "") if path.ends_with(" inspect") => match path.split(' ').nth(1) {
            Some("container") => Kind::Containers(Which::All),
            Some("image") => Kind::Images,
            Some("network") => {
                let word = |network: &Network| Choice { word: network.name().to_owned(), rest: None };
                Kind::Words(ALL.iter().map(word).collect())
            }
            Some("volume") => Kind::Kept("volume"),
            Some("secret") => Kind::Kept("secrets"),
            _ => Kind::Things,
        },
        ("LESSON", _) => {
            let word = |name: &str| Choice { word: name.to_owned(), rest: None };
            Kind::Words(crate::learn::names().map(word).collect())
        }
        ("FILE" | "PATH" | "ROOTFS", _) => Kind::Files,
        ("DIR" | "DIRECTORY", _) => Kind::Directories,
        ("SOURCE" | "DESTINATION", "") => Kind::Copied,
        ("SOURCE", _) => Kind::Source,
        ("SIGNAL", _) => Kind::Signals,
        ("CAPABILITY", _) => Kind::Capabilities,
        (_, "mount") => Kind::Mount(choices(&format!(": {}", name.split(',').next().unwrap_or_default()))),
        _ if words.is_empty() => return None,
        // `--filter KEY=VALUE`, whose help lists the keys.
        ("KEY" | "NAME", _) if name.contains('=') => {
            let key = |choice: Choice| match choice.word.ends_with('=') {
                true => choice,
                false => Choice { word: choice.word + "=", ..choice },
            };
            Kind::Words(words.into_iter().map(key).collect())
        }
        _ => Kind::Words(words),
    })
}

/// Which containers a command is for; for one that is not known, all of them.
fn which(path: &str) -> Which {
    match path.rsplit(' ').next().unwrap_or_default() {
        "attach" | "exec" | "kill" | "pause" | "port" | "stats" | "stop" | "top" | "unpause" => Which::Up,
        "start" => Which::Resting,
        _ => Which::All,
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    #[test]
    fn what_a_value_is_called_says_what_it_is() {
        let flag = |long: &'static str, name: &'static str, help: &'static str| {
            Arg::new("x").long(long).value_name(name).help(help).action(ArgAction::Append)
        };
        let word =
            |word: &str, rest: Option<&str>| Choice { word: word.to_owned(), rest: rest.map(str::to_owned) };
        for (path, arg, expected) in [
            ("mini stop", Arg::new("containers"), Some(Kind::Containers(Which::Up))),
            ("mini container start", Arg::new("containers"), Some(Kind::Containers(Which::Resting))),
            (
                "mini exec",
                Arg::new("words").value_name("CONTAINER COMMAND [ARG]…"),
                Some(Kind::Containers(Which::Up)),
            ),
            ("mini run", Arg::new("words").value_name("IMAGE [COMMAND [ARG]…]"), Some(Kind::Images)),
            ("mini inspect", Arg::new("names").value_name("NAME"), Some(Kind::Things)),
            ("mini image inspect", Arg::new("names").value_name("NAME"), Some(Kind::Images)),
            ("mini volume rm", Arg::new("volumes"), Some(Kind::Kept("volume"))),
            ("mini rename", Arg::new("name"), None),
            ("mini cp", Arg::new("source"), Some(Kind::Copied)),
            ("mini run", flag("volumes-from", "CONTAINER[:ro]", ""), Some(Kind::Containers(Which::All))),
            ("mini run", flag("volume", "[SOURCE|NAME:]TARGET[:OPTIONS]", ""), Some(Kind::Source)),
            (
                "mini run",
                flag("mount", "type=bind|tmpfs,KEY=VALUE…", ""),
                Some(Kind::Mount(vec![word("type=bind", None), word("type=tmpfs", None)])),
            ),
            ("mini run", flag("env", "NAME[=VALUE]", ""), Some(Kind::Variables)),
            ("mini run", flag("label", "NAME[=VALUE]", "Keep a label"), None),
            ("mini run", flag("workdir", "DIR", ""), None),
            ("mini run", flag("device", "PATH[:PATH[:rwm]]", ""), Some(Kind::Files)),
            (
                "mini ps",
                flag("filter", "KEY=VALUE", "Only: id, name"),
                Some(Kind::Words(vec![word("id=", None), word("name=", None)])),
            ),
            (
                "mini run",
                flag("pid", "MODE", "Whose: host or container:NAME"),
                Some(Kind::Words(vec![word("host", None), word("container:", Some("NAME"))])),
            ),
        ] {
            assert_eq!(kind(path, &arg), expected, "{path} {arg:?}");
        }
    }
}
