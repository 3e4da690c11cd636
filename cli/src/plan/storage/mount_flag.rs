//! `--mount`: what `-v` and `--tmpfs` say, spelled out, and never made where it is missing. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::values::{self, Volume};

/// What one `--mount` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A file or directory of the host.
    Bind(Volume),
    /// A tmpfs: its target and options.
    Tmpfs(PathBuf, Vec<String>),
}

/// `type=bind,source=/data,target=/data,readonly`; docker's keys and their short forms.
///
/// # Errors
/// A key that is none, or that this type of mount does not have; a path that is missing or not absolute.
pub(crate) fn mount(text: &str, cwd: &Path) -> Result<Wanted> {
    let mut kind = "volume";
    let (mut source, mut target) = (None, None);
    let (mut read_only, mut propagation) = (false, None);
    let (mut size, mut mode) = (None, None);
    for field in text.split(',').filter(|field| !field.is_empty()) {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let given = || value.with_context(|| format!("invalid mount {text:?}: {key} needs a value"));
        match key.to_lowercase().as_str() {
            "type" => kind = given()?,
            "source" | "src" => source = Some(given()?),
            "target" | "dst" | "destination" => target = Some(given()?),
            "readonly" | "ro" => {
                read_only = truth(value).with_context(|| format!("invalid mount {text:?}: {field}"))?;
            }
            "bind-propagation" => propagation = Some(given()?),
            // A hint for docker's desktop.
            "consistency" => drop(given()?),
            "tmpfs-size" => size = Some(given()?),
            "tmpfs-mode" => mode = Some(given()?),
            _ => bail!("invalid mount {text:?}: {key:?} is not supported"),
        }
    }
    let target = target.with_context(|| format!("invalid mount {text:?}: it has no target"))?;
    match kind {
        "bind" => {
            ensure!(
                size.is_none() && mode.is_none(),
                "invalid mount {text:?}: tmpfs-size and tmpfs-mode belong to type=tmpfs"
            );
            let source = source.with_context(|| format!("invalid mount {text:?}: it has no source"))?;
            ensure!(
                source.starts_with('/') || source.starts_with('.'),
                "invalid mount {text:?}: the source must be a path: /{source} or ./{source}"
            );
            let propagation = propagation.unwrap_or("rprivate");
            let access = if read_only { "ro" } else { "rw" };
            let text = format!("{source}:{target}:{access},{propagation}");
            ensure!(
                !source.contains(':') && !target.contains(':'),
                "invalid mount {text:?}: a path with a colon"
            );
            Ok(Wanted::Bind(Volume { must_exist: true, ..values::volume(&text, cwd)? }))
        }
        "tmpfs" => {
            ensure!(
                source.is_none() && propagation.is_none(),
                "invalid mount {text:?}: a tmpfs has no source and no propagation"
            );
            let mut options = Vec::new();
            options.extend(size.map(|size| format!("size={size}")));
            options.extend(mode.map(|mode| format!("mode={mode}")));
            options.extend(read_only.then(|| "ro".to_owned()));
            let (target, options) = values::tmpfs(&format!("{target}:{}", options.join(",")))?;
            Ok(Wanted::Tmpfs(target, options))
        }
        "volume" => {
            bail!("--mount type=volume is not supported yet: type=bind with a directory of the host is")
        }
        other => bail!("invalid mount {text:?}: type {other:?} is none of bind, tmpfs"),
    }
}

/// `readonly`, `readonly=true`.
fn truth(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_dockers() {
        let cwd = Path::new("/here");
        let bind = |source: &str, read_only, propagation: &str| {
            Wanted::Bind(Volume {
                source: source.into(),
                target: "/data".into(),
                read_only,
                propagation: propagation.into(),
                must_exist: true,
            })
        };
        assert_eq!(mount("type=bind,src=/a,dst=/data", cwd).unwrap(), bind("/a", false, "rprivate"));
        assert_eq!(
            mount("type=bind,source=./a,target=/data,readonly,bind-propagation=rslave", cwd).unwrap(),
            bind("/here/a", true, "rslave")
        );
        assert_eq!(mount("type=bind,src=/a,dst=/data,ro=false", cwd).unwrap(), bind("/a", false, "rprivate"));
        let Wanted::Tmpfs(target, options) =
            mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", cwd).unwrap()
        else {
            panic!("a tmpfs was asked for")
        };
        assert_eq!(target, Path::new("/t"));
        assert!(
            options.contains(&"size=1m".to_owned()) && options.contains(&"mode=1770".to_owned()),
            "{options:?}"
        );
        for bad in [
            "type=bind,dst=/data",
            "type=bind,src=/a",
            "type=bind,src=a,dst=/data",
            "type=bind,src=/a,dst=data",
            "type=bind,src=/a:b,dst=/data",
            "type=bind,src=/a,dst=/data,ro=maybe",
            "type=bind,src=/a,dst=/data,tmpfs-size=1",
            "type=tmpfs,dst=/t,src=/a",
            "type=volume,src=a,dst=/data",
            "type=npipe,src=/a,dst=/data",
            "src=/a,dst=/data",
            "type=bind,src=/a,dst=/data,volume-nocopy",
        ] {
            assert!(mount(bad, cwd).is_err(), "{bad}");
        }
    }
}
