//! docker's `config.json`, as far as it is about who the user is to registries: read, changed, and written whole.
//!
//! What mini does not know in it stays. Whoever changes it reads it again under a lock, the file `config.json.lock` beside it: of two at
//! once none takes away what the other has kept. A secret is kept by the credential helper that the file names for a registry, or for all,
//! and where there is none in the file itself, which is then for its owner alone.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use runtime::sys::whole::NewFile;
use runtime::sys::{self, program};
use serde_json::{Map, Value, json};

/// docker's own registry has a name of its own there.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// docker's file, as it is on disk.
#[derive(Debug)]
pub(crate) struct Credentials {
    path: PathBuf,
    content: Map<String, Value>,
}

/// What is kept of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    Password {
        user: String,
        password: String,
    },
    /// What the registry gave instead of a password.
    Identity {
        user: String,
        token: String,
    },
}

/// The name of a registry as it is typed: without a scheme and what follows the host (docker's `ConvertToHostname`). PURE.
pub(crate) fn host_of(typed: &str) -> &str {
    let host = typed.strip_prefix("https://").or_else(|| typed.strip_prefix("http://")).unwrap_or(typed);
    match host.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => image::reference::DEFAULT_REGISTRY,
        host => host,
    }
}

/// What a registry is called in the file. PURE.
pub(crate) fn key_of(host: &str) -> &str {
    if host == image::reference::DEFAULT_REGISTRY { DOCKER_HUB } else { host }
}

