//! Images that are made here: whatever lies in an upper directory is a layer with the same meaning.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use image::{About, CommitError, CommitOptions, Digest, ImportOptions, Limits, New, Platform, Written};
use rustix::fs::{FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use serde_json::json;

use crate::archive::{Tar, gzip, zstd};
use crate::images::{TestStore, chain, read};

fn about() -> About {
    About {
        config: json!({ "Cmd": ["x"] }),
        created: "2026-01-02T03:04:05Z".to_owned(),
        created_by: "sh".to_owned(),
        ..About::default()
    }
}

fn open(directory: &Path) -> OwnedFd {
    fs::File::open(directory).unwrap().into()
}

fn commit(test: &TestStore, parent: Digest, upper: &Path, name: &str) -> Result<New, CommitError> {
    let name = Some(name.parse().unwrap());
    let options = CommitOptions { parent, name, about: about(), limits: Limits::default() };
    image::commit(&test.store, Some(Written::Upper(open(upper))), options, || true)
}

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o644), device).unwrap();
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).ok()?;
    Some(value[..length].to_vec())
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|stat| stat.rdev() == 0 && stat.mode() & 0o170_000 == 0o020_000)
}

#[test]
fn everything_that_overlay_wrote_means_the_same_in_the_layer() {
    let test = TestStore::new();
    let base = Tar::new()
        .file("gone", b"x")
        .dir("dir/")
        .file("dir/old", b"x")
        .dir("merged/")
        .file("merged/kept", b"x");
    let parent = test.load_layers(&[base.finish()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let upper = directory.path();
    let at = |name: &str| upper.join(name);
    node(&at("gone"), FileType::CharacterDevice, 0);
    let long = "l".repeat(255);
    node(&at(&long), FileType::CharacterDevice, 0);
    fs::create_dir(at("dir")).unwrap();
    set_xattr(&at("dir"), "trusted.overlay.opaque", b"y");
    fs::write(at("dir/new"), "new").unwrap();
    fs::create_dir(at("merged")).unwrap();
    fs::set_permissions(at("merged"), fs::Permissions::from_mode(0o2711)).unwrap();
    fs::write(at("merged/file"), "both").unwrap();
    fs::hard_link(at("merged/file"), at("link")).unwrap();
    std::os::unix::fs::chown(at("merged/file"), Some(1000), Some(70_000)).unwrap();
    set_xattr(&at("merged/file"), "user.x", b"value");
    set_xattr(&at("merged/file"), "security.capability", &[&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat());
    symlink("../../outside", at("symbolic")).unwrap();
    node(&at("fifo"), FileType::Fifo, 0);
    node(&at("null"), FileType::CharacterDevice, makedev(1, 3));
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at(".wh.kept"), "hides nothing").unwrap();
    let made = commit(&test, parent.id, upper, "new").unwrap();
    assert_eq!(made.left_out, 2, "the socket, and what would hide a file");
    let image = test.store.resolve("new").unwrap();
    assert_eq!((image.id, image.parent, image.layers.len()), (made.id, Some(parent.id), 2));
    assert_eq!(image.layers[1], parent.layers[0]);
    let layer = |name: &str| image.layers[0].join(name);
    assert!(is_whiteout(&layer("gone")) && is_whiteout(&layer(&long)));
    assert_eq!(xattr(&layer("dir"), "trusted.overlay.opaque").as_deref(), Some(&b"y"[..]));
    assert_eq!(read(&image.layers[0], "dir/new"), "new");
    assert_eq!(xattr(&layer("merged"), "trusted.overlay.opaque"), None);
    let stat = layer("merged/file").metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.nlink()), (1000, 70_000, 2));
    assert_eq!(stat.ino(), layer("link").metadata().unwrap().ino());
    assert_eq!(xattr(&layer("link"), "user.x").as_deref(), Some(&b"value"[..]));
    assert_eq!(
        xattr(&layer("link"), "security.capability").map(|value| value[3..6].to_vec()),
        Some(vec![2, 0, 4])
    );
    assert_eq!(layer("merged").metadata().unwrap().mode() & 0o7777, 0o2711);
    assert_eq!(fs::read_link(layer("symbolic")).unwrap(), Path::new("../../outside"));
    assert_eq!(layer("null").metadata().unwrap().rdev(), makedev(1, 3));
    assert_eq!(layer("fifo").metadata().unwrap().mode() & 0o170_000, 0o010_000);
    let sparse = layer("sparse").metadata().unwrap();
    assert!(sparse.len() == 64 << 20 && sparse.blocks() < 64, "{} blocks", sparse.blocks());
    for absent in ["socket", ".wh.kept", "dir/old"] {
        assert!(layer(absent).symlink_metadata().is_err(), "{absent}");
    }
    assert_eq!(image.high_ids.len(), 1);
    assert_eq!(test.check(false, &|_| None), []);
    // The same again is the same layer, and another image of the same name takes it.
    let again = commit(&test, parent.id, upper, "new").unwrap();
    assert_eq!((again.id, again.renamed.len()), (made.id, 0));
}

