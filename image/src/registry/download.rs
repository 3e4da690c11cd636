//! What lies at an address, read while it comes: for `import`, which is given one.

use std::io::{self, Read};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};

use super::body::Body;
use super::http::{Hosts, Http, HttpError, Request, Timeouts};

/// An answer that is being read.
pub struct Download {
    runtime: tokio::runtime::Runtime,
    body: Body,
    piece: Bytes,
    expected: Option<u64>,
    received: u64,
}

/// Why nothing comes.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Another answer than was asked for.
    #[error("{url} answered {status}")]
    Status {
        /// The address without its query.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// This process cannot wait for the network.
    #[error("preparing to wait for the network")]
    Runtime(#[source] io::Error),
}

impl std::fmt::Debug for Download {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Download").field("url", &self.body.url()).finish_non_exhaustive()
    }
}

impl Download {
    /// Asks for what lies at `url`; http and https alone. `offline` forbids to ask other machines, `hosts` says how they are
    /// reached.
    ///
    /// # Errors
    /// No URL, no answer, or another one.
    pub fn begin(url: &str, offline: bool, hosts: Hosts) -> Result<Self, DownloadError> {
        let address = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let address = address.ok_or_else(|| HttpError::Url(url.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(DownloadError::Runtime)?;
        let http = Http::new(Timeouts::default(), offline, hosts);
        let request = Request {
            method: Method::GET,
            url: address,
            headers: HeaderMap::new(),
            authorization: None,
            form: None,
        };
        let response = runtime.block_on(http.send(request))?;
        let (status, expected) = (response.status(), response.content_length());
        let body = http.body(response);
        if status != StatusCode::OK {
            return Err(DownloadError::Status { url: body.url().to_owned(), status });
        }
        Ok(Self { runtime, body, piece: Bytes::new(), expected, received: 0 })
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let piece = self.runtime.block_on(self.body.next()).map_err(io::Error::other)?;
            self.piece = piece.unwrap_or_default();
            self.received += self.piece.len() as u64;
            if let Some(expected) = self.expected.filter(|all| self.piece.is_empty() && self.received < *all)
            {
                let (url, actual) = (self.body.url().to_owned(), self.received);
                return Err(io::Error::other(HttpError::TooShort { url, expected, actual }));
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