impl Credentials {
    /// Reads the file; where there is none it is empty.
    ///
    /// # Errors
    /// It cannot be read, or is not docker's.
    pub(crate) fn load() -> Result<Credentials> {
        let directory = super::docker_directory()
            .context("neither DOCKER_CONFIG nor HOME says where credentials are kept")?;
        let path = directory.join("config.json");
        let content = read(&path)?;
        Ok(Credentials { path, content })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The helper that keeps the secret of a registry, without the beginning that all their names have.
    pub(crate) fn helper(&self, key: &str) -> Option<&str> {
        let own = self.content.get("credHelpers").and_then(|helpers| helpers.get(key));
        own.or_else(|| self.content.get("credsStore")).and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The name of the user that the file knows for a registry.
    ///
    /// # Errors
    /// The helper fails.
    pub(crate) fn known(&self, key: &str) -> Result<Option<Secret>> {
        if let Some(helper) = self.helper(key) {
            return ask_helper(helper, key);
        }
        let Some(entry) = self.content.get("auths").and_then(|auths| auths.get(key)) else { return Ok(None) };
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let decoded =
            base64::decode(text("auth")).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let (user, password) = match decoded.split_once(':') {
            Some((user, password)) => (user.to_owned(), password.trim_end_matches('\0').to_owned()),
            None => (text("username").to_owned(), text("password").to_owned()),
        };
        let token = text("identitytoken");
        Ok(match (user.is_empty(), token.is_empty()) {
            (_, false) => Some(Secret::Identity { user, token: token.to_owned() }),
            (false, true) => Some(Secret::Password { user, password }),
            (true, true) => None,
        })
    }

    /// Keeps what a user shows a registry, in place of what was kept before. False where it lies in the file as it is.
    ///
    /// # Errors
    /// The helper fails, or the file cannot be written.
    pub(crate) fn keep(&self, key: &str, secret: &Secret) -> Result<bool> {
        let helper = self.helper(key).map(str::to_owned);
        let entry = match &helper {
            Some(helper) => {
                let (user, secret) = match secret {
                    Secret::Password { user, password } => (user.as_str(), password),
                    Secret::Identity { token, .. } => ("<token>", token),
                };
                let told = json!({"ServerURL": key, "Username": user, "Secret": secret});
                run_helper(helper, "store", told.to_string().as_bytes())?;
                json!({})
            }
            None => match secret {
                Secret::Password { user, password } => {
                    json!({"auth": base64::encode(format!("{user}:{password}").as_bytes())})
                }
                Secret::Identity { user, token } => {
                    json!({"auth": base64::encode(format!("{user}:").as_bytes()), "identitytoken": token})
                }
            },
        };
        self.change(|content| {
            let auths = content.entry("auths").or_insert_with(|| json!({}));
            let Value::Object(auths) = auths else {
                bail!("auths in {} is not docker's", self.path.display())
            };
            auths.insert(key.to_owned(), entry);
            Ok(())
        })?;
        Ok(helper.is_some())
    }

    /// Forgets a user; whether there was one.
    ///
    /// # Errors
    /// The helper fails, or the file cannot be written.
    pub(crate) fn forget(&self, host: &str) -> Result<bool> {
        // docker has written all of these at some time.
        let key = key_of(host);
        let keys = [key.to_owned(), format!("https://{host}"), format!("http://{host}"), host.to_owned()];
        let mut known = false;
        if let Some(helper) = self.helper(key) {
            known = ask_helper(helper, key)?.is_some();
            if known {
                run_helper(helper, "erase", key.as_bytes())?;
            }
        }
        let auths = self.content.get("auths");
        let is_kept = keys.iter().any(|key| auths.is_some_and(|auths| auths.get(key).is_some()));
        if is_kept {
            self.change(|content| {
                if let Some(Value::Object(auths)) = content.get_mut("auths") {
                    keys.iter().for_each(|key| drop(auths.remove(key)));
                }
                Ok(())
            })?;
        }
        Ok(known || is_kept)
    }

    /// Changes what the file holds by now, and writes it whole, for its owner alone.
    fn change(&self, change: impl FnOnce(&mut Map<String, Value>) -> Result<()>) -> Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        if let Some(directory) = self.path.parent() {
            sys::fs::make_dirs(directory).with_context(failed)?;
        }
        let _lock = sys::fs::lock_file(&self.path.with_extension("json.lock"), true).with_context(failed)?;
        let mut content = read(&self.path)?;
        change(&mut content)?;
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        serde::Serialize::serialize(
            &content,
            &mut serde_json::Serializer::with_formatter(&mut text, formatter),
        )?;
        let mut file = NewFile::begin(&self.path, 0o600).with_context(failed)?;
        std::io::Write::write_all(&mut file, &text).with_context(failed)?;
        file.sync().with_context(failed)?;
        file.finish().with_context(failed)
    }
}

/// What docker's file holds; nothing where it is not there.
fn read(path: &Path) -> Result<Map<String, Value>> {
    match std::fs::read(path) {
        Ok(text) if text.trim_ascii().is_empty() => Ok(Map::new()),
        Ok(text) => {
            serde_json::from_slice(&text).with_context(|| format!("{} is not docker's", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// What a helper keeps of a registry.
fn ask_helper(helper: &str, key: &str) -> Result<Option<Secret>> {
    let Some(answer) = converse(helper, "get", key.as_bytes())? else { return Ok(None) };
    let answer: Value = serde_json::from_slice(&answer)
        .with_context(|| format!("docker-credential-{helper} did not answer with credentials"))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(match text("Username").as_str() {
        "" => None,
        "<token>" => Some(Secret::Identity { user: String::new(), token: text("Secret") }),
        user => Some(Secret::Password { user: user.to_owned(), password: text("Secret") }),
    })
}

fn run_helper(helper: &str, action: &str, input: &[u8]) -> Result<()> {
    converse(helper, action, input).map(drop)
}

/// What a helper answers; `None` where it knows of nothing (docker-credential-helpers, "credentials not found in native keychain").
fn converse(helper: &str, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
    let program = format!("docker-credential-{helper}");
    let answer = program::ask(&program, action, input)?;
    if answer.is_success {
        return Ok(Some(answer.out));
    }
    let said = [answer.out, answer.err].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if said.contains("credentials not found") {
        return Ok(None);
    }
    bail!("{program} {action} failed: {}", crate::output::visible(&said))
}

/// RFC 4648, section 4. PURE.
mod base64 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let all =
                group.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for at in 0..4 {
                let letter = LETTERS[(all >> (18 - 6 * at)) as usize & 63];
                text.push(if at <= group.len() { char::from(letter) } else { '=' });
            }
        }
        text
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let (mut held, mut bits) = (0_u32, 0);
        for letter in text.trim_end_matches('=').bytes() {
            let value = LETTERS.iter().position(|known| *known == letter)?;
            held = held << 6 | u32::try_from(value).ok()?;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            }
            held &= (1 << bits) - 1;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_that_of_its_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("ÿ~?", "w79+Pw=="),
        ] {
            assert_eq!(base64::encode(plain.as_bytes()), encoded);
            assert_eq!(base64::decode(encoded).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(base64::decode("!"), None);
    }

    #[test]
    fn registries_are_called_by_their_hosts() {
        for (typed, expected) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("http://localhost:5000/v2/", "localhost:5000"),
            ("ghcr.io/user", "ghcr.io"),
        ] {
            assert_eq!(host_of(typed), expected, "{typed}");
        }
        assert_eq!((key_of("docker.io"), key_of("ghcr.io")), (DOCKER_HUB, "ghcr.io"));
    }
}
