//! What a narrator hears of a pull.

use std::fmt;
use std::sync::{Arc, Mutex};

use image::PullOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

use crate::archive::{Tar, zstd};
use crate::images::{TestStore, chain};
use crate::registry::{Content, OCI_LAYER, hasty};
use crate::server::Reply;

/// One event: its target, and its fields as `name=value`.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Event {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// Whether it is about a call that begins like this.
    pub(crate) fn is(&self, target: &str, call: &str) -> bool {
        self.target == target && self.field("call").starts_with(call)
    }
}

/// Runs `act` with a narrator that writes everything down.
pub(crate) fn recorded<T>(act: impl FnOnce() -> T) -> (T, Vec<Event>) {
    let recorder = Recorder::default();
    let result = tracing::subscriber::with_default(recorder.clone(), act);
    let events = recorder.0.lock().unwrap().clone();
    (result, events)
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Event>>>);

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("mini::")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let target = event.metadata().target().to_owned();
        self.0.lock().unwrap().push(Event { target, fields: fields.0 });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }
}

#[test]
fn a_pull_tells_one_event_a_layer_and_each_file_before_it_is_made() {
    let layers = [
        Tar::new().dir("d").file("d/a", b"12345").file("d/.wh.b", b"").finish(),
        Tar::new().symlink("l", "d").finish(),
    ];
    let server = Content::image(&layers, "application/vnd.oci.image.layer.v1.tar+zstd", zstd).serve();
    let test = TestStore::new();
    let (pulled, events) = recorded(|| test.pull(&server, "app"));
    pulled.unwrap();
    let unpacked: Vec<&Event> = events.iter().filter(|event| event.is("mini::op", "unpack(")).collect();
    assert_eq!(unpacked.len(), 2);
    let counts = "1 files, 1 directories, 0 links, 5 bytes, 1 whiteouts";
    assert!(unpacked.iter().any(|event| event.field("call").ends_with(counts)), "{unpacked:?}");
    assert!(
        unpacked
            .iter()
            .all(|event| event.field("errno") == "0" && event.field("micros").parse::<u64>().is_ok())
    );
    // Beforehand nobody knows what will be in it.
    let before = events
        .iter()
        .filter(|event| event.is("mini::before", "unpack(") && event.field("call").ends_with(')'));
    assert_eq!(before.count(), 2);
    let mut files: Vec<&str> =
        events.iter().filter(|event| event.target == "mini::file").map(|event| event.field("path")).collect();
    files.sort_unstable();
    assert_eq!(files, ["d", "d/a", "d/b", "l"]);
    for call in ["GET http://", "syncfs(", "renameat2(", "write("] {
        assert!(events.iter().any(|event| event.is("mini::op", call)), "{call}");
        assert!(events.iter().any(|event| event.is("mini::before", call)), "{call}");
    }
    assert!(events.iter().any(|event| event.target == "mini::step" && !event.field("why").is_empty()));
}

#[test]
fn secrets_are_never_told() {
    let server =
        Content::image(&[Tar::new().finish()], OCI_LAYER, <[u8]>::to_vec).serve_with(|request, answer| {
            if request.headers.contains_key("authorization") {
                return answer;
            }
            Reply::Answer(401, vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())], Vec::new())
        });
    // user:secret
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, server.host());
    let options = PullOptions { docker_config: Some(config.into_bytes()), ..hasty() };
    let test = TestStore::new();
    let (pulled, events) = recorded(|| test.pull_with(&server, "app", &options));
    pulled.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let told = format!("{events:?}");
    assert!(
        told.contains("GET http://") && !told.contains("secret") && !told.contains("dXNlcjpzZWNyZXQ="),
        "{told}"
    );
}

#[test]
fn a_failure_is_told_with_the_kernels_answer() {
    // The link replaces the directory that its target is in.
    let layer = Tar::new().file("d/a", b"1").hard_link("d", "d/a").finish();
    let server = Content::image(&[layer], OCI_LAYER, <[u8]>::to_vec).serve();
    let test = TestStore::new();
    let (pulled, events) = recorded(|| test.pull(&server, "app"));
    assert!(chain(&pulled.unwrap_err()).contains("linkat"));
    let unpacked = events.iter().find(|event| event.is("mini::op", "unpack(")).unwrap();
    assert_eq!(unpacked.field("errno"), rustix::io::Errno::NOENT.raw_os_error().to_string());
}

#[test]
fn an_unchanged_image_is_not_written_again() {
    let server = Content::image(&[Tar::new().finish()], OCI_LAYER, <[u8]>::to_vec).serve();
    let test = TestStore::new();
    test.pull(&server, "app").unwrap();
    let (pulled, events) = recorded(|| test.pull(&server, "app"));
    assert_eq!(pulled.unwrap().status, image::PullStatus::UpToDate);
    let calls: Vec<&str> =
        events.iter().filter(|event| event.target == "mini::op").map(|event| event.field("call")).collect();
    let changing = |call: &&&str| !call.starts_with("GET ") && !call.starts_with("flock(");
    assert_eq!(calls.iter().filter(changing).count(), 0, "{calls:?}");
    let asked = calls.iter().filter(|call| call.starts_with("GET ")).count();
    assert_eq!(asked, 1, "the manifest alone: {calls:?}");
}
