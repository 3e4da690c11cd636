//! Trees that are packed and extracted: nothing is lost on the way, and nothing leads out.

use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use image::{
    ExtractError, ExtractOptions, Extracted, IdKind, IdMap, Into, Owners, Pack, PackOptions, extract, same_id,
};
use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use tempfile::tempdir;

use crate::archive::{Tar, header};
use crate::images::chain;
use crate::snapshot::{differences, snapshot};

pub(crate) fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

pub(crate) fn everything<'a>() -> PackOptions<'a> {
    PackOptions {
        called: b".".to_vec(),
        ids: &same_id,
        nanoseconds: true,
        left_empty: Vec::new(),
        entries_max: 100_000,
    }
}

pub(crate) fn pack<'a>(tree: &Path, options: PackOptions<'a>) -> Pack<'a> {
    Pack::new(held(tree), options)
}

pub(crate) fn held(path: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

pub(crate) fn bytes_of(mut pack: Pack<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack.read_to_end(&mut bytes).unwrap();
    assert_eq!(pack.packed().bytes, bytes.len() as u64);
    bytes
}

pub(crate) const KEEP: ExtractOptions<'_> = ExtractOptions {
    owners: Owners::Kept(&same_id),
    powers: true,
    top: true,
    entries_max: 100_000,
    bytes_max: 1 << 30,
};

