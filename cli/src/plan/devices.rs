//! Devices of the host that a container is shown or may use. PURE.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};
use runtime::cgroup::devices::DeviceRule;
use serde::{Deserialize, Serialize};

use crate::commands::flags::DeviceArgs;

/// Kept with the container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Devices {
    /// What is shown.
    pub(crate) shown: Vec<Shown>,
    /// What may be used besides: `c 1:3 rwm`.
    pub(crate) rules: Vec<String>,
}

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// A device of the host, or a directory with devices.
    pub(crate) host: PathBuf,
    /// Where it is in the container, below /dev.
    pub(crate) container: PathBuf,
    /// Of `r`, `w` and `m`, what may be done with it.
    pub(crate) access: String,
}

impl Devices {
    /// Understands the flags.
    ///
    /// # Errors
    /// The first value that makes no sense, or asks for what mini has not.
    pub(crate) fn new(args: &DeviceArgs) -> Result<Devices> {
        ensure!(
            args.gpus.is_none(),
            "--gpus is not supported: it starts programs of the vendor; --device shows a GPU's devices"
        );
        for text in &args.device_cgroup_rule {
            rule(text)?;
        }
        Ok(Devices {
            shown: args.device.iter().map(|text| shown(text)).collect::<Result<_>>()?,
            rules: args.device_cgroup_rule.clone(),
        })
    }
}

/// `PATH`, `PATH:PATH`, `PATH:rwm` or `PATH:PATH:rwm`.
fn shown(text: &str) -> Result<Shown> {
    ensure!(
        text.starts_with('/') || !text.contains('='),
        "--device {text:?}: devices by their name (CDI) are not supported: give a path"
    );
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, access) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, access] if is_access(access) => (*host, *host, *access),
        [host, container] => (*host, *container, "rwm"),
        [host, container, access] => (*host, *container, *access),
        _ => bail!("invalid device {text:?}: PATH[:PATH[:rwm]] is wanted"),
    };
    ensure!(is_access(access), "invalid device {text:?}: {access:?} is not made of r, w and m");
    ensure!(host.starts_with('/'), "invalid device {text:?}: {host:?} is not an absolute path");
    let path = Path::new(container);
    let below = path.strip_prefix("/dev").ok().filter(|below| !below.as_os_str().is_empty());
    let plain =
        below.is_some_and(|below| below.components().all(|part| matches!(part, Component::Normal(_))));
    // `--device /dev:/dev` would be all of the host's: that is what --privileged is for.
    ensure!(
        plain,
        "invalid device {text:?}: {container:?} is not below /dev, where alone the container has devices"
    );
    Ok(Shown { host: host.into(), container: path.components().collect(), access: access.to_owned() })
}

/// `r`, `w` and `m`, each at most once.
fn is_access(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter) && once(letter))
}

/// `c 1:3 rwm`, `b 8:* r`, `a *:* rwm` as an OCI spec says it.
///
/// # Errors
/// Where it is none.
pub(crate) fn rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let parse = || {
        let (kind, rest) = text.split_once(' ')?;
        let (numbers, access) = rest.split_once(' ')?;
        let (major, minor) = numbers.split_once(':')?;
        let kind = match kind {
            "a" => LinuxDeviceType::A,
            "b" => LinuxDeviceType::B,
            "c" => LinuxDeviceType::C,
            _ => return None,
        };
        let number = |digits: &str| match digits {
            "*" => Some(-1),
            digits => digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+')).map(i64::from),
        };
        let known = access.chars().all(|letter| "rwm".contains(letter));
        (known && (1..=3).contains(&access.len())).then_some((kind, number(major)?, number(minor)?, access))
    };
    let (kind, major, minor, access) =
        parse().with_context(|| format!("invalid --device-cgroup-rule {text:?}: 'c 1:3 rwm' is wanted"))?;
    let rule =
        LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).major(major).minor(minor).access(access);
    let rule = rule.build()?;
    DeviceRule::try_from(&rule).with_context(|| format!("--device-cgroup-rule {text:?}"))?;
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_paths_and_what_may_be_done_with_them() {
        let words = |text: &str| {
            shown(text)
                .ok()
                .map(|one| format!("{} {} {}", one.host.display(), one.container.display(), one.access))
        };
        for (text, expected) in [
            ("/dev/fuse", Some("/dev/fuse /dev/fuse rwm")),
            ("/dev/fuse:r", Some("/dev/fuse /dev/fuse r")),
            ("/dev/sda:/dev/xvda", Some("/dev/sda /dev/xvda rwm")),
            ("/dev/sda://dev//a/./b:mr", Some("/dev/sda /dev/a/b mr")),
            ("/opt/node:/dev/x:w", Some("/opt/node /dev/x w")),
            ("", None),
            ("/dev/sda:", None),
            (":/dev/sda", None),
            ("/dev/sda:/dev/a:", None),
            ("/dev/sda:/dev/a:rr", None),
            ("/dev/sda:/dev/a:x", None),
            ("/dev/sda:/dev/a:r:w", None),
            ("dev/sda", None),
            ("/dev/sda:dev/a", None),
            ("/dev/sda:/tmp/a", None),
            ("/dev/sda:/dev", None),
            ("/dev/sda:/dev/../etc/x", None),
            ("vendor.com/gpu=0", None),
        ] {
            assert_eq!(words(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn rules_are_as_docker_takes_them() {
        for (text, good) in [
            ("c 1:3 rwm", true),
            ("b *:* m", true),
            ("c 7:* mr", true),
            ("a *:* rwm", true),
            ("a 1:3 rwm", false),
            ("a *:* r", false),
            ("d 1:3 rwm", false),
            ("c 1:3 x", false),
            ("c 1:3 ", false),
            ("c 1:3 rwmr", false),
            ("c 1:3", false),
            ("c +1:3 r", false),
            ("c -1:3 r", false),
            ("c 1 3 r", false),
            ("c 99999999999:3 r", false),
            ("", false),
        ] {
            assert_eq!(rule(text).is_ok(), good, "{text}");
        }
    }
}
