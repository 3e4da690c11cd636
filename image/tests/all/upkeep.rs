//! What happens to a store over time: images go, processes are killed at work, disks lose files.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use image::{Digest, Fault, Finding, Problem, RemoveError, Removed, Use};

use crate::archive::{Tar, docker_archive};
use crate::images::{TestStore, chain, read};

fn base() -> Vec<u8> {
    Tar::new().file("base", b"base").finish()
}

fn unused(_: &Digest) -> Option<Use> {
    None
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn an_image_goes_with_its_last_name_and_shared_layers_stay() {
    let test = TestStore::new();
    let empty = test.files();
    let top = Tar::new().file("top", b"top").hard_link("link", "base").finish();
    let one = test.load(&docker_archive(&[base(), top.clone()], &["one", "uno"])).unwrap()[0].id;
    let two = test.load(&docker_archive(&[base()], &["two"])).unwrap()[0].id;
    assert_eq!(
        test.store.remove("uno", false, true, &unused).unwrap(),
        [Removed::Untagged("uno:latest".into())]
    );
    let removed = test.store.remove("one", false, true, &unused).unwrap();
    let chain_id = Digest::of(format!("{} {}", Digest::of(&base()), Digest::of(&top)).as_bytes());
    let expected =
        [Removed::Untagged("one:latest".into()), Removed::Deleted(one), Removed::Deleted(chain_id)];
    assert_eq!(removed, expected);
    assert_eq!(read(&test.store.resolve("two").unwrap().layers[0], "base"), "base");
    assert_eq!(entries(&test.root.join("layers")).len(), 1);
    assert!(entries(&test.root.join("chains")).is_empty());
    let removed = test.store.remove(&two.hex()[..6], false, true, &unused).unwrap();
    assert_eq!(removed.last(), Some(&Removed::Deleted(Digest::of(&base()))));
    assert_eq!(test.files(), empty, "the store is as it was in the beginning");
    assert!(matches!(test.store.remove("two", false, true, &unused), Err(RemoveError::Resolve(_))));
}

#[test]
fn what_a_container_uses_stays() {
    let test = TestStore::new();
    let id = test.load(&docker_archive(&[base()], &["app"])).unwrap()[0].id;
    let user = RefCell::new(Some(Use { container: "c1".into(), is_running: true }));
    let in_use = |image: &Digest| user.borrow().clone().filter(|_| *image == id);
    let error = chain(&test.store.remove("app", false, true, &in_use).unwrap_err());
    assert!(error.contains("(must force) - container c1 is using its referenced image"), "{error}");
    let error = chain(&test.store.remove(&id.hex()[..12], true, true, &in_use).unwrap_err());
    assert!(error.contains("cannot be forced"), "{error}");
    user.borrow_mut().as_mut().unwrap().is_running = false;
    let removed = test.store.remove("app", true, true, &in_use).unwrap();
    assert_eq!(removed, [Removed::Untagged("app:latest".into()), Removed::Deleted(id)]);
    // Nobody finds it but who stands on it.
    assert!(test.store.resolve(&id.to_string()).is_err() && test.store.list().unwrap().is_empty());
    test.store.let_go(&in_use).unwrap();
    let image = test.store.image_of_container(&id.to_string()).unwrap();
    assert_eq!((image.tags.len(), read(&image.layers[0], "base")), (0, "base".to_owned()));
    *user.borrow_mut() = None;
    test.store.let_go(&in_use).unwrap();
    assert!(entries(&test.root.join("layers")).is_empty());
    assert!(test.store.image_of_container(&id.to_string()).is_err());
}

#[test]
fn a_pin_keeps_images_until_it_is_dropped() {
    let test = TestStore::new();
    test.load(&docker_archive(&[base()], &["app"])).unwrap();
    let pin = test.store.pin().unwrap();
    let image = test.store.resolve("app").unwrap();
    // What a removal has to take first; it would wait.
    let lock = fs::File::open(test.root.join("lock")).unwrap();
    assert!(lock.try_lock().is_err());
    drop(pin);
    lock.try_lock().unwrap();
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| test.store.remove("app", false, true, &unused).unwrap());
        assert!(!removal.is_finished(), "it waits for the lock");
        assert_eq!(read(&image.layers[0], "base"), "base");
        drop(lock);
        removal.join().unwrap();
    });
    assert!(!image.layers[0].exists());
}

