//! A pull that was killed, or given up, is gone on with: only what is missing is asked for, and nothing is believed before
//! the whole has its digest. What nobody goes on with is found, counted and removed.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::json;
use tests::image::{Blob, Compression, Flavour};
use tests::server::{Access, Body, Contents, ImageServer, Reply};
use tests::{Host, Image, Running, Tarball, wait};

/// Bytes that no compression makes fewer: xorshift.
fn noise(count: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

/// Busybox, a word, and three megabytes on top.
fn image(word: &str, compression: Compression) -> Image {
    Image::busybox()
        .with(Tarball::new().file("word", 0o644, word))
        .with(Tarball::new().file("noise", 0o644, noise(3_000_000, 1 + word.len() as u64)))
        .set("Cmd", json!(["sh", "-c", "cat /word; wc -c < /noise"]))
        .packed(compression, Flavour::Oci)
}

fn contents(images: &[(&str, &Image)]) -> Contents {
    let mut contents = Contents::default();
    for (repository, image) in images {
        contents.add(repository, "1", image);
    }
    contents
}

fn partials(host: &Host) -> PathBuf {
    host.root().join("image/partial")
}

fn blobs(host: &Host) -> PathBuf {
    host.root().join("image/blobs/sha256")
}

/// Names and sizes of what interrupted pulls have left.
fn left(host: &Host) -> Vec<(String, u64)> {
    let entries = fs::read_dir(partials(host)).into_iter().flatten().flatten();
    let mut left: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("text");
            (name, entry.metadata().map(|meta| meta.len()).unwrap_or(0))
        })
        .collect();
    left.sort();
    left
}

fn hex(blob: &Blob) -> String {
    blob.digest().trim_start_matches("sha256:").to_owned()
}

/// A registry that gives `count` bytes of a layer and then nothing, until it is told to be `honest`.
struct Stalling {
    server: ImageServer,
    honest: Arc<AtomicBool>,
    layer: Blob,
    /// Those that come whole.
    others: Vec<Blob>,
    count: usize,
}

impl Stalling {
    fn new(image: &Image, count: usize) -> Self {
        let mut others = image.packed_layers();
        let layer = others.pop().expect("layers");
        let honest = Arc::new(AtomicBool::new(false));
        let (is_honest, stalling) = (Arc::clone(&honest), layer.clone());
        let server = ImageServer::twisted(contents(&[("a", image)]), Access::Open, move |request, reply| {
            if is_honest.load(Ordering::Relaxed) || !request.target.ends_with(&stalling.digest()) {
                return reply;
            }
            reply.lying(Body::Stalling(stalling.bytes[..count].to_vec(), stalling.bytes.len() as u64))
        });
        Self { server, honest, layer, others, count }
    }

    fn name(&self) -> String {
        format!("{}/a:1", self.server.name())
    }

    /// Starts a pull, and waits until all that there will be is on the disk.
    #[track_caller]
    fn begin(&self, host: &Host) -> Running {
        let client = host.spawn(["pull", &self.name()]);
        let expected = (hex(&self.layer), self.count as u64);
        wait::until("the bytes that come", || left(host).contains(&expected).then_some(()));
        for other in &self.others {
            let blob = blobs(host).join(hex(other));
            wait::until("a layer that comes whole", || blob.exists().then_some(()));
        }
        client
    }

    /// From now on it is honest.
    fn mend(&self) {
        self.honest.store(true, Ordering::Relaxed);
    }

    /// The `Range` of each request for the layer.
    fn ranges(&self) -> Vec<Option<String>> {
        let digest = self.layer.digest();
        let asked = self.server.requests().into_iter().filter(|request| request.target.ends_with(&digest));
        asked.map(|request| request.field("range").map(str::to_owned)).collect()
    }
}

