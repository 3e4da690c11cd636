//! Pushes that are given up: the registry hears of it, and the user why.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{PushError, PushOptions, Stop};

use crate::archive::{Tar, docker_archive};
use crate::depot::{serve, status};
use crate::images::{TestStore, chain};
use crate::push::{hasty, noise, stored};
use crate::server::Server;

/// Paths of the requests with this method, without what is asked there.
fn asked(server: &Server, method: &str) -> Vec<String> {
    let requests = server.requests();
    let of_it = requests.iter().filter(|request| request.method == method);
    of_it.map(|request| request.path.split('?').next().unwrap().to_owned()).collect()
}

#[test]
fn uploads_that_are_given_up_are_cancelled() {
    // Two layers are under way: one waits for its next attempt when the other one is refused.
    let chunks = Mutex::new(0);
    let (server, _) = serve(move |_, request| {
        let mut chunks = chunks.lock().unwrap();
        *chunks += u32::from(request.method == "PATCH");
        (request.method == "PATCH").then(|| status(if *chunks == 1 { 503 } else { 400 }, &[]))
    });
    let app = format!("{}/app:1", server.host());
    let layers = [0, 1].map(|skip| Tar::new().file("a", &noise(5 << 20)[skip..]).finish());
    let test = TestStore::new();
    test.load(&docker_archive(&layers, &[&app])).unwrap();
    let options = PushOptions { wait: Duration::from_secs(3600), ..hasty() };
    let error = chain(&test.push(&app, &options).unwrap_err());
    assert!(error.contains("400"), "{error}");
    let (mut begun, mut cancelled) = (asked(&server, "PATCH"), asked(&server, "DELETE"));
    // What is small may have been under way, too.
    cancelled.retain(|place| begun.contains(place));
    begun.sort();
    cancelled.sort();
    assert_eq!((begun.len(), &cancelled), (2, &begun));
    assert_eq!(server.requests().last().unwrap().method, "DELETE");
}

#[test]
fn an_upload_that_begins_anew_is_cancelled_before() {
    let failed = Mutex::new(false);
    let (server, depot) = serve(move |_, request| {
        let is_end = request.method == "PUT" && request.path.contains("/uploads/");
        let fails = is_end && !std::mem::replace(&mut *failed.lock().unwrap(), is_end);
        fails.then(|| status(503, &[]))
    });
    let app = format!("{}/app:1", server.host());
    stored(&[&app], 100).push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(depot.lock().unwrap().blobs.len(), 3);
    assert_eq!((asked(&server, "POST").len(), asked(&server, "DELETE").len()), (4, 1));
}

#[test]
fn the_first_cause_is_told_and_not_that_of_the_sweep() {
    let index = Arc::new(Mutex::new(None));
    let known = Arc::clone(&index);
    let (server, _) = serve(move |_, request| {
        (request.method == "POST").then(|| {
            std::fs::write(known.lock().unwrap().as_ref().unwrap(), "{").unwrap();
            status(403, &[])
        })
    });
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 100);
    *index.lock().unwrap() = Some(test.root.join("index.json"));
    let error = chain(&test.push(&app, &hasty()).unwrap_err());
    assert!(error.contains("was denied"), "{error}");
}

#[test]
fn who_ends_it_does_not_wait_for_the_compression() {
    let (server, _) = serve(|_, _| None);
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 5 << 20);
    let before = test.store.resolve(&app).unwrap().manifest;
    let (pipe, into) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&into, &[2]).unwrap();
    let options = PushOptions { stop: Some(Stop::new(pipe)), ..hasty() };
    let ended = test.push(&app, &options);
    assert!(matches!(ended, Err(PushError::Stopped)), "{ended:?}");
    assert_eq!(test.store.resolve(&app).unwrap().manifest, before, "it was compressed to the end");
    test.push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
}
