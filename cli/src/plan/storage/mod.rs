//! What a container stores outside of its own layer: directories of the host, volumes, file systems in memory, secrets. PURE.

pub(crate) mod csv;
mod mount_flag;
mod secret_flag;
mod volume_flag;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail, ensure};
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::Request;
use super::values;
use crate::commands::flags::StorageArgs;
pub(crate) use secret_flag::{SecretKind, SecretRequest, check_secret_name};

/// Kept with the container; every field has a default, so that an older record can be read. Directories of the host and
/// `--tmpfs` are fields of the request itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Storage {
    pub(crate) volumes: Vec<VolumeMount>,
    /// `--volumes-from` as it was typed.
    pub(crate) volumes_from: Vec<String>,
    /// `--mount` as docker's HostConfig has it.
    pub(crate) mounts: Vec<serde_json::Value>,
    pub(crate) secrets: Vec<SecretRequest>,
}

/// A directory or file of the host, shown in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// On the host, absolute.
    pub(crate) source: PathBuf,
    /// In the container, absolute.
    pub(crate) target: PathBuf,
    /// `ro` was given.
    pub(crate) read_only: bool,
    /// `rprivate` and its kin.
    pub(crate) propagation: String,
    /// Where it is missing, that is an error: `--mount`, not `-v`.
    #[serde(default)]
    pub(crate) must_exist: bool,
    /// What becomes of what is mounted below the source.
    #[serde(default)]
    pub(crate) below: Below,
    /// Options as they were typed after the second colon of `-v`.
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) by: By,
}

/// Whose wish a mount is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    #[default]
    User,
    /// It wants a volume there.
    Image,
    /// Another one, that lends what it has.
    Container,
}

/// What becomes of what is mounted below a bind's source: docker's `bind-recursive`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Below {
    /// It comes along, and is read-only with the rest.
    #[default]
    Enabled,
    /// It stays behind.
    Disabled,
    /// It comes along, and is writable in a bind that is not.
    Writable,
    /// As `Enabled`; said in so many words.
    Readonly,
}

/// A volume, shown in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeMount {
    /// Empty until an anonymous one has got its name.
    pub(crate) name: String,
    /// Made for this container, and removed with it where that is asked for.
    pub(crate) anonymous: bool,
    /// In the container, absolute.
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
    /// The image's files are not copied into it.
    pub(crate) no_copy: bool,
    /// What of it is shown.
    pub(crate) subpath: Option<PathBuf>,
    /// Labels of a volume that is made for this mount.
    pub(crate) labels: BTreeMap<String, String>,
    /// Options of a volume that is made for this mount.
    pub(crate) options: BTreeMap<String, String>,
    /// Options as they were typed after the second colon of `-v`.
    pub(crate) mode: String,
    /// Where its files are on the host; looked up each time it starts.
    pub(crate) source: PathBuf,
    /// Its files have the ids of containers on the disk, for no view of them can be shifted; looked up each time, too.
    pub(crate) unshifted: bool,
    pub(crate) by: By,
}

/// What one flag asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Bind(Bind),
    Volume(VolumeMount),
    /// Its target and options.
    Tmpfs(PathBuf, Vec<String>),
}

/// Everything that is mounted, as far as the flags say.
#[derive(Debug, Default)]
pub(crate) struct Understood {
    pub(crate) binds: Vec<Bind>,
    pub(crate) tmpfs: Vec<(PathBuf, Vec<String>)>,
    pub(crate) storage: Storage,
}

impl Understood {
    /// Understands the flags.
    ///
    /// # Errors
    /// The first value that makes no sense; two mounts on one place.
    pub(crate) fn new(args: &StorageArgs, cwd: &Path) -> Result<Understood> {
        match args.volume_driver.as_deref() {
            None | Some("" | "local") => {}
            Some(other) => bail!(
                "--volume-driver {other:?} is not supported: drivers are plugins of a daemon, and there is none; local is"
            ),
        }
        let mut understood = Understood::default();
        let mut anonymous = Vec::new();
        for text in &args.volume {
            match volume_flag::volume(text, cwd)? {
                Wanted::Volume(volume) if volume.anonymous => anonymous.push(volume),
                wanted => understood.take(wanted)?,
            }
        }
        for text in &args.mount {
            let (wanted, shown) = mount_flag::mount(text, cwd)?;
            understood.storage.mounts.push(shown);
            understood.take(wanted)?;
        }
        for text in &args.tmpfs {
            let (target, options) = values::tmpfs(text)?;
            understood.take(Wanted::Tmpfs(target, options))?;
        }
        // As docker: what has a name takes the place of what has none.
        for volume in anonymous {
            if !understood.is_taken(&volume.target) {
                understood.take(Wanted::Volume(volume))?;
            }
        }
        let storage = &mut understood.storage;
        storage.volumes_from.clone_from(&args.volumes_from);
        for text in &args.secret {
            let secret = secret_flag::secret(text)?;
            let twice = storage.secrets.iter().any(|other| other.place() == secret.place());
            ensure!(!twice, "--secret {text:?}: {} has a secret already", secret.place());
            storage.secrets.push(secret);
        }
        Ok(understood)
    }

    fn take(&mut self, wanted: Wanted) -> Result<()> {
        let target = match &wanted {
            Wanted::Bind(bind) => &bind.target,
            Wanted::Volume(volume) => &volume.target,
            Wanted::Tmpfs(target, _) => target,
        };
        ensure!(!self.is_taken(target), "duplicate mount point: {}", target.display());
        match wanted {
            Wanted::Bind(bind) => self.binds.push(bind),
            Wanted::Volume(volume) => self.storage.volumes.push(volume),
            Wanted::Tmpfs(target, options) => self.tmpfs.push((target, options)),
        }
        Ok(())
    }

