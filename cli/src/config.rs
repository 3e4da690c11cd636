//! `/etc/mini/config.toml` and `~/.config/mini/config.toml`: what a host's owner and a user want different.
//!
//! A key that mini does not know is refused by name: a typing error must not silently change nothing.

pub(crate) mod registry;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use self::registry::{ProxyConfig, Registries};

/// All settings, with their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) cgroup: CgroupConfig,
    pub(crate) ids: IdsConfig,
    pub(crate) network: NetworkConfig,
    pub(crate) userns: UsernsConfig,
    pub(crate) registry: Registries,
    pub(crate) proxy: ProxyConfig,
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
        if merged.is_empty() { Ok(Config::default()) } else { Ok(check(&merged)?) }
    }
}

/// What makes no sense in a configuration, and under which key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", shown(key))]
pub(crate) struct Wrong {
    key: Vec<String>,
    what: String,
}

impl Wrong {
    fn new(key: &[&str], what: String) -> Wrong {
        Wrong { key: key.iter().map(|part| (*part).to_owned()).collect(), what }
    }
}

/// As it is written: `registry."localhost:5000".mirrors`.
fn shown(key: &[String]) -> String {
    let is_bare =
        |part: &String| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let shown = key.iter().map(|part| if is_bare(part) { part.clone() } else { format!("{part:?}") });
    shown.collect::<Vec<_>>().join(".")
}

/// One file, checked by itself so that a mistake is told with its line.
pub(crate) fn read(text: &str) -> Result<toml::Table> {
    let at_line = |at: usize, what: &str| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let words = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
        anyhow::anyhow!("line {line}, {words:?}: {what}")
    };
    let told = |error: toml::de::Error| {
        at_line(error.span().map_or(0, |span| span.start), error.message().trim_end())
    };
    toml::from_str::<Config>(text).map_err(told)?;
    let table = toml::from_str::<toml::Table>(text).map_err(told)?;
    check(&table).map_err(|wrong| match place(text, &wrong.key) {
        Some(at) => at_line(at, &wrong.to_string()),
        None => wrong.into(),
    })?;
    Ok(table)
}

/// Where a key stands in a file, as far as it has it. PURE.
fn place(text: &str, key: &[String]) -> Option<usize> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let (mut table, mut at) = (root.get_ref(), None);
    for part in key {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == part.as_str())?;
        at = Some(name.span().start);
        match value.get_ref() {
            toml::de::DeValue::Table(below) => table = below,
            _ => break,
        }
    }
    at
}

fn check(table: &toml::Table) -> Result<Config, Wrong> {
    let parsed = table.clone().try_into();
    let config: Config = parsed.map_err(|error: toml::de::Error| Wrong {
        key: Vec::new(),
        what: error.message().trim_end().to_owned(),
    })?;
    let IdsConfig { base, count } = config.ids;
    let wrong = |key: &[&str], what: String| Err(Wrong::new(key, what));
    if count < 1 << 16 {
        return wrong(&["ids", "count"], format!("{count} is less than one range of 65536"));
    }
    if base < 1 << 16 {
        return wrong(&["ids", "base"], format!("{base} lies among the host's own users (below 65536)"));
    }
    if base.checked_add(count - 1).is_none() {
        return wrong(&["ids", "base"], format!("{base} + ids.count {count} is beyond the last id"));
    }
    if let Err(error) = crate::detach::Keys::parse(&config.detach_keys) {
        return wrong(&["detachKeys"], format!("{error:#}"));
    }
    let parent = Path::new(&config.cgroup.parent);
    let plain = parent.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || config.cgroup.parent.is_empty() {
        return wrong(&["cgroup", "parent"], format!("{parent:?} is not a path below the root group"));
    }
    registry::check(&config.registry, &config.proxy)?;
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
        Ok(check(&toml::from_str::<toml::Table>(text)?)?)
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
    fn a_mistake_is_told_with_its_line_and_its_key() {
        for (text, complaint) in [
            ("[cgroup]\nparrent = \"x\"", "line 2, \"parrent = \\\"x\\\"\": unknown field `parrent`"),
            ("init = true\n[ids]\n\ncount = 1", "line 4, \"count = 1\": ids.count: 1 is less than one range"),
            (
                "[registry.\"r:1\"]\nmirrors = [\"mirror\"]",
                "line 2, \"mirrors = [\\\"mirror\\\"]\": registry.\"r:1\".mirrors: \"mirror\" is no address",
            ),
            (
                "\n[registry.\"no host\"]",
                "line 2, \"[registry.\\\"no host\\\"]\": registry.\"no host\": is no host",
            ),
            ("[registry.\"r:1\"]\nca = \"x\"", "registry.\"r:1\".ca: \"x\" is not a path"),
            ("[registry.\"r:1\"]\nkey = \"/x\"", "registry.\"r:1\".key: has no cert"),
            ("[registry.\"r:1\"]\ncert = \"/x\"", "registry.\"r:1\".cert: has no key"),
            ("[registry.\"r:1\"]\ninsecure = 1", "line 2"),
            (
                "[proxy]\nhttps = \"socks\"",
                "line 2, \"https = \\\"socks\\\"\": proxy.https: \"socks\" is no address",
            ),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(complaint), "{text}: {error}");
        }
        assert!(read("[registry.\"r.example\"]\ninsecure = true\nmirrors = [\"https://m/p\"]").is_ok());
    }

    #[test]
    fn the_users_file_lies_over_the_hosts() {
        let mut below: toml::Table = toml::from_str("[ids]\nbase = 100000\n[userns]\nstrict = true").unwrap();
        merge(&mut below, toml::from_str("[ids]\ncount = 131072\n[userns]\nstrict = false").unwrap());
        let config = check(&below).unwrap();
        assert_eq!((config.ids.base, config.ids.count, config.userns.strict), (100_000, 131_072, false));
    }
}