#[test]
fn nothing_written_is_no_layer() {
    let test = TestStore::new();
    let parent = test.load_layers(&[Tar::new().file("a", b"x").finish()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    commit(&test, parent.id, directory.path(), "same").unwrap();
    let options = CommitOptions { parent: parent.id, name: None, about: about(), limits: Limits::default() };
    image::commit(&test.store, None, options, || true).unwrap();
    let image = test.store.resolve("same").unwrap();
    assert_eq!((&image.layers, image.parent), (&parent.layers, Some(parent.id)));
    let last = image.config.history().as_ref().unwrap().last().unwrap();
    assert_eq!(last.empty_layer(), Some(true));
    // A root of its own kind is something.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    commit(&test, parent.id, directory.path(), "closed").unwrap();
    let image = test.store.resolve("closed").unwrap();
    assert_eq!((image.layers.len(), image.layers[0].metadata().unwrap().mode() & 0o7777), (2, 0o700));
    assert_eq!(test.check(false, &|_| None), [], "the layer of nothing went");
}

#[test]
fn what_cannot_be_committed_leaves_nothing() {
    let test = TestStore::new();
    let parent = test.load_layers(&[Tar::new().file("a", b"x").finish()]).unwrap();
    let before = test.files();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("moved")).unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    let options =
        || CommitOptions { parent: parent.id, name: None, about: about(), limits: Limits::default() };
    let removed =
        image::commit(&test.store, Some(Written::Upper(open(directory.path()))), options(), || false);
    assert!(matches!(removed, Err(CommitError::Removed)), "{removed:?}");
    let few = CommitOptions { limits: Limits { layer_entries: 1, ..Limits::default() }, ..options() };
    let many =
        image::commit(&test.store, Some(Written::Upper(open(directory.path()))), few, || true).unwrap_err();
    assert!(chain(&many).contains("more than 1 files"), "{}", chain(&many));
    let bad = CommitOptions { about: About { config: json!({ "Cmd": 7 }), ..about() }, ..options() };
    let bad = image::commit(&test.store, Some(Written::Upper(open(directory.path()))), bad, || true);
    assert!(matches!(bad, Err(CommitError::Config(_))), "{bad:?}");
    for mark in ["trusted.overlay.redirect", "trusted.overlay.metacopy"] {
        set_xattr(&directory.path().join("moved"), mark, b"/elsewhere");
        let moved = commit(&test, parent.id, directory.path(), "x").unwrap_err();
        assert!(chain(&moved).contains("\"moved\" lies in a lower layer"), "{}", chain(&moved));
        rustix::fs::removexattr(directory.path().join("moved"), mark).unwrap();
    }
    assert_eq!(test.files(), before);
}

#[test]
fn an_archive_becomes_an_image_of_one_layer() {
    let test = TestStore::new();
    let tar = Tar::new().dir("bin/").file("bin/sh", b"#!").finish();
    let import = |bytes: &[u8], platform: &str| {
        let platform: Platform = platform.parse().unwrap();
        let options = ImportOptions { platform, name: None, about: about(), limits: Limits::default() };
        image::import(&test.store, bytes, options)
    };
    let made = import(&tar, "linux/arm/v7").unwrap();
    let image = test.store.resolve(&made.id.to_string()).unwrap();
    assert_eq!((image.parent, image.platform().to_string()), (None, "linux/arm/v7".to_owned()));
    assert_eq!(image.config.rootfs().diff_ids(), &[Digest::of(&tar).to_string()]);
    assert_eq!(read(&image.layers[0], "bin/sh"), "#!");
    for packed in [gzip(&tar), zstd(&tar)] {
        assert_eq!(import(&packed, "linux/arm/v7").unwrap().id, made.id);
    }
    let before = test.files();
    let gzip = gzip(&tar);
    for (name, bytes, expected) in [
        ("xz", &b"\xfd7zXZ\0"[..], "xz compression"),
        ("bzip2", b"BZh91AY&SY", "bzip2 compression"),
        ("cut", &tar[..700], "ends in the middle of a member"),
        ("gzip cut", &gzip[..gzip.len() / 2], "reading the archive"),
        ("text", &b"hello".repeat(200), "checksum"),
        ("escape", &Tar::new().file("../x", b"").finish(), "leaves its root"),
    ] {
        let error = chain(&import(bytes, "linux/amd64").expect_err(name));
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert!(import(&tar, "windows/amd64").is_err());
    assert_eq!(test.files(), before);
    assert_eq!(test.check(false, &|_| None), []);
}
