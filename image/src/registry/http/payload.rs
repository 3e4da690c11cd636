//! Sending a part of a file as the body of a request: watched while it goes, so that only a registry that takes
//! nothing more is given up, however long a blob is.

use std::fs::File;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Method, RequestBuilder, Response};

use super::{Authorization, Http, HttpError, REDIRECTS_MAX, Request, redirect, without_query};
use crate::layer::blob::{FilePieces, Pieces as _};
use crate::op::Op;

/// A part of a file that is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) file: Arc<File>,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// How many bytes it has.
    pub(crate) length: u64,
}

/// How often to look how far it is.
const LOOK: Duration = Duration::from_millis(100);

impl Http {
    /// Sends a request with a body; `progress` is told how many bytes of it have gone. Redirects are followed as those of
    /// [`Http::send`] are.
    pub(crate) async fn upload(
        &self,
        request: Request,
        payload: &Payload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Response, HttpError> {
        let Request { mut url, mut authorization, .. } = request.clone();
        for _ in 0..=REDIRECTS_MAX {
            let now = Request { url: url.clone(), authorization: authorization.clone(), ..request.clone() };
            let response = self.send_payload(&now, payload, progress).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            let to = to.unwrap_or_default().into_owned();
            let Some(next) = redirect(&url, &to) else {
                return Err(HttpError::Redirect { from: without_query(&url), to });
            };
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        Err(HttpError::Redirect { from: "a chain of redirects".to_owned(), to: without_query(&url) })
    }

    /// Sends a request with a small body, such as a manifest; a redirect is an error there.
    pub(crate) async fn send_bytes(&self, request: Request, body: &[u8]) -> Result<Response, HttpError> {
        let Request { method, url, headers, authorization, .. } = request;
        let shown = without_query(&url);
        let sent = self.client(&url)?.request(method.clone(), url).headers(headers).body(body.to_vec());
        let op = Op {
            call: format_args!("{method} {shown} ({} bytes)", body.len()),
            shell: format_args!("curl -X {method} --data-binary @MANIFEST {shown}"),
        };
        op.watch(async {
            match tokio::time::timeout(
                self.timeouts.document,
                authorized(sent, authorization.as_ref()).send(),
            )
            .await
            {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(failed(&method, &shown, error)),
                Err(_) => {
                    let seconds = self.timeouts.document.as_secs();
                    Err(HttpError::Silent { url: shown.clone(), what: "an answer", seconds })
                }
            }
        })
        .await
    }

    async fn send_payload(
        &self,
        request: &Request,
        payload: &Payload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Response, HttpError> {
        let Request { method, url, headers, authorization, .. } = request;
        let shown = without_query(url);
        let gone = Arc::new(AtomicU64::new(0));
        let sent = self
            .client(url)?
            .request(method.clone(), url.clone())
            .headers(headers.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, payload.length)
            .body(Body::wrap_stream(stream(payload, Arc::clone(&gone))));
        let Payload { offset, length, .. } = payload;
        let op = Op {
            call: format_args!("{method} {shown} ({length} bytes from {offset})"),
            shell: format_args!("curl -X {method} --data-binary @BLOB {shown}"),
        };
        op.watch(async {
            let mut sending = pin!(authorized(sent, authorization.as_ref()).send());
            let (mut seen, mut since) = (0, Instant::now());
            loop {
                match tokio::time::timeout(LOOK, &mut sending).await {
                    Ok(Ok(response)) => return Ok(response),
                    Ok(Err(error)) => return Err(failed(method, &shown, error)),
                    Err(_) => {}
                }
                let now = gone.load(Ordering::Relaxed);
                if now != seen {
                    (seen, since) = (now, Instant::now());
                    progress(now);
                }
                let (patience, what) = match now {
                    0 => (self.timeouts.idle + self.timeouts.connect, "the registry to take a blob"),
                    now if now < *length => (self.timeouts.idle, "the registry to take more of a blob"),
                    // It verifies the digest, and may copy the blob to where it is kept.
                    _ => (self.timeouts.document, "the registry to say that it has a blob"),
                };
                if since.elapsed() >= patience {
                    let (url, seconds) = (shown.clone(), patience.as_secs());
                    return Err(HttpError::Silent { url, what, seconds });
                }
            }
        })
        .await
    }
}

fn authorized(sent: RequestBuilder, authorization: Option<&Authorization>) -> RequestBuilder {
    match authorization {
        Some(Authorization::Bearer(token)) => sent.bearer_auth(token),
        Some(Authorization::Basic { user, password }) => sent.basic_auth(user, Some(password)),
        None => sent,
    }
}

fn failed(method: &Method, url: &str, error: reqwest::Error) -> HttpError {
    let is_refused = error.is_connect();
    HttpError::Connection {
        method: method.clone(),
        url: url.to_owned(),
        is_refused,
        source: error.without_url(),
    }
}

/// The bytes of a payload; `gone` counts what has been taken.
fn stream(
    payload: &Payload,
    gone: Arc<AtomicU64>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let pieces = FilePieces::new(Arc::clone(&payload.file), payload.offset, payload.length);
    futures_util::stream::try_unfold(pieces, move |mut pieces| {
        // The file is read where it is sent: blobs come from the page cache or a disk, which is faster than a registry.
        let next = pieces.next_piece().map(|piece| {
            gone.fetch_add(piece.as_ref().map_or(0, |piece| piece.len() as u64), Ordering::Relaxed);
            piece.map(|piece| (piece, pieces))
        });
        std::future::ready(next)
    })
}
