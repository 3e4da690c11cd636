//! `--secret NAME[,KEY=VALUE…]`: which secret, and as what the container gets it. PURE.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use runtime::plan::SECRETS;
use serde::{Deserialize, Serialize};

use super::csv;

/// One secret of a container: its name, never what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretRequest {
    pub(crate) name: String,
    pub(crate) kind: SecretKind,
}

/// As what a container gets a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecretKind {
    /// A file; owner and group are container ids.
    Mount { target: PathBuf, uid: u32, gid: u32, mode: u32 },
    /// A variable of the program's environment.
    Env { variable: String },
}

impl SecretRequest {
    /// Where the container finds it.
    pub(crate) fn place(&self) -> String {
        match &self.kind {
            SecretKind::Mount { target, .. } => target.display().to_string(),
            SecretKind::Env { variable } => format!("variable {variable}"),
        }
    }
}

/// Understands one `--secret`.
///
/// # Errors
/// A key that is none, or a value that it cannot have.
pub(super) fn secret(text: &str) -> Result<SecretRequest> {
    let invalid = || format!("invalid --secret {text:?}");
    let (mut name, mut kind, mut target) = (None, "mount", None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for (index, field) in csv::fields(text).with_context(invalid)?.into_iter().enumerate() {
        let Some((key, value)) = field.split_once('=') else {
            ensure!(index == 0, "{}: {field:?} is no KEY=VALUE", invalid());
            name = Some(field);
            continue;
        };
        let number = || value.parse::<u32>().ok().filter(|id| *id != u32::MAX).with_context(invalid);
        match key {
            "source" | "src" => name = Some(value.to_owned()),
            "type" => {
                kind = match value {
                    "mount" => "mount",
                    "env" => "env",
                    _ => bail!("{}: type is mount or env", invalid()),
                }
            }
            "target" => target = Some(value.to_owned()),
            "uid" => uid = Some(number()?),
            "gid" => gid = Some(number()?),
            "mode" => {
                let bits = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                mode = Some(bits.with_context(|| format!("{}: mode {value:?}", invalid()))?);
            }
            _ => bail!("{}: {key:?} is none of source, type, target, uid, gid, mode", invalid()),
        }
    }
    let name = name.with_context(|| format!("{}: it has no name", invalid()))?;
    check_secret_name(&name)?;
    let target = target.unwrap_or_else(|| name.clone());
    let kind = if kind == "env" {
        ensure!(
            uid.is_none() && gid.is_none() && mode.is_none(),
            "{}: a variable has no owner and no mode",
            invalid()
        );
        ensure!(
            !target.is_empty() && !target.contains(['=', '\0']) && !target.contains(char::is_whitespace),
            "{}: {target:?} is no name of a variable",
            invalid()
        );
        SecretKind::Env { variable: target }
    } else {
        let target = Path::new(SECRETS).join(&target);
        let climbs = target.components().any(|part| part == Component::ParentDir);
        let is_file = target.file_name().is_some() && target != Path::new(SECRETS);
        ensure!(is_file && !climbs, "{}: the target {} is no file", invalid(), target.display());
        ensure!(!target.starts_with("/proc"), "{}: nothing can be mounted over /proc", invalid());
        SecretKind::Mount {
            target,
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
            mode: mode.unwrap_or(0o444),
        }
    };
    Ok(SecretRequest { name, kind })
}

/// docker's rule: letters, digits, `-`, `_` and `.`, 64 at most, an alphanumeric at both ends.
///
/// # Errors
/// Any other.
pub(crate) fn check_secret_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    ensure!(
        ends && name.len() <= 64 && name.chars().all(plain),
        "{name:?} is no name of a secret: 1 to 64 of [a-zA-Z0-9-_.], with a letter or digit at both ends"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let file = |name: &str, target: &str, uid, gid, mode| SecretRequest {
            name: name.to_owned(),
            kind: SecretKind::Mount { target: target.into(), uid, gid, mode },
        };
        for (text, expected) in [
            ("key", file("key", "/run/secrets/key", 0, 0, 0o444)),
            ("source=key,target=other,mode=0400", file("key", "/run/secrets/other", 0, 0, 0o400)),
            ("key,target=/etc/app/key,uid=1000,gid=5", file("key", "/etc/app/key", 1000, 5, 0o444)),
            (
                "key,type=env,target=API_KEY",
                SecretRequest { name: "key".into(), kind: SecretKind::Env { variable: "API_KEY".into() } },
            ),
            (
                "key,type=env",
                SecretRequest { name: "key".into(), kind: SecretKind::Env { variable: "key".into() } },
            ),
        ] {
            assert_eq!(secret(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "",
            "target=x",
            "-x",
            "a b",
            "key,other",
            "key,type=file",
            "key,uid=root",
            "key,mode=9",
            "key,target=../x",
            "key,target=/proc/x",
            "key,target=/",
            "key,type=env,mode=400",
            "key,type=env,target=A=B",
            "key,color=red",
        ] {
            assert!(secret(bad).is_err(), "{bad}");
        }
        assert!(check_secret_name(&"x".repeat(65)).is_err());
    }
}
