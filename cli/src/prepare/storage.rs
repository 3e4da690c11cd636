//! What a container stores, made ready: sources of binds, volumes and their first content, secrets.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::ImageConfiguration;
use runtime::op::step;
use runtime::plan::{InitPlan, MountSource, SECRETS, SecretContent, SecretFile};
use runtime::sys;

use crate::context::Context;
use crate::events::Event;
use crate::own_root::{self, Ids};
use crate::plan::Request;
use crate::plan::facts::HostFacts;
use crate::plan::ids::Volumes;
use crate::plan::storage::{Bind, SecretKind, volumes_from};
use crate::random::new_id;
use crate::settings::Settings;
use crate::volume::first_content::{self, When};
use crate::volume::owners;
use crate::{secret, volume};

/// Adds what other containers lend.
///
/// # Errors
/// A container that is not there, or was made by a mini that kept too little.
pub(crate) fn inherit(context: &Context, request: &mut Request) -> Result<()> {
    // Each takes the place of what those before it have there.
    for text in request.options.storage.volumes_from.clone().iter().rev() {
        let (word, read_only) = volumes_from(text)?;
        let entry = context.state().find(word).with_context(|| format!("--volumes-from {text:?}"))?;
        let Some(other) = Settings::of(&entry.record).request else {
            bail!("--volumes-from {text:?}: it was made by a mini that did not keep its volumes");
        };
        request.inherit(&other.binds, &other.options.storage.volumes, read_only);
    }
    Ok(())
}

/// Adds what the image wants, gives volumes their names, and finds out where they are.
///
/// # Errors
/// A place that is none; a volume's record that this mini cannot read.
pub(crate) fn complete(context: &Context, request: &mut Request, image: &ImageConfiguration) -> Result<()> {
    request.add_volumes_of(image)?;
    locate(context, request)
}

/// A request as it was written down, with its volumes where they are now.
///
/// # Errors
/// A volume's record that this mini cannot read.
pub(super) fn located<'a>(context: &Context, request: &'a Request) -> Result<Cow<'a, Request>> {
    if request.options.storage.volumes.is_empty() {
        return Ok(Cow::Borrowed(request));
    }
    let mut request = request.clone();
    locate(context, &mut request)?;
    Ok(Cow::Owned(request))
}

/// Finds out where the container's volumes are.
fn locate(context: &Context, request: &mut Request) -> Result<()> {
    let volumes = &mut request.options.storage.volumes;
    if volumes.is_empty() {
        return Ok(());
    }
    let (store, copied) = (volume::Store::new(&context.dirs.root), own_root::is_wanted(context)?);
    store.foresee(volumes, &new_id)?;
    for volume in volumes {
        volume.unshifted = copied && volume.source.starts_with(&context.dirs.root);
    }
    Ok(())
}

/// What must be there before anything is made of a container: the sources of binds, as docker makes them; its time zone; its
/// secrets.
///
/// # Errors
/// What is missing; a source that no mount of the wanted propagation holds.
pub(super) fn check(context: &Context, request: &Request) -> Result<()> {
    if let Some(zone) = &request.options.origin.zone {
        ensure!(zone.is_file(), "--tz: this host has no such time zone: {} is no file", zone.display());
    }
    for bind in &request.binds {
        make_source(bind)?;
        if !bind.propagation.ends_with("private") {
            let mountinfo =
                std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the host's mounts")?;
            check_propagation(bind, &mountinfo)?;
        }
    }
    let secrets = secret::Store::new(&context.dirs.root);
    for wanted in &request.options.storage.secrets {
        secrets.find(&wanted.name)?;
    }
    Ok(())
}

/// Whether the container has to have the ids that the files of its volumes have. PURE.
pub(super) fn whose_volumes(request: &Request, facts: &HostFacts) -> Volumes {
    match facts.copied {
        false => Volumes::Shifted,
        true if request.options.storage.volumes.iter().any(|volume| volume.unshifted) => Volumes::Own,
        true => Volumes::Others,
    }
}

fn make_source(bind: &Bind) -> Result<()> {
    if bind.source.exists() {
        return Ok(());
    }
    ensure!(
        !bind.must_exist,
        "the source of --mount, {}, does not exist (-v would make it, and so would bind-create-src)",
        bind.source.display()
    );
    step("Make the directory that is to be shown in the container, as docker does");
    sys::fs::make_dirs_public(&bind.source)
        .with_context(|| format!("the source of the volume {} cannot be made", bind.source.display()))
}

/// docker's rule: what is to be shared must lie on a shared mount, what is to follow on one that can be followed.
fn check_propagation(bind: &Bind, mountinfo: &str) -> Result<()> {
    let shared = bind.propagation.ends_with("shared");
    let source = std::fs::canonicalize(&bind.source).unwrap_or_else(|_| bind.source.clone());
    let Some((point, tags)) = mount_of(mountinfo, &source) else { return Ok(()) };
    let is_shared = tags.iter().any(|tag| tag.starts_with("shared:"));
    let follows = tags.iter().any(|tag| tag.starts_with("master:"));
    ensure!(
        is_shared || follows && !shared,
        "path {} is mounted on {} but it is not a {} mount",
        bind.source.display(),
        point.display(),
        if shared { "shared" } else { "shared or slave" }
    );
    Ok(())
}

