//! Registries that ask who is there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{LoginOptions, PullOptions};

use crate::archive::Tar;
use crate::images::{TestStore, chain};
use crate::pull::small;
use crate::registry::{Content, OCI_LAYER, hasty};
use crate::server::{Reply, Server};

fn config_file(server: &Server, entry: &str) -> Option<Vec<u8>> {
    Some(format!(r#"{{"auths":{{"{}":{entry}}}}}"#, server.host()).into_bytes())
}

#[test]
fn basic_tokens_and_identity_tokens_open_the_door() {
    // user:secret
    let basic = "Basic dXNlcjpzZWNyZXQ=";
    let refuse =
        |challenge: String| Reply::Answer(401, vec![("WWW-Authenticate".into(), challenge)], Vec::new());
    let password = r#"{"auth":"dXNlcjpzZWNyZXQ="}"#;

    let server =
        Content::image(&[small()], OCI_LAYER, <[u8]>::to_vec).serve_with(
            move |request, answer| match request.headers.get("authorization").map(String::as_str) {
                Some(given) if given == basic => answer,
                _ => refuse("Basic realm=\"x\"".into()),
            },
        );
    let options = PullOptions { docker_config: config_file(&server, password), ..hasty() };
    TestStore::new().pull_with(&server, "app", &options).unwrap();
    let error = chain(&TestStore::new().pull(&server, "app").unwrap_err());
    assert!(error.contains("was denied"), "{error}");

    // A token service of its own, which gives each client a token for three requests.
    for (entry, expected_method) in
        [(password, "GET"), (r#"{"auth":"","identitytoken":"refresh-me"}"#, "POST")]
    {
        let uses = AtomicUsize::new(0);
        let tokens = Server::start(move |request| {
            let is_known = match request.method.as_str() {
                "GET" => {
                    request.headers.get("authorization").is_some_and(|given| given == basic)
                        && request.path.contains("service=the+service")
                        && request.path.contains("scope=repository%3Aapp%3Apull")
                }
                _ => {
                    request.body.contains("refresh_token=refresh-me")
                        && request.body.contains("grant_type=refresh_token")
                }
            };
            let token = format!(r#"{{"access_token":"T{}"}}"#, uses.fetch_add(1, Ordering::SeqCst));
            Reply::Answer(if is_known { 200 } else { 401 }, Vec::new(), token.into_bytes())
        });
        let realm = format!(r#"Bearer realm="http://{}/token",service="the service""#, tokens.host());
        let used = Mutex::new(std::collections::HashMap::<String, usize>::new());
        let layers: Vec<Vec<u8>> =
            (0..6).map(|number| Tar::new().file(format!("f{number}"), b"x").finish()).collect();
        let server = Content::image(&layers, OCI_LAYER, <[u8]>::to_vec).serve_with(move |request, answer| {
            let mut used = used.lock().unwrap();
            match request.headers.get("authorization").and_then(|given| given.strip_prefix("Bearer T")) {
                Some(token)
                    if *used.entry(token.to_owned()).and_modify(|count| *count += 1).or_insert(1) <= 3 =>
                {
                    answer
                }
                _ => Reply::Answer(401, vec![("WWW-Authenticate".into(), realm.clone())], Vec::new()),
            }
        });
        let options = PullOptions { docker_config: config_file(&server, entry), ..hasty() };
        TestStore::new()
            .pull_with(&server, "app", &options)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let requests = tokens.requests();
        assert!(requests.len() > 1, "a token that ran out was renewed");
        assert!(requests.iter().all(|request| request.method == expected_method));
    }
}

#[test]
fn credentials_never_travel_with_a_redirect() {
    let content = Content::image(&[small()], OCI_LAYER, <[u8]>::to_vec);
    let storage = content.clone().serve();
    let elsewhere = storage.host();
    let server = content.serve_with(move |request, answer| {
        if !request.headers.contains_key("authorization") {
            return Reply::Answer(
                401,
                vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())],
                Vec::new(),
            );
        }
        match request.path.contains("/blobs/") {
            true => Reply::Answer(
                307,
                vec![("Location".into(), format!("http://{elsewhere}{}", request.path))],
                Vec::new(),
            ),
            false => answer,
        }
    });
    let options =
        PullOptions { docker_config: config_file(&server, r#"{"auth":"dXNlcjpzZWNyZXQ="}"#), ..hasty() };
    TestStore::new().pull_with(&server, "app", &options).unwrap();
    let redirected = storage.requests();
    assert_eq!(redirected.len(), 2, "configuration and layer");
    assert!(
        redirected.iter().all(|request| !request.headers.contains_key("authorization")),
        "{redirected:?}"
    );
}

#[test]
fn passwords_go_to_no_unprotected_token_service() {
    let server = Server::start(|_| {
        let challenge = r#"Bearer realm="http://tokens.example/token""#;
        Reply::Answer(401, vec![("WWW-Authenticate".into(), challenge.into())], Vec::new())
    });
    let error = chain(&TestStore::new().pull(&server, "app").unwrap_err());
    assert!(
        error.contains("http://tokens.example/token") && error.contains("no protected address"),
        "{error}"
    );
}

#[test]
fn who_a_redirect_leads_to_does_not_say_who_gets_the_password() {
    let thief = Server::start(|request| {
        let realm = format!("Bearer realm=\"http://{}/token\"", request.headers["host"]);
        match request.path.starts_with("/token") {
            true => Reply::Answer(200, Vec::new(), br#"{"token":"T"}"#.to_vec()),
            false => Reply::Answer(401, vec![("WWW-Authenticate".into(), realm)], Vec::new()),
        }
    });
    let elsewhere = format!("http://{}/v2/", thief.host());
    let server =
        Server::start(move |_| Reply::Answer(307, vec![("Location".into(), elsewhere.clone())], Vec::new()));
    let hasty = hasty();
    let options = LoginOptions {
        user: "user".into(),
        password: "secret".into(),
        offline: false,
        timeouts: hasty.timeouts,
        hosts: hasty.hosts,
    };
    let error = chain(&image::log_in(&server.host(), &options).unwrap_err());
    assert!(error.contains("at 127.0.0.1"), "{error}");
    let paths: Vec<String> = thief.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/v2/"]);
}
