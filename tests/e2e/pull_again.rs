//! `mini pull` from a registry that is busy, hangs up or forgets who asks: it is asked again, for what is missing alone, and
//! nobody else learns a secret.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tests::http::Request;
use tests::registry::CREDENTIALS;
use tests::server::{Access, Body, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball};

fn image() -> Image {
    Image::busybox()
        .with(Tarball::new().file("word", 0o644, "in the end"))
        .set("Cmd", json!(["cat", "/word"]))
}

fn contents() -> Contents {
    let mut contents = Contents::default();
    contents.add("a", "1", &image());
    contents
}

/// Pulls from a registry that answers otherwise at first; gives back what was said meanwhile.
#[track_caller]
fn in_the_end(
    access: Access,
    twist: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> (String, ImageServer) {
    let host = Host::new();
    let server = ImageServer::twisted(contents(), access, twist);
    let name = format!("{}/a:1", server.name());
    let said = host.mini(["pull", &name]).run().ok().err();
    host.mini(["run", "--rm", "--pull=never", &name]).run().ok().stdout("in the end");
    host.mini(["system", "check"]).run().ok().stdout("");
    (said, server)
}

/// The first `count` requests that hold `part` are answered with `reply`.
fn at_first(
    count: usize,
    part: &str,
    reply: Reply,
) -> impl Fn(&Request, Reply) -> Reply + Send + Sync + use<> {
    let (seen, part) = (AtomicUsize::new(0), part.to_owned());
    move |request, honest| {
        let twisted = request.target.contains(&part) && seen.fetch_add(1, Ordering::Relaxed) < count;
        if twisted { reply.clone() } else { honest }
    }
}

#[test]
fn a_busy_registry_is_asked_again_and_each_attempt_is_told() {
    for (part, status) in [("/manifests/", 503), ("/blobs/", 500), ("/manifests/", 429), ("/blobs/", 408)] {
        let (said, _) = in_the_end(Access::Open, at_first(2, part, Reply::new(status, "busy")));
        let lines: Vec<_> = said.lines().filter(|line| line.contains("Retrying")).collect();
        assert_eq!(lines.len(), 2, "{part} {status}: {said}");
        assert!(lines.iter().all(|line| line.contains(&format!("answered {status}"))), "{said}");
        assert!(lines[0].contains("attempt 2, in "), "{said}");
    }
}

#[test]
fn quiet_is_quiet_about_attempts_too() {
    let host = Host::new();
    let server = ImageServer::twisted(contents(), Access::Open, at_first(1, "/blobs/", Reply::new(503, "")));
    host.mini(["pull", "-q", &format!("{}/a:1", server.name())]).run().ok().stderr("");
}

#[test]
fn attempts_are_json_where_all_is() {
    let host = Host::new();
    for part in ["/manifests/", "/blobs/sha256:"] {
        let server = ImageServer::twisted(contents(), Access::Open, at_first(2, part, Reply::new(503, "")));
        let pull = host.mini(["pull", "--progress=json", &format!("{}/a:1", server.name())]).run().ok();
        let lines: Vec<serde_json::Value> =
            pull.err().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
        let status = |line: &serde_json::Value| line["status"].as_str().unwrap_or_default().to_owned();
        assert!(lines.iter().any(|line| status(line).starts_with("Retrying (attempt 2, in ")), "{pull}");
        host.mini(["rmi", &format!("{}/a:1", server.name())]).run().ok();
    }
}

#[test]
fn on_a_terminal_attempts_are_told_too() {
    let layer = image().packed_layers().remove(1).digest();
    // Before there are bars, and above them.
    for part in ["/manifests/", &layer] {
        let host = Host::new();
        let server = ImageServer::twisted(contents(), Access::Open, at_first(1, part, Reply::new(503, "")));
        let name = format!("{}/a:1", server.name());
        let mut terminal = host.mini(["pull", &name]).terminal(24, 160);
        terminal.expect_screen("Retrying (attempt 2, in ");
        terminal.expect_screen(&name);
        terminal.ends_with(0);
    }
}

#[test]
fn a_registry_is_left_alone_as_long_as_it_asks() {
    let busy = || Reply::new(429, "");
    // A second is the spread, and rounded up. Where nothing is asked for, or what has no meaning, the back-off is up to that.
    for (reply, expected) in [
        (busy().with("retry-after", "2"), 2.0..3.1),
        // By a clock that is far behind ours.
        (
            busy()
                .with("date", "Sun, 06 Nov 1994 08:49:35 GMT")
                .with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            2.0..3.1,
        ),
        (busy().with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), 0.0..1.1),
        (busy().with("retry-after", "whenever"), 0.0..1.1),
    ] {
        let fields = format!("{:?}", reply.fields);
        let (said, _) = in_the_end(Access::Open, at_first(1, "/manifests/", reply));
        let seconds = said.split("(attempt 2, in ").nth(1).and_then(|rest| rest.split(' ').next());
        let seconds: f64 = seconds.and_then(|seconds| seconds.parse().ok()).expect("seconds to wait");
        assert!(expected.contains(&seconds), "{fields}: {said}");
    }
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_where_it_broke() {
    let layer = image().packed_layers().remove(1);
    let (digest, bytes) = (layer.digest(), layer.bytes);
    let half = bytes.len() / 2;
    let (cut, length) = (bytes[..half].to_vec(), bytes.len() as u64);
    let cuts = AtomicUsize::new(0);
    let end = digest.clone();
    let (said, server) = in_the_end(Access::Open, move |request, reply| {
        match request.target.ends_with(&end).then(|| cuts.fetch_add(1, Ordering::Relaxed)) {
            Some(0) => reply.lying(Body::Reset(Vec::new(), length)),
            Some(1) => reply.lying(Body::Claiming(cut.clone(), length)),
            _ => reply,
        }
    });
    assert_eq!(said.matches("Retrying").count(), 2, "{said}");
    let asked: Vec<_> =
        server.requests().into_iter().filter(|request| request.target.ends_with(&digest)).collect();
    let ranges: Vec<_> = asked.iter().map(|request| request.field("range")).collect();
    assert_eq!(ranges, [None, None, Some(format!("bytes={half}-").as_str())]);
    assert_eq!(server.sent(&digest), length, "bytes came twice");
}

#[test]
fn a_token_that_runs_out_in_mid_pull_is_replaced() {
    let refused = AtomicUsize::new(0);
    let twist = move |request: &Request, reply: Reply| {
        let late = request.target.contains("/blobs/") && request.field("authorization").is_some();
        if late && refused.fetch_add(1, Ordering::Relaxed) == 1 {
            let host = request.field("host").unwrap_or_default();
            let challenge =
                format!("Bearer realm=\"http://{host}/token\",service=\"test\",error=\"invalid_token\"");
            return Reply::new(401, "{}").with("www-authenticate", &challenge);
        }
        reply
    };
    let (said, server) = in_the_end(Access::Token, twist);
    let tokens = server.requests().iter().filter(|request| request.target.starts_with("/token")).count();
    assert_eq!(tokens, 2, "{said}");
    assert!(!said.contains("Retrying"), "a new token is no failure: {said}");
}

/// The host's user has logged in to `registry`.
fn log_in(host: &Host, registry: &str, entry: &serde_json::Value) {
    fs::create_dir(host.home().join(".docker")).expect("make a directory");
    let auths = json!({"auths": {registry: entry}}).to_string();
    fs::write(host.home().join(".docker/config.json"), auths).expect("write");
}

#[test]
fn who_a_redirect_leads_to_may_not_ask_for_the_password() {
    for challenge in ["Basic realm=\"x\"", "Bearer realm=\"http://HOST/token\",service=\"x\""] {
        let host = Host::new();
        let thief = ImageServer::twisted(Contents::default(), Access::Open, move |request, _| {
            let host = request.field("host").unwrap_or_default();
            Reply::new(401, "{}").with("www-authenticate", &challenge.replace("HOST", host))
        });
        let target = thief.name();
        let server =
            ImageServer::twisted(contents(), Access::Basic(CREDENTIALS.into()), move |request, reply| {
                if request.target.contains("/blobs/") && reply.status == 200 {
                    return Reply::new(307, "")
                        .with("location", &format!("http://{target}{}", request.target));
                }
                reply
            });
        log_in(&host, &server.name(), &json!({"auth": CREDENTIALS}));
        let name = format!("{}/a:1", server.name());
        host.mini(["pull", &name]).run().error(1, &["denied", "at 127.0.0.1"]);
        let seen = thief.requests();
        assert!(!seen.is_empty(), "the redirect was not followed");
        for request in seen {
            assert_eq!(request.field("authorization"), None, "{request:?}");
            assert!(!request.target.contains("/token"), "{request:?}");
        }
        host.mini(["system", "check"]).run().ok().stdout("");
    }
}

/// Addresses that a registry sends to are signed, and run out.
#[test]
fn an_address_that_has_run_out_is_asked_for_once_more() {
    let layer = image().packed_layers().remove(1).digest();
    for (refusals, works) in [(1, true), (usize::MAX, false)] {
        let host = Host::new();
        let elsewhere = ImageServer::twisted(
            contents(),
            Access::Open,
            at_first(refusals, "/blobs/", Reply::new(403, "expired")),
        );
        let target = elsewhere.name();
        let end = layer.clone();
        let server = ImageServer::twisted(contents(), Access::Open, move |request, reply| {
            match request.target.ends_with(&end) {
                true => Reply::new(307, "").with("location", &format!("http://{target}{}", request.target)),
                false => reply,
            }
        });
        let name = format!("{}/a:1", server.name());
        let pulled = host.mini(["pull", &name]).run();
        assert!(!pulled.err().contains("Retrying"), "a new address is no failure: {pulled}");
        match works {
            true => drop(pulled.ok()),
            false => drop(pulled.error(1, &["denied", "at 127.0.0.1"])),
        }
        let asked = |server: &ImageServer| {
            server.requests().iter().filter(|request| request.target.ends_with(&layer)).count()
        };
        assert_eq!((asked(&server), asked(&elsewhere)), (2, 2));
    }
}

#[test]
fn a_refusal_of_the_registrys_own_is_final() {
    let host = Host::new();
    let denied = |request: &Request, reply: Reply| {
        if request.target.contains("/blobs/") { Reply::new(403, "no") } else { reply }
    };
    let server = ImageServer::twisted(contents(), Access::Open, denied);
    host.mini(["pull", &format!("{}/a:1", server.name())]).run().error(1, &["denied"]);
    let requests = server.requests();
    let mut blobs: Vec<_> =
        requests.iter().map(|request| &request.target).filter(|path| path.contains("/blobs/")).collect();
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    assert_eq!(blobs.len(), all, "{blobs:?}");
}

#[test]
fn what_login_left_is_not_sent_along_with_a_redirect() {
    let host = Host::new();
    let thief =
        ImageServer::twisted(Contents::default(), Access::Open, |_, _| Reply::new(200, r#"{"token":"x"}"#));
    let target = thief.name();
    let server = ImageServer::twisted(contents(), Access::Token, move |request, reply| {
        if request.target.starts_with("/token") {
            return Reply::new(307, "").with("location", &format!("http://{target}/token"));
        }
        reply
    });
    log_in(&host, &server.name(), &json!({"auth": "", "identitytoken": "a-secret"}));
    host.mini(["pull", &format!("{}/a:1", server.name())]).run().error(1, &["redirects to", "not followed"]);
    let posted = server.requests().into_iter().find(|request| request.method == "POST").expect("a POST");
    assert!(String::from_utf8_lossy(&posted.body).contains("a-secret"), "{posted:?}");
    assert!(thief.requests().is_empty(), "{:?}", thief.requests());
}

#[test]
fn plain_http_leads_to_no_other_machine() {
    let host = Host::new();
    let outside = host.outside();
    let other = outside.run(|| {
        tests::net::serve(tests::outside::NEIGHBOUR, 5000, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    });
    let server = ImageServer::twisted(contents(), Access::Open, |request, reply| {
        if request.target.contains("/blobs/") {
            return Reply::new(307, "").with("location", "http://192.0.2.2:5000/?X-Signature=secret");
        }
        reply
    });
    let pull = host.mini(["pull", &format!("{}/a:1", server.name())]).env_remove("MINI_OFFLINE").run();
    let pull = pull.error(1, &["redirects to", "192.0.2.2:5000", "not followed"]);
    assert!(!pull.err().contains("secret"), "{pull}");
    assert!(other.peers().is_empty());
}
