//! How registries are reached: the configuration, and the certificates that lie where docker and podman have theirs.
//!
//! `/etc/docker/certs.d/HOST:PORT/` and `/etc/containers/certs.d/HOST:PORT/` hold `*.crt`, which vouch for the host, and
//! `NAME.cert` with `NAME.key`, which it is shown (docker's "Verify repository client with certificates", containers-certs.d(5)).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::{HostOptions, Hosts, ProxyOptions};

use crate::config::Config;
use crate::config::registry::RegistryConfig;

/// Where certificates of hosts lie, beside `containers/certs.d` in the user's own configuration.
const DIRECTORIES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// What is known of a registry and of its mirrors.
///
/// # Errors
/// A file that the configuration names cannot be read, or a certificate has no key.
pub(crate) fn hosts(config: &Config, registry: &str) -> Result<Hosts> {
    let mut names = vec![registry.to_owned()];
    let mirrors = config.registry.get(registry).map_or(&[][..], |known| &known.mirrors);
    names.extend(mirrors.iter().filter_map(|mirror| host_of_address(mirror)).map(str::to_owned));
    // Tokens come from other hosts, which may have certificates of their own.
    names.extend(config.registry.keys().cloned());
    let mut hosts = Hosts::default();
    for name in names {
        let options = options(config.registry.get(&name), &name)?;
        if options != HostOptions::default() {
            hosts.known.insert(name, options);
        }
    }
    let proxy = &config.proxy;
    if proxy.http.is_some() || proxy.https.is_some() || proxy.no.is_some() {
        let crate::config::registry::ProxyConfig { http, https, no } = proxy.clone();
        hosts.proxy = Some(ProxyOptions { http, https, no });
    }
    Ok(hosts)
}

/// `https://mirror.example/path` → `mirror.example`. PURE.
fn host_of_address(address: &str) -> Option<&str> {
    address.split_once("://")?.1.split('/').next()
}

fn options(config: Option<&RegistryConfig>, name: &str) -> Result<HostOptions> {
    let mut options = HostOptions::default();
    for directory in directories() {
        of_directory(&directory.join(name), &mut options)?;
    }
    let Some(config) = config else { return Ok(options) };
    options.insecure = config.insecure;
    options.mirrors.clone_from(&config.mirrors);
    if let Some(ca) = &config.ca {
        options.authorities.push(read(ca)?);
    }
    if let (Some(certificate), Some(key)) = (&config.cert, &config.key) {
        options.identity = Some(pair(certificate, key)?);
    }
    Ok(options)
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let own = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let own = own.map(|directory| directory.join("containers/certs.d"));
    DIRECTORIES.into_iter().map(PathBuf::from).chain(own)
}

/// What a directory of a host has; none is fine.
fn of_directory(directory: &Path, options: &mut HostOptions) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("crt") => options.authorities.push(read(&file)?),
            Some("cert") => options.identity = Some(pair(&file, &file.with_extension("key"))?),
            _ => {}
        }
    }
    Ok(())
}

/// A certificate and its key, as one text.
fn pair(certificate: &Path, key: &Path) -> Result<Vec<u8>> {
    Ok([read(certificate)?, b"\n".to_vec(), read(key)?].concat())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
