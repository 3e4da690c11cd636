//! One blob from the registry, through interruptions: what came is not asked for again.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use tokio::sync::mpsc::Sender;

use super::http::HttpError;
use super::{Registry, RegistryError};
use crate::manifest::Descriptor;

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    pub(crate) max: u32,
    /// After the first failure; twice as long after each further one.
    pub(crate) wait: Duration,
}

/// Nobody wants the bytes any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The most bytes handed over at once.
const PIECE_MAX: usize = 64 * 1024;

/// The longest that a registry can make us wait between attempts.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Attempts {
    /// Runs `request`, for something small, until it succeeds, fails for good, or has failed too often.
    pub(crate) async fn run<T, F: Future<Output = Result<T, RegistryError>>>(
        self,
        mut request: impl FnMut() -> F,
    ) -> Result<T, RegistryError> {
        for attempt in 1.. {
            match request().await {
                Err(error) if error.is_passing() && attempt < self.max => {
                    tokio::time::sleep(self.wait_after(attempt, &error)).await;
                }
                done => return done,
            }
        }
        unreachable!("the last attempt returns")
    }

    /// How long to wait after a failure.
    pub(crate) fn wait_after(self, attempt: u32, error: &RegistryError) -> Duration {
        let wait = error.retry_after().unwrap_or_else(|| self.wait * 2_u32.saturating_pow(attempt - 1));
        wait.min(WAIT_MAX)
    }
}

impl Registry {
    /// Sends a blob's bytes to `pieces`, exactly as many as the manifest says. After an interruption it goes
    /// on where it stopped. Their digest is the receiver's matter.
    pub(crate) async fn fetch(
        &self,
        blob: Descriptor,
        pieces: &Sender<Bytes>,
        attempts: Attempts,
        progress: impl Fn(u64),
        retrying: impl Fn(u32, Duration, &RegistryError),
    ) -> Result<Result<(), Stopped>, RegistryError> {
        let mut done = 0;
        for attempt in 1.. {
            match self.fetch_from(blob, &mut done, pieces, &progress).await {
                Err(error) if error.is_transient() && attempt < attempts.max => {
                    let wait = attempts.wait_after(attempt, &error);
                    retrying(attempt + 1, wait, &error);
                    tokio::time::sleep(wait).await;
                }
                ended => return ended,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn fetch_from(
        &self,
        blob: Descriptor,
        done: &mut u64,
        pieces: &Sender<Bytes>,
        progress: &impl Fn(u64),
    ) -> Result<Result<(), Stopped>, RegistryError> {
        let response = self.blob(blob.digest, *done).await?;
        // A registry may answer a request for a part with the whole: then what is known already is passed
        // over.
        let begin = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                range_begin(range).filter(|begin| *begin <= *done).unwrap_or(*done)
            }
            _ => 0,
        };
        let mut body = self.http.body(response);
        let mut position = begin;
        loop {
            let piece = tokio::select! {
                piece = body.next() => piece?,
                () = pieces.closed() => return Ok(Err(Stopped)),
            };
            let Some(mut piece) = piece else { break };
            let known = usize::try_from(*done - position.min(*done)).unwrap_or(usize::MAX).min(piece.len());
            position += piece.len() as u64;
            if position > blob.size {
                let (url, max) = (body.url().to_owned(), blob.size);
                return Err(HttpError::TooLong { url, max }.into());
            }
            let mut fresh = piece.split_off(known);
            // Small ones, so that the channel's length bounds the memory.
            while !fresh.is_empty() {
                let part = fresh.split_to(fresh.len().min(PIECE_MAX));
                *done += part.len() as u64;
                if pieces.send(part).await.is_err() {
                    return Ok(Err(Stopped));
                }
                progress(*done);
            }
        }
        if position < blob.size {
            let url = body.url().to_owned();
            return Err(HttpError::TooShort { url, expected: blob.size, actual: position }.into());
        }
        Ok(Ok(()))
    }
}

/// Where the bytes of `Content-Range: bytes 100-199/200` begin.
fn range_begin(range: Option<&str>) -> Option<u64> {
    range?.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_where_they_say() {
        assert_eq!(range_begin(Some("bytes 100-199/200")), Some(100));
        assert_eq!(range_begin(Some("bytes 0-0/*")), Some(0));
        for bad in [None, Some("bytes */200"), Some("100-199"), Some("bytes -5-6/7")] {
            assert_eq!(range_begin(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn waits_double_and_are_bounded() {
        let attempts = Attempts { max: 5, wait: Duration::from_secs(1) };
        let failure = |retry_after| RegistryError::Status {
            registry: String::new(),
            what: String::new(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: String::new(),
            retry_after,
        };
        let waits: Vec<u64> =
            (1..=4).map(|attempt| attempts.wait_after(attempt, &failure(None)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8]);
        let asked = failure(Some(Duration::from_secs(1_000_000)));
        assert_eq!(attempts.wait_after(1, &asked), WAIT_MAX);
    }
}
