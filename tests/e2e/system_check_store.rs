//! `mini system check` of the image store: one test for each kind of thing that it keeps, damaged as disks and people do it.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::registry::Registry;
use tests::{Host, Image, Tarball};

/// busybox, and a layer with a file that says a word.
pub(crate) fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// The store of a host.
pub(crate) struct Store<'host> {
    host: &'host Host,
    pub(crate) root: PathBuf,
}

impl<'host> Store<'host> {
    pub(crate) fn of(host: &'host Host) -> Self {
        Self { host, root: host.root().join("image") }
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.root.join(path)).expect("read")).expect("JSON")
    }

    fn manifest(&self) -> Value {
        let index = self.json("index.json");
        self.json(&blob(index["manifests"][0]["digest"].as_str().expect("a digest")))
    }

    /// The blob of the topmost layer.
    pub(crate) fn layer_blob(&self) -> PathBuf {
        let manifest = self.manifest();
        let layers = manifest["layers"].as_array().expect("layers");
        self.root.join(blob(layers.last().expect("a layer")["digest"].as_str().expect("a digest")))
    }

    /// The directory of the layer with `/word`.
    pub(crate) fn layer(&self) -> PathBuf {
        let layers =
            fs::read_dir(self.root.join("layers")).expect("layers").flatten().map(|entry| entry.path());
        layers.into_iter().find(|layer| layer.join("tree/word").exists()).expect("the layer")
    }

    /// It is found by a look, which changes nothing, repaired as `how` says, and gone.
    #[track_caller]
    pub(crate) fn is_mended(&self, flags: &[&str], named: &str, how: &str) {
        let look = || self.host.mini(["system", "check"]).args(flags).run().code(1).stdout_has(named);
        assert_eq!(look().text(), look().text(), "looking changes nothing");
        let repair = self.host.mini(["system", "check", "--repair"]).args(flags).run().ok();
        let line = repair.text().lines().find(|line| line.contains(named)).map(str::to_owned);
        assert!(line.as_ref().is_some_and(|line| line.ends_with(how)), "{repair}");
        self.is_sound();
    }

    #[track_caller]
    pub(crate) fn is_sound(&self) {
        self.host.mini(["system", "check"]).run().ok().stdout("");
        self.host.mini(["system", "check", "--deep"]).run().ok().stdout("");
    }
}

/// Where the store keeps a blob.
pub(crate) fn blob(digest: &str) -> String {
    format!("blobs/sha256/{}", &digest[7..])
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("write");
}

#[test]
fn a_bit_of_a_blob_is_fetched_again() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let (name, _) = registry.push("team/image", "1", &saying("word"));
    host.mini(["pull", &name]).run().ok();
    let store = Store::of(&host);
    let blob = store.layer_blob();
    let whole = fs::read(&blob).expect("read");
    flip(&blob, 40);
    store.is_mended(&[], "has the digest sha256:", " (repaired)");
    assert_eq!(fs::read(&blob).expect("read"), whole);
    fs::remove_file(&blob).expect("remove");
    store.is_mended(&[], "missing", " (repaired)");
    // Configuration and manifest, too.
    let manifest = store.json("index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let config = store.manifest()["config"]["digest"].as_str().expect("a digest").to_owned();
    for digest in [manifest, config] {
        let path = store.root.join(self::blob(&digest));
        flip(&path, 20);
        store.is_mended(&[], &digest[7..19], " (repaired)");
    }
    host.mini(["run", "--rm", "--pull=never", &name]).run().ok().stdout("word");
    assert_eq!(host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().line(), name);
}