/// It runs, nothing is left, and the store is as it should be.
#[track_caller]
fn whole(host: &Host, name: &str, word: &str) {
    host.mini(["run", "--rm", "--pull=never", name]).run().ok().stdout(&format!("{word}3000000\n"));
    assert_eq!(left(host), []);
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn after_a_kill_the_next_pull_asks_for_the_rest_alone() {
    for (compression, count, signal) in [
        (Compression::None, 1_500_000, Signal::KILL),
        (Compression::Gzip, 2_000_000, Signal::KILL),
        (Compression::Zstd, 700_001, Signal::INT),
    ] {
        let host = Host::new();
        let stalling = Stalling::new(&image("one", compression), count);
        let client = stalling.begin(&host);
        client.signal(signal);
        assert!(!client.wait().status.success());
        host.mini(["images", "-q"]).run().ok().stdout("");
        stalling.mend();
        let said = host.mini(["pull", &stalling.name()]).run().ok();
        said.stderr_has("Resuming: ");
        assert_eq!(stalling.ranges(), [None, Some(format!("bytes={count}-"))]);
        let size = stalling.layer.bytes.len() as u64;
        assert_eq!(stalling.server.sent(&stalling.layer.digest()), size, "bytes came twice");
        whole(&host, &stalling.name(), "one");
    }
}

#[test]
fn every_killed_pull_leaves_more() {
    let host = Host::new();
    let image = image("more", Compression::None);
    let layer = image.packed_layers().pop().expect("layers");
    let (bytes, digest) = (layer.bytes.clone(), layer.digest());
    let server = ImageServer::twisted(contents(&[("a", &image)]), Access::Open, move |request, reply| {
        let begin = request.field("range").and_then(|range| range[6..].trim_end_matches('-').parse().ok());
        let begin: usize = begin.unwrap_or(0);
        let end = begin + 1_000_000;
        if !request.target.ends_with(&digest) || end > bytes.len() {
            return reply;
        }
        reply.lying(Body::Stalling(bytes[begin..end].to_vec(), (bytes.len() - begin) as u64))
    });
    let name = format!("{}/a:1", server.name());
    for million in 1..=3 {
        let client = host.spawn(["pull", &name]);
        let expected = vec![(hex(&layer), million * 1_000_000)];
        wait::until("another million", || (left(&host) == expected).then_some(()));
        client.signal(Signal::KILL);
        client.wait();
    }
    host.mini(["pull", &name]).run().ok();
    assert_eq!(server.sent(&layer.digest()), layer.bytes.len() as u64, "bytes came twice");
    whole(&host, &name, "more");
}

#[test]
fn who_waited_for_a_killed_pull_goes_on_with_it() {
    let host = Host::new();
    let stalling = Stalling::new(&image("two", Compression::Gzip), 1_000_000);
    let first = stalling.begin(&host);
    stalling.mend();
    let mut second = host.spawn(["pull", &stalling.name()]);
    second.stderr_has("Waiting");
    first.signal(Signal::KILL);
    first.wait();
    second.wait().ok();
    assert_eq!(stalling.ranges(), [None, Some("bytes=1000000-".to_owned())]);
    whole(&host, &stalling.name(), "two");
}

/// What a power loss may leave: as many bytes as there were, and other ones.
#[test]
fn a_beginning_that_is_damaged_is_fetched_again() {
    let image = image("three", Compression::Gzip);
    let layer = image.packed_layers().pop().expect("layers");
    let size = layer.bytes.len();
    for (length, keeps) in
        [(1_000_000, 500_000), (1_000_000, 0), (size, size - 4096), (size, 0), (size + 9, size)]
    {
        let host = Host::new();
        let server = ImageServer::open(contents(&[("a", &image)]));
        let name = format!("{}/a:1", server.name());
        fs::create_dir_all(partials(&host)).expect("make a directory");
        let mut damaged = layer.bytes[..keeps].to_vec();
        damaged.resize(length, 0);
        fs::write(partials(&host).join(hex(&layer)), damaged).expect("write");
        host.mini(["pull", &name]).run().ok();
        whole(&host, &name, "three");
        let sent = server.sent(&layer.digest());
        assert!(sent <= 2 * size as u64, "{length} with {keeps}: {sent} bytes of {size}");
    }
}

#[test]
fn a_pull_that_gave_up_is_gone_on_with_and_leaves_nothing_to_find_fault_with() {
    let host = Host::new();
    let image = image("four", Compression::None);
    let layers = image.packed_layers();
    let (layer, length) = (layers[2].clone(), layers[2].bytes.len() as u64);
    let honest = Arc::new(AtomicBool::new(false));
    let (is_honest, digest, half) = (Arc::clone(&honest), layer.digest(), layer.bytes[..1_000_000].to_vec());
    let others: Vec<_> = layers[..2].iter().map(|other| blobs(&host).join(hex(other))).collect();
    let server = ImageServer::twisted(contents(&[("a", &image)]), Access::Open, move |request, reply| {
        match request.target.ends_with(&digest) && !is_honest.load(Ordering::Relaxed) {
            true if request.field("range").is_some() => {
                // It gives up when the others are there.
                wait::until("the other layers", || others.iter().all(|blob| blob.exists()).then_some(()));
                Reply::new(503, "")
            }
            true => reply.lying(Body::Claiming(half.clone(), length)),
            false => reply,
        }
    });
    let name = format!("{}/a:1", server.name());
    host.mini(["pull", &name]).run().error(1, &["503"]);
    assert_eq!(left(&host).len(), 3, "layers that came whole, and one that did not: {:?}", left(&host));
    host.mini(["system", "check"]).run().ok().stdout("");
    honest.store(true, Ordering::Relaxed);
    host.mini(["pull", &name]).run().ok();
    for layer in layers {
        assert_eq!(server.sent(&layer.digest()), layer.bytes.len() as u64, "bytes came twice");
    }
    whole(&host, &name, "four");
}

#[test]
fn layers_that_a_killed_pull_had_whole_outlive_another_pull() {
    let host = Host::new();
    let image = image("five", Compression::None);
    let stalling = Stalling::new(&image, 1_000_000);
    let client = stalling.begin(&host);
    let middle = &image.packed_layers()[1];
    client.signal(Signal::KILL);
    client.wait();
    let other = ImageServer::open(contents(&[("b", &Image::of([Tarball::new().file("x", 0o644, "x")]))]));
    host.mini(["pull", &format!("{}/b:1", other.name())]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
    stalling.mend();
    host.mini(["pull", &stalling.name()]).run().ok();
    assert_eq!(stalling.server.fetched(&middle.digest()), 1, "a whole layer was fetched again");
    whole(&host, &stalling.name(), "five");
}

#[test]
fn an_image_that_is_refused_leaves_no_beginning() {
    let host = Host::new();
    let image = image("six", Compression::None);
    let layer = image.packed_layers().pop().expect("layers");
    let digest = layer.digest();
    let server = ImageServer::twisted(contents(&[("a", &image)]), Access::Open, move |request, reply| {
        let mut bytes = layer.bytes.clone();
        bytes[2_000_000] ^= 1;
        if request.target.ends_with(&layer.digest()) { reply.lying(Body::Whole(bytes)) } else { reply }
    });
    host.mini(["pull", &format!("{}/a:1", server.name())]).run().error(1, &[&digest, "digest"]);
    assert_eq!(left(&host), []);
    host.mini(["system", "check"]).run().ok().stdout("");
}

/// A host with a beginning of 1 MB, and another that nobody has touched for eight days.
fn host_with_two() -> (Host, [String; 2]) {
    let host = Host::new();
    let names = ["seven", "and eight"].map(|word| {
        let stalling = Stalling::new(&image(word, Compression::None), 1_000_000);
        let client = stalling.begin(&host);
        client.signal(Signal::KILL);
        client.wait();
        hex(&stalling.layer)
    });
    host.mini(["system", "check", "--repair"]).run().ok();
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    File::open(partials(&host).join(&names[1])).and_then(|file| file.set_modified(old)).expect("set a time");
    (host, names)
}

#[test]
fn what_is_left_is_counted() {
    let (host, _) = host_with_two();
    let rows = host.mini(["system", "df", "--format", "json"]).run().ok().json_lines();
    let images = rows.iter().find(|row| row["Type"] == "Images").expect("a row");
    assert_eq!((&images["Size"], &images["Reclaimable"]), (&json!("2MB"), &json!("2MB (100%)")));
    host.mini(["system", "df", "-v"]).run().ok().stdout_has("Interrupted downloads: 2MB\n");
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn what_is_stale_is_found_and_repaired() {
    let (host, [fresh, stale]) = host_with_two();
    let found = host.mini(["system", "check"]).run().code(1);
    found.stdout_has(&format!("partial/{stale}")).stdout_lacks(&fresh);
    host.mini(["system", "check", "--repair"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
    assert_eq!(left(&host), [(fresh, 1_000_000)]);
}

#[test]
fn what_is_stale_is_pruned_and_everything_is_with_a() {
    let (host, [fresh, stale]) = host_with_two();
    let pruned = host.mini(["image", "prune", "-f"]).run().ok();
    pruned.stdout_has(&stale).stdout_has("Total reclaimed space: 1MB").stdout_lacks(&fresh);
    host.mini(["image", "prune", "-a", "-f", "--filter", "until=1h"]).run().ok();
    assert_eq!(left(&host).len(), 1, "it came later");
    host.mini(["system", "prune", "-a", "-f"]).run().ok().stdout_has(&fresh);
    assert_eq!(left(&host), []);
}

#[test]
fn the_next_pull_removes_what_is_stale() {
    let (host, [fresh, _]) = host_with_two();
    let other = ImageServer::open(contents(&[("b", &Image::of([Tarball::new().file("x", 0o644, "x")]))]));
    host.mini(["pull", &format!("{}/b:1", other.name())]).run().ok();
    assert_eq!(left(&host), [(fresh, 1_000_000)]);
}

#[test]
fn nobody_prunes_what_is_being_fetched() {
    let host = Host::new();
    let stalling = Stalling::new(&image("nine", Compression::None), 1_000_000);
    let client = stalling.begin(&host);
    host.mini(["image", "prune", "-a", "-f"]).run().ok().stdout_has("Total reclaimed space: 0B");
    host.mini(["system", "check", "--repair"]).run().ok().stdout("");
    assert_eq!(left(&host), [(hex(&stalling.layer), 1_000_000)]);
    client.signal(Signal::KILL);
    client.wait();
    stalling.mend();
    host.mini(["pull", &stalling.name()]).run().ok();
    whole(&host, &stalling.name(), "nine");
}
