//! How hosts are reached that want something of their own: certificates, plain http, mirrors, a proxy.
//!
//! Who asks for that says it in files of this machine; nothing of it comes from an image or a registry.

use std::collections::BTreeMap;

use reqwest::{Certificate, ClientBuilder, Identity, NoProxy, Proxy, Url};

use super::{HttpError, is_loopback};
use crate::reference::DEFAULT_REGISTRY;
use crate::registry::DOCKER_HUB_HOST;

/// What is known of registries before they are spoken to.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// By name, with the port where it has one, as names of images have it.
    pub known: BTreeMap<String, HostOptions>,
    /// In place of the environment's `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: Option<ProxyOptions>,
}

/// How one host is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostOptions {
    /// Whoever vouches for it, and plain http where it does not speak https. `Some(false)` is https on this machine too.
    pub insecure: Option<bool>,
    /// Files of certificates (PEM) that vouch for it, beside the machine's own.
    pub authorities: Vec<Vec<u8>>,
    /// Files with a certificate that it is shown and its key (PEM).
    pub identity: Option<Vec<u8>>,
    /// Addresses that are asked for its images first: `https://mirror.example`, with a path where its repositories lie below one.
    pub mirrors: Vec<String>,
}

/// Proxies by the scheme that goes through them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// For plain http.
    pub http: Option<String>,
    /// For https.
    pub https: Option<String>,
    /// Hosts that are reached without one, by commas.
    pub no: Option<String>,
}

impl Hosts {
    /// What is known of the host of an address.
    pub(crate) fn of(&self, url: &Url) -> Option<&HostOptions> {
        let host = match url.host_str()? {
            DOCKER_HUB_HOST => DEFAULT_REGISTRY,
            host => host,
        };
        // A port that the scheme implies may be written or not.
        let port = url.port_or_known_default().unwrap_or_default();
        self.known
            .get(&format!("{host}:{port}"))
            .or_else(|| self.known.get(host).filter(|_| url.port().is_none()))
    }

    /// The schemes by which a registry may be reached, the first one first. PURE.
    pub(crate) fn schemes(&self, registry: &str) -> &'static [&'static str] {
        let known = self.known.get(registry);
        let insecure = known.and_then(|known| known.insecure);
        let has_certificates =
            known.is_some_and(|known| !known.authorities.is_empty() || known.identity.is_some());
        match insecure {
            Some(true) => &["https", "http"],
            None if is_loopback(registry) && !has_certificates => &["http"],
            Some(false) | None => &["https"],
        }
    }

    /// Adds what a host asks for.
    pub(super) fn apply(&self, url: &Url, mut builder: ClientBuilder) -> Result<ClientBuilder, HttpError> {
        let host = url.host_str().unwrap_or_default();
        let refused = |what| move |source| HttpError::Certificate { host: host.to_owned(), what, source };
        if let Some(options) = self.of(url) {
            for authority in &options.authorities {
                let certificates = Certificate::from_pem_bundle(authority)
                    .map_err(refused("the certificates that vouch for it"))?;
                builder = builder.tls_certs_merge(certificates);
            }
            if let Some(identity) = &options.identity {
                let identity =
                    Identity::from_pem(identity).map_err(refused("the certificate that it is shown"))?;
                builder = builder.identity(identity);
            }
            builder = builder.tls_danger_accept_invalid_certs(options.insecure == Some(true));
        }
        // As docker: no proxy stands between this machine and itself.
        if is_loopback(host) {
            return Ok(builder.no_proxy());
        }
        let Some(ProxyOptions { http, https, no }) = &self.proxy else { return Ok(builder) };
        let no = no.as_deref().and_then(NoProxy::from_string);
        builder = builder.no_proxy();
        let failed = |source| HttpError::Proxy { source };
        if let Some(http) = http {
            builder = builder.proxy(Proxy::http(http.as_str()).map_err(failed)?.no_proxy(no.clone()));
        }
        if let Some(https) = https {
            builder = builder.proxy(Proxy::https(https.as_str()).map_err(failed)?.no_proxy(no));
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_name_and_port() {
        let known = ["a.example", "b.example:5000", "c.example:443", "docker.io"];
        let known = known.map(|name| (name.to_owned(), HostOptions::default()));
        let hosts = Hosts { known: known.into_iter().collect(), proxy: None };
        for (url, expected) in [
            ("https://a.example/v2/", true),
            ("https://a.example:5000/v2/", false),
            ("https://b.example:5000/v2/", true),
            ("https://b.example/v2/", false),
            ("https://c.example/v2/", true),
            ("https://d.example/v2/", false),
            ("https://registry-1.docker.io/v2/", true),
        ] {
            assert_eq!(hosts.of(&url.parse().unwrap()).is_some(), expected, "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_and_for_whom_it_is_said() {
        let options = |insecure, authorities: &[&[u8]]| HostOptions {
            insecure,
            authorities: authorities.iter().map(|pem| pem.to_vec()).collect(),
            ..HostOptions::default()
        };
        for (registry, options, expected) in [
            ("r.example", None, &["https"][..]),
            ("localhost:5000", None, &["http"]),
            ("r.example", Some(options(Some(true), &[])), &["https", "http"]),
            ("localhost:5000", Some(options(Some(true), &[])), &["https", "http"]),
            ("localhost:5000", Some(options(Some(false), &[])), &["https"]),
            ("localhost:5000", Some(options(None, &[b"pem"])), &["https"]),
            ("localhost:5000", Some(options(None, &[])), &["http"]),
        ] {
            let known = options.clone().map(|options| (registry.to_owned(), options)).into_iter().collect();
            let hosts = Hosts { known, proxy: None };
            assert_eq!(hosts.schemes(registry), expected, "{registry} {options:?}");
        }
    }
}