/// What cannot be fetched is said to be damaged, and the next pull fetches it though the image is there.
#[test]
fn what_cannot_be_fetched_stays_marked_until_somebody_pulls() {
    let host = Host::new();
    let image = saying("word");
    let name = {
        let registry = Registry::start(&host);
        let (name, _) = registry.push("team/image", "1", &image);
        host.mini(["pull", &name]).run().ok();
        name
    };
    let port: u16 = name.split([':', '/']).nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let store = Store::of(&host);
    let blob = store.layer_blob();
    flip(&blob, 40);
    for _ in 0..2 {
        let output = host.mini(["system", "check", "--repair"]).run().code(1);
        output.stdout_has(" is not whole (not repaired: cannot pull ").stdout_has(&name[..name.len() - 2]);
    }
    // Its files are whole, and it runs.
    host.mini(["run", "--rm", "--pull=never", &name]).run().ok().stdout("word");
    // With a layer damaged too nothing is here to make it of: it does not run before it is fetched.
    fs::write(store.layer().join("tree/word"), "other").expect("write");
    host.mini(["system", "check", "--repair"])
        .run()
        .code(1)
        .stdout_has("files of")
        .stdout_has("not repaired");
    host.mini(["run", "--rm", "--pull=never", &name]).run().error(125, &["is damaged"]).hints("--repair");
    host.mini(["run", "--rm", &name]).run().code(125);
    let _registry = Registry::at(&host, port);
    let output = host.mini(["run", "--rm", &name]).run().ok().stdout("word");
    assert!(output.err().contains("is damaged: it is fetched again"), "{output}");
    store.is_sound();
    flip(&blob, 40);
    fs::remove_file(&blob).expect("remove");
    store.is_mended(&[], "missing", " (repaired)");
}

#[test]
fn a_layer_is_made_anew_of_its_blob() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    let word = store.layer().join("tree/word");
    type Damage = fn(&Path);
    let damages: [(&str, &[&str], Damage); 7] = [
        ("files of", &[], |word| fs::remove_file(word).expect("remove")),
        ("files of", &[], |word| fs::write(word, "").expect("write")),
        ("files of", &[], |word| fs::write(word.with_file_name("stray"), "x").expect("write")),
        ("/word has other bytes", &["--deep"], |word| flip(word, 0)),
        ("/word has another mode", &["--deep"], |word| {
            fs::set_permissions(word, PermissionsExt::from_mode(0o4755)).expect("chmod");
        }),
        ("/word has another owner", &["--deep"], |word| {
            std::os::unix::fs::chown(word, Some(7), None).expect("chown");
        }),
        ("missing", &[], |word| {
            fs::remove_dir_all(word.parent().expect("the tree")).expect("remove");
        }),
    ];
    for (named, flags, damage) in damages {
        let time = fs::metadata(&word).and_then(|about| about.modified()).expect("a time");
        damage(&word);
        if let Ok(file) = fs::File::options().write(true).open(&word) {
            file.set_modified(time).expect("set the time");
        }
        if !flags.is_empty() {
            // Only a deep look sees it.
            host.mini(["system", "check"]).run().ok().stdout("");
        }
        store.is_mended(flags, named, " (repaired)");
        host.mini(["run", "--rm", "x:1"]).run().ok().stdout("word");
    }
    rustix::fs::setxattr(&word, "trusted.stray", b"x", rustix::fs::XattrFlags::CREATE).expect("setxattr");
    store.is_mended(&["--deep"], "/word has other extended attributes", " (repaired)");
    fs::write(store.layer().join("layer.json"), "{\"version\":").expect("write");
    store.is_mended(&[], "malformed", " (repaired)");
    fs::remove_file(store.layer().join("layer.json")).expect("remove");
    store.is_mended(&[], "missing", " (repaired)");
    assert_eq!(host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().line(), "x:1");
}

/// A name in an image is anything but a terminal's command.
#[test]
fn a_hostile_name_is_told_without_its_control_characters() {
    let host = Host::new();
    let image = Image::busybox().with(Tarball::new().file("evil\x1b]0;owned\x07\nname", 0o644, "word"));
    host.load(&image, "x:1");
    let layers = fs::read_dir(host.root().join("image/layers")).expect("layers").flatten();
    let evil =
        layers.map(|layer| layer.path().join("tree/evil\x1b]0;owned\x07\nname")).find(|path| path.exists());
    flip(&evil.expect("the file"), 0);
    let output = host.mini(["system", "check", "--deep"]).run().code(1);
    assert_eq!(output.lines().len(), 1, "{output}");
    assert!(output.text().trim_end().chars().all(|c| !c.is_control()), "{output}");
}

#[test]
fn a_record_is_written_anew() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    let id = saying("word").configuration().digest();
    let record = store.root.join("images").join(format!("{}.json", &id[7..]));
    let whole = fs::read(&record).expect("read");
    fs::write(&record, &whole[..whole.len() / 2]).expect("cut it");
    store.is_mended(&[], "malformed", " (repaired)");
    fs::remove_file(&record).expect("remove");
    store.is_mended(&[], "missing", " (repaired)");
    assert_eq!(fs::read(&record).expect("read"), whole);
    // A loaded image's configuration is in its record, too.
    flip(&store.root.join(blob(&id)), 20);
    store.is_mended(&[], "has the digest", " (repaired)");
    host.mini(["run", "--rm", "x:1"]).run().ok().stdout("word");
}

