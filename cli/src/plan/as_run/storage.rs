//! Volumes, binds, memory and secrets of the line. What another container lends or the image wants comes by itself.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Line;
use crate::plan::storage::{Below, Bind, By, SecretKind, SecretRequest, Storage, VolumeMount, csv};

pub(super) fn of_storage(
    line: &mut Line,
    binds: &[Bind],
    tmpfs: &[(PathBuf, Vec<String>)],
    storage: &Storage,
) {
    let Storage { volumes, volumes_from, mounts, secrets } = storage;
    // What was spelled out is spelled out again.
    let is_short =
        |target: &Path| mounts.iter().all(|mount| mount["Target"].as_str().map(Path::new) != Some(target));
    line.values("-v", binds.iter().filter(|bind| is_short(&bind.target)).filter_map(bind_text));
    line.values("-v", volumes.iter().filter(|volume| is_short(&volume.target)).filter_map(volume_text));
    line.values("--mount", mounts.iter().map(mount_text));
    line.values("--tmpfs", tmpfs.iter().filter(|(target, _)| is_short(target)).map(tmpfs_text));
    line.values("--volumes-from", volumes_from);
    line.values("--secret", secrets.iter().map(secret_text));
}

fn bind_text(bind: &Bind) -> Option<String> {
    let Bind { source, target, mode, by, read_only, propagation, must_exist: _, below } = bind;
    // An older record has what the words meant, and no words.
    let mut words: Vec<&str> = mode.split(',').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        words.extend(read_only.then_some("ro"));
        words.extend(Some(propagation.as_str()).filter(|propagation| *propagation != "rprivate"));
    }
    let is_said = *by == By::User && *below == Below::Enabled;
    is_said.then(|| with_words(format!("{}:{}", source.display(), target.display()), &words.join(",")))
}

fn volume_text(volume: &VolumeMount) -> Option<String> {
    let VolumeMount {
        name,
        anonymous,
        target,
        mode,
        by,
        // Said by the words; the rest by --mount alone.
        read_only: _,
        no_copy: _,
        subpath: _,
        labels: _,
        options: _,
        source: _,
        unshifted: _,
    } = volume;
    let target = target.display().to_string();
    let text = if *anonymous { target } else { format!("{name}:{target}") };
    (*by == By::User).then(|| with_words(text, mode))
}

fn with_words(text: String, words: &str) -> String {
    if words.is_empty() { text } else { format!("{text}:{words}") }
}

/// As docker's HostConfig has it.
fn mount_text(mount: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut fields = Vec::new();
    let mut say = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            fields.push(format!("{key}={value}"));
        }
    };
    let is = |value: &Value| value.as_bool().filter(|is| *is).map(|_| "true".to_owned());
    say("type", text(&mount["Type"]));
    say("src", text(&mount["Source"]));
    say("dst", text(&mount["Target"]));
    say("readonly", is(&mount["ReadOnly"]));
    say("consistency", text(&mount["Consistency"]));
    let bind = &mount["BindOptions"];
    say("bind-propagation", text(&bind["Propagation"]));
    for (key, name) in [
        ("NonRecursive", "disabled"),
        ("ReadOnlyNonRecursive", "writable"),
        ("ReadOnlyForceRecursive", "readonly"),
    ] {
        say("bind-recursive", is(&bind[key]).map(|_| name.to_owned()));
    }
    say("bind-create-src", is(&bind["CreateMountpoint"]));
    let volume = &mount["VolumeOptions"];
    say("volume-nocopy", is(&volume["NoCopy"]));
    say("volume-subpath", text(&volume["Subpath"]));
    let driver = &volume["DriverConfig"];
    say("volume-driver", text(&driver["Name"]).filter(|name| !name.is_empty()));
    for (key, pairs) in [("volume-label", &volume["Labels"]), ("volume-opt", &driver["Options"])] {
        for (name, value) in pairs.as_object().into_iter().flatten() {
            say(key, Some(format!("{name}={}", value.as_str().unwrap_or_default())));
        }
    }
    let tmpfs = &mount["TmpfsOptions"];
    say("tmpfs-size", tmpfs["SizeBytes"].as_u64().map(|size| size.to_string()));
    say("tmpfs-mode", tmpfs["Mode"].as_u64().map(|mode| format!("{mode:o}")));
    csv::line(&fields)
}

/// Three options are there unless their opposite was said.
fn tmpfs_text((target, options): &(PathBuf, Vec<String>)) -> String {
    const DEFAULTS: [(&str, &str); 3] = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];
    let mut said = Vec::new();
    let mut rest = options.as_slice();
    for (default, opposite) in DEFAULTS {
        match rest.split_first() {
            Some((first, others)) if first == default => rest = others,
            _ => said.push(opposite),
        }
    }
    said.extend(rest.iter().map(String::as_str));
    with_words(target.display().to_string(), &said.join(","))
}

fn secret_text(secret: &SecretRequest) -> String {
    let SecretRequest { name, kind } = secret;
    let mut fields = vec![name.clone()];
    match kind {
        SecretKind::Env { variable } => fields.extend(["type=env".to_owned(), format!("target={variable}")]),
        SecretKind::Mount { target, uid, gid, mode } => {
            if *target != Path::new(runtime::plan::SECRETS).join(name) {
                fields.push(format!("target={}", target.display()));
            }
            for (key, id) in [("uid", uid), ("gid", gid)] {
                fields.extend((*id != 0).then(|| format!("{key}={id}")));
            }
            fields.extend((*mode != 0o444).then(|| format!("mode={mode:04o}")));
        }
    }
    csv::line(&fields)
}
