//! `--security-opt`, `--group-add`, `--umask` and `--init`, understood. PURE.

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::LinuxSeccomp;
use runtime::caps::CapSet;
use runtime::seccomp::{Machine, assemble, import, profile};
use serde::{Deserialize, Serialize};

use crate::commands::flags::SecurityArgs;

/// Which system calls are filtered, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Seccomp {
    /// docker's default profile; none with --privileged.
    #[default]
    Builtin,
    /// None.
    Unconfined,
    /// A profile in docker's form, as it was when the container was made.
    Profile(String),
}

/// What was asked for. Kept with the container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Security {
    /// An init of mini's own is process 1.
    pub(crate) init: bool,
    /// Groups by name or number.
    pub(crate) groups: Vec<String>,
    pub(crate) umask: Option<u32>,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
    /// Nothing of proc and sysfs is hidden or write-protected.
    pub(crate) all_paths: bool,
    /// Hidden besides.
    pub(crate) masked: Vec<String>,
    /// Neither hidden nor write-protected.
    pub(crate) unmasked: Vec<String>,
    /// As they were typed, for those who look; a profile by its content.
    pub(crate) words: Vec<String>,
}

impl Security {
    /// Understands the flags. `init`: the configuration wants one; `bounding` and `kernel` are what a profile is resolved for,
    /// to see now whether it can be; `read` is how files are read.
    ///
    /// # Errors
    /// An option that is none or that is not supported, with the reason; a profile that cannot be used, with the place.
    pub(crate) fn new(
        args: &SecurityArgs,
        init: bool,
        bounding: CapSet,
        kernel: (u32, u32),
        read: &dyn Fn(&str) -> Result<String>,
    ) -> Result<Security> {
        let mut security = Security {
            init: args.init || init,
            umask: args.umask.as_deref().map(umask).transpose()?,
            groups: args.group_add.clone(),
            ..Security::default()
        };
        for group in &args.group_add {
            ensure!(
                group != "keep-groups",
                "--group-add keep-groups is not supported: mini runs as root, whose groups are not the container's to have"
            );
            runtime::user::check_group(group).context("--group-add")?;
        }
        for option in &args.security_opt {
            let word = security.option(option, read).with_context(|| format!("--security-opt {option:?}"))?;
            security.words.push(word);
        }
        if let Seccomp::Profile(text) = &security.seccomp {
            let profile =
                import::import(text, bounding, Machine::NATIVE, kernel).context("the seccomp profile")?;
            assemble::assemble(&profile, Machine::NATIVE).context("the seccomp profile")?;
        }
        Ok(security)
    }

