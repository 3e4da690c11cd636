//! The host's half of a root: layers with the container's ids, stacked by overlay; /dev; what is bound from the host. PURE.

use std::path::Path;

use anyhow::{Context as _, Result};
use runtime::devices::{LINKS, NODES};
use runtime::plan::{InitPlan, MountPlan, MountSource};

use super::mounts::words;
use super::text::{path, word};
use super::{Parts, Subject};

/// What overlay's mounter needs of the host's power, and keeps for what overlay does later.
const MOUNTER: &str = "chown,+dac_override,+dac_read_search,+fowner,+fsetid,+mknod,+setfcap,+sys_admin";

/// How a directory or file of the host is shown: with the container's ids where it has some of its own.
fn shows(init: &InitPlan, shifted: bool) -> &'static str {
    if shifted && init.has_user_namespace() { "shifted" } else { "bind" }
}

/// Stacks the image's layers.
pub(super) fn stack(parts: &mut Parts, init: &InitPlan) -> Result<()> {
    let (uid, gid) = init.root_ids();
    let text = &mut parts.host;
    text.part("Make the container's writable layer");
    text.line("mkdir \"$work/scratch\" \"$work/scratch/upper\" \"$work/root\" \"$work/layers\"");
    text.line("mkdir -m 700 \"$work/scratch/work\"");
    text.comment("Ids on disk are 0-based: these belong to root as long as nothing shifts the view.");
    text.part("Show the image's layers and the writable one with the container's ids: the view is shifted, the files stay");
    let show = shows(init, true);
    let mut lowers = Vec::new();
    for (number, layer) in init.root.layers.iter().enumerate() {
        text.line(&format!("{show} bind {} \"$work/layers/{number}\"", path(layer)?));
        lowers.push(format!("layers/{number}"));
    }
    text.comment(
        "The lowest layer is the places that mounts go to: made once instead of in every container.",
    );
    text.line(
        "mkdir -p \"$work/points/dev\" \"$work/points/proc\" \"$work/points/sys\" \"$work/points/etc\"",
    );
    text.line("(cd \"$work/points/etc\" && : >hosts && : >hostname && : >resolv.conf)");
    text.line(&format!("{show} bind \"$work/points\" \"$work/layers/points\""));
    lowers.push("layers/points".to_owned());
    text.line(&format!("{show} bind \"$work/scratch\" \"$work/scratch\""));
    text.part("Stack the image's layers, read-only, under one writable layer");
    let volatile = if init.root.volatile { ",volatile" } else { "" };
    let lowers = lowers.join(":");
    text.line("cd \"$work\" # the names stay short: all of them together fit into a page");
    let mount = format!(
        "mount -n -t overlay -o nodev,lowerdir={lowers},upperdir=scratch/upper,workdir=scratch/work{volatile} overlay root"
    );
    let stay = "nsenter --mount=\"/proc/$pid/ns/mnt\" --wdns=\"$work\"";
    match (uid, gid) {
        (0, 0) => text.line(&format!("{stay} {mount}")),
        _ => {
            text.comment(
                "Overlay keeps its mounter's credentials for what it does later: host root's ids have no place on a shifted \
                 mount, the container's root has one. Where mount is setuid, no_new_privs keeps it from being root again.",
            );
            text.line(&format!(
                "{stay} \\\n    setpriv --reuid={uid} --regid={gid} --clear-groups --no-new-privs \\\n    \
                 --inh-caps=+{MOUNTER} --ambient-caps=+{MOUNTER} \\\n    {mount}"
            ));
        }
    }
    text.line("cd /");
    Ok(())
}

