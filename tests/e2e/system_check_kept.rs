//! `mini system check` of images that `rmi -f` removed while a stopped container stands on them.

use std::fs;
use std::path::{Path, PathBuf};

use tests::registry::Registry;
use tests::{Host, Image, Output};

use crate::system_check_store::{Store, blob, flip, saying};

/// Digits of the image that says a word.
fn hex(word: &str) -> String {
    saying(word).configuration().digest()[7..].to_owned()
}

/// Has a container of the image of that name, which then goes.
fn remove_in_use(host: &Host, image: &str) {
    host.mini(["run", "--name", "user", image]).run().ok().stdout("word");
    host.mini(["rmi", "-f", &hex("word")]).run().ok().stdout_has("Deleted: ");
    Store::of(host).is_sound();
}

/// A host on which a removed image is kept for the container `user`. Nobody can fetch it.
fn kept() -> Host {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    remove_in_use(&host, "x:1");
    host
}

fn mark(store: &Store<'_>) -> PathBuf {
    store.root.join("kept").join(hex("word"))
}

fn record(store: &Store<'_>) -> PathBuf {
    store.root.join("images").join(format!("{}.json", hex("word")))
}

fn cut(file: &Path) {
    let whole = fs::read(file).expect("read");
    fs::write(file, &whole[..whole.len() / 2]).expect("cut it");
}

/// What is mended does not bring the image back, and the container runs.
#[track_caller]
fn user_starts(host: &Host) {
    host.mini(["images", "-aq"]).run().ok().stdout("");
    host.mini(["start", "-a", "user"]).run().ok().stdout("word");
}

/// With the container everything goes.
#[track_caller]
fn goes_with_its_container(host: &Host) {
    host.mini(["rm", "user"]).run().ok();
    let store = Store::of(host);
    store.is_sound();
    for directory in ["blobs/sha256", "layers", "images", "kept"] {
        assert_eq!(fs::read_dir(store.root.join(directory)).expect(directory).count(), 0, "{directory}");
    }
}

#[track_caller]
fn repair(host: &Host) -> Output {
    host.mini(["system", "check", "--repair"]).run()
}

#[test]
fn its_layers_and_its_record_are_made_anew() {
    let host = kept();
    let store = Store::of(&host);
    let word = store.layer().join("tree/word");
    type Damage = fn(&Store<'_>, &Path);
    let damages: [(&str, &[&str], Damage); 7] = [
        ("files of", &[], |_, word| fs::remove_file(word).expect("remove")),
        ("/word has other bytes", &["--deep"], |_, word| flip(word, 0)),
        ("missing", &[], |store, _| fs::remove_dir_all(store.layer()).expect("remove")),
        ("malformed", &[], |store, _| cut(&store.layer().join("layer.json"))),
        ("malformed", &[], |store, _| cut(&record(store))),
        ("missing", &[], |store, _| fs::remove_file(record(store)).expect("remove")),
        ("has the digest", &[], |store, _| {
            flip(&store.root.join(blob(&format!("sha256:{}", hex("word")))), 20);
        }),
    ];
    for (named, flags, damage) in damages {
        let time = fs::metadata(&word).and_then(|about| about.modified()).expect("a time");
        damage(&store, &word);
        if let Ok(file) = fs::File::options().write(true).open(&word) {
            file.set_modified(time).expect("set the time");
        }
        let look = host.mini(["system", "check"]).args(flags).run().code(1);
        look.stdout_has(&format!("{}, removed and kept for a container, is not whole", &hex("word")[..12]));
        store.is_mended(flags, named, " (repaired)");
        user_starts(&host);
    }
    goes_with_its_container(&host);
}

#[test]
fn what_is_not_here_is_fetched_again_and_stays_removed() {
    let host = Host::new();
    let (name, blob) = {
        let registry = Registry::start(&host);
        let (name, _) = registry.push("team/image", "1", &saying("word"));
        host.mini(["pull", &name]).run().ok();
        (name, Store::of(&host).layer_blob())
    };
    let port: u16 = name.split([':', '/']).nth(1).and_then(|port| port.parse().ok()).expect("a port");
    remove_in_use(&host, &name);
    let store = Store::of(&host);
    flip(&blob, 40);
    fs::write(store.layer().join("tree/word"), "other").expect("write");
    for _ in 0..2 {
        let output = repair(&host).code(1).stdout_has(" is not whole (not repaired: cannot pull ");
        // The layer is lost with its blob; what is damaged does not run.
        let lost =
            output.text().lines().filter(|line| line.ends_with("cannot be started without it)")).count();
        assert_eq!(lost, 1, "{output}");
        host.mini(["start", "user"]).run().error(1, &["is damaged"]).hints("--repair");
    }
    let _registry = Registry::at(&host, port);
    store.is_mended(&[], "files of", " (repaired)");
    user_starts(&host);
    fs::remove_file(&blob).expect("remove");
    store.is_mended(&[], "missing", " (repaired)");
    user_starts(&host);
    goes_with_its_container(&host);
}

/// A blob without its layer, and a layer without its blob, of an image that came from nowhere.
#[test]
fn what_nobody_can_bring_back_is_said_to_be_lost() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    let blob = Store::of(&host).layer_blob();
    remove_in_use(&host, "x:1");
    let store = Store::of(&host);
    flip(&blob, 40);
    let output = repair(&host).code(1);
    output.stdout_has("and no registry is known to have it)\n").stdout_lacks("cannot be started");
    user_starts(&host);
    fs::write(store.layer().join("tree/word"), "other").expect("write");
    let id = host.mini(["ps", "-aq"]).run().ok().line();
    let lost = format!("no registry is known to have it; container {id} cannot be started without it)");
    repair(&host).code(1).stdout_has(&lost);
    host.mini(["start", "user"]).run().error(1, &["is damaged"]);
    // It can be loaded again, though it is there.
    host.load(&saying("word"), "x:1");
    store.is_sound();
    host.mini(["start", "-a", "user"]).run().ok().stdout("word");
    host.mini(["rmi", "-f", "x:1"]).run().ok();
    goes_with_its_container(&host);
}

