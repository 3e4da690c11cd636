//! Trees that are changed while they are packed or extracted, and archives that attack: nothing leads out, nothing is lost.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{ExtractError, ExtractOptions, Extracted, Inside, Into, PackError, PackOptions, extract};
use rustix::fs::{Mode, OFlags};
use tempfile::tempdir;

use crate::archive::{Tar, header};
use crate::images::chain;
use crate::snapshot::{differences, snapshot};
use crate::trees::{KEEP, bytes_of, everything, open, pack, unpack};

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

/// The same, where links lead to where they would in a root at `root`.
fn unpack_in(archive: &[u8], root: &Path, below: &str) -> Result<Extracted, ExtractError> {
    let opened = open(root);
    let owns = |uid, gid| uid != 7 && gid != 8;
    let container = Some(Inside { root: opened.as_fd(), path: below.as_bytes(), owns: &owns });
    extract(archive, Into { directory: open(&root.join(below)), name: "tree", container }, KEEP)
}

#[test]
fn what_belongs_to_somebody_outside_is_not_written() {
    let root = tempdir().unwrap();
    for (directory, uid, gid) in [("own", 1, 1), ("own/user", 7, 0), ("group", 0, 8)] {
        let path = root.path().join(directory);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "kept").unwrap();
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
    }
    std::os::unix::fs::symlink("/group", root.path().join("own/link")).unwrap();
    let mode = |path: &str| std::fs::metadata(root.path().join(path)).unwrap().permissions().mode();
    let before = [mode("own/user"), mode("group")];
    for (tar, below) in [
        (Tar::new().file("user/file", b"new"), "own"),
        (Tar::new().file("link/file", b"new"), "own"),
        (Tar::new().file("file", b"new"), "group"),
        (Tar::new().dir("user"), "own"),
        (Tar::new().dir("group/new/deep"), ""),
        (Tar::new().hard_link("new", "user/file"), "own"),
    ] {
        let error = unpack_in(&tar.finish(), root.path(), below).unwrap_err();
        assert!(matches!(error, ExtractError::Foreign { .. }), "{error:?}");
    }
    unpack_in(&Tar::new().file("file", b"new").finish(), root.path(), "own").unwrap();
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!([read("own/file"), read("own/user/file"), read("group/file")], ["new", "kept", "kept"]);
    assert_eq!([mode("own/user"), mode("group")], before);
    assert!(!root.path().join("own/new").exists() && !root.path().join("group/new").exists());
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
    let into = Into { directory: open(to.path()), name: "tree", container: None };
    let error = extract(packing, into, KEEP).unwrap_err();
    assert!(matches!(error, ExtractError::Pack(PackError::TooManyEntries(5))), "{error:?}");
}