    fn is_taken(&self, target: &Path) -> bool {
        targets(&self.binds, &self.storage.volumes, &self.tmpfs).any(|taken| taken == target)
    }
}

fn targets<'a>(
    binds: &'a [Bind],
    volumes: &'a [VolumeMount],
    tmpfs: &'a [(PathBuf, Vec<String>)],
) -> impl Iterator<Item = &'a Path> {
    let binds = binds.iter().map(|bind| bind.target.as_path());
    let volumes = volumes.iter().map(|volume| volume.target.as_path());
    binds.chain(volumes).chain(tmpfs.iter().map(|(target, _)| target.as_path()))
}

impl Request {
    fn has_mount_on(&self, target: &Path) -> bool {
        targets(&self.binds, &self.options.storage.volumes, &self.tmpfs).any(|taken| taken == target)
    }

    /// Adds what another container has, unless something is mounted there already; `read_only` is what was said of it.
    pub(crate) fn inherit(&mut self, binds: &[Bind], volumes: &[VolumeMount], read_only: Option<bool>) {
        for bind in binds {
            if !self.has_mount_on(&bind.target) {
                let read_only = read_only.unwrap_or(bind.read_only);
                self.binds.push(Bind { read_only, by: By::Container, ..bind.clone() });
            }
        }
        for volume in volumes {
            if !self.has_mount_on(&volume.target) {
                let read_only = read_only.unwrap_or(volume.read_only);
                // Its first content is another container's business.
                let mount = VolumeMount { read_only, no_copy: true, by: By::Container, ..volume.clone() };
                self.options.storage.volumes.push(mount);
            }
        }
    }

    /// Adds a volume for each place that the image wants one at, unless something is mounted there already.
    ///
    /// # Errors
    /// Where the image names something that is no place in a container. It never names one of the host's (CVE-2022-23648).
    pub(crate) fn add_volumes_of(&mut self, image: &ImageConfiguration) -> Result<()> {
        let wanted = image.config().as_ref().and_then(|config| config.volumes().clone());
        for text in wanted.into_iter().flatten() {
            let plain = !Path::new(&text).components().any(|part| part == Component::ParentDir);
            let target = values::target_path(&text).ok().filter(|_| plain);
            let Some(target) = target else {
                bail!("the image wants a volume at {text:?}, which is no place for one");
            };
            if !self.has_mount_on(&target) {
                self.options.storage.volumes.push(VolumeMount {
                    anonymous: true,
                    target,
                    by: By::Image,
                    ..VolumeMount::default()
                });
            }
        }
        Ok(())
    }
}

/// `ID[:MODE]` of `--volumes-from`: which container, and what is said of its mounts.
///
/// # Errors
/// A mode that is none, or that only the mount's first owner can choose.
pub(crate) fn volumes_from(text: &str) -> Result<(&str, Option<bool>)> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    ensure!(!container.is_empty(), "invalid --volumes-from {text:?}: CONTAINER[:ro|rw]");
    let mut read_only = None;
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => read_only = Some(true),
            "rw" => read_only = Some(false),
            // SELinux labels: nothing to do here.
            "z" | "Z" => {}
            _ => bail!("invalid mode {word:?} in --volumes-from {text:?}: ro or rw"),
        }
    }
    Ok((container, read_only))
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`: so a name is never a path, and none begins with a dot.
///
/// # Errors
/// Any other.
pub(crate) fn check_volume_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_name = name.len() > 1
        && name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain);
    ensure!(
        is_name,
        "invalid volume name {name:?}: [a-zA-Z0-9][a-zA-Z0-9_.-]+ is one; a path of the host begins with / or ./"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(volume: &[&str], mount: &[&str], tmpfs: &[&str]) -> Result<Understood> {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (volume, mount, tmpfs) = (all(volume), all(mount), all(tmpfs));
        Understood::new(&StorageArgs { volume, mount, tmpfs, ..StorageArgs::default() }, Path::new("/cwd"))
    }

    #[test]
    fn one_place_has_one_mount_and_names_win_over_none() {
        let all = understood(&["/anon", "/data", "named:/data", "/src:/bind"], &[], &["/t"]).unwrap();
        let volumes: Vec<_> =
            all.storage.volumes.iter().map(|volume| (volume.name.as_str(), volume.anonymous)).collect();
        assert_eq!(volumes, [("named", false), ("", true)]);
        for (volume, mount, tmpfs) in [
            (&["a1:/x", "b1:/x"][..], &[][..], &[][..]),
            (&["/a:/x"], &["type=volume,target=/x"], &[]),
            (&["/a:/x"], &[], &["/x:size=1m"]),
            (&[], &["type=tmpfs,target=/x", "type=bind,src=/a,target=/x"], &[]),
        ] {
            let error = understood(volume, mount, tmpfs).unwrap_err().to_string();
            assert!(error.contains("duplicate mount point: /x"), "{error}");
        }
    }

    #[test]
    fn volumes_from_has_a_container_and_a_mode() {
        for (text, expected) in [
            ("web", Some(("web", None))),
            ("web:ro", Some(("web", Some(true)))),
            ("web:rw,z", Some(("web", Some(false)))),
            (":ro", None),
            ("web:nocopy", None),
            ("web:rslave", None),
        ] {
            assert_eq!(volumes_from(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn names_of_volumes_are_no_paths() {
        for (name, good) in [
            ("data", true),
            ("a.b_c-1", true),
            ("a", false),
            (".x1", false),
            ("a/b", false),
            ("", false),
            ("é1", false),
        ] {
            assert_eq!(check_volume_name(name).is_ok(), good, "{name}");
        }
        assert!(check_volume_name(&"x".repeat(256)).is_err());
    }
}