#[test]
fn a_whole_store_has_nothing_to_tell() {
    let test = TestStore::new();
    test.load(&docker_archive(&[base(), Tar::new().file(".wh.base", b"").finish()], &["app"])).unwrap();
    test.load(&docker_archive(&[], &["empty"])).unwrap();
    for repair in [false, true] {
        assert_eq!(test.check(repair, &unused), []);
    }
    assert_eq!(test.store.list().unwrap().len(), 2);
}

/// What is reported, removed, and then gone.
fn repaired(test: &TestStore) -> Vec<Finding> {
    let found = test.check(false, &unused);
    assert!(found.iter().all(|finding| !finding.is_repaired));
    let repaired = test.check(true, &unused);
    assert!(repaired.iter().all(|finding| finding.is_repaired), "{repaired:?}");
    assert_eq!(test.check(false, &unused), []);
    for finding in &found {
        assert!(repaired.iter().any(|other| other.path == finding.path), "{finding}");
    }
    found
}

#[test]
fn leftovers_of_killed_processes_are_found_and_removed() {
    let test = TestStore::new();
    test.load(&docker_archive(&[base()], &["app"])).unwrap();
    let before = test.files();
    let hex = Digest::of(b"x").hex();
    fs::create_dir_all(test.root.join(format!("ingest/layers-{hex}/tree/deep/er"))).unwrap();
    fs::create_dir_all(test.root.join(format!("layers/{hex}/tree"))).unwrap();
    fs::write(test.root.join(format!("layers/{hex}/layer.json")), "{").unwrap();
    fs::create_dir_all(test.root.join(format!("chains/{hex}/tree"))).unwrap();
    fs::write(test.root.join(format!("blobs/sha256/{hex}")), "x").unwrap();
    fs::write(test.root.join("blobs/sha256/.part.new"), "x").unwrap();
    fs::write(test.root.join(format!("images/{hex}.json")), "{}").unwrap();
    let found = repaired(&test);
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found.iter().filter(|finding| finding.problem == Problem::Abandoned).count(), 1);
    assert_eq!(test.files(), before);
}

#[test]
fn the_next_load_clears_up_too() {
    let test = TestStore::new();
    let hex = Digest::of(b"x").hex();
    fs::create_dir_all(test.root.join(format!("ingest/layers-{hex}/tree/deep/er"))).unwrap();
    fs::create_dir_all(test.root.join(format!("layers/{hex}/tree"))).unwrap();
    test.load(&docker_archive(&[base()], &["app"])).unwrap();
    assert!(entries(&test.root.join("ingest")).is_empty());
    assert_eq!(entries(&test.root.join("layers")).len(), 1);
}

#[test]
fn what_somebody_is_working_on_is_left_alone() {
    let test = TestStore::new();
    let held = test.root.join("ingest/layers-held");
    fs::create_dir(&held).unwrap();
    let holder = fs::File::open(&held).unwrap();
    holder.lock().unwrap();
    assert_eq!(test.check(true, &unused), []);
    assert!(held.exists());
    // A pull at work has things without a name, in whatever directory.
    let active = fs::File::open(test.root.join("active")).unwrap();
    active.lock_shared().unwrap();
    let layer = test.root.join("layers").join(Digest::of(b"new").hex());
    fs::create_dir(&layer).unwrap();
    assert_eq!(test.check(true, &unused), []);
    assert!(layer.exists());
    drop((holder, active));
    assert_eq!(test.check(true, &unused).len(), 2);
}