/// Makes /dev.
pub(super) fn dev(parts: &mut Parts, init: &InitPlan) -> Result<()> {
    let found = init.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Dev { options } => Some((mount, options)),
        _ => None,
    });
    let Some((mount, options)) = found else { return Ok(()) };
    let (uid, gid) = init.root_ids();
    let text = &mut parts.host;
    text.part("Make /dev from outside: inside, no device node can be made");
    text.line("mkdir \"$work/dev\"");
    let mut all = options.clone();
    all.extend([("uid".to_owned(), uid.to_string()), ("gid".to_owned(), gid.to_string())]);
    text.line(&format!(
        "there mount -n -t tmpfs -o {} tmpfs \"$work/dev\"",
        word(&words(mount.attr, &all, true))
    ));
    let asked = |name: &str| init.devices.iter().any(|device| device.name == Path::new(name));
    for (name, major, minor) in NODES.into_iter().filter(|(name, ..)| !asked(name)) {
        text.line(&format!("there mknod -m 666 \"$work/dev/{name}\" c {major} {minor}"));
    }
    for device in &init.devices {
        if let Some(above) = device.name.parent().filter(|above| !above.as_os_str().is_empty()) {
            text.line(&format!("there mkdir -p \"$work/dev/\"{}", path(above)?));
        }
        let (kind, major, minor, mode) = (device.kind, device.major, device.minor, device.mode);
        let name = path(&device.name)?;
        text.line(&format!("there mknod -m {mode:03o} \"$work/dev/\"{name} {kind} {major} {minor}"));
    }
    for (name, target) in LINKS.into_iter().filter(|(name, _)| !asked(name)) {
        text.line(&format!("there ln -s {target} \"$work/dev/{name}\""));
    }
    for mount in &init.mounts {
        let Ok(below) = mount.target.strip_prefix("/dev") else { continue };
        if !below.as_os_str().is_empty() && !matches!(mount.source, MountSource::Bind { .. }) {
            text.line(&format!("there mkdir -p \"$work/dev/\"{}", path(below)?));
        }
    }
    if (uid, gid) != (0, 0) {
        text.line(&format!("there chown -Rh {uid}:{gid} \"$work/dev\""));
    }
    Ok(())
}

/// Takes hold of what is bound from the host, each at `$work/bind/NUMBER`, and makes mini's own files.
pub(super) fn binds(parts: &mut Parts, subject: &Subject<'_>) -> Result<()> {
    let init = subject.init;
    let (uid, gid) = init.root_ids();
    let text = &mut parts.host;
    text.part("Make the files that mini shows inside");
    text.line("mkdir \"$work/files\" \"$work/bind\"");
    for (name, content) in &subject.plan.files {
        text.file(&format!("cat >\"$work/files/\"{}", word(name)), content);
    }
    if !subject.plan.files.is_empty() && (uid, gid) != (0, 0) {
        text.line(&format!("chown {uid}:{gid} \"$work/files/\"*"));
    }
    let mut number = 0;
    text.part("Take hold of what is shown of the host; the first process puts it in its place");
    for mount in &init.mounts {
        let MountSource::Bind { source, beneath, recursive, idmap } = &mount.source else { continue };
        let flag = if *recursive { "rbind" } else { "bind" };
        let show = shows(init, *idmap);
        let mut from = own_file(subject, source)?;
        let volumes = &subject.request.options.storage.volumes;
        if let Some(volume) = volumes.iter().find(|volume| volume.target == mount.target) {
            text.line(&format!("source={from}"));
            text.line(&volume_directory(volume.no_copy, number));
            from = "\"$source\"".to_owned();
        } else if !source.starts_with(subject.run) {
            text.line(&format!("[ -e {from} ] || mkdir -p {from} # as docker does"));
        }
        match beneath {
            Some(beneath) => {
                text.comment("Who filled it may be hostile: no link leads out of it.");
                text.line(&format!("place {from} {} look || die 'it is not there'", path(beneath)?));
                text.line(&format!("{show} {flag} \"$at\" \"$work/bind/{number}\""));
            }
            None => text.line(&format!("{show} {flag} {from} \"$work/bind/{number}\"")),
        }
        number += 1;
    }
    Ok(())
}

/// A volume's directory: one that is missing is made here, and goes with the script; the image's files are copied into it.
fn volume_directory(no_copy: bool, number: usize) -> String {
    let mark = if no_copy { String::new() } else { format!("; : >\"$work/bind/{number}.new\"") };
    format!("[ -e \"$source\" ] || {{ source=$work/volume.{number}; mkdir \"$source\"{mark}; }}")
}

/// Where a source is, as a word: what lies in the container's run directory, the script makes itself.
fn own_file(subject: &Subject<'_>, source: &Path) -> Result<String> {
    let Ok(name) = source.strip_prefix(subject.run) else { return path(source) };
    let name = name.to_str().context("a file of ours that is no text")?;
    match subject.plan.links.iter().find(|(own, _)| own == name) {
        Some((_, whose)) => path(whose),
        None => Ok(format!("\"$work/files/{name}\"")),
    }
}

/// The number of a bind among binds.
pub(super) fn number_of(init: &InitPlan, mount: &MountPlan) -> usize {
    let binds = init.mounts.iter().filter(|mount| matches!(mount.source, MountSource::Bind { .. }));
    binds.take_while(|other| !std::ptr::eq(*other, mount)).count()
}
