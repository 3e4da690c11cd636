//! Trees that are packed and extracted: nothing is lost on the way, and nothing leads out.

use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{
    ExtractError, ExtractOptions, Extracted, IdKind, IdMap, Into, Owners, Pack, PackError, PackOptions,
    extract, same_id,
};
use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use tempfile::tempdir;

use crate::archive::{Tar, header};
use crate::images::chain;
use crate::snapshot::{differences, snapshot};

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn everything<'a>() -> PackOptions<'a> {
    PackOptions {
        called: b".".to_vec(),
        ids: &same_id,
        nanoseconds: true,
        left_empty: Vec::new(),
        entries_max: 100_000,
    }
}

fn pack<'a>(tree: &Path, options: PackOptions<'a>) -> Pack<'a> {
    Pack::new(open(tree), b".", options)
}

fn bytes_of(mut pack: Pack<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack.read_to_end(&mut bytes).unwrap();
    assert_eq!(pack.packed().bytes, bytes.len() as u64);
    bytes
}

const KEEP: ExtractOptions<'_> = ExtractOptions {
    owners: Owners::Kept(&same_id),
    powers: true,
    top: true,
    entries_max: 100_000,
    bytes_max: 1 << 30,
};

fn unpack(archive: &[u8], tree: &Path, options: ExtractOptions<'_>) -> Result<Extracted, ExtractError> {
    extract(archive, Into { directory: open(tree), name: "tree", links: None }, options)
}

