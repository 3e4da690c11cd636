//! `/etc/mini/config.toml` and `~/.config/mini/config.toml`: what a host's owner and a user want different.
//!
//! A key that mini does not know is refused by name: a typing error must not silently change nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// All settings, with their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) cgroup: CgroupConfig,
    pub(crate) ids: IdsConfig,
    pub(crate) network: NetworkConfig,
    pub(crate) userns: UsernsConfig,
    /// The keys that leave a container alone, as `--detach-keys` has them; docker's name for them.
    #[serde(rename = "detachKeys")]
    pub(crate) detach_keys: String,
    /// Every container has an init of mini's own, as with `--init`.
    pub(crate) init: bool,
}

/// `[cgroup]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CgroupConfig {
    /// The group, below each hierarchy's root, in which containers get theirs.
    pub(crate) parent: String,
}

impl Default for CgroupConfig {
    fn default() -> Self {
        CgroupConfig { parent: "mini".to_owned() }
    }
}

/// `[ids]`: the block of host ids out of which every container gets a range of 65536.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IdsConfig {
    /// First host id.
    pub(crate) base: u32,
    /// How many ids.
    pub(crate) count: u32,
}

impl Default for IdsConfig {
    fn default() -> Self {
        IdsConfig { base: 1 << 31, count: (1 << 31) - (1 << 16) }
    }
}

/// `[network]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetworkConfig {
    /// The bridge of containers that ask for no network of their own.
    pub(crate) bridge: String,
    /// Its subnet; by default the first of a list that collides with no route of the host.
    pub(crate) subnet: Option<ipnet::Ipv4Net>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        NetworkConfig { bridge: "mini0".to_owned(), subnet: None }
    }
}

/// `[userns]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UsernsConfig {
    /// Refuse flags that would share the host's user namespace, instead of sharing it.
    pub(crate) strict: bool,
}

impl Config {
    /// Reads the host's file, then the user's over it, key by key.
    pub(crate) fn load() -> Result<Config> {
        let mut files = vec![PathBuf::from("/etc/mini/config.toml")];
        let user = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
        files.extend(user.map(|directory| directory.join("mini/config.toml")));
        let mut merged = toml::Table::new();
        for file in files {
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    let table =
                        read(&text).with_context(|| format!("the configuration {}", file.display()))?;
                    merge(&mut merged, table);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
            }
        }
        if merged.is_empty() { Ok(Config::default()) } else { check(&merged) }
    }
}

/// One file, checked by itself so that a mistake is told with its line.
fn read(text: &str) -> Result<toml::Table> {
    let told = |error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().lines().count().max(1);
        let words = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
        anyhow::anyhow!("line {line}, {words:?}: {}", error.message().trim_end())
    };
    toml::from_str::<Config>(text).map_err(told)?;
    let table = toml::from_str::<toml::Table>(text).map_err(told)?;
    check(&table)?;
    Ok(table)
}

fn check(table: &toml::Table) -> Result<Config> {
    let config: Config = table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| anyhow::anyhow!("{}", error.message().trim_end()))?;
    let IdsConfig { base, count } = config.ids;
    anyhow::ensure!(count >= 1 << 16, "ids.count {count} is less than one range of 65536");
    anyhow::ensure!(base >= 1 << 16, "ids.base {base} lies among the host's own users (below 65536)");
    anyhow::ensure!(
        base.checked_add(count - 1).is_some(),
        "ids.base {base} + ids.count {count} is beyond the last id"
    );
    crate::detach::Keys::parse(&config.detach_keys).context("detachKeys")?;
    let parent = Path::new(&config.cgroup.parent);
    let plain = parent.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    anyhow::ensure!(
        plain && !config.cgroup.parent.is_empty(),
        "cgroup.parent {parent:?} is not a path below the root group"
    );
    Ok(config)
}

fn merge(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        check(&toml::from_str::<toml::Table>(text)?)
    }

    #[test]
    fn what_is_not_said_is_default_and_what_is_unknown_is_refused() {
        assert_eq!(parse("").unwrap(), Config::default());
        let config = parse("[cgroup]\nparent = \"a/b\"\n[ids]\nbase = 100000\ncount = 131072").unwrap();
        assert_eq!(
            (config.cgroup.parent.as_str(), config.ids.base, config.ids.count),
            ("a/b", 100_000, 131_072)
        );
        for (text, complaint) in [
            ("[cgroup]\nparrent = \"x\"", "unknown field `parrent`"),
            ("[ids]\ncount = 65535", "less than one range"),
            ("[ids]\nbase = 1000", "among the host's own users"),
            ("[ids]\nbase = 4294901760\ncount = 131072", "beyond the last id"),
            ("[cgroup]\nparent = \"../x\"", "not a path below"),
            ("detachKeys = \"strg-p\"", "detachKeys"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn the_users_file_lies_over_the_hosts() {
        let mut below: toml::Table = toml::from_str("[ids]\nbase = 100000\n[userns]\nstrict = true").unwrap();
        merge(&mut below, toml::from_str("[ids]\ncount = 131072\n[userns]\nstrict = false").unwrap());
        let config = check(&below).unwrap();
        assert_eq!((config.ids.base, config.ids.count, config.userns.strict), (100_000, 131_072, false));
    }
}
