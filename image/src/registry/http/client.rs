//! Clients, made when they are first needed: most hosts share one, some want one of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{Client, Url};

use super::{Http, HttpError, is_loopback};

impl Http {
    /// The client for an address. The one for TLS reads the machine's certificates, and cannot be made where
    /// there are none; so plain http to loopback has one of its own.
    pub(super) fn client(&self, url: &Url) -> Result<Client, HttpError> {
        let is_loopback = url.host_str().is_some_and(is_loopback);
        if self.offline && !is_loopback {
            return Err(HttpError::Offline(url.host_str().unwrap_or_default().to_owned()));
        }
        let is_tls = url.scheme() == "https";
        let is_special = is_loopback || self.hosts.of(url).is_some();
        let key = if is_special { url.origin().ascii_serialization() } else { url.scheme().to_owned() };
        let mut clients = self.clients.lock().expect("no holder panics");
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let localhost = localhost.map(|address| SocketAddr::new(address, 0));
        let builder = Client::builder()
            .user_agent(concat!("mini/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeouts.connect)
            .redirect(reqwest::redirect::Policy::none())
            .resolve_to_addrs("localhost", &localhost);
        // Somebody else may have chosen a provider already: then that one serves.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let builder = if is_tls {
            builder
        } else {
            let versions =
                rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
            builder.tls_backend_preconfigured(versions.with_no_client_auth())
        };
        let builder = self.hosts.apply(url, builder)?;
        let host = || url.host_str().unwrap_or_default().to_owned();
        let client = builder.build().map_err(|source| HttpError::Tls { host: host(), source })?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}