/// The same, where links lead to where they would in a root at `root`.
fn unpack_in(archive: &[u8], root: &Path, below: &str) -> Result<Extracted, ExtractError> {
    let opened = open(root);
    let links = Some((opened.as_fd(), below.as_bytes()));
    extract(archive, Into { directory: open(&root.join(below)), name: "tree", links }, KEEP)
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
    assert_eq!(names(bytes_of(Pack::new(open(&from.path().join("d")), b"f", called("g")))), ["g"]);
    assert_eq!(names(bytes_of(pack(from.path(), called(".")))), ["./", "./d/", "./d/f"]);
    // One file of five bytes is two blocks, and two of zeros at the end.
    let seconds = PackOptions { nanoseconds: false, ..called("g") };
    assert_eq!(bytes_of(Pack::new(open(&from.path().join("d")), b"f", seconds)).len(), 2048);
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
fn kinds_do_not_replace_each_other_and_mounts_nothing() {
    let to = tempdir().unwrap();
    std::fs::create_dir(to.path().join("dir")).unwrap();
    std::fs::write(to.path().join("file"), "kept").unwrap();
    std::os::unix::fs::symlink("dir", to.path().join("link")).unwrap();
    for (tar, expected) in [
        (Tar::new().dir("file"), "cannot overwrite non-directory \"file\""),
        (Tar::new().dir("link"), "cannot overwrite non-directory \"link\""),
        (Tar::new().file("dir", b"x"), "cannot overwrite directory \"dir\""),
        (Tar::new().symlink("dir", "x"), "cannot overwrite directory \"dir\""),
        (Tar::new().file("file/below", b"x"), "\"file\" is not a directory"),
        (Tar::new().file("link/below", b"x"), "\"link\" is not a directory"),
        (Tar::new().file("../up", b"x"), "leaves its root"),
        (Tar::new().hard_link("hard", "nothing"), "hard link to \"nothing\", which is not there"),
        (Tar::new().hard_link("hard", "../up"), "leaves its root"),
    ] {
        let error = chain(&unpack(&tar.finish(), to.path(), KEEP).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(std::fs::read_dir(to.path().join("dir")).unwrap().count(), 0);
    assert_eq!(std::fs::read_to_string(to.path().join("file")).unwrap(), "kept");
    // Whoever is in another mount namespace could take such a name away, and the mount with it.
    let file = to.path().join("file");
    rustix::mount::mount_bind(&file, &file).unwrap();
    let refused = unpack(&Tar::new().file("file", b"new").finish(), to.path(), KEEP);
    rustix::mount::unmount(&file, rustix::mount::UnmountFlags::DETACH).unwrap();
    let error = chain(&refused.unwrap_err());
    assert!(error.contains("something is mounted there"), "{error}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
}

#[test]
fn links_are_followed_inside_a_root_or_not_at_all() {
    let outside = tempdir().unwrap();
    let root = outside.path().join("root");
    for directory in ["root/at/deep", "root/usr/lib", "secret"] {
        std::fs::create_dir_all(outside.path().join(directory)).unwrap();
    }
    for (name, target) in [("lib", "/usr/lib"), ("up", "../../../../usr"), ("gone", "/new/place")] {
        std::os::unix::fs::symlink(target, root.join("at").join(name)).unwrap();
    }
    let secret = outside.path().join("secret");
    std::os::unix::fs::symlink(&secret, root.join("at/out")).unwrap();
    let tar = Tar::new().file("lib/one", b"1").file("up/lib/two", b"2").file("up/new/three", b"3").finish();
    unpack_in(&tar, &root, "at").unwrap();
    for name in ["usr/lib/one", "usr/lib/two", "usr/new/three"] {
        assert!(root.join(name).is_file(), "{name}");
    }
    for through in ["out/x", "gone/x"] {
        let error = unpack_in(&Tar::new().file(through, b"x").finish(), &root, "at").unwrap_err();
        assert!(matches!(error, ExtractError::NotDirectory(_) | ExtractError::Kernel { .. }), "{error:?}");
    }
    let error = unpack(&Tar::new().file("lib/x", b"x").finish(), &root.join("at"), KEEP).unwrap_err();
    assert!(matches!(error, ExtractError::NotDirectory(_)), "{error:?}");
    assert_eq!(std::fs::read_dir(&secret).unwrap().count(), 0);
}

/// Swaps a directory and a link to a secret place, as fast as can be, while `act` runs.
fn while_swapping(root: &Path, name: &str, secret: &Path, mut act: impl FnMut()) {
    let (real, link) = (root.join(name), root.join("spare"));
    std::fs::create_dir_all(&real).unwrap();
    std::os::unix::fs::symlink(secret, &link).unwrap();
    let stop = AtomicBool::new(false);
    let cwd = rustix::fs::CWD;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(cwd, &real, cwd, &link, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        (0..2000).for_each(|_| act());
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_link_that_is_swapped_in_leads_nowhere() {
    let outside = tempdir().unwrap();
    let (root, secret) = (outside.path().join("root"), outside.path().join("secret"));
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "the host's secret").unwrap();
    let before = snapshot(&secret);
    let tar = Tar::new().file("trap/key", b"new").member(header(b'6').mode(0o666), "trap/pipe", "", b"");
    let tar = tar.finish();
    let mut extracted = 0;
    while_swapping(&root, "trap", &secret, || {
        extracted += u32::from(unpack(&tar, &root, KEEP).is_ok());
        extracted += u32::from(unpack_in(&tar, &root, ".").is_ok());
        let mut archive = Vec::new();
        // It may have been a link just then; what it leads to is in no archive.
        if pack(&root, everything()).read_to_end(&mut archive).is_ok() {
            let text = String::from_utf8_lossy(&archive);
            assert!(!text.contains("the host's secret"), "a secret was packed");
        }
    });
    assert!(extracted > 0, "the directory was never there");
    assert_eq!(differences(&before, &snapshot(&secret)), Vec::<String>::new());
}

#[test]
fn trees_of_any_depth_are_packed_as_far_as_names_go() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    let mut at = open(from.path());
    for _ in 0..1500 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(rustix::fs::openat(&at, "z", flags, Mode::from_raw_mode(0o600)).unwrap());
        at = rustix::fs::openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let archive = bytes_of(pack(from.path(), everything()));
    let made = unpack(&archive, to.path(), KEEP).unwrap();
    assert_eq!(made.entries, 3001);
    assert!(bytes_of(pack(to.path(), everything())) == archive, "it comes out as it went in");
    for _ in 0..600 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let error = pack(from.path(), everything()).read_to_end(&mut Vec::new()).unwrap_err();
    assert!(
        matches!(error.get_ref().unwrap().downcast_ref(), Some(PackError::NameTooLong { .. })),
        "{error}"
    );
}

#[test]
fn a_directory_that_is_moved_while_it_is_packed_is_told() {
    let from = tempdir().unwrap();
    let deep = "d/".repeat(100);
    std::fs::create_dir_all(from.path().join(&deep)).unwrap();
    std::fs::create_dir(from.path().join("elsewhere")).unwrap();
    let mut packing = pack(from.path(), everything());
    let mut archive = vec![0; 512 * 90];
    packing.read_exact(&mut archive).unwrap();
    // The way back from down there leads elsewhere now.
    std::fs::rename(from.path().join("d/d/d"), from.path().join("elsewhere/d")).unwrap();
    let error = packing.read_to_end(&mut archive).unwrap_err();
    assert!(matches!(error.get_ref().unwrap().downcast_ref(), Some(PackError::Moved(_))), "{error}");
}

#[test]
fn files_that_change_while_they_are_packed_stay_as_long_as_they_said() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    let (shrinks, grows) = (from.path().join("a"), from.path().join("b"));
    std::fs::write(&shrinks, vec![b'x'; 300_000]).unwrap();
    std::fs::write(&grows, "12345").unwrap();
    let mut packing = pack(from.path(), PackOptions { nanoseconds: false, ..everything() });
    let mut archive = vec![0; 1024];
    packing.read_exact(&mut archive).unwrap();
    std::fs::write(&shrinks, "gone").unwrap();
    std::fs::write(&grows, "12345 and more").unwrap();
    packing.read_to_end(&mut archive).unwrap();
    assert_eq!(packing.packed().changed, 1);
    unpack(&archive, to.path(), KEEP).unwrap();
    assert_eq!(std::fs::metadata(to.path().join("a")).unwrap().len(), 300_000);
    assert_eq!(std::fs::read_to_string(to.path().join("b")).unwrap(), "12345 and more");
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
        bytes_of(Pack::new(open(&proc), b"version", PackOptions { called: b"v".into(), ..everything() }));
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

#[test]
fn limits_hold() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    for number in 0..10 {
        std::fs::write(from.path().join(number.to_string()), [0; 100]).unwrap();
    }
    let few = PackOptions { entries_max: 5, ..everything() };
    assert!(pack(from.path(), few).read_to_end(&mut Vec::new()).is_err());
    let archive = bytes_of(pack(from.path(), everything()));
    let few = unpack(&archive, to.path(), ExtractOptions { entries_max: 5, ..KEEP }).unwrap_err();
    assert!(matches!(few, ExtractError::TooManyEntries(5)), "{few:?}");
    let little = unpack(&archive, to.path(), ExtractOptions { bytes_max: 500, ..KEEP }).unwrap_err();
    assert!(matches!(little, ExtractError::TooLarge(500)), "{little:?}");
    // What cannot be packed is told by who extracts.
    let packing = pack(from.path(), PackOptions { entries_max: 5, ..everything() });
    let into = Into { directory: open(to.path()), name: "tree", links: None };
    let error = extract(packing, into, KEEP).unwrap_err();
    assert!(matches!(error, ExtractError::Pack(PackError::TooManyEntries(5))), "{error:?}");
}
