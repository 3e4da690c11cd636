//! One repository of one registry: manifests and blobs (OCI distribution spec), with whatever authentication
//! it asks for.
//!
//! The client of `oci-client` is not used for this: it reads bodies of any length into memory, knows no
//! identity tokens, and cannot be told to follow redirects by other rules. Its types describe the manifests.

mod body;
pub(crate) mod challenge;
pub(crate) mod credential;
mod download;
mod fetch;
mod http;
mod login;
mod retry;
mod tags;
mod tokens;
mod upload;

use std::sync::Mutex;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::ACCEPTED;
use crate::reference::{DEFAULT_REGISTRY, Reference};
use challenge::Challenge;
use http::{Authorization, Http, Request};

pub use credential::CredentialError;
pub use download::{Download, DownloadError};
pub(crate) use fetch::{Destination, Stopped};
pub(crate) use http::Payload;
pub use http::{HostOptions, Hosts, HttpError, ProxyOptions, Timeouts};
pub use login::{LoginError, LoginOptions, log_in};
pub(crate) use retry::{Attempts, Retry};
pub(crate) use upload::{Opened, Upload};

/// A repository, and how to speak to its registry.
#[derive(Debug)]
pub(crate) struct Registry {
    http: Http,
    /// `https://host/v2/repository/`, or without the repository.
    base: Url,
    registry: String,
    repository: String,
    /// Content of docker's config.json.
    docker_config: Option<Vec<u8>>,
    authorization: Mutex<Option<Authorization>>,
    /// It may speak plain http instead.
    is_unsure: bool,
    /// What a token is asked for.
    scopes: Vec<String>,
}

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or one without end.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The registry has no such thing.
    #[error("{registry} has no {what}{}", said(message))]
    NotFound {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The registry's own words.
        message: String,
    },
    /// The registry does not let this user have it. Docker's answer for what does not exist, too.
    #[error(
        "access to {what} on {registry} was denied: it does not exist, or needs a login{}",
        said(message)
    )]
    Denied {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The registry's own words.
        message: String,
    },
    /// Any other answer.
    #[error("{registry} answered {status} for {what}{}", said(message))]
    Status {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: StatusCode,
        /// The registry's own words.
        message: String,
        /// How long it asks to wait before the next attempt.
        retry_after: Option<std::time::Duration>,
    },
    /// The registry sends to a token service that must not get the user's password.
    #[error("{registry} wants tokens from {realm:?}, which is no protected address")]
    Realm {
        /// The registry.
        registry: String,
        /// The address of its token service.
        realm: String,
    },
    /// The token service answered with something else.
    #[error("the token service of {registry} gave no token")]
    Token {
        /// The registry.
        registry: String,
    },
    /// What it answered is no list of tags.
    #[error("{registry} gave no list of {what}")]
    NoList {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// A list that does not end.
    #[error("{registry} lists the {what} without an end")]
    Endless {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The user's credentials cannot be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// A manifest or index as the registry gave it, unverified.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// What the registry calls it.
    pub(crate) content_type: Option<String>,
    /// What the registry says its digest is (OCI distribution spec, "Pulling manifests").
    pub(crate) digest: Option<Digest>,
}

/// Error texts and tokens are short.
const MESSAGE_MAX: u64 = 1 << 20;
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

impl Registry {
    pub(crate) fn new(
        reference: &Reference,
        docker_config: Option<Vec<u8>>,
        timeouts: Timeouts,
        offline: bool,
        hosts: &Hosts,
    ) -> Result<Self, HttpError> {
        let whole = Self::whole(reference.registry(), timeouts, offline, hosts)?;
        whole.of(reference, docker_config)
    }

    /// Where a mirror has the repository; its address may have a path below which its repositories lie.
    pub(crate) fn mirror(
        address: &str,
        reference: &Reference,
        docker_config: Option<Vec<u8>>,
        timeouts: Timeouts,
        offline: bool,
        hosts: &Hosts,
    ) -> Result<Self, HttpError> {
        let url: Url = address.parse().map_err(|_| HttpError::Url(address.to_owned()))?;
        let authority = url.authority();
        let mut whole = Self::whole(authority, timeouts, offline, hosts)?;
        let path = url.path().trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("{path}/") };
        let base = format!("{}://{authority}/v2/{path}", url.scheme());
        whole.base = base.parse().map_err(|_| HttpError::Url(base))?;
        whole.is_unsure = false;
        whole.of(reference, docker_config)
    }

    /// Finds out whether a registry that may speak plain http does.
    pub(crate) async fn settle(mut self) -> Result<Self, RegistryError> {
        if !std::mem::take(&mut self.is_unsure) {
            return Ok(self);
        }
        let url = self.base.join("/v2/").map_err(|_| HttpError::Url(self.base.to_string()))?;
        let request =
            Request { method: Method::GET, url, headers: HeaderMap::new(), authorization: None, form: None };
        if let Err(HttpError::Connection { .. }) = self.http.send(request).await {
            // Both are schemes of the web, so that it can be changed.
            let _changed = self.base.set_scheme("http");
        }
        Ok(self)
    }

    /// One of its repositories.
    fn of(self, reference: &Reference, docker_config: Option<Vec<u8>>) -> Result<Self, HttpError> {
        let base = format!("{}{}/", self.base, reference.repository());
        Ok(Self {
            base: base.parse().map_err(|_| HttpError::Url(base))?,
            repository: reference.repository().to_owned(),
            docker_config,
            scopes: vec![format!("repository:{}:pull", reference.repository())],
            ..self
        })
    }

    /// The registry, and none of its repositories.
    fn whole(registry: &str, timeouts: Timeouts, offline: bool, hosts: &Hosts) -> Result<Self, HttpError> {
        let host = if registry == DEFAULT_REGISTRY { DOCKER_HUB_HOST } else { registry };
        let schemes = hosts.schemes(registry);
        let base = format!("{}://{host}/v2/", schemes[0]);
        Ok(Self {
            http: Http::new(timeouts, offline, hosts.clone()),
            is_unsure: schemes.len() > 1,
            base: base.parse().map_err(|_| HttpError::Url(base))?,
            registry: registry.to_owned(),
            repository: String::new(),
            docker_config: None,
            authorization: Mutex::new(None),
            scopes: Vec::new(),
        })
    }

    /// A manifest or index by tag or digest.
    pub(crate) async fn manifest(&self, name: &str, max: u64) -> Result<Answer, RegistryError> {
        let mut headers = HeaderMap::new();
        headers
            .insert(ACCEPT, HeaderValue::from_str(&ACCEPTED.join(", ")).expect("media types are plain text"));
        let what = format!("manifest of {}:{name}", self.repository);
        let response = self.get(&format!("manifests/{name}"), headers, &what).await?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let content_type = header(CONTENT_TYPE.as_str()).map(str::to_owned);
        // One of another algorithm says nothing that could be checked here.
        let digest = header("docker-content-digest").and_then(|digest| digest.parse().ok());
        Ok(Answer { bytes: self.http.document(response, max).await?, content_type, digest })
    }

    /// A small blob, whole.
    pub(crate) async fn document(&self, digest: Digest, max: u64) -> Result<Vec<u8>, RegistryError> {
        let response = self.blob(digest, 0).await?;
        Ok(self.http.document(response, max).await?)
    }

    /// A blob from byte `offset` on, if the registry can; from its beginning if it cannot.
    async fn blob(&self, digest: Digest, offset: u64) -> Result<Response, RegistryError> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = format!("bytes={offset}-");
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are plain text"));
        }
        let what = format!("blob {digest} of {}", self.repository);
        self.get(&format!("blobs/{digest}"), headers, &what).await
    }

    async fn get(&self, path: &str, headers: HeaderMap, what: &str) -> Result<Response, RegistryError> {
        let url = self.base.join(path).map_err(|_| HttpError::Url(path.to_owned()))?;
        let request = Request { method: Method::GET, url, headers, authorization: None, form: None };
        let send = async |request| self.http.send(request).await;
        let mut response = self.ask(request.clone(), send).await?;
        // The address that the registry has given out may have run out: it is asked for a new one, once.
        if response.status() == StatusCode::FORBIDDEN && !self.is_ours(&response) {
            response = self.ask(request, send).await?;
        }
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response, what).await) }
    }

    /// Sends a request; where the registry asks who is there, once more with the answer.
    async fn ask(
        &self,
        request: Request,
        send: impl AsyncFn(Request) -> Result<Response, HttpError>,
    ) -> Result<Response, RegistryError> {
        // An upload may go on elsewhere (OCI distribution spec, "Pushing blobs"): there nobody is to know the token.
        if request.url.origin() != self.base.origin() {
            return Ok(send(request).await?);
        }
        let authorization = self.authorization.lock().expect("no holder panics").clone();
        let response = send(Request { authorization, ..request.clone() }).await?;
        // Where a redirect has led to may not ask for the user's password, nor say who is to get it.
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_ours(&response) {
            return Ok(response);
        }
        // No token yet, or one that has run out.
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = Challenge::parse(challenges.iter().filter_map(|value| value.to_str().ok()));
        match self.authorize(challenges).await? {
            None => Ok(response),
            authorization => {
                self.authorization.lock().expect("no holder panics").clone_from(&authorization);
                Ok(send(Request { authorization, ..request }).await?)
            }
        }
    }

    async fn refusal(&self, response: Response, what: &str) -> RegistryError {
        let registry = self.registry.clone();
        let what = match response.url().host_str() {
            Some(host) if !self.is_ours(&response) => format!("{what}, at {host}"),
            _ => what.to_owned(),
        };
        let status = response.status();
        let retry_after = retry::retry_after(response.headers(), jiff::Timestamp::now());
        let body = self.http.document(response, MESSAGE_MAX).await.unwrap_or_default();
        let message = message_of(&body);
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { registry, what, message },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Denied { registry, what, message }
            }
            _ => RegistryError::Status { registry, what, status, message, retry_after },
        }
    }

    /// Whether the registry itself has answered, and nobody that it has sent us to.
    fn is_ours(&self, response: &Response) -> bool {
        response.url().origin() == self.base.origin()
    }
}

