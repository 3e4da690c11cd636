//! `[registry."HOST"]` and `[proxy]` of the configuration: how registries are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Wrong;

/// What is different about registries, by name, with the port where it has one.
pub(crate) type Registries = BTreeMap<String, RegistryConfig>;

/// `[registry."HOST"]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RegistryConfig {
    /// Whoever vouches for it, and plain http where it does not speak https; `false` is https on this machine too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) insecure: Option<bool>,
    /// A file of certificates (PEM) that vouch for it, beside the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// A file with the certificate (PEM) that it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    /// The file with its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Addresses that are asked for its images first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mirrors: Vec<String>,
}

/// `[proxy]`, in place of the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProxyConfig {
    /// For plain http.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// For https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<String>,
    /// Hosts that are reached without one, by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no: Option<String>,
}

/// What makes no sense in them. PURE.
pub(super) fn check(registries: &Registries, proxy: &ProxyConfig) -> Result<(), Wrong> {
    for (name, registry) in registries {
        let wrong = |key: &str, what: String| Err(Wrong::new(&["registry", name, key], what));
        let canonical =
            format!("{name}/x").parse::<image::Reference>().is_ok_and(|parsed| parsed.registry() == name);
        if !canonical {
            return Err(Wrong::new(
                &["registry", name],
                "is no host as in HOST/IMAGE, with its port".to_owned(),
            ));
        }
        for (key, path) in [("ca", &registry.ca), ("cert", &registry.cert), ("key", &registry.key)] {
            if let Some(path) = path.as_ref().filter(|path| !path.is_absolute()) {
                return wrong(key, format!("{path:?} is not a path from / on"));
            }
        }
        match (&registry.cert, &registry.key) {
            (Some(_), None) => return wrong("cert", "has no key beside it".to_owned()),
            (None, Some(_)) => return wrong("key", "has no cert beside it".to_owned()),
            _ => {}
        }
        for mirror in &registry.mirrors {
            if !is_address(mirror) || mirror.contains('@') {
                return wrong("mirrors", format!("{mirror:?} is no address such as https://mirror.example"));
            }
        }
    }
    for (key, address) in [("http", &proxy.http), ("https", &proxy.https)] {
        if let Some(address) = address.as_ref().filter(|address| !is_address(address)) {
            return Err(Wrong::new(
                &["proxy", key],
                format!("{address:?} is no address such as http://proxy:3128"),
            ));
        }
    }
    Ok(())
}

/// `http://HOST…` or `https://HOST…`, and nothing that an address of a service has not. PURE.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.starts_with('/') && !rest.is_empty() && !rest.contains(['?', '#', ' ']) && rest.is_ascii()
    })
}