    /// One option; how it is shown.
    fn option(&mut self, option: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<String> {
        let (key, value) =
            option.split_once(['=', ':']).map_or((option, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => self.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => self.no_new_privileges = false,
            ("seccomp", Some("unconfined")) => self.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("builtin" | "default")) => self.seccomp = Seccomp::Builtin,
            ("seccomp", Some(file)) => {
                ensure!(!file.is_empty(), "the profile's file is missing");
                // docker's daemon is sent the content, which `inspect` shows: it is taken as well.
                let text = if file.starts_with('{') { file.to_owned() } else { read(file)? };
                let word = format!("seccomp={}", text.trim());
                self.seccomp = Seccomp::Profile(text);
                return Ok(word);
            }
            ("systempaths", Some("unconfined")) => self.all_paths = true,
            ("label", Some("disable")) | ("apparmor", Some("unconfined")) => {}
            ("label", Some(_)) => bail!(
                "mini sets no SELinux labels, so the container would run without the one asked for; label=disable says so"
            ),
            ("apparmor", Some(_)) => bail!(
                "mini loads no AppArmor profiles, so the container would run without the one asked for; apparmor=unconfined says so"
            ),
            ("mask", Some(paths)) => self.masked.extend(list(paths)?),
            ("unmask", Some("ALL" | "all")) => self.all_paths = true,
            ("unmask", Some(paths)) => self.unmasked.extend(list(paths)?),
            _ => bail!(
                "invalid security option: one of seccomp=, no-new-privileges, systempaths=unconfined, label=disable, \
                 apparmor=unconfined, mask=, unmask="
            ),
        }
        Ok(option.to_owned())
    }

    /// The filter of system calls; a privileged container has one only where it was asked for.
    ///
    /// # Errors
    /// A profile that this kernel makes unusable.
    pub(crate) fn filter(&self, bounding: CapSet, privileged: bool) -> Result<Option<LinuxSeccomp>> {
        let machine = Machine::NATIVE;
        Ok(match &self.seccomp {
            Seccomp::Builtin if privileged => None,
            Seccomp::Builtin => Some(profile::default_profile(bounding, machine)),
            Seccomp::Unconfined => None,
            Seccomp::Profile(text) => {
                let kernel = runtime::running_kernel();
                Some(import::import(text, bounding, machine, kernel).context("the seccomp profile")?)
            }
        })
    }

    /// What of the usual paths is left, and what was asked for besides.
    pub(crate) fn paths(&self, usual: Vec<String>, more: &[String]) -> Vec<String> {
        let usual = if self.all_paths { Vec::new() } else { usual };
        usual.into_iter().filter(|path| !self.unmasked.contains(path)).chain(more.iter().cloned()).collect()
    }
}

/// `/a:/b`
fn list(paths: &str) -> Result<Vec<String>> {
    let one = |path: &str| {
        ensure!(path.starts_with('/') && !path.contains("/../"), "{path:?} is not an absolute path");
        ensure!(!path.contains(['*', '?', '[']), "{path:?}: patterns are not supported, paths are");
        Ok(path.trim_end_matches('/').to_owned())
    };
    paths.split(':').map(one).collect()
}

fn umask(text: &str) -> Result<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(mask),
        _ => bail!("--umask {text:?}: an octal number from 0000 to 0777"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(options: &[&str]) -> Result<Security, String> {
        let args = SecurityArgs {
            security_opt: options.iter().map(|text| (*text).to_owned()).collect(),
            ..SecurityArgs::default()
        };
        let read = |path: &str| match path {
            "good.json" => Ok(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_owned()),
            "bad.json" => Ok("{\n\n!".to_owned()),
            _ => bail!("cannot read {path}"),
        };
        Security::new(&args, false, CapSet::DOCKER, (6, 1), &read).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn options_are_dockers() {
        assert!(security(&["no-new-privileges"]).unwrap().no_new_privileges);
        assert!(!security(&["no-new-privileges", "no-new-privileges=false"]).unwrap().no_new_privileges);
        assert_eq!(security(&["seccomp:unconfined"]).unwrap().seccomp, Seccomp::Unconfined);
        let profile = security(&["seccomp=good.json", "label=disable"]).unwrap();
        assert!(matches!(&profile.seccomp, Seccomp::Profile(text) if text.starts_with('{')));
        assert_eq!(profile.words, [r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#, "label=disable"]);
        let usual = || vec!["/a".to_owned(), "/b".to_owned()];
        let paths = |options: &[&str]| {
            let security = security(options).unwrap();
            security.paths(usual(), &security.masked)
        };
        assert_eq!(paths(&["unmask=/a:/x", "mask=/c"]), ["/b", "/c"]);
        assert!(paths(&["systempaths=unconfined"]).is_empty() && paths(&["unmask=ALL"]).is_empty());
        for (option, complaint) in [
            ("what", "invalid security option"),
            ("systempaths=x", "invalid security option"),
            ("seccomp", "invalid security option"),
            ("seccomp=", "file is missing"),
            ("seccomp=none.json", "cannot read none.json"),
            ("seccomp=bad.json", "line 3"),
            ("label=user:x", "SELinux"),
            ("apparmor=docker-default", "AppArmor"),
            ("unmask=/proc/*", "patterns"),
            ("mask=proc", "absolute"),
        ] {
            let error = security(&[option]).unwrap_err();
            assert!(
                error.contains(complaint) && error.contains(option.split('=').next().unwrap()),
                "{error}"
            );
        }
        assert_eq!(umask("0027").unwrap(), 0o027);
        for bad in ["", "8", "1000", "-1", "+7", "u=rwx"] {
            assert!(umask(bad).is_err(), "{bad}");
        }
    }
}
