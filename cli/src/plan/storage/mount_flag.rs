//! `--mount`: a mount spelled out in keys and values, where `-v` has places. What is missing is not made unless that is said.
//! PURE.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::volume_flag::source_path;
use super::{Below, Bind, By, VolumeMount, Wanted, check_volume_name, csv};
use crate::plan::values;

/// What was typed, each key once but labels and options.
#[derive(Default)]
struct Typed {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    consistency: Option<String>,
    propagation: Option<String>,
    below: Option<Below>,
    create: Option<bool>,
    no_copy: Option<bool>,
    subpath: Option<String>,
    driver: Option<String>,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    size: Option<u64>,
    mode: Option<u32>,
    /// A key of each kind of mount: `bind-…`, `volume-…`, `tmpfs-…`.
    of_bind: Option<String>,
    of_volume: Option<String>,
    of_tmpfs: Option<String>,
}

/// Understands one `--mount`; returns also how docker's HostConfig shows it.
///
/// # Errors
/// A key that is none, or that this type of mount does not have; a path that is missing or not absolute.
pub(super) fn mount(text: &str, cwd: &Path) -> Result<(Wanted, Value)> {
    let invalid = || format!("invalid mount {text:?}");
    let typed = Typed::read(&csv::fields(text).with_context(invalid)?).with_context(invalid)?;
    typed.understand(cwd).with_context(invalid)
}

