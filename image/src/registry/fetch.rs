//! One blob from the registry, through interruptions: what came is not asked for again.

use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::http::{HttpError, without_query};
use super::retry::{Attempts, Retry};
use super::{Registry, RegistryError};
use crate::manifest::Descriptor;

/// Nobody wants the bytes any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Where the bytes of a blob go, and from which on they are wanted.
pub(crate) struct Destination<'a> {
    pub(crate) pieces: &'a Sender<Bytes>,
    /// So many are there from an earlier pull.
    pub(crate) kept: u64,
}

/// The most bytes handed over at once.
const PIECE_MAX: usize = 64 * 1024;

/// An attempt that brings this many bytes was none in vain: the failures before it are forgotten.
const HEADWAY: u64 = 1 << 20;

impl Registry {
    /// Sends a blob's bytes from `kept` on, exactly as many as the manifest says. After an interruption it goes on where
    /// it stopped. Their digest is the receiver's matter.
    pub(crate) async fn fetch(
        &self,
        blob: Descriptor,
        to: Destination<'_>,
        attempts: Attempts,
        progress: impl Fn(u64),
        retrying: impl Fn(Retry<'_>),
    ) -> Result<Result<(), Stopped>, RegistryError> {
        let Destination { pieces, kept: mut done } = to;
        let (mut failed, mut ranges) = (0, true);
        loop {
            let before = done;
            let error = match self.fetch_from(blob, &mut done, ranges, pieces, &progress).await {
                Err(error) => error,
                ended => return ended,
            };
            // Who answers for other bytes than it is asked for is asked for all of them.
            let is_about_range = ranges && before > 0 && error.is_about_range();
            ranges &= !is_about_range;
            if done - before >= HEADWAY {
                failed = 0;
            }
            failed += 1;
            if !(error.is_transient() || is_about_range) || failed >= attempts.max {
                return Err(error);
            }
            attempts.pause(failed, &error, &retrying).await;
        }
    }

    async fn fetch_from(
        &self,
        blob: Descriptor,
        done: &mut u64,
        ranges: bool,
        pieces: &Sender<Bytes>,
        progress: &impl Fn(u64),
    ) -> Result<Result<(), Stopped>, RegistryError> {
        if *done == blob.size {
            return Ok(Ok(()));
        }
        let asked = if ranges { *done } else { 0 };
        let response = self.blob(blob.digest, asked).await?;
        // A registry may answer a request for a part with the whole: what is there already is passed over.
        let mut position = match response.status() {
            StatusCode::PARTIAL_CONTENT => part_begin(&response, asked, blob.size)?,
            _ => 0,
        };
        if response.content_length().is_some_and(|length| length > blob.size - position) {
            return Err(HttpError::TooLong { url: without_query(response.url()), max: blob.size }.into());
        }
        let mut body = self.http.body(response);
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

/// Where the bytes of a 206 begin: where they were asked for, or it is refused.
fn part_begin(response: &Response, asked: u64, size: u64) -> Result<u64, HttpError> {
    let said = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    if range(said).is_some_and(|(begin, total)| begin == asked && total.is_none_or(|total| total == size)) {
        return Ok(asked);
    }
    let (url, said) = (without_query(response.url()), said.unwrap_or_default().to_owned());
    Err(HttpError::Range { url, asked, said })
}

/// Begin and total of `Content-Range: bytes 100-199/200`; the total may be `*` (RFC 9110, 14.4). PURE.
fn range(text: Option<&str>) -> Option<(u64, Option<u64>)> {
    let (part, total) = text?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let begin = part.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((begin, None)),
        total => Some((begin, Some(total.parse().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_where_they_say() {
        assert_eq!(range(Some("bytes 100-199/200")), Some((100, Some(200))));
        assert_eq!(range(Some("bytes 0-0/*")), Some((0, None)));
        for bad in [
            None,
            Some("bytes */200"),
            Some("100-199"),
            Some("bytes -5-6/7"),
            Some("bytes 1-2"),
            Some("bytes 1-2/x"),
        ] {
            assert_eq!(range(bad), None, "{bad:?}");
        }
    }
}
