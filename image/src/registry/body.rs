//! The body of an answer, piece by piece: neither silence nor a drip lasts for ever.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Method, Response};

use super::http::{HttpError, Timeouts, without_query};

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
    pub(super) fn new(response: Response, timeouts: Timeouts) -> Self {
        let url = without_query(response.url());
        Self { response, url, timeouts, waited: Duration::ZERO, received: 0 }
    }

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
                let (url, rate) = (self.url.clone(), self.timeouts.rate);
                return Err(HttpError::Slow { url, bytes: received, seconds, rate });
            }
        }
        Ok(piece)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