pub(crate) fn unpack(
    archive: &[u8],
    tree: &Path,
    options: ExtractOptions<'_>,
) -> Result<Extracted, ExtractError> {
    extract(archive, Into { directory: open(tree), name: "tree", container: None }, options)
}

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with everything that a tree can have.
fn make_tree(root: &Path) {
    let path = |name: &str| root.join(name);
    for directory in ["empty", "dir", "dir/below", "sticky"] {
        std::fs::create_dir(path(directory)).unwrap();
    }
    std::fs::write(path("file"), "content").unwrap();
    std::fs::write(path("dir/block"), [7; 512]).unwrap();
    std::fs::write(path("dir/nothing"), "").unwrap();
    std::fs::write(path("dir/below").join("n".repeat(200)), "long").unwrap();
    std::fs::write(path(".wh.name"), "a name like others").unwrap();
    std::fs::write(path("program"), "x").unwrap();
    std::fs::hard_link(path("dir/block"), path("again")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", path("dir/link")).unwrap();
    std::os::unix::fs::symlink("t".repeat(300), path("far")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0)
        .unwrap();
    let device = rustix::fs::makedev(1, 3);
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, path("null"), FileType::CharacterDevice, mode, device).unwrap();
    let sparse = std::fs::File::create(path("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(b"beginning", 0).unwrap();
    sparse.write_all_at(b"middle", 2 << 20).unwrap();
    for (name, uid, gid, mode) in [
        ("file", 1000, 100, 0o640),
        ("dir", 3_000_000_000, 4, 0o2750),
        ("dir/below", 5, 6, 0o700),
        ("sticky", 0, 0, 0o1777),
        ("program", 0, 7, 0o4755),
    ] {
        std::os::unix::fs::chown(path(name), Some(uid), Some(gid)).unwrap();
        std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::lchown(path("dir/link"), Some(8), Some(9)).unwrap();
    let capability = [&[1, 0, 0, 2][..], &[0xff, 0, 0, 0], &[0; 12]].concat();
    rustix::fs::setxattr(path("program"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(path("file"), "user.note", b"line\nline\0", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(path("dir"), "user.note", b"", XattrFlags::empty()).unwrap();
    set_time(&path("file"), -2, 500_000_000);
    set_time(&path("dir/link"), 1_000_000_000, 1);
    set_time(&path("dir/below"), 7, 0);
    set_time(&path("dir"), 1_234_567_890, 123_456_789);
    set_time(root, 1_111_111_111, 0);
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    make_tree(from.path());
    let archive = bytes_of(pack(from.path(), everything()));
    assert!(archive == bytes_of(pack(from.path(), everything())), "one tree gives one archive");
    let made = unpack(&archive, to.path(), KEEP).unwrap();
    let (before, after) = (snapshot(from.path()), snapshot(to.path()));
    assert_eq!(differences(&before, &after), Vec::<String>::new());
    assert_eq!((made.entries, made.devices, made.attributes), (before.len() as u64, 0, 0));
    let sparse = std::fs::metadata(to.path().join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "the holes were filled: {} blocks", sparse.blocks());
    // Over what is there already, too.
    unpack(&archive, to.path(), KEEP).unwrap();
    assert_eq!(differences(&before, &snapshot(to.path())), Vec::<String>::new());
}

#[test]
fn other_programs_read_the_archive() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    make_tree(from.path());
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(&bytes_of(pack(from.path(), everything()))).unwrap();
    archive.rewind().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.args(["-x", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "-p", "-C"]);
    let output = tar.arg(to.path()).stdin(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(differences(&snapshot(from.path()), &snapshot(to.path())), Vec::<String>::new());
}

#[test]
fn a_name_of_its_own_and_content_alone() {
    let from = tempdir().unwrap();
    std::fs::create_dir(from.path().join("d")).unwrap();
    std::fs::write(from.path().join("d/f"), "1").unwrap();
    let names = |archive: Vec<u8>| -> Vec<String> {
        let mut archive = tar::Archive::new(archive.as_slice());
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    };
    let called = |called: &str| PackOptions { called: called.into(), ..everything() };
    assert_eq!(names(bytes_of(pack(from.path(), called("")))), ["d/", "d/f"]);
    assert_eq!(names(bytes_of(pack(from.path(), called("new")))), ["new/", "new/d/", "new/d/f"]);
    assert_eq!(names(bytes_of(Pack::new(held(&from.path().join("d/f")), called("g")))), ["g"]);
    assert_eq!(names(bytes_of(pack(from.path(), called(".")))), ["./", "./d/", "./d/f"]);
    // One file of five bytes is two blocks, and two of zeros at the end.
    let seconds = PackOptions { nanoseconds: false, ..called("g") };
    assert_eq!(bytes_of(Pack::new(held(&from.path().join("d/f")), seconds)).len(), 2048);
}

#[test]
fn names_are_bytes() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    std::fs::write(from.path().join(name), "no text").unwrap();
    unpack(&bytes_of(pack(from.path(), everything())), to.path(), KEEP).unwrap();
    assert_eq!(std::fs::read_to_string(to.path().join(name)).unwrap(), "no text");
}

#[test]
fn ids_are_translated_on_both_ways() {
    const BASE: u32 = 2_000_000_000;
    let inside: IdMap<'_> = &|_: IdKind, id| id.checked_sub(BASE).filter(|id| *id < 65_536);
    let outside: IdMap<'_> = &|_: IdKind, id| (id < 65_536).then_some(id + BASE);
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    let file = from.path().join("file");
    std::fs::write(&file, "x").unwrap();
    std::fs::write(from.path().join("hosts"), "x").unwrap();
    std::os::unix::fs::chown(&file, Some(BASE + 7), Some(BASE)).unwrap();
    std::os::unix::fs::chown(from.path(), Some(BASE), Some(BASE)).unwrap();
    let list = |id: u32| {
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let (none, all) = (u32::MAX, 6);
        let head = 2u32.to_le_bytes().to_vec();
        let entries = [entry(1, all, none), entry(2, all, id), entry(4, 4, none), entry(16, all, none)];
        [head, entries.concat(), entry(32, 4, none)].concat()
    };
    let acl = "system.posix_acl_access";
    rustix::fs::setxattr(&file, acl, &list(BASE + 9), XattrFlags::empty()).unwrap();
    let archive = bytes_of(pack(from.path(), PackOptions { ids: inside, ..everything() }));
    unpack(&archive, to.path(), KEEP).unwrap();
    let owner = |name: &str| {
        let stat = to.path().join(name).symlink_metadata().unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!((owner(""), owner("file"), owner("hosts")), ((0, 0), (7, 0), (65_534, 65_534)));
    let value = |path: &Path| crate::snapshot::xattrs(path).remove(acl).unwrap();
    assert_eq!(value(&to.path().join("file")), list(9));
    // And back.
    let back = tempdir().unwrap();
    let kept = ExtractOptions { owners: Owners::Kept(outside), ..KEEP };
    unpack(&bytes_of(pack(to.path(), everything())), back.path(), kept).unwrap();
    let stat = back.path().join("file").metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid(), value(&back.path().join("file"))), (BASE + 7, BASE, list(BASE + 9)));
    let high = Tar::new().member(header(b'0').uid(70_000), "high", "", b"").finish();
    let error = chain(&unpack(&high, back.path(), kept).unwrap_err());
    assert!(error.contains("70000") && error.contains("high"), "{error}");
}

#[test]
fn one_owner_and_nothing_that_gives_power() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    make_tree(from.path());
    let archive = bytes_of(pack(from.path(), everything()));
    let plain = ExtractOptions { owners: Owners::One(42, 43), powers: false, top: false, ..KEEP };
    let top = to.path().metadata().unwrap();
    let made = unpack(&archive, to.path(), plain).unwrap();
    assert_eq!((made.devices, made.attributes), (1, 1), "a device and a capability");
    let after = snapshot(to.path());
    for (name, object) in &after {
        if !name.is_empty() {
            assert_eq!((object.uid, object.gid), (42, 43), "{name}");
        }
    }
    assert_eq!(after[""].uid, top.uid());
    assert_ne!(after[""].mtime.0, 1_111_111_111);
    assert_eq!((after["program"].mode, after["sticky"].mode, after["dir"].mode), (0o755, 0o1777, 0o2750));
    assert!(after["program"].xattrs.is_empty() && after["file"].xattrs.contains_key("user.note"));
    assert!(!after.contains_key("null"));
}

#[test]
fn what_is_no_content_is_left_out() {
    let from = tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
    std::fs::create_dir(from.path().join("proc")).unwrap();
    std::fs::create_dir_all(from.path().join("dev/below")).unwrap();
    let proc = from.path().join("proc");
    rustix::mount::mount_bind("/proc", &proc).unwrap();
    let stat = from.path().join("dev").metadata().unwrap();
    let options = PackOptions { left_empty: vec![(stat.dev(), stat.ino())], ..everything() };
    let mut packing = pack(from.path(), options);
    let mut archive = Vec::new();
    let read = packing.read_to_end(&mut archive);
    let alone =
        bytes_of(Pack::new(held(&proc.join("version")), PackOptions { called: b"v".into(), ..everything() }));
    rustix::mount::unmount(&proc, rustix::mount::UnmountFlags::DETACH).unwrap();
    read.unwrap();
    let packed = packing.packed();
    assert_eq!((packed.entries, packed.left_out), (3, 1), "the top, proc and dev; a socket");
    // Who asks for a file of the kernel's gets what is in it, whatever its size says.
    let to = tempdir().unwrap();
    unpack(&alone, to.path(), KEEP).unwrap();
    let version = std::fs::read_to_string("/proc/version").unwrap();
    assert_eq!(std::fs::read_to_string(to.path().join("v")).unwrap(), version);
}