/// Its layers stay though nothing says any more which they are.
#[test]
fn no_other_image_takes_its_layers_along() {
    let host = kept();
    let store = Store::of(&host);
    let sweep = || {
        host.load(&Image::busybox(), "busybox:latest");
        host.mini(["rmi", "busybox"]).run().ok();
    };
    cut(&record(&store));
    sweep();
    assert_eq!(fs::read(store.layer().join("tree/word")).expect("read"), b"word");
    store.is_mended(&[], ".json: malformed", " (repaired)");
    user_starts(&host);
    cut(&mark(&store));
    sweep();
    store.is_mended(
        &[],
        "it says what a removed image consists of",
        " (repaired: where the image came from is lost)",
    );
    user_starts(&host);
    for file in [record(&store), mark(&store)] {
        cut(&file);
    }
    sweep();
    let output = repair(&host).code(1);
    output
        .stdout_has("(not repaired: nothing says what it consists of, and no registry is known to have it; container ")
        .stdout_has("(not repaired: the image's record says nothing either)");
    host.mini(["start", "user"]).run().error(1, &["damaged file"]).hints("--repair");
    goes_with_its_container(&host);
}

#[test]
fn what_no_container_needs_goes() {
    let host = kept();
    let store = Store::of(&host);
    let other = store.root.join("kept").join(&saying("other").configuration().digest()[7..]);
    for (path, named) in [
        (&other, "a removed image that no container needs any more"),
        (&store.root.join("kept/.half.new"), ".half.new: left by"),
    ] {
        fs::write(path, fs::read(mark(&store)).expect("read")).expect("write");
        store.is_mended(&[], named, " (repaired)");
        user_starts(&host);
    }
    fs::write(store.root.join("kept/notes.txt"), "mine").expect("write");
    host.mini(["system", "check"]).run().code(1).stdout_has("kept/notes.txt: not mini's\n");
    repair(&host).code(1).stdout_has("(not repaired: nobody knows");
    fs::remove_file(store.root.join("kept/notes.txt")).expect("it is still there");
    // One that is back needs no mark: a load takes it away, and a check what was left.
    let left = fs::read(mark(&store)).expect("read");
    host.load(&saying("word"), "x:1");
    store.is_sound();
    assert!(!mark(&store).exists());
    fs::write(mark(&store), left).expect("write");
    store.is_mended(&[], &format!("kept/{}: left by", hex("word")), " (repaired)");
    host.mini(["start", "-a", "user"]).run().ok().stdout("word");
    // What a container needed until it was lost.
    host.mini(["rmi", "-f", "x:1"]).run().ok();
    let id = host.mini(["ps", "-aq", "--no-trunc"]).run().ok().line();
    fs::remove_dir_all(host.root().join("containers").join(id)).expect("remove");
    repair(&host).ok().stdout_has("needs any more (repaired)").stdout_has("no image needs it (repaired)");
    store.is_sound();
    assert_eq!(fs::read_dir(store.root.join("layers")).expect("layers").count(), 0);
}

#[test]
fn a_container_that_runs_on_it_is_left_alone() {
    let host = Host::new();
    host.load(&saying("word"), "x:1");
    host.mini(["create", "--name", "user", "x:1", "sleep", "1000"]).run().ok();
    host.mini(["rmi", "-f", "x:1"]).run().ok().stdout_has("Deleted: ");
    host.mini(["start", "user"]).run().ok();
    let store = Store::of(&host);
    fs::write(store.layer().join("tree/word"), "wrong").expect("write");
    repair(&host).code(1).stdout_has("runs on it: stop it first)");
    host.mini(["exec", "user", "true"]).run().ok();
    host.mini(["stop", "-t", "0", "user"]).run().ok();
    repair(&host).ok().stdout_has(" (repaired)");
    host.mini(["start", "user"]).run().ok();
    host.mini(["exec", "user", "cat", "/word"]).run().ok().stdout("word");
    host.mini(["rm", "-f", "user"]).run().ok();
    store.is_sound();
}