impl Typed {
    fn read(fields: &[String]) -> Result<Typed> {
        let mut typed = Typed::default();
        for field in fields.iter().filter(|field| !field.is_empty()) {
            let (key, value) =
                field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
            match key {
                "readonly" | "ro" => typed.read_only = truth(key, value)?,
                "bind-nonrecursive" => {
                    typed.below = Some(if truth(key, value)? { Below::Disabled } else { Below::Enabled });
                }
                "bind-create-src" => typed.create = Some(truth(key, value)?),
                "volume-nocopy" => typed.no_copy = Some(truth(key, value)?),
                _ => typed.set(key, value.with_context(|| format!("{key:?} is no KEY=VALUE"))?)?,
            }
            let kind = match key.split('-').next() {
                Some("bind") => &mut typed.of_bind,
                Some("volume") => &mut typed.of_volume,
                Some("tmpfs") => &mut typed.of_tmpfs,
                _ => continue,
            };
            kind.get_or_insert_with(|| key.to_owned());
        }
        Ok(typed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let owned = || Some(value.to_owned());
        let pair = || value.split_once('=').map_or((value, ""), |(key, value)| (key, value));
        match key {
            "type" => self.kind = Some(value.to_lowercase()),
            "source" | "src" => self.source = owned(),
            "target" | "dst" | "destination" => self.target = owned(),
            "consistency" => {
                ensure!(
                    ["default", "consistent", "cached", "delegated"].contains(&value),
                    "consistency {value:?} is none of default, consistent, cached, delegated"
                );
                self.consistency = owned();
            }
            "bind-propagation" => {
                ensure!(
                    ["private", "rprivate", "slave", "rslave", "shared", "rshared"].contains(&value),
                    "bind-propagation {value:?} is none of rprivate, private, rslave, slave, rshared, shared"
                );
                self.propagation = owned();
            }
            "bind-recursive" => {
                self.below = Some(match value {
                    "enabled" => Below::Enabled,
                    "disabled" => Below::Disabled,
                    "writable" => Below::Writable,
                    "readonly" => Below::Readonly,
                    _ => bail!("bind-recursive {value:?} is none of enabled, disabled, writable, readonly"),
                });
            }
            "volume-subpath" => self.subpath = owned(),
            "volume-driver" => self.driver = owned(),
            "volume-label" => {
                let (key, value) = pair();
                self.labels.insert(key.to_owned(), value.to_owned());
            }
            "volume-opt" => {
                let (key, value) = pair();
                self.options.insert(key.to_owned(), value.to_owned());
            }
            "tmpfs-size" => self.size = Some(values::bytes(value).context("tmpfs-size")?),
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.with_context(|| format!("invalid tmpfs-mode {value:?}"))?);
            }
            _ => bail!("{key:?} is not supported"),
        }
        Ok(())
    }

    fn understand(self, cwd: &Path) -> Result<(Wanted, Value)> {
        let kind = self.kind.as_deref().unwrap_or("volume");
        for (own, key) in [("bind", &self.of_bind), ("volume", &self.of_volume), ("tmpfs", &self.of_tmpfs)] {
            if let (true, Some(key)) = (own != kind, key) {
                bail!("{key} belongs to type={own}, not to type={kind}");
            }
        }
        let target = values::target_path(self.target.as_deref().context("it has no target")?)?;
        let mut shown = json!({ "Type": kind, "Target": target });
        if self.read_only {
            shown["ReadOnly"] = json!(true);
        }
        if let Some(consistency) = &self.consistency {
            shown["Consistency"] = json!(consistency);
        }
        let wanted = match kind {
            "bind" => {
                let bind = self.bind(cwd, &mut shown)?;
                Wanted::Bind(Bind { target, ..bind })
            }
            "volume" => {
                let volume = self.volume(&mut shown)?;
                Wanted::Volume(VolumeMount { target, ..volume })
            }
            "tmpfs" => {
                ensure!(self.source.is_none(), "a tmpfs has no source");
                let options = self.tmpfs(&mut shown);
                Wanted::Tmpfs(target, options)
            }
            other => bail!("type {other:?} is not supported: bind, volume or tmpfs"),
        };
        Ok((wanted, shown))
    }

    fn bind(self, cwd: &Path, shown: &mut Value) -> Result<Bind> {
        let source = self.source.context("it has no source")?;
        ensure!(source.starts_with(['/', '.']), "the source must be a path: /{source} or ./{source}");
        let source = source_path(&source, cwd);
        let below = self.below.unwrap_or_default();
        let readonly = matches!(below, Below::Writable | Below::Readonly);
        ensure!(!readonly || self.read_only, "bind-recursive=writable and =readonly need readonly, too");
        let propagation = self.propagation.clone().unwrap_or_else(|| "rprivate".to_owned());
        ensure!(
            below != Below::Readonly || propagation == "rprivate",
            "bind-recursive=readonly needs bind-propagation=rprivate: what arrives later would be writable"
        );
        shown["Source"] = json!(source);
        if self.of_bind.is_some() {
            let mut options = json!({});
            if let Some(propagation) = &self.propagation {
                options["Propagation"] = json!(propagation);
            }
            for (key, set) in [
                ("NonRecursive", below == Below::Disabled),
                ("ReadOnlyNonRecursive", below == Below::Writable),
                ("ReadOnlyForceRecursive", below == Below::Readonly),
                ("CreateMountpoint", self.create == Some(true)),
            ] {
                if set {
                    options[key] = json!(true);
                }
            }
            shown["BindOptions"] = options;
        }
        Ok(Bind {
            source,
            target: "/".into(),
            read_only: self.read_only,
            propagation,
            must_exist: self.create != Some(true),
            below,
            mode: String::new(),
            by: By::User,
        })
    }

    fn volume(self, shown: &mut Value) -> Result<VolumeMount> {
        match self.driver.as_deref() {
            None | Some("" | "local") => {}
            Some(other) => bail!("volume-driver {other:?} is not supported: local is"),
        }
        crate::volume::check_options(&self.options)?;
        let name = self.source.unwrap_or_default();
        if !name.is_empty() {
            check_volume_name(&name)?;
            shown["Source"] = json!(name);
        }
        if let Some(subpath) = &self.subpath {
            let path = Path::new(subpath);
            let leaves = path.is_absolute() || path.components().any(|part| part == Component::ParentDir);
            ensure!(!leaves && !subpath.is_empty(), "volume-subpath {subpath:?} leads out of the volume");
            ensure!(!name.is_empty(), "volume-subpath needs a source: a new volume has nothing in it");
        }
        if self.of_volume.is_some() {
            let mut options = json!({});
            if self.no_copy == Some(true) {
                options["NoCopy"] = json!(true);
            }
            if !self.labels.is_empty() {
                options["Labels"] = json!(self.labels);
            }
            if self.driver.is_some() || !self.options.is_empty() {
                options["DriverConfig"] =
                    json!({ "Name": self.driver.unwrap_or_default(), "Options": self.options });
            }
            if let Some(subpath) = &self.subpath {
                options["Subpath"] = json!(subpath);
            }
            shown["VolumeOptions"] = options;
        }
        Ok(VolumeMount {
            anonymous: name.is_empty(),
            name,
            read_only: self.read_only,
            no_copy: self.no_copy.unwrap_or(false),
            subpath: self.subpath.map(Into::into),
            labels: self.labels,
            options: self.options,
            ..VolumeMount::default()
        })
    }

    fn tmpfs(self, shown: &mut Value) -> Vec<String> {
        let mut options: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).into();
        let mut typed = json!({});
        if let Some(size) = self.size {
            options.push(format!("size={size}"));
            typed["SizeBytes"] = json!(size);
        }
        if let Some(mode) = self.mode {
            options.push(format!("mode={mode:o}"));
            typed["Mode"] = json!(mode);
        }
        if self.of_tmpfs.is_some() {
            shown["TmpfsOptions"] = typed;
        }
        options.extend(self.read_only.then(|| "ro".to_owned()));
        options
    }
}

