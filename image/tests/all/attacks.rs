//! Layers that attack, each with what has to come of it: a clear error, or a tree that holds what a chroot
//! would have made of it.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::archive::{MTIME, Tar, header};
use crate::images::read;

/// What has to come of a layer.
pub(crate) enum Outcome {
    /// An error whose text contains this.
    Refused(&'static str),
    /// A tree that passes this.
    Unpacked(fn(&Path)),
}

use Outcome::{Refused, Unpacked};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) layer: Vec<u8>,
    pub(crate) outcome: Outcome,
}

fn case(name: &'static str, tar: Tar, outcome: Outcome) -> Case {
    Case { name, layer: tar.finish(), outcome }
}

fn lstat(tree: &Path, name: &str) -> std::fs::Metadata {
    tree.join(name).symlink_metadata().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn is_whiteout(tree: &Path, name: &str) -> bool {
    let stat = lstat(tree, name);
    stat.file_type().is_char_device() && stat.rdev() == 0
}

pub(crate) fn names(tree: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(tree)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every attack on names and links.
pub(crate) fn cases() -> Vec<Case> {
    let far = "../".repeat(200);
    let mut cases = names_that_climb();
    cases.extend([
        // Symbolic links on the way.
        case(
            "link to ../../x, then below it",
            Tar::new().dir("dir").symlink("dir/loophole", "../../x").file("dir/loophole/new/file", b"in"),
            Unpacked(|tree| {
                assert_eq!(read(tree, "x/new/file"), "in");
            }),
        ),
        case(
            "link to /",
            Tar::new().symlink("link", "/").file("link/file", b"in"),
            Unpacked(|tree| {
                assert_eq!(
                    (read(tree, "file"), names(tree)),
                    ("in".into(), vec!["file".into(), "link".into()])
                );
            }),
        ),
        case(
            "link to /../",
            Tar::new().symlink("link", "/../").file("link/file", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "file"), "in")),
        ),
        case(
            "an absolute link below",
            Tar::new().dir("a").symlink("a/link", "/b").file("a/link/file", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "b/file"), "in")),
        ),
        case(
            "link far up",
            Tar::new()
                .dir("a")
                .dir("a/b")
                .symlink("a/b/link", format!("{far}etc"))
                .file("a/b/link/file", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "etc/file"), "in")),
        ),
        case(
            "links to links",
            Tar::new().symlink("a", "/b/c").symlink("b", "/d/../e").file("a/file", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "e/c/file"), "in")),
        ),
        case(
            "links in a circle",
            Tar::new().symlink("a", "b").symlink("b", "a").file("a/file", b""),
            Refused("Too many levels of symbolic links"),
        ),
        case(
            "a link over itself",
            Tar::new().symlink("a", "a/a").file("a/file", b""),
            Refused("Too many levels of symbolic links"),
        ),
        case(
            "a link as the last component is replaced",
            Tar::new().symlink("link", "/victim").file("link", b"in").symlink("d", "/etc").dir("d"),
            Unpacked(|tree| {
                assert!(lstat(tree, "link").is_file() && lstat(tree, "d").is_dir());
            }),
        ),
        case(
            "attributes through a link",
            Tar::new().file("f", b"").symlink("link", "f").member(
                header(b'5').mode(0o777).uid(7),
                "link",
                "",
                b"",
            ),
            Unpacked(|tree| {
                assert_eq!((lstat(tree, "f").mode() & 0o7777, lstat(tree, "f").uid()), (0o644, 0));
                assert!(lstat(tree, "link").is_dir());
            }),
        ),
        // Hard links.
        case("hard link up", Tar::new().hard_link("l", "../victim"), Refused("leaves its root")),
        case(
            "hard link up from the root",
            Tar::new().hard_link("l", "/../victim"),
            Refused("leaves its root"),
        ),
        case(
            "hard link through a link",
            Tar::new().symlink("up", "../../../..").hard_link("l", "up/victim"),
            Refused("no layer below has"),
        ),
        case(
            "hard link to the host's file",
            Tar::new().hard_link("l", "/etc/passwd"),
            Refused("no layer below has"),
        ),
        case(
            "hard link to a directory",
            Tar::new().dir("d").hard_link("l", "d").file("l/file", b""),
            Refused("hard link to the directory"),
        ),
        case(
            "hard link to itself",
            Tar::new().file("a", b"1").hard_link("a", "a"),
            Refused("hard link to itself"),
        ),
        case(
            "hard link to itself in disguise",
            Tar::new().dir("d").symlink("l", "d").file("d/a", b"1").hard_link("l/a", "d/a"),
            Refused("hard link to itself"),
        ),
        case(
            "hard link from inside what it replaces",
            Tar::new().file("d/a", b"1").hard_link("d", "d/a"),
            Refused("linkat"),
        ),
        case(
            "a file replaces a hard link",
            Tar::new().file("a", b"1").hard_link("b", "a").file("b", b"2"),
            Unpacked(|tree| {
                assert_eq!((read(tree, "a"), read(tree, "b")), ("1".into(), "2".into()));
            }),
        ),
        case(
            "a link replaces a hard link",
            Tar::new().file("a", b"1").hard_link("b", "a").symlink("b", "/etc/passwd").file("a", b"3"),
            Unpacked(|tree| {
                assert_eq!((read(tree, "a"), lstat(tree, "b").is_symlink()), ("3".into(), true));
            }),
        ),
        case(
            "a hard link to a link is the link",
            Tar::new().symlink("s", "/victim").hard_link("l", "s"),
            Unpacked(|tree| {
                assert!(lstat(tree, "l").is_symlink());
                assert_eq!((lstat(tree, "l").ino(), lstat(tree, "l").nlink()), (lstat(tree, "s").ino(), 2));
            }),
        ),
        case(
            "a hard link's header changes nothing",
            Tar::new().file("a", b"1").member(header(b'1').uid(5).mode(0o777).mtime(1), "b", "a", b""),
            Unpacked(|tree| {
                let stat = lstat(tree, "a");
                assert_eq!((stat.uid(), stat.mode() & 0o7777, stat.mtime()), (0, 0o644, MTIME.cast_signed()));
            }),
        ),
        // A file as a parent, and the other way round.
        case(
            "a file as a parent",
            Tar::new().file("nondir", b"").file("nondir/foo", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "nondir/foo"), "in")),
        ),
        case(
            "a fifo as a parent",
            Tar::new().member(header(b'6'), "pipe", "", b"").file("pipe/foo", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "pipe/foo"), "in")),
        ),
        case(
            "a file over a full directory",
            Tar::new().file("d/e/f", b"").symlink("d/out", "/etc").file("d", b"in"),
            Unpacked(|tree| {
                assert_eq!((read(tree, "d"), names(tree)), ("in".into(), vec!["d".into()]));
                assert!(Path::new("/etc/passwd").exists());
            }),
        ),
    ]);
    cases.extend(whiteouts());
    cases.extend(formats());
    cases
}

