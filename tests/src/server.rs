//! A registry of our own: images from memory, any kind of authorisation, and any lie a hostile one could tell.
//!
//! Debian's `docker-registry` (see [`crate::registry`]) proves that we speak the protocol; this one proves what happens
//! when the other side does not.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::http::{Request, read_request};
use crate::image::{Blob, Image};
use crate::net;

/// What a registry answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Fields.
    pub fields: Vec<(String, String)>,
    /// The body, honest or not.
    pub body: Body,
}

/// A body, honest or not.
#[derive(Debug, Clone)]
pub enum Body {
    /// These bytes, with their true length.
    Whole(Vec<u8>),
    /// These bytes, with another length claimed; then the connection ends.
    Claiming(Vec<u8>, u64),
    /// Bytes without an end and without a length.
    Endless,
    /// A byte at a time, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// The head of an answer and then nothing, until the client gives up.
    Silence(u64),
    /// These bytes of so many, and then nothing, until the client gives up.
    Stalling(Vec<u8>, u64),
    /// These bytes of so many, and then a reset.
    Reset(Vec<u8>, u64),
    /// Fields of the head without an end, with a pause after each.
    EndlessHead(Duration),
}

/// Who may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Who sends these as basic authorisation: `user:password` in base 64.
    Basic(String),
    /// Who brings a token for the repository, given out to everybody.
    Token,
    /// Who brings a token, given out to who sends this (`user:password` in base 64).
    TokenFor(String),
}

/// What the registry holds, by path.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    blobs: BTreeMap<String, Blob>,
}

impl Contents {
    /// Adds an image under `repository` and `tag`.
    pub fn add(&mut self, repository: &str, tag: &str, image: &Image) -> Blob {
        let (blobs, manifest) = image.blobs();
        for blob in blobs {
            self.add_blob(repository, blob);
        }
        self.add_manifest(repository, tag, manifest.clone());
        manifest
    }

    /// Adds a blob.
    pub fn add_blob(&mut self, repository: &str, blob: Blob) {
        self.blobs.insert(format!("/v2/{repository}/blobs/{}", blob.digest()), blob);
    }

    /// Adds a manifest or an index, under its digest and under `tag`.
    pub fn add_manifest(&mut self, repository: &str, tag: &str, manifest: Blob) {
        self.blobs.insert(format!("/v2/{repository}/manifests/{}", manifest.digest()), manifest.clone());
        self.blobs.insert(format!("/v2/{repository}/manifests/{tag}"), manifest);
    }
}

/// A registry that listens on loopback in the caller's network namespace, as long as the value lives.
#[derive(Debug)]
pub struct ImageServer {
    server: net::Server,
    log: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<BTreeMap<String, u64>>>,
    /// Whether a twist has panicked.
    wrong: Arc<AtomicBool>,
}

impl ImageServer {
    /// Serves `contents` honestly to everybody.
    #[track_caller]
    pub fn open(contents: Contents) -> Self {
        Self::twisted(contents, Access::Open, |_, reply| reply)
    }

    /// Serves `contents`, and lets `twist` change each answer. What it asserts of a request fails the test, when the server is
    /// dropped.
    #[track_caller]
    pub fn twisted(
        contents: Contents,
        access: Access,
        twist: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        let sent = Arc::new(Mutex::new(BTreeMap::new()));
        let count = Arc::clone(&sent);
        let wrong = Arc::new(AtomicBool::new(false));
        let is_wrong = Arc::clone(&wrong);
        let server = net::accept(Ipv4Addr::LOCALHOST, 0, move |stream| {
            let Some(request) = read_request(&stream) else { return };
            seen.lock().expect("nobody panics with it").push(request.clone());
            let reply = || twist(&request, answer(&contents, &access, &request));
            let Ok(reply) = catch_unwind(AssertUnwindSafe(reply)) else {
                return is_wrong.store(true, Ordering::Relaxed);
            };
            let count = |bytes: usize| {
                *count.lock().expect("nobody panics with it").entry(request.target.clone()).or_default() +=
                    bytes as u64;
            };
            // A client that gives up is what many tests are about.
            let _ = send(stream, &request, &reply, &count);
        });
        Self { server, log, sent, wrong }
    }

    /// `127.0.0.1:PORT`.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// How often `GET` asked for what ends in `end`.
    pub fn fetched(&self, end: &str) -> usize {
        let matches = |request: &&Request| request.method == "GET" && request.target.ends_with(end);
        self.requests().iter().filter(matches).count()
    }
}

impl ImageServer {
    /// Bytes of the bodies that went out for what ends in `end`.
    pub fn sent(&self, end: &str) -> u64 {
        let sent = self.sent.lock().expect("nobody panics with it");
        sent.iter().filter(|(target, _)| target.ends_with(end)).map(|(_, bytes)| bytes).sum()
    }
}