/// The mount that a path lies on, and its optional fields (proc_pid_mountinfo(5)). PURE.
fn mount_of<'a>(mountinfo: &'a str, path: &Path) -> Option<(PathBuf, Vec<&'a str>)> {
    let mut found: Option<(PathBuf, Vec<&str>)> = None;
    for line in mountinfo.lines() {
        let (before, _) = line.split_once(" - ")?;
        let fields: Vec<&str> = before.split(' ').collect();
        let point = PathBuf::from(fields.get(4)?.replace("\\040", " "));
        let is_closer = found.as_ref().is_none_or(|(known, _)| point.starts_with(known));
        if path.starts_with(&point) && is_closer {
            found = Some((point, fields.get(6..).unwrap_or_default().to_vec()));
        }
    }
    found
}

/// Makes the container's volumes, and fills those that are new. The container is written down already.
///
/// # Errors
/// What the kernel answered.
pub(super) fn provide(
    context: &Context,
    id: &str,
    request: &Request,
    init: &InitPlan,
    when: When,
) -> Result<()> {
    let volumes = &request.options.storage.volumes;
    if volumes.is_empty() {
        return Ok(());
    }
    let made = volume::Store::new(&context.dirs.root).provide(volumes, request.auto_remove)?;
    if !made.is_empty() {
        let events: Vec<_> = made.iter().map(|name| Event::volume("create", name)).collect();
        context.journal().record(&events);
    }
    owners::settle(context, volumes, &Ids::of(init))?;
    first_content::provide(context, id, request, init, when)
}

/// What no spec says: parts of volumes, which are looked up inside them.
pub(crate) fn look_inside(init: &mut InitPlan, request: &Request) {
    for volume in &request.options.storage.volumes {
        let Some(subpath) = &volume.subpath else { continue };
        for mount in init.mounts.iter_mut().filter(|mount| mount.target == volume.target) {
            if let MountSource::Bind { source, beneath, .. } = &mut mount.source {
                source.clone_from(&volume.source);
                *beneath = Some(subpath.clone());
            }
        }
    }
}

/// What the container is told and nothing shows.
#[derive(Default)]
pub(super) struct Secrets {
    files: Vec<SecretFile>,
    /// Name and `NAME=VALUE`.
    variables: Vec<(String, String)>,
}

impl Secrets {
    /// Reads them as they are now.
    ///
    /// # Errors
    /// A secret that is not there any more, or that no variable can hold; two in one place.
    pub(super) fn read(context: &Context, request: &Request) -> Result<Secrets> {
        let store = secret::Store::new(&context.dirs.root);
        let mut secrets = Secrets::default();
        for wanted in &request.options.storage.secrets {
            let data = store.read(&wanted.name)?;
            match &wanted.kind {
                SecretKind::Env { variable } => {
                    let text = String::from_utf8(data).ok().filter(|text| !text.contains('\0'));
                    let text =
                        text.with_context(|| format!("secret {}: no variable can hold it", wanted.name))?;
                    secrets.variables.push((variable.clone(), format!("{variable}={text}")));
                }
                SecretKind::Mount { target, uid, gid, mode } => {
                    let inside = target.strip_prefix(SECRETS).ok().map(Path::to_owned);
                    // One that is wanted elsewhere lies here, too: it is bound from here.
                    let is_free = |name: &Path| secrets.files.iter().all(|other| other.name != name);
                    let plain = PathBuf::from(&wanted.name);
                    let name = match &inside {
                        Some(inside) => inside.clone(),
                        None if is_free(&plain) => plain,
                        None => format!("{}.{}", wanted.name, secrets.files.len()).into(),
                    };
                    ensure!(is_free(&name), "two secrets would be {SECRETS}/{}", name.display());
                    secrets.files.push(SecretFile {
                        name,
                        target: inside.is_none().then(|| target.clone()),
                        content: SecretContent(data),
                        uid: *uid,
                        gid: *gid,
                        mode: *mode,
                    });
                }
            }
        }
        Ok(secrets)
    }

    /// Adds them to what is made, and to nothing that is kept.
    pub(super) fn tell(self, init: &mut InitPlan) {
        let is_told =
            |text: &str| self.variables.iter().any(|(name, _)| text.split('=').next() == Some(name));
        init.process.env.retain(|variable| !is_told(variable));
        init.process.env.extend(self.variables.into_iter().map(|(_, variable)| variable));
        init.secrets = self.files;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::storage::{Below, By};

    const MOUNTINFO: &str = "22 1 0:21 / / rw - ext4 /dev/vda rw\n\
                             23 22 0:22 / /data rw shared:5 - tmpfs x rw\n\
                             24 23 0:23 / /data/a\\040b rw master:5 - tmpfs x rw\n\
                             25 22 0:24 / /data/private rw - tmpfs y rw\n";

    #[test]
    fn a_source_lies_on_the_closest_mount() {
        for (path, point, tags) in [
            ("/etc", "/", vec![]),
            ("/data/x", "/data", vec!["shared:5"]),
            ("/data/a b/c", "/data/a b", vec!["master:5"]),
            ("/database", "/", vec![]),
        ] {
            assert_eq!(mount_of(MOUNTINFO, Path::new(path)), Some((point.into(), tags)), "{path}");
        }
    }

    #[test]
    fn propagation_needs_a_mount_that_has_it() {
        let bind = |source: &str, propagation: &str| Bind {
            source: source.into(),
            target: "/x".into(),
            read_only: false,
            propagation: propagation.into(),
            must_exist: true,
            below: Below::Enabled,
            mode: String::new(),
            by: By::User,
        };
        for (source, propagation, good) in [
            ("/data/x", "rshared", true),
            ("/data/x", "slave", true),
            ("/data/a b", "rslave", true),
            ("/data/a b", "shared", false),
            ("/data/private", "slave", false),
            ("/nowhere", "rshared", false),
        ] {
            let checked = check_propagation(&bind(source, propagation), MOUNTINFO);
            assert_eq!(checked.is_ok(), good, "{source} {propagation}");
        }
    }
}