fn names_that_climb() -> Vec<Case> {
    vec![
        case("up", Tar::new().file("../x", b""), Refused("leaves its root")),
        case("up from the root", Tar::new().file("/../x", b""), Refused("leaves its root")),
        case("up from inside", Tar::new().dir("a").file("a/../../x", b""), Refused("leaves its root")),
        case("up to a directory", Tar::new().dir(".."), Refused("leaves its root")),
        case(
            "absolute",
            Tar::new().file("/mini-absolute", b"in"),
            Unpacked(|tree| {
                assert_eq!(read(tree, "mini-absolute"), "in");
                assert!(!Path::new("/mini-absolute").exists());
            }),
        ),
        case(
            "up and down",
            Tar::new().dir("a").file("a/../b", b"in"),
            Unpacked(|tree| assert_eq!(read(tree, "b"), "in")),
        ),
        case(
            "dots",
            Tar::new().file("./a/./b", b"in").file("...", b"in"),
            Unpacked(|tree| {
                assert_eq!((read(tree, "a/b"), read(tree, "...")), ("in".into(), "in".into()));
            }),
        ),
        case("the root as a file", Tar::new().file("./", b"x"), Refused("directory by its name")),
        case("the root as a link", Tar::new().symlink(".", "/etc"), Refused("root can only be a directory")),
        case(
            "a NUL in a long name",
            Tar::new().pax(&[("path", b"a\0b")]).file("x", b""),
            Refused("NUL byte"),
        ),
        case(
            "bytes that are no text",
            Tar::new().file(b"\xff\xfe", b"in"),
            Unpacked(|tree| {
                use std::os::unix::ffi::OsStrExt;
                assert_eq!(
                    std::fs::read(tree.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"))).unwrap(),
                    b"in"
                );
            }),
        ),
        case("a component of 256 bytes", Tar::new().file("x".repeat(256), b""), Refused("256 bytes")),
        case("a name of 4097 bytes", Tar::new().file("d/".repeat(2048) + "f", b""), Refused("4097 bytes")),
    ]
}

fn whiteouts() -> Vec<Case> {
    vec![
        case(
            "a whiteout",
            Tar::new().file(".wh.gone", b"").file("d/.wh.gone", b""),
            Unpacked(|tree| {
                assert!(is_whiteout(tree, "gone") && is_whiteout(tree, "d/gone"));
                assert_eq!(names(&tree.join("d")), ["gone"]);
            }),
        ),
        case("a whiteout of nothing", Tar::new().file(".wh.", b""), Refused("whiteout without a name")),
        case(
            "a whiteout of ..",
            Tar::new().dir("d").file("d/.wh...", b""),
            Refused("whiteout without a name"),
        ),
        case("a whiteout of .", Tar::new().file(".wh..", b""), Refused("whiteout without a name")),
        case(
            "a whiteout through a link",
            Tar::new().symlink("up", "../../../../..").file("up/.wh.victim", b""),
            Unpacked(|tree| assert!(is_whiteout(tree, "victim"))),
        ),
        case(
            "an opaque mark through a link",
            Tar::new().symlink("l", "/etc").file("l/.wh..wh..opq", b""),
            Unpacked(|tree| assert!(lstat(tree, "etc").is_dir())),
        ),
        case(
            "overlay's whiteout as a device",
            Tar::new().member(header(b'3'), "gone", "", b""),
            Refused("0:0"),
        ),
        case(
            "overlay's attributes",
            Tar::new()
                .pax(&[
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                    ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ])
                .dir("d"),
            Unpacked(|tree| {
                assert!(crate::snapshot::xattrs(&tree.join("d")).is_empty());
            }),
        ),
        case(
            "AUFS's own files",
            Tar::new().file(".wh..wh.aufs", b"").file(".wh..wh.plnk/1.2", b"").file("f", b""),
            Unpacked(|tree| assert_eq!(names(tree), ["f"])),
        ),
    ]
}

fn formats() -> Vec<Case> {
    vec![
        case(
            "sizes that disagree",
            Tar::new().pax(&[("size", b"0")]).member(
                header(b'0'),
                "f",
                "",
                &Tar::new().file("hidden", b"").finish(),
            ),
            Refused("the extended header says 0 bytes"),
        ),
        case(
            "a negative size",
            Tar::new().member(header(b'0').raw(124, &[0xff; 12]), "f", "", b""),
            Refused("negative size"),
        ),
        case(
            "a huge size",
            Tar::new().member(
                header(b'0').raw(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
                "f",
                "",
                b"",
            ),
            Refused("ends in the middle"),
        ),
        case(
            "a negative owner",
            Tar::new().member(header(b'0').raw(108, &[0xff; 8]), "f", "", b""),
            Refused("uid -1"),
        ),
        case(
            "a huge group",
            Tar::new().pax(&[("gid", b"4294967295")]).file("f", b""),
            Refused("gid 4294967295"),
        ),
        case(
            "data behind a link",
            Tar::new().member(header(b'2').size(512), "l", "t", b"").append(&[0; 512]),
            Refused("bytes of data"),
        ),
        case("an unknown type", Tar::new().member(header(b'Z'), "z", "", b""), Refused("'Z'")),
        case(
            "a device that wraps around to 0:0",
            Tar::new().member(header(b'3').raw(329, b"\x80\0\0\0\0\0\x10\0"), "c", "", b""),
            Refused("does not exist"),
        ),
        case(
            "a capability of another user namespace",
            Tar::new()
                .pax(&[(
                    "SCHILY.xattr.security.capability",
                    &[1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0],
                )])
                .file("f", b""),
            Refused("file capability"),
        ),
        case(
            "a global header that renames",
            Tar::new().member(header(b'g'), "g", "", b"13 path=evil\n").file("f", b""),
            Refused("global extended header"),
        ),
    ]
}
