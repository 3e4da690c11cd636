//! `-v`: `SOURCE:TARGET[:OPTIONS]`, `NAME:TARGET[:OPTIONS]` or `TARGET`. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::{Below, Bind, By, VolumeMount, Wanted, check_volume_name};
use crate::plan::values::{normal, target_path};

/// Understands one `-v`; a relative source begins with a dot.
///
/// # Errors
/// A form that is none of the three, or an option that the mount does not have.
pub(super) fn volume(text: &str, cwd: &Path) -> Result<Wanted> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] if target.starts_with('/') => {
            let target = target_path(target)?;
            return Ok(Wanted::Volume(VolumeMount { anonymous: true, target, ..VolumeMount::default() }));
        }
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => bail!("invalid volume {text:?}: SOURCE:TARGET[:OPTIONS] is wanted"),
    };
    ensure!(!source.is_empty() && !target.is_empty(), "invalid volume {text:?}: an empty path");
    let options = options(text, mode)?;
    let target = target_path(target)?;
    if !source.starts_with(['/', '.']) {
        check_volume_name(source)?;
        if let Some(propagation) = options.propagation {
            bail!(
                "invalid option {propagation:?} in volume {text:?}: a volume of mini's is mounted by nobody else"
            );
        }
        return Ok(Wanted::Volume(VolumeMount {
            name: source.to_owned(),
            target,
            read_only: options.read_only,
            no_copy: options.no_copy,
            mode: mode.to_owned(),
            ..VolumeMount::default()
        }));
    }
    ensure!(
        !options.no_copy,
        "invalid option \"nocopy\" in volume {text:?}: nothing is copied into a path of the host"
    );
    Ok(Wanted::Bind(Bind {
        source: source_path(source, cwd),
        target,
        read_only: options.read_only,
        propagation: options.propagation.unwrap_or("rprivate").to_owned(),
        must_exist: false,
        below: Below::Enabled,
        mode: mode.to_owned(),
        by: By::User,
    }))
}

/// A path of the host, without `.` and `..`.
pub(super) fn source_path(text: &str, cwd: &Path) -> PathBuf {
    normal(&cwd.join(text))
}

#[derive(Default)]
struct Options<'a> {
    read_only: bool,
    no_copy: bool,
    propagation: Option<&'a str>,
}

/// docker's rule: one word of each kind.
fn options<'a>(text: &str, mode: &'a str) -> Result<Options<'a>> {
    let mut options = Options::default();
    let mut seen = Vec::new();
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        let kind = match word {
            "ro" | "rw" => "access",
            // SELinux labels and docker desktop's consistency hints: nothing to do here.
            "z" | "Z" => "label",
            "cached" | "delegated" | "consistent" => "consistency",
            "nocopy" => "copy",
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => "propagation",
            _ => bail!("invalid option {word:?} in volume {text:?}"),
        };
        ensure!(!seen.contains(&kind), "invalid volume {text:?}: {word:?} is the second option of its kind");
        seen.push(kind);
        match kind {
            "access" => options.read_only = word == "ro",
            "copy" => options.no_copy = true,
            "propagation" => options.propagation = Some(word),
            _ => {}
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_hosts_and_names_are_volumes() {
        let cwd = Path::new("/home/u");
        let bind = |source: &str| Bind {
            source: source.into(),
            target: "/d".into(),
            read_only: false,
            propagation: "rprivate".into(),
            must_exist: false,
            below: Below::Enabled,
            mode: String::new(),
            by: By::User,
        };
        let named = VolumeMount { name: "data".into(), target: "/d".into(), ..VolumeMount::default() };
        for (text, expected) in [
            (
                "/a/b:/c/../d:ro,Z,rslave",
                Wanted::Bind(Bind {
                    read_only: true,
                    propagation: "rslave".into(),
                    mode: "ro,Z,rslave".into(),
                    ..bind("/a/b")
                }),
            ),
            ("./x:/d", Wanted::Bind(bind("/home/u/x"))),
            ("../x:/d", Wanted::Bind(bind("/home/x"))),
            ("data:/d", Wanted::Volume(named.clone())),
            (
                "data:/d:nocopy,ro",
                Wanted::Volume(VolumeMount {
                    read_only: true,
                    no_copy: true,
                    mode: "nocopy,ro".into(),
                    ..named
                }),
            ),
            (
                "/d",
                Wanted::Volume(VolumeMount {
                    anonymous: true,
                    target: "/d".into(),
                    ..VolumeMount::default()
                }),
            ),
        ] {
            assert_eq!(volume(text, cwd).unwrap(), expected, "{text}");
        }
        for (text, complaint) in [
            ("d", "is wanted"),
            ("/a:b", "must be absolute"),
            ("/a:/", "cannot be the root"),
            ("/a:/proc", "over /proc"),
            ("/a:/proc/self", "over /proc"),
            ("/a:/x/../proc", "over /proc"),
            ("/a:/b:nope", "invalid option"),
            ("/a:/b:ro:x", "invalid volume"),
            ("/a:/b:ro,rw", "second option"),
            ("/a:/b:nocopy", "nocopy"),
            ("data:/b:shared", "shared"),
            ("a/b:/c", "invalid volume name"),
            (":/b", "empty path"),
            ("", "is wanted"),
        ] {
            let error = volume(text, cwd).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