impl RegistryError {
    /// Whether the same request might succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            _ => false,
        }
    }

    /// Whether the same request might succeed for the whole instead of a part.
    pub(crate) fn is_about_range(&self) -> bool {
        match self {
            Self::Http(error) => matches!(error, HttpError::Range { .. }),
            Self::Status { status, .. } => *status == StatusCode::RANGE_NOT_SATISFIABLE,
            _ => false,
        }
    }

    /// Whether to ask again for a manifest before the user is told: a registry that is busy or hangs up, but
    /// not one that cannot be reached or says nothing, for which the user would wait several times over.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Http(HttpError::Connection { is_refused, .. }) => !is_refused,
            Self::Http(HttpError::Silent { .. } | HttpError::Slow { .. }) => false,
            other => other.is_transient(),
        }
    }

    /// How long the registry asks to wait.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The registry's own words (OCI distribution spec, "Error Codes"), on one line and not too many of them.
fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(Envelope { errors }) = serde_json::from_slice(body) else { return String::new() };
    let texts =
        errors.into_iter().map(|Item { code, message }| if message.is_empty() { code } else { message });
    let text = texts.collect::<Vec<_>>().join(", ");
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(300).collect()
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_registries_are_one_harmless_line() {
        let json = br#"{"errors":[{"code":"DENIED","message":"not\u001b[31m yours\n"},{"code":"OTHER"}]}"#;
        assert_eq!(message_of(json), "not [31m yours , OTHER");
        assert_eq!(message_of(b"<html>"), "");
        assert_eq!(
            message_of(format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(5000)).as_bytes()).len(),
            300
        );
    }
}