impl Drop for ImageServer {
    fn drop(&mut self) {
        let is_wrong = self.wrong.load(Ordering::Relaxed) && !std::thread::panicking();
        assert!(!is_wrong, "a request was not as it should be: see the panic above");
    }
}

impl Reply {
    /// An answer with a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, fields: Vec::new(), body: Body::Whole(body.into()) }
    }

    /// The same with a field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same with another body.
    pub fn lying(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

/// The honest answer (OCI distribution-spec, and docker's token authentication).
fn answer(contents: &Contents, access: &Access, request: &Request) -> Reply {
    let host = request.field("host").unwrap_or_default();
    let authorization = request.field("authorization").unwrap_or_default();
    let path = request.target.split('?').next().unwrap_or_default();
    if path == "/token" {
        return match access {
            Access::TokenFor(secret) if authorization != format!("Basic {secret}") => {
                refusal(401, "UNAUTHORIZED")
            }
            _ => Reply::new(200, json!({"token": token(&request.target), "expires_in": 300}).to_string()),
        };
    }
    // /v2/NAME/manifests/… or /v2/NAME/blobs/…: a name may hold slashes.
    let tail = path.strip_prefix("/v2/").unwrap_or_default();
    let repository =
        tail.split("/manifests/").next().and_then(|text| text.split("/blobs/").next()).unwrap_or_default();
    let scope = format!("repository:{repository}:pull");
    let (allowed, challenge) = match access {
        Access::Open => (true, String::new()),
        Access::Basic(secret) => (authorization == format!("Basic {secret}"), "Basic realm=\"test\"".into()),
        Access::Token | Access::TokenFor(_) => {
            let wanted = format!("Bearer {}", token(&format!("scope={scope}")));
            let realm = format!("Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"{scope}\"");
            (
                authorization == wanted || (repository.is_empty() && authorization.starts_with("Bearer ")),
                realm,
            )
        }
    };
    if !allowed {
        return refusal(401, "UNAUTHORIZED").with("www-authenticate", &challenge);
    }
    match contents.blobs.get(path) {
        _ if path == "/v2/" => Reply::new(200, "{}"),
        Some(blob) => part(blob, request)
            .with("content-type", &blob.media_type)
            .with("docker-content-digest", &blob.digest()),
        None if path.contains("/manifests/") => refusal(404, "MANIFEST_UNKNOWN"),
        None => refusal(404, "BLOB_UNKNOWN"),
    }
}

/// The whole, or what a `Range: bytes=N-` asks for (RFC 9110, 14).
fn part(blob: &Blob, request: &Request) -> Reply {
    let total = blob.bytes.len();
    let range = request.field("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    match range.and_then(|begin| begin.parse::<usize>().ok()) {
        None => Reply::new(200, blob.bytes.clone()),
        Some(begin) if begin < total => Reply::new(206, &blob.bytes[begin..])
            .with("content-range", &format!("bytes {begin}-{}/{total}", total - 1)),
        Some(_) => Reply::new(416, "").with("content-range", &format!("bytes */{total}")),
    }
}

/// The token for the scope that a query names.
fn token(query: &str) -> String {
    let decoded = query.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    let scope =
        decoded.split(['?', '&']).find_map(|part| part.strip_prefix("scope=")).unwrap_or_default().to_owned();
    hex::encode(scope)
}

fn refusal(status: u16, code: &str) -> Reply {
    let body = json!({"errors": [{"code": code, "message": "refused by the test"}]}).to_string();
    Reply::new(status, body).with("content-type", "application/json")
}

fn send(
    mut stream: TcpStream,
    request: &Request,
    reply: &Reply,
    count: &dyn Fn(usize),
) -> std::io::Result<()> {
    let length = match &reply.body {
        Body::Whole(bytes) | Body::Drip(bytes, _) => Some(bytes.len() as u64),
        Body::Claiming(_, length)
        | Body::Silence(length)
        | Body::Stalling(_, length)
        | Body::Reset(_, length) => Some(*length),
        Body::Endless | Body::EndlessHead(_) => None,
    };
    let mut head = format!("HTTP/1.1 {} Said\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    if let Body::EndlessHead(pause) = reply.body {
        stream.write_all(head.as_bytes())?;
        // Bounded, too.
        return (0..1 << 20).try_for_each(|number| {
            stream.write_all(format!("x-{number}: {}\r\n", "x".repeat(100)).as_bytes())?;
            if gone(&stream, pause) { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        });
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let mut write = |bytes: &[u8]| {
        bytes.chunks(1 << 14).try_for_each(|chunk| {
            stream.write_all(chunk)?;
            count(chunk.len());
            Ok(())
        })
    };
    match &reply.body {
        Body::Whole(bytes) | Body::Claiming(bytes, _) => write(bytes),
        Body::Stalling(bytes, _) => {
            write(bytes)?;
            gone(&stream, Duration::from_secs(600));
            Ok(())
        }
        Body::Reset(bytes, _) => {
            write(bytes)?;
            // Closed like this, it is a reset and no end (socket(7)).
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            Ok(())
        }
        // Bounded all the same: a client that takes this much is not going to stop.
        Body::Endless => (0..4096).try_for_each(|_| stream.write_all(&[b'x'; 1 << 20])),
        Body::Drip(bytes, pause) => bytes.iter().try_for_each(|byte| {
            stream.write_all(&[*byte])?;
            if gone(&stream, *pause) { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        }),
        Body::Silence(_) => {
            gone(&stream, Duration::from_secs(600));
            Ok(())
        }
        Body::EndlessHead(_) => unreachable!("its head has no end"),
    }
}

/// Waits for the client to hang up, at most for `pause`.
fn gone(stream: &TcpStream, pause: Duration) -> bool {
    let deadline = Instant::now() + pause;
    let timeout = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
    let mut polled = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::RDHUP)];
    matches!(poll(&mut polled, Some(&timeout)), Ok(ready) if ready > 0) && Instant::now() <= deadline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tarball;

    fn contents() -> (Contents, Blob) {
        let mut contents = Contents::default();
        let manifest = contents.add("a/b", "1", &Image::of([Tarball::new().file("x", 0o644, "x")]));
        (contents, manifest)
    }

    fn address(server: &ImageServer) -> std::net::SocketAddr {
        server.name().parse().expect("an address")
    }

    #[test]
    fn serves_what_it_holds() {
        let (contents, manifest) = contents();
        let server = ImageServer::open(contents);
        let answer = Request::new("GET", "/v2/a/b/manifests/1").send(address(&server)).expect(200);
        assert_eq!(answer.body, manifest.bytes);
        assert_eq!(answer.field("docker-content-digest"), manifest.digest());
        Request::new("GET", "/v2/a/b/manifests/2").send(address(&server)).expect(404);
        assert_eq!(server.fetched("/manifests/1"), 1);
    }

    #[test]
    fn serves_the_rest_of_a_blob_and_counts_it() {
        let layer = Image::of([Tarball::new().file("x", 0o644, "x")]).packed_layers().remove(0);
        let server = ImageServer::open(contents().0);
        let target = format!("/v2/a/b/blobs/{}", layer.digest());
        let ask = |range: &str| Request::new("GET", &target).with("range", range).send(address(&server));
        let rest = ask("bytes=10-").expect(206);
        assert_eq!(rest.body, layer.bytes[10..]);
        let total = layer.bytes.len();
        assert_eq!(rest.field("content-range"), format!("bytes 10-{}/{total}", total - 1));
        assert_eq!(server.sent(&layer.digest()), total as u64 - 10);
        ask(&format!("bytes={total}-")).expect(416);
    }

    #[test]
    fn a_token_opens_its_own_repository_alone() {
        let server = ImageServer::twisted(contents().0, Access::TokenFor("secret".into()), |_, reply| reply);
        let refused = Request::new("GET", "/v2/a/b/manifests/1").send(address(&server)).expect(401);
        assert!(refused.field("www-authenticate").contains("scope=\"repository:a/b:pull\""));
        let ask = |scope: &str| Request::new("GET", &format!("/token?service=test&scope={scope}"));
        ask("repository:a/b:pull").send(address(&server)).expect(401);
        for (scope, status) in [("repository%3Aa%2Fb%3Apull", 200), ("repository:c:pull", 401)] {
            let given = ask(scope).with("authorization", "Basic secret").send(address(&server)).expect(200);
            let given: serde_json::Value = serde_json::from_slice(&given.body).expect("JSON");
            let bearer = format!("Bearer {}", given["token"].as_str().expect("a token"));
            let read = Request::new("GET", "/v2/a/b/manifests/1").with("authorization", &bearer);
            read.send(address(&server)).expect(status);
        }
    }

    #[test]
    fn what_is_asserted_of_a_request_fails_the_test() {
        let server = ImageServer::twisted(contents().0, Access::Open, |request, reply| {
            assert_eq!(request.target, "/v2/");
            reply
        });
        Request::new("GET", "/v2/").send(address(&server)).expect(200);
        let other = AssertUnwindSafe(|| Request::new("GET", "/other").send(address(&server)));
        assert!(catch_unwind(other).is_err(), "there is an answer");
        assert!(catch_unwind(AssertUnwindSafe(|| drop(server))).is_err(), "nobody is told");
    }

    #[test]
    fn lies_when_told_to() {
        let server = ImageServer::twisted(contents().0, Access::Open, |_, reply| {
            reply.lying(Body::Claiming(b"short".to_vec(), 5000))
        });
        let answer = Request::new("GET", "/v2/").send(address(&server)).expect(200);
        assert_eq!((answer.field("content-length"), answer.body.as_slice()), ("5000", b"short".as_slice()));
    }
}
