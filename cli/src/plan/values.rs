//! The values of flags, as docker writes them: sizes, processors, places in a container, tmpfs mounts. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// `64m`, `1.5g`, `512`: bytes, by powers of 1024 (docker's units.RAMInBytes).
pub(crate) fn bytes(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().ok().with_context(|| format!("invalid size: {text:?}"))?;
    let suffix = suffix.trim_start_matches(' ').to_lowercase();
    let power = match suffix.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => bail!("invalid suffix in size {text:?}: one of b, k, m, g, t, p"),
    };
    let bytes = number * 1024f64.powi(power);
    ensure!(bytes < 9e18, "size {text:?} is too large");
    Ok(bytes as u64)
}

/// `1.5`: billionths of a processor.
pub(crate) fn cpus(text: &str) -> Result<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(
        plain(whole) && plain(fraction) && !(whole.is_empty() && fraction.is_empty()) && fraction.len() <= 9,
        "invalid number of processors: {text:?}"
    );
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>() };
    let whole = number(whole).ok().and_then(|whole| whole.checked_mul(1_000_000_000));
    let whole = whole.with_context(|| format!("invalid number of processors: {text:?}"))?;
    Ok(whole + number(&format!("{fraction:0<9}"))?)
}

/// A tmpfs in the container: its target, and its mount options with docker's defaults before them.
pub(crate) fn tmpfs(text: &str) -> Result<(PathBuf, Vec<String>)> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut all: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).into();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "exec" | "suid" | "dev" => all.retain(|default| default.as_str() != format!("no{key}")),
            "rw" | "ro" | "noexec" | "nosuid" | "nodev" | "noatime" | "nodiratime" | "relatime"
            | "strictatime" => {}
            "size" => drop(bytes(value).with_context(|| format!("tmpfs {text:?}"))?),
            "mode" => {
                ensure!(u32::from_str_radix(value, 8).is_ok(), "invalid mode {value:?} in tmpfs {text:?}");
            }
            "uid" | "gid" | "nr_inodes" | "nr_blocks" => {
                ensure!(value.parse::<u64>().is_ok(), "invalid {key} {value:?} in tmpfs {text:?}");
            }
            _ => bail!("invalid option {option:?} in tmpfs {text:?}"),
        }
        if !matches!(key, "exec" | "suid" | "dev") {
            all.push(option.to_owned());
        }
    }
    Ok((target_path(target)?, all))
}

/// A place in the container.
pub(crate) fn target_path(text: &str) -> Result<PathBuf> {
    ensure!(text.starts_with('/'), "invalid mount target {text:?}: it must be absolute");
    let path = normal(Path::new(text));
    ensure!(path != Path::new("/"), "invalid mount target {text:?}: it cannot be the root");
    ensure!(!path.starts_with("/proc"), "invalid mount target {text:?}: nothing can be mounted over /proc");
    Ok(path)
}

/// Without `.`, `..` and double slashes, as the words say, whatever the file system has.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::ParentDir => drop(normal.pop()),
            _ => {}
        }
    }
    normal
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`
pub(crate) fn name(text: &str) -> Result<String> {
    let mut letters = text.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = letters.clone().count() > 0 && letters.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    ensure!(first && rest, "invalid container name {text:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed");
    ensure!(text.len() <= 255, "invalid container name: it has {} characters, 255 are allowed", text.len());
    Ok(text.to_owned())
}

/// A number or a name, as signal(7) has them, with or without `SIG`, in any case.
pub(crate) fn signal(text: &str) -> Result<i32> {
    let unknown = || format!("invalid signal: {text:?}");
    if let Ok(number) = text.parse::<i32>() {
        ensure!((1..=64).contains(&number), unknown());
        return Ok(number);
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN+").and_then(|offset| offset.parse::<i32>().ok()) {
        ensure!((0..=30).contains(&offset), unknown());
        return Ok(34 + offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX-").and_then(|offset| offset.parse::<i32>().ok()) {
        ensure!((0..=30).contains(&offset), unknown());
        return Ok(64 - offset);
    }
    match name {
        "RTMIN" => return Ok(34),
        "RTMAX" => return Ok(64),
        "CLD" => return Ok(libc::SIGCHLD),
        "POLL" => return Ok(libc::SIGIO),
        "IOT" => return Ok(libc::SIGABRT),
        _ => {}
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .map(|signal| signal as i32)
        .ok()
        .with_context(unknown)
}

/// The name of a signal, as signal(7) has it; what has none is a number.
pub(crate) fn signal_name(number: i32) -> String {
    match number {
        34 => "SIGRTMIN".to_owned(),
        64 => "SIGRTMAX".to_owned(),
        35..=49 => format!("SIGRTMIN+{}", number - 34),
        50..=63 => format!("SIGRTMAX-{}", 64 - number),
        number => nix::sys::signal::Signal::try_from(number)
            .map_or_else(|_| number.to_string(), |signal| signal.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            ("64M", Some(64 << 20)),
            ("64mb", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("1 k", Some(1024)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1.2.3", None),
            ("99999999p", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn processors_are_counted_in_billionths() {
        for (text, expected) in [
            ("1", Some(1_000_000_000)),
            ("0.3", Some(300_000_000)),
            (".5", Some(500_000_000)),
            ("1.000000001", Some(1_000_000_001)),
            ("1.0000000001", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(cpus(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_tmpfs_has_dockers_defaults() {
        let words =
            |text| tmpfs(text).map(|(_, options)| options.join(",")).map_err(|error| error.to_string());
        assert_eq!(words("/t").unwrap(), "noexec,nosuid,nodev");
        assert_eq!(words("/t:exec,size=64m,mode=1770").unwrap(), "nosuid,nodev,size=64m,mode=1770");
        assert!(
            words("/t:size=x").is_err()
                && words("/t:mode=9").is_err()
                && words("/t:foo").is_err()
                && words("t").is_err()
        );
    }

    #[test]
    fn names_and_signals_are_checked() {
        for (text, good) in [
            ("ab", true),
            ("a.b-c_1", true),
            ("a", false),
            ("-ab", false),
            ("a b", false),
            ("", false),
            ("é1", false),
        ] {
            assert_eq!(name(text).is_ok(), good, "{text}");
        }
        for (text, expected) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("sigterm", Some(15)),
            ("RTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGIO", Some(libc::SIGIO)),
            ("0", None),
            ("65", None),
            ("NOPE", None),
            ("", None),
        ] {
            assert_eq!(signal(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn signals_have_names_that_can_be_read_again() {
        for number in (1..=31).chain(34..=64) {
            let name = signal_name(number);
            assert_eq!(signal(&name).ok(), Some(number), "{name}");
        }
        for (number, expected) in [(15, "SIGTERM"), (37, "SIGRTMIN+3"), (62, "SIGRTMAX-2"), (32, "32")] {
            assert_eq!(signal_name(number), expected);
        }
    }
}
