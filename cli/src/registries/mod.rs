//! What mini knows about registries before it speaks to one: the user's credentials, and whether it may.

mod credentials;
mod hosts;

use std::path::{Path, PathBuf};

pub(crate) use hosts::hosts;

pub(crate) use credentials::{Credentials, Secret, host_of, key_of};

/// docker's directory of the user's: `DOCKER_CONFIG`, or `.docker` at home.
pub(crate) fn docker_directory() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let named = std::env::var_os("DOCKER_CONFIG").filter(|directory| !directory.is_empty());
    named.map(PathBuf::from).or_else(home)
}

/// docker's config.json: the user's credentials.
pub(crate) fn docker_config() -> Option<Vec<u8>> {
    std::fs::read(docker_directory()?.join("config.json")).ok()
}

/// Whether `MINI_OFFLINE` forbids to speak to other machines.
pub(crate) fn offline() -> bool {
    std::env::var_os("MINI_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0")
}
