//! HTTP for registries: bounded in time and memory, redirects followed by rules of our own.
//!
//! Plain http is spoken to loopback only, as docker does. Credentials go to the origin they are for and never
//! along with a redirect. A registry that is silent, drips, or talks without end gets an error that says what
//! was waited for.

mod client;
mod hosts;
mod payload;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Method, Response, Url};

use crate::op::Op;

pub use hosts::{HostOptions, Hosts, ProxyOptions};
pub(crate) use payload::Payload;

/// How long to wait for a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte of an answer.
    pub idle: Duration,
    /// For a whole manifest, configuration or token.
    pub document: Duration,
    /// Over this long ...
    pub rate_window: Duration,
    /// ... at least so many bytes a second must come.
    pub rate: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            document: Duration::from_secs(120),
            rate_window: Duration::from_secs(60),
            rate: 1024,
        }
    }
}

/// Why there is no answer, or no end of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The machine's certificates cannot be loaded, so no registry can be trusted.
    #[error("preparing TLS for {host:?}")]
    Tls {
        /// The host that was to be reached.
        host: String,
        /// What is wrong; usually there is no ca-certificates package.
        #[source]
        source: reqwest::Error,
    },
    /// A file about a host that holds no certificate.
    #[error("{host}: {what}")]
    Certificate {
        /// The host that was to be reached.
        host: String,
        /// What the file was to hold.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
    /// A proxy whose address is none.
    #[error("the address of a proxy")]
    Proxy {
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
    /// No URL, or one of another scheme.
    #[error("{0:?} is no URL to fetch")]
    Url(String),
    /// The connection failed.
    #[error("{method} {url}")]
    Connection {
        /// `GET` or `POST`.
        method: Method,
        /// The address without its query.
        url: String,
        /// Whether there never was one: no such host, nobody listening, a certificate that nobody vouches
        /// for.
        is_refused: bool,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing came.
    #[error("{url}: timed out: nothing came in {seconds} s of waiting for {what}")]
    Silent {
        /// The address without its query.
        url: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// Too little came.
    #[error("{url}: {bytes} bytes in {seconds} s is too slow to go on")]
    Slow {
        /// The address without its query.
        url: String,
        /// What came.
        bytes: u64,
        /// In how long.
        seconds: u64,
    },
    /// More came than was announced or allowed.
    #[error("{url}: more than the {max} bytes that were expected")]
    TooLong {
        /// The address without its query.
        url: String,
        /// What was allowed.
        max: u64,
    },
    /// The body ended early.
    #[error("{url}: {actual} bytes of {expected}")]
    TooShort {
        /// The address without its query.
        url: String,
        /// What was announced.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A redirect that is not followed: in a circle, to nowhere, or from https to plain http.
    #[error("{from} redirects to {to:?}, which is not followed")]
    Redirect {
        /// The address without its query.
        from: String,
        /// What it redirects to.
        to: String,
    },
    /// Another machine, and that was forbidden.
    #[error("{0:?} is not on this machine, and MINI_OFFLINE forbids to ask others")]
    Offline(String),
}

/// Clients, made when first needed.
#[derive(Debug)]
pub(crate) struct Http {
    timeouts: Timeouts,
    offline: bool,
    hosts: Hosts,
    /// By what they are for: `https`, or a scheme and a host that wants one of its own.
    clients: Mutex<HashMap<String, Client>>,
}

/// A request without what identifies the user.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Sent to the first address only.
    pub(crate) authorization: Option<Authorization>,
    pub(crate) form: Option<String>,
}

/// Who asks.
#[derive(Clone)]
pub(crate) enum Authorization {
    Bearer(String),
    Basic { user: String, password: String },
}

impl std::fmt::Debug for Authorization {
    /// Without the secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
        })
    }
}

const REDIRECTS_MAX: usize = 10;

impl Http {
    pub(crate) fn new(timeouts: Timeouts, offline: bool, hosts: Hosts) -> Self {
        Self { timeouts, offline, hosts, clients: Mutex::default() }
    }

