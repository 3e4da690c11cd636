//! `--rootfs`, `--platform`, `--tz` and their kin, understood. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::values;
use crate::commands::flags::ContainerArgs;

/// What was asked for. Kept with the container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    /// The directory that it is made of, instead of an image.
    pub(crate) rootfs: Option<PathBuf>,
    /// As it was typed.
    pub(crate) platform: Option<String>,
    /// The host's file that says how its time zone counts.
    pub(crate) zone: Option<PathBuf>,
    /// The image's /etc/hosts stays.
    pub(crate) no_hosts: bool,
    pub(crate) pidfile: Option<PathBuf>,
    /// The caller's variables, below the image's.
    pub(crate) host_env: Vec<(String, String)>,
    /// Variables of the image that are left out.
    pub(crate) unset: Vec<String>,
}

/// Where the host keeps its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

impl Origin {
    /// Understands the flags; `all` are the caller's variables.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub(crate) fn new(
        args: &ContainerArgs,
        cwd: &Path,
        all: &dyn Fn() -> Vec<(String, String)>,
    ) -> Result<Origin> {
        let flags = &args.origin;
        if let Some(runtime) = flags.runtime.as_deref().filter(|runtime| *runtime != "mini") {
            bail!(
                "--runtime {runtime:?} is not supported: mini is its own runtime, and runs no other program"
            );
        }
        if let Some(platform) = &flags.platform {
            platform.parse::<image::Platform>().context("--platform")?;
            ensure!(!flags.rootfs, "--platform chooses among an image's, and --rootfs is no image");
        }
        ensure!(!flags.replace || args.name.is_some(), "--replace needs the --name that it is to take over");
        ensure!(
            !flags.no_hosts || args.more.add_host.is_empty(),
            "--no-hosts leaves /etc/hosts alone, and --add-host adds to it: one of them is enough"
        );
        for name in &flags.unsetenv {
            ensure!(
                !name.is_empty() && !name.contains('='),
                "--unsetenv {name:?}: a variable's name is wanted"
            );
        }
        Ok(Origin {
            rootfs: flags.rootfs.then(|| values::normal(&cwd.join(args.image()))),
            platform: flags.platform.clone(),
            zone: flags.tz.as_deref().map(zone).transpose()?,
            no_hosts: flags.no_hosts,
            pidfile: flags.pidfile.as_ref().map(|path| cwd.join(path)),
            host_env: if flags.env_host { all() } else { Vec::new() },
            unset: flags.unsetenv.clone(),
        })
    }
}

/// `local`, or a name below the host's zones.
fn zone(name: &str) -> Result<PathBuf> {
    if name == "local" {
        return Ok("/etc/localtime".into());
    }
    let plain = |part: &str| {
        let letters = part.chars().all(|letter| letter.is_ascii_alphanumeric() || "_+-".contains(letter));
        !part.is_empty() && letters
    };
    ensure!(name.split('/').all(plain), "--tz {name:?}: local, or the name of a time zone as Europe/Berlin");
    Ok(Path::new(ZONES).join(name))
}

/// As it is typed.
pub(crate) fn zone_name(file: &Path) -> String {
    file.strip_prefix(ZONES).map_or_else(|_| "local".to_owned(), |name| name.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_lie_where_the_host_keeps_them() {
        assert_eq!(zone("local").unwrap(), Path::new("/etc/localtime"));
        assert_eq!(zone("Europe/Berlin").unwrap(), Path::new("/usr/share/zoneinfo/Europe/Berlin"));
        assert_eq!(zone("Etc/GMT+5").unwrap(), Path::new("/usr/share/zoneinfo/Etc/GMT+5"));
        for bad in ["", "/etc/shadow", "../../etc/shadow", "Europe//Berlin", "a b", "Europe/.."] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }
}