#[test]
fn images_with_broken_parts_are_told_and_mended_or_removed() {
    type Damage = fn(&Path, &str);
    let damage: [(&str, Damage); 7] = [
        ("a blob is gone", |root, hex| fs::remove_file(root.join("blobs/sha256").join(hex)).unwrap()),
        ("a blob is cut", |root, hex| fs::write(root.join("blobs/sha256").join(hex), "x").unwrap()),
        ("a blob has other bytes", |root, hex| {
            let path = root.join("blobs/sha256").join(hex);
            let mut bytes = fs::read(&path).unwrap();
            bytes[600] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a layer is gone", |root, hex| fs::remove_dir_all(root.join("layers").join(hex)).unwrap()),
        ("a file of a layer is gone", |root, hex| {
            fs::remove_file(root.join("layers").join(hex).join("tree/base")).unwrap();
        }),
        ("a file of a layer is empty", |root, hex| {
            fs::write(root.join("layers").join(hex).join("tree/base"), "").unwrap();
        }),
        ("the image's record is empty", |root, _| {
            for record in entries(&root.join("images")) {
                fs::write(record, "").unwrap();
            }
        }),
    ];
    for (name, damage) in damage {
        let test = TestStore::new();
        let archive = docker_archive(&[base()], &["app"]);
        test.load(&archive).unwrap();
        damage(&test.root, &Digest::of(&base()).hex());
        let found = repaired(&test);
        let broken = found.iter().filter(
            |finding| matches!(&finding.problem, Problem::Broken { image, .. } if image == "app:latest"),
        );
        assert_eq!(broken.count(), 1, "{name}: {found:?}");
        assert!(found[0].to_string().contains("app:latest is not whole"), "{name}: {}", found[0]);
        // A layer is in its blob too, a blob nowhere else.
        let is_gone = name.starts_with("a blob");
        assert_eq!(test.store.resolve("app").is_err(), is_gone, "{name}");
        test.load(&archive).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!(read(&test.store.resolve("app").unwrap().layers[0], "base"), "base", "{name}");
        assert_eq!(test.check(false, &unused), [], "{name}");
    }
}

#[test]
fn a_broken_image_in_use_is_only_told_of() {
    let test = TestStore::new();
    let id = test.load(&docker_archive(&[base()], &["app"])).unwrap()[0].id;
    fs::remove_file(test.root.join("blobs/sha256").join(Digest::of(&base()).hex())).unwrap();
    let in_use = |image: &Digest| (*image == id).then(|| Use { container: "c1".into(), is_running: true });
    let found = test.check(true, &in_use);
    let expected = Problem::Broken { id, image: "app:latest".into(), part: Fault::Missing };
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].problem, found[0].is_repaired), (&expected, false));
    assert!(test.store.resolve("app").unwrap().layers[0].exists());
}

#[test]
fn layers_of_before_a_power_loss_are_made_anew() {
    let test = TestStore::new();
    let layer = base();
    test.load(&docker_archive(std::slice::from_ref(&layer), &["app"])).unwrap();
    let directory = test.root.join("layers").join(Digest::of(&layer).hex());
    // As if the machine had lost power after the layer was unpacked, and before an image referred to it.
    fs::write(test.root.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let record = fs::read_to_string(directory.join("layer.json")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let earlier = record.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
    assert_ne!(earlier, record);
    fs::write(directory.join("layer.json"), earlier).unwrap();
    fs::write(directory.join("tree/base"), "").unwrap();
    fs::write(test.root.join("blobs/sha256").join(Digest::of(&layer).hex()), "").unwrap();
    test.load(&docker_archive(&[layer], &["app"])).unwrap();
    assert_eq!(read(&test.store.resolve("app").unwrap().layers[0], "base"), "base");
    assert_eq!(test.check(false, &unused), []);
}

#[test]
fn layers_in_which_nothing_is_are_always_the_same() {
    let nothing_for_mini = Tar::new().file(".wh..wh.aufs", b"").finish();
    for layers in [vec![], vec![Tar::new().finish()], vec![nothing_for_mini]] {
        let test = TestStore::new();
        let image = test.load_layers(&layers).unwrap();
        let root = image.layers[0].metadata().unwrap();
        assert_eq!((root.mtime(), root.mtime_nsec()), (0, 0), "{} layers", layers.len());
        // Every layer is unpacked once more, and compared.
        let findings = test.store.check(&image::Check { deep: true, in_use: &unused, repair: None }).unwrap();
        assert_eq!(findings, [], "{} layers", layers.len());
    }
}