    /// Sends a request, and follows redirects; the answer has any other status.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let Request { method, mut url, headers, mut authorization, form } = request;
        for _ in 0..=REDIRECTS_MAX {
            let shown = without_query(&url);
            let mut sent = self.client(&url)?.request(method.clone(), url.clone()).headers(headers.clone());
            sent = match &authorization {
                Some(Authorization::Bearer(token)) => sent.bearer_auth(token),
                Some(Authorization::Basic { user, password }) => sent.basic_auth(user, Some(password)),
                None => sent,
            };
            if let Some(form) = &form {
                let form_type = "application/x-www-form-urlencoded";
                sent = sent.header(reqwest::header::CONTENT_TYPE, form_type).body(form.clone());
            }
            let op = Op {
                call: format_args!("{method} {shown}"),
                shell: format_args!("curl -X {method} {shown}"),
            };
            let response = op
                .watch(async {
                    match tokio::time::timeout(self.timeouts.idle + self.timeouts.connect, sent.send()).await
                    {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(error)) => {
                            let (is_refused, source) = (error.is_connect(), error.without_url());
                            let (method, url) = (method.clone(), shown.clone());
                            Err(HttpError::Connection { method, url, is_refused, source })
                        }
                        Err(_) => Err(self.silent(&shown, "an answer")),
                    }
                })
                .await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response
                .headers()
                .get(LOCATION)
                .map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
            let to = to.unwrap_or_default();
            let next = redirect(&url, &to);
            let Some(next) = next else { return Err(HttpError::Redirect { from: shown, to }) };
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        let to = without_query(&url);
        Err(HttpError::Redirect { from: "a chain of redirects".to_owned(), to })
    }

    /// The body of an answer, to be read piece by piece.
    pub(crate) fn body(&self, response: Response) -> Body {
        let url = without_query(response.url());
        Body { response, url, timeouts: self.timeouts, waited: Duration::ZERO, received: 0 }
    }

    /// A whole body of at most `max` bytes.
    pub(crate) async fn document(&self, response: Response, max: u64) -> Result<Vec<u8>, HttpError> {
        let url = without_query(response.url());
        if let Some(length) = response.content_length()
            && length > max
        {
            return Err(HttpError::TooLong { url, max });
        }
        let mut body = self.body(response);
        let read = async {
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await? {
                if (bytes.len() + piece.len()) as u64 > max {
                    return Err(HttpError::TooLong { url: body.url.clone(), max });
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        match tokio::time::timeout(self.timeouts.document, read).await {
            Ok(read) => read,
            Err(_) => {
                let seconds = self.timeouts.document.as_secs();
                Err(HttpError::Silent { url, what: "the end of the answer", seconds })
            }
        }
    }

    fn silent(&self, url: &str, what: &'static str) -> HttpError {
        HttpError::Silent { url: url.to_owned(), what, seconds: self.timeouts.idle.as_secs() }
    }
}

/// An answer's body.
pub(crate) struct Body {
    response: Response,
    url: String,
    timeouts: Timeouts,
    /// Time spent waiting, and what came, since the rate was last looked at.
    waited: Duration,
    received: u64,
}

impl Body {
    /// The next bytes; `None` at the end. Only waiting counts as time: a slow disk is not the registry's
    /// fault.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let begin = Instant::now();
        let piece = match tokio::time::timeout(self.timeouts.idle, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                let (method, url, source) = (Method::GET, self.url.clone(), error.without_url());
                return Err(HttpError::Connection { method, url, is_refused: false, source });
            }
            Err(_) => {
                let seconds = self.timeouts.idle.as_secs();
                return Err(HttpError::Silent { url: self.url.clone(), what: "more of the answer", seconds });
            }
        };
        self.waited += begin.elapsed();
        self.received += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.waited >= self.timeouts.rate_window && piece.is_some() {
            let (waited, received) = (std::mem::take(&mut self.waited), std::mem::take(&mut self.received));
            let seconds = waited.as_secs();
            if u128::from(received) * 1000 < u128::from(self.timeouts.rate) * waited.as_millis() {
                return Err(HttpError::Slow { url: self.url.clone(), bytes: received, seconds });
            }
        }
        Ok(piece)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl HttpError {
    /// Whether the same request might succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Silent { .. } | Self::Slow { .. } | Self::TooShort { .. } => true,
            Self::Tls { .. }
            | Self::Certificate { .. }
            | Self::Proxy { .. }
            | Self::Url(_)
            | Self::TooLong { .. }
            | Self::Redirect { .. }
            | Self::Offline(_) => false,
        }
    }
}

/// Where a redirect leads: http and https only, and never from https to a plain connection.
pub(crate) fn redirect(from: &Url, to: &str) -> Option<Url> {
    let next = from.join(to).ok().filter(|_| !to.is_empty())?;
    match (from.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") if next.host_str().is_some() => Some(next),
        _ => None,
    }
}

/// Whether a host, with or without port, is this machine: `localhost`, 127.0.0.0/8, ::1.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address as it may be shown: queries of storage services hold signatures.
pub(crate) fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Only a URL that cannot have a user name refuses this.
    let _none_to_hide = shown.set_username("").and_then(|()| shown.set_password(None));
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.255.0.1:80", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("localhost.example", false),
            ("128.0.0.1", false),
            ("10.0.0.1:5000", false),
            ("[fe80::1]:5000", false),
            ("docker.io", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn redirects_never_lose_protection() {
        for (from, to, expected) in [
            ("https://a/v2/x", "https://b/y?sig=1", Some("https://b/y?sig=1")),
            ("https://a/v2/x", "/z", Some("https://a/z")),
            ("http://localhost/x", "http://127.0.0.1/y", Some("http://127.0.0.1/y")),
            ("http://localhost/x", "https://b/y", Some("https://b/y")),
            ("https://a/x", "http://a/x", None),
            ("https://a/x", "file:///etc/passwd", None),
            ("https://a/x", "", None),
            ("https://a/x", "http://[bad", None),
        ] {
            let next = redirect(&from.parse().unwrap(), to).map(String::from);
            assert_eq!(next.as_deref(), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = "https://user:secret@host/path?X-Amz-Signature=secret#x".parse().unwrap();
        assert_eq!(without_query(&url), "https://host/path");
    }
}
