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
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Method, Response, Url};

use super::body::Body;
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
    /// What was waited for did not come.
    #[error("{url}: timed out: {seconds} s of waiting for {what}")]
    Silent {
        /// The address without its query.
        url: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// Too little came.
    #[error(
        "{url}: too slow to go on: {bytes} bytes in {seconds} s, at least {rate} a second are waited for"
    )]
    Slow {
        /// The address without its query.
        url: String,
        /// What came.
        bytes: u64,
        /// In how long.
        seconds: u64,
        /// What should have come in each second.
        rate: u64,
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
    /// Other bytes than those that were asked for.
    #[error("{url}: asked for the bytes from {asked} on, the answer is of {said:?}")]
    Range {
        /// The address without its query.
        url: String,
        /// The first byte that was asked for.
        asked: u64,
        /// What the answer says of itself: its `Content-Range`.
        said: String,
    },
    /// A redirect that is not followed: in a circle, to nowhere, to plain http of another machine, or elsewhere with a
    /// secret.
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
            // Digests are of bytes as they are, and what inflates on the way has no bounds.
            sent = sent.header(ACCEPT_ENCODING, "identity");
            sent = match &authorization {
                Some(Authorization::Bearer(token)) => sent.bearer_auth(token),
                Some(Authorization::Basic { user, password }) => sent.basic_auth(user, Some(password)),
                None => sent,
            };
            if let Some(form) = &form {
                let form_type = "application/x-www-form-urlencoded";
                sent = sent.header(CONTENT_TYPE, form_type).body(form.clone());
            }
            let op = Op {
                call: format_args!("{method} {shown}"),
                shell: format_args!("curl -X {method} {shown}"),
            };
            let response = op
                .watch(async {
                    let Timeouts { connect, idle, .. } = self.timeouts;
                    let url = shown.clone();
                    let silent =
                        |url, what, time: Duration| HttpError::Silent { url, what, seconds: time.as_secs() };
                    match tokio::time::timeout(connect + idle, sent.send()).await {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
                            Err(silent(url, "a connection", connect))
                        }
                        Ok(Err(error)) => {
                            let (is_refused, source) = (error.is_connect(), error.without_url());
                            Err(HttpError::Connection { method: method.clone(), url, is_refused, source })
                        }
                        Err(_) => Err(silent(url, "the head of an answer", connect + idle)),
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
            let Some(next) = redirect(&url, &to) else {
                let to = url.join(&to).map_or(to, |to| without_query(&to));
                return Err(HttpError::Redirect { from: shown, to });
            };
            if next.origin() != url.origin() {
                // A form holds a secret that is for nobody else, and what is asked for is of no use without it.
                if form.is_some() {
                    return Err(HttpError::Redirect { from: shown, to: without_query(&next) });
                }
                authorization = None;
            }
            url = next;
        }
        let to = without_query(&url);
        Err(HttpError::Redirect { from: "a chain of redirects".to_owned(), to })
    }

    /// The body of an answer, to be read piece by piece.
    pub(crate) fn body(&self, response: Response) -> Body {
        Body::new(response, self.timeouts)
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
                    return Err(HttpError::TooLong { url: body.url().to_owned(), max });
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
            | Self::Range { .. }
            | Self::Redirect { .. }
            | Self::Offline(_) => false,
        }
    }
}

/// Where a redirect leads: to https, or from plain http to plain http of the same machine or this one.
pub(crate) fn redirect(from: &Url, to: &str) -> Option<Url> {
    let next = from.join(to).ok().filter(|_| !to.is_empty())?;
    let is_followed = match (from.scheme(), next.scheme()) {
        ("http" | "https", "https") => next.host_str().is_some(),
        ("http", "http") => {
            next.host_str().is_some_and(|host| is_loopback(host) || from.host_str() == Some(host))
        }
        _ => false,
    };
    is_followed.then_some(next)
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
            ("http://localhost/x", "http://[::1]:5000/y", Some("http://[::1]:5000/y")),
            ("http://localhost/x", "http://b/y", None),
            ("http://localhost/x", "//10.0.0.1/y", None),
            ("http://plain.example/x", "http://plain.example:81/y", Some("http://plain.example:81/y")),
            ("http://plain.example/x", "http://b/y", None),
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