/// `readonly`, `readonly=true`.
fn truth(key: &str, value: Option<&str>) -> Result<bool> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => bail!("{key} {value:?} is none of true, 1, false, 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Wanted, Value) {
        mount(text, Path::new("/here")).unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    #[test]
    fn binds_are_dockers() {
        let bind = |source: &str| Bind {
            source: source.into(),
            target: "/data".into(),
            read_only: false,
            propagation: "rprivate".into(),
            must_exist: true,
            below: Below::Enabled,
            mode: String::new(),
            by: By::User,
        };
        for (text, expected) in [
            ("type=bind,src=/a,dst=/data", bind("/a")),
            (
                "type=bind,source=./a,target=/data,readonly,bind-propagation=rslave",
                Bind { read_only: true, propagation: "rslave".into(), ..bind("/here/a") },
            ),
            ("type=bind,src=/a,dst=/data,ro=false,consistency=cached", bind("/a")),
            (r#"type=bind,"src=/a,b:c",dst=/data"#, bind("/a,b:c")),
            ("type=bind,src=/a,dst=/data,bind-create-src", Bind { must_exist: false, ..bind("/a") }),
            ("type=bind,src=/a,dst=/data,bind-nonrecursive", Bind { below: Below::Disabled, ..bind("/a") }),
            (
                "type=BIND,src=/a,dst=/data,ro,bind-recursive=writable",
                Bind { read_only: true, below: Below::Writable, ..bind("/a") },
            ),
        ] {
            assert_eq!(parsed(text).0, Wanted::Bind(expected), "{text}");
        }
        let (_, shown) =
            parsed("type=bind,src=/a,dst=/data,ro,bind-recursive=readonly,bind-propagation=rprivate");
        let expected = json!({
            "Type": "bind", "Source": "/a", "Target": "/data", "ReadOnly": true,
            "BindOptions": { "Propagation": "rprivate", "ReadOnlyForceRecursive": true },
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn volumes_have_labels_options_and_parts() {
        let text = "src=data,dst=/data,volume-nocopy,volume-label=a=b=c,volume-label=d,volume-subpath=x/y,\
                    volume-driver=local,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/srv";
        let (wanted, shown) = parsed(text);
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let options = map(&[("type", "none"), ("o", "bind"), ("device", "/srv")]);
        let expected = VolumeMount {
            name: "data".into(),
            target: "/data".into(),
            no_copy: true,
            subpath: Some("x/y".into()),
            labels: map(&[("a", "b=c"), ("d", "")]),
            options: options.clone(),
            ..VolumeMount::default()
        };
        assert_eq!(wanted, Wanted::Volume(expected));
        assert_eq!(shown["VolumeOptions"]["DriverConfig"], json!({ "Name": "local", "Options": options }));
        let anonymous = VolumeMount { anonymous: true, target: "/data".into(), ..VolumeMount::default() };
        assert_eq!(parsed("type=volume,dst=/data").0, Wanted::Volume(anonymous));
    }

    #[test]
    fn a_tmpfs_has_a_size_and_a_mode() {
        let (wanted, shown) = parsed("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770,ro");
        let options = ["noexec", "nosuid", "nodev", "size=1048576", "mode=1770", "ro"].map(str::to_owned);
        assert_eq!(wanted, Wanted::Tmpfs("/t".into(), options.into()));
        assert_eq!(shown["TmpfsOptions"], json!({ "SizeBytes": 1_048_576, "Mode": 0o1770 }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, complaint) in [
            ("type=bind,dst=/data", "no source"),
            ("type=bind,src=/a", "no target"),
            ("type=bind,src=a,dst=/data", "must be a path"),
            ("type=bind,src=/a,dst=data", "must be absolute"),
            ("type=bind,src=/a,dst=/data,ro=maybe", "ro \"maybe\""),
            ("type=bind,src=/a,dst=/data,tmpfs-size=1", "tmpfs-size belongs to type=tmpfs"),
            ("type=bind,src=/a,dst=/data,volume-nocopy", "volume-nocopy belongs to type=volume"),
            ("type=bind,src=/a,dst=/data,bind-recursive=readonly", "need readonly"),
            ("type=bind,src=/a,dst=/data,ro,bind-recursive=readonly,bind-propagation=rslave", "rprivate"),
            ("type=bind,src=/a,dst=/data,bind-recursive=maybe", "bind-recursive \"maybe\""),
            ("type=bind,src=/a,dst=/data,bind-propagation=sideways", "bind-propagation \"sideways\""),
            ("type=bind,src=/a,dst=/data,consistency=odd", "consistency \"odd\""),
            ("type=tmpfs,dst=/t,src=/a", "no source"),
            ("type=tmpfs,dst=/t,tmpfs-mode=9", "tmpfs-mode \"9\""),
            ("src=/a,dst=/data", "invalid volume name"),
            ("dst=/data,volume-subpath=x", "needs a source"),
            ("src=data,dst=/data,volume-subpath=../x", "leads out"),
            ("src=data,dst=/data,volume-driver=nfs", "volume-driver \"nfs\""),
            ("src=data,dst=/data,volume-opt=type=nfs", "type=nfs"),
            ("type=npipe,src=/a,dst=/data", "type \"npipe\""),
            ("type=image,src=busybox,dst=/data", "type \"image\""),
            ("type=bind,src=/a,dst=/data,what=1", "\"what\" is not supported"),
            ("type=bind,src=/a,dst=/data,bind-propagation", "no KEY=VALUE"),
        ] {
            let error = format!("{:#}", mount(text, Path::new("/here")).unwrap_err());
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