#[test]
fn the_index_is_made_anew_and_its_names_are_lost() {
    let host = Host::new();
    let image = saying("word");
    host.load(&image, "x:1");
    host.load(&Image::busybox(), "busybox:latest");
    let store = Store::of(&host);
    fs::write(store.root.join("index.json"), "{\"schemaVersion\":2,\"manif").expect("cut it");
    fs::remove_file(store.root.join("oci-layout")).expect("remove");
    host.mini(["images"]).run().code(1);
    store.is_mended(&[], "index.json: malformed", "listed as <none>)");
    assert_eq!(host.mini(["images", "-q"]).run().ok().lines().len(), 2);
    host.mini(["run", "--rm", &image.configuration().digest()]).run().ok().stdout("word");
    fs::write(store.root.join("oci-layout"), "{}").expect("write");
    store.is_mended(&[], "oci-layout: malformed", " (repaired)");
}

/// What `rmi` leaves when it is killed after it has written the index.
#[test]
fn an_image_without_an_entry_is_nobodys() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    fs::write(store.root.join("index.json"), "{\"schemaVersion\":2,\"manifests\":[]}").expect("write");
    let id = saying("word").configuration().digest();
    store.is_mended(&[], &format!("{}.json: no image needs it", &id[7..]), " (repaired)");
    assert_eq!(fs::read_dir(store.root.join("layers")).expect("layers").count(), 0);
}

#[test]
fn leftovers_go_and_strangers_are_told() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    for (path, named) in [
        (".index.json.new", ".index.json.new: left by"),
        ("ingest/layers-half/tree/file", "layers-half: left by"),
        ("blobs/sha256/stray", "stray: no image needs it"),
        ("images/stray.json", "stray.json: no image needs it"),
        ("layers/stray/tree/x", "stray: no image needs it"),
        ("chains/stray/tree/x", "stray: no image needs it"),
    ] {
        let path = store.root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("make it");
        fs::write(path, "x").expect("write");
        store.is_mended(&[], named, " (repaired)");
    }
    for stranger in [store.root.join("notes.txt"), store.layer().join("notes.txt")] {
        fs::write(&stranger, "mine").expect("write");
        host.mini(["system", "check"]).run().code(1).stdout_has("notes.txt: not mini's\n");
        host.mini(["system", "check", "--repair"]).run().code(1).stdout_has("(not repaired: nobody knows");
        fs::remove_file(&stranger).expect("it is still there");
    }
    store.is_sound();
}

#[test]
fn what_a_running_container_stands_on_is_left_alone() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    let container = host.start(["x:1", "sleep", "1000"]);
    fs::write(store.layer().join("tree/word"), "wrong").expect("write");
    let output = host.mini(["system", "check", "--repair"]).run().code(1);
    output.stdout_has(&format!("(not repaired: container {} runs on it: stop it first)", container.short()));
    container.sh("true").ok();
    host.mini(["stop", "-t", "0", &container.id]).run().ok();
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has(" (repaired)");
    host.mini(["start", &container.id]).run().ok();
    container.sh("cat /word").ok().stdout("word");
    store.is_sound();
}

/// Nobody can bring a loaded image back: where no container needs it, it goes, so that it can be loaded again.
#[test]
fn an_image_from_nowhere_goes_unless_it_is_needed() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let store = Store::of(&host);
    host.mini(["create", "--name", "box", "x:1"]).run().ok();
    flip(&store.layer_blob(), 40);
    host.mini(["system", "check", "--repair"]).run().code(1).stdout_has("the image came from no registry)");
    host.mini(["start", "-a", "box"]).run().ok().stdout("word");
    host.mini(["rm", "box"]).run().ok();
    store.is_mended(&[], "is not whole", "load it again)");
    host.mini(["images", "-q"]).run().ok().stdout("");
    host.load(&saying("word"), "x:1");
    host.mini(["run", "--rm", "x:1"]).run().ok().stdout("word");
    store.is_sound();
}
