//! What a repository is given: blobs and manifests (OCI distribution spec, "Push").
//!
//! ```text
//! HEAD blobs/DIGEST                                   has it one already?
//! POST blobs/uploads/?mount=DIGEST&from=OTHER         201: another repository of this registry had it
//! POST blobs/uploads/                                 202, and a place to upload to
//! PUT   PLACE?digest=DIGEST                           a blob in one piece, or
//! PATCH PLACE …, PUT PLACE?digest=DIGEST              in several: an interruption costs one of them
//! DELETE PLACE                                        nothing more comes
//! PUT manifests/TAG                                   makes all of it an image
//! ```

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::http::{HttpError, Payload, Request};
use super::{Registry, RegistryError};
use crate::digest::Digest;
use crate::manifest::Descriptor;

/// How long somebody who gives up waits for the registry to hear of it.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// What a registry answers to whoever wants to upload a blob.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It has the blob already, from another repository.
    Mounted,
    /// It is to be sent.
    At(Upload),
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    /// Where the next request goes. It may have changed after each.
    pub(crate) place: Url,
    /// The registry takes no shorter chunks but the last, in bytes (OCI distribution spec, `OCI-Chunk-Min-Length`).
    pub(crate) chunk_min: u64,
}

impl Registry {
    /// The same registry, for somebody who gives: tokens are for that, and for reading the repositories `from`, whose blobs may
    /// be mounted.
    pub(crate) fn for_push<'a>(mut self, from: impl IntoIterator<Item = &'a str>) -> Self {
        self.scopes = vec![format!("repository:{}:pull,push", self.repository)];
        self.scopes.extend(from.into_iter().map(|other| format!("repository:{other}:pull")));
        self
    }

    /// Whether the repository has a blob.
    pub(crate) async fn has_blob(&self, blob: Descriptor) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{}", blob.digest))?;
        let response = self.send(Method::HEAD, url, HeaderMap::new()).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(self.refusal(response, &format!("blob {} of {}", blob.digest, self.repository)).await),
        }
    }

    /// Asks for a place to upload to; with `mount`, the blob may come from that repository of the registry instead.
    pub(crate) async fn open_upload(&self, mount: Option<(Digest, &str)>) -> Result<Opened, RegistryError> {
        let mut url = self.url("blobs/uploads/")?;
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        }
        let response = self.send(Method::POST, url, no_body()).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Opened::Mounted),
            StatusCode::ACCEPTED => Ok(Opened::At(self.upload_of(&response)?)),
            _ => Err(self.refusal(response, &format!("an upload to {}", self.repository)).await),
        }
    }

    /// How many bytes of an upload the registry has.
    pub(crate) async fn upload_status(&self, upload: &Upload) -> Result<(Upload, u64), RegistryError> {
        let response = self.send(Method::GET, upload.place.clone(), HeaderMap::new()).await?;
        match response.status() {
            StatusCode::NO_CONTENT => {
                let range = response.headers().get(RANGE).and_then(|range| range.to_str().ok());
                let end = range.and_then(range_end).unwrap_or(0);
                Ok((self.upload_of(&response).unwrap_or_else(|_| upload.clone()), end))
            }
            _ => Err(self.refusal(response, &format!("the upload to {}", self.repository)).await),
        }
    }

    /// Gives up an upload. That it fails, or takes too long, does not matter: registries forget uploads by themselves.
    pub(crate) async fn cancel_upload(&self, upload: Upload) {
        let cancel = self.send(Method::DELETE, upload.place, HeaderMap::new());
        let _forgotten = tokio::time::timeout(CANCEL_MAX, cancel).await;
    }

    /// Sends a chunk, not the last one.
    pub(crate) async fn send_chunk(
        &self,
        upload: &Upload,
        chunk: &Payload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Upload, RegistryError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, range_of(chunk));
        let response =
            self.send_payload(Method::PATCH, upload.place.clone(), headers, chunk, progress).await?;
        match response.status() {
            status if status.is_success() => self.upload_of(&response),
            _ => Err(self.refusal(response, &format!("a chunk of a blob of {}", self.repository)).await),
        }
    }

    /// Sends the rest of a blob, which may be all of it, and has the registry verify the whole.
    pub(crate) async fn finish_upload(
        &self,
        upload: &Upload,
        digest: Digest,
        rest: &Payload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut url = upload.place.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut headers = HeaderMap::new();
        // Where everything is there already there is no range of it.
        if rest.offset > 0 && rest.length > 0 {
            headers.insert(CONTENT_RANGE, range_of(rest));
        }
        let response = self.send_payload(Method::PUT, url, headers, rest, progress).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(self.refusal(response, &format!("blob {digest} of {}", self.repository)).await),
        }
    }

    /// Puts a manifest under a tag or its digest, as it is. What the registry calls it by is checked by the caller.
    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Option<Digest>, RegistryError> {
        let what = format!("manifest of {}:{name}", self.repository);
        let media_type =
            HeaderValue::from_str(media_type).map_err(|_| HttpError::Url(media_type.to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media_type);
        let request = Request {
            method: Method::PUT,
            url: self.url(&format!("manifests/{name}"))?,
            headers,
            authorization: None,
            form: None,
        };
        let send = async |request| self.http.send_bytes(request, bytes).await;
        let response = self.ask(request, send).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &what).await);
        }
        let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(digest.and_then(|digest| digest.parse().ok()))
    }

    fn url(&self, path: &str) -> Result<Url, HttpError> {
        self.base.join(path).map_err(|_| HttpError::Url(path.to_owned()))
    }

    async fn send(&self, method: Method, url: Url, headers: HeaderMap) -> Result<Response, RegistryError> {
        let request = Request { method, url, headers, authorization: None, form: None };
        self.ask(request, async |request| self.http.send(request).await).await
    }

    async fn send_payload(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        payload: &Payload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Response, RegistryError> {
        let request = Request { method, url, headers, authorization: None, form: None };
        self.ask(request, async |request| self.http.upload(request, payload, progress).await).await
    }

    /// Where an upload goes on. An address of plain http is taken from a registry of plain http alone.
    fn upload_of(&self, response: &Response) -> Result<Upload, RegistryError> {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let to = text(LOCATION.as_str()).unwrap_or_default();
        let own = response.url().join(to).ok().filter(|place| place.origin() == response.url().origin());
        let place = own.filter(|_| !to.is_empty()).or_else(|| super::http::redirect(response.url(), to));
        let place = place.ok_or_else(|| HttpError::Redirect {
            from: super::http::without_query(response.url()),
            to: to.to_owned(),
        })?;
        let chunk_min = text("oci-chunk-min-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        Ok(Upload { place, chunk_min })
    }
}

/// Some registries want to be told that nothing follows.
fn no_body() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers
}

/// `Content-Range` of an upload: first and last byte (OCI distribution spec, which writes it without a unit).
fn range_of(chunk: &Payload) -> HeaderValue {
    let last = (chunk.offset + chunk.length).saturating_sub(1);
    HeaderValue::from_str(&format!("{}-{last}", chunk.offset)).expect("digits are plain text")
}

/// How many bytes `Range: 0-99` says there are. docker's registry says `0-0` of nothing at all: then a byte is sent twice, and the
/// answer tells where to go on.
fn range_end(range: &str) -> Option<u64> {
    let last: u64 = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_there_is() {
        for (range, expected) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("5-9", None),
            ("0--1", None),
            ("", None),
        ] {
            assert_eq!(range_end(range), expected, "{range}");
        }
    }
}
