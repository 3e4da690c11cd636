//! What honest layers hold arrives as it was: attributes, special files, ids, and what one layer says about
//! those below it.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use image::{HighId, IdKind, Image};

use crate::archive::{MTIME, Tar, header};
use crate::images::{TestStore, chain, read};
use crate::overlay::mounted;
use crate::snapshot::{Kind, snapshot, xattrs};

const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn load(layers: &[Tar]) -> (TestStore, Image) {
    let test = TestStore::new();
    let layers: Vec<Vec<u8>> = layers.iter().cloned().map(Tar::finish).collect();
    let image = test.load_layers(&layers).unwrap_or_else(|error| panic!("{}", chain(&error)));
    (test, image)
}

fn stat(tree: &Path, name: &str) -> std::fs::Metadata {
    tree.join(name).symlink_metadata().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn attributes_arrive_exactly() {
    let (_test, image) = load(&[Tar::new()
        .member(header(b'5').mode(0o711).uid(1).gid(2).mtime(7), "./", "", b"")
        .member(header(b'5').mode(0o2775).gid(50).mtime(8), "d", "", b"")
        .pax(&[("mtime", b"1234567890.123456789")])
        .member(header(b'0').mode(0o4755), "d/setuid", "", b"x")
        .member(header(b'0').mode(0o2755).uid(5).gid(6), "d/setgid", "", b"x")
        .member(header(b'0').mode(0o1444).uid(65534), "d/odd", "", b"x")
        .member(header(b'0').mode(0), "d/none", "", b"")
        .member(header(b'2').uid(7).gid(8).mtime(9), "d/link", "nowhere", b"")
        .pax(&[("SCHILY.xattr.security.capability", &CAPABILITY), ("SCHILY.xattr.user.note", b"a\nb\0c")])
        .member(header(b'0').mode(0o755).uid(3), "d/capable", "", b"x")
        .pax(&[
            ("SCHILY.xattr.user.note", b"dir"),
            ("SCHILY.xattr.security.selinux", b"label"),
            ("mtime", b"-1.5"),
        ])
        .dir("e")
        .dir("d/plain")]);
    let tree = &image.layers[0];
    let is = |name: &str, mode: u32, uid: u32, gid: u32, seconds: i64, nanos: i64| {
        let stat = stat(tree, name);
        let actual = (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime(), stat.mtime_nsec());
        assert_eq!(actual, (mode, uid, gid, seconds, nanos), "{name}: {:o}", stat.mode());
    };
    let usual = MTIME.cast_signed();
    is("", 0o711, 1, 2, 7, 0);
    is("d", 0o2775, 0, 50, 8, 0);
    is("d/setuid", 0o4755, 0, 0, 1_234_567_890, 123_456_789);
    is("d/setgid", 0o2755, 5, 6, usual, 0);
    is("d/odd", 0o1444, 65534, 0, usual, 0);
    is("d/none", 0, 0, 0, usual, 0);
    is("d/link", 0o777, 7, 8, 9, 0);
    is("d/capable", 0o755, 3, 0, usual, 0);
    is("d/plain", 0o755, 0, 0, usual, 0);
    is("e", 0o755, 0, 0, -2, 500_000_000);
    let expected = BTreeMap::from([
        ("security.capability".to_owned(), CAPABILITY.to_vec()),
        ("user.note".to_owned(), b"a\nb\0c".to_vec()),
    ]);
    assert_eq!(xattrs(&tree.join("d/capable")), expected);
    assert_eq!(xattrs(&tree.join("e")), BTreeMap::from([("user.note".to_owned(), b"dir".to_vec())]));
}

#[test]
fn what_a_directory_hands_down_is_set_last() {
    // struct posix_acl_xattr_header and entries (linux/posix_acl_xattr.h): version 2; user, group, mask,
    // other.
    let entry = |tag: u16, permissions: u16| {
        [tag.to_le_bytes(), permissions.to_le_bytes(), [0xff; 2], [0xff; 2]].concat()
    };
    let acl = [2_u32.to_le_bytes().to_vec(), entry(1, 7), entry(4, 0), entry(0x20, 0)].concat();
    let (_test, image) = load(&[Tar::new()
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &acl)])
        .member(header(b'5').mode(0o2777).gid(9), "shared", "", b"")
        .file("shared/file", b"")
        .dir("shared/dir")]);
    let tree = &image.layers[0];
    assert_eq!((stat(tree, "shared").mode() & 0o7777, stat(tree, "shared").gid()), (0o2777, 9));
    assert_eq!((stat(tree, "shared/file").mode() & 0o7777, stat(tree, "shared/file").gid()), (0o644, 0));
    assert_eq!((stat(tree, "shared/dir").mode() & 0o7777, stat(tree, "shared/dir").gid()), (0o755, 0));
    assert!(xattrs(&tree.join("shared")).contains_key("system.posix_acl_default"));
    assert!(xattrs(&tree.join("shared/dir")).is_empty(), "the access list was not handed down");
}

#[test]
fn special_files_are_made_or_left_out() {
    let layer = Tar::new()
        .member(header(b'3').device(1, 3).mode(0o666).uid(4), "null", "", b"")
        .member(header(b'4').device(7, 300), "block", "", b"")
        .member(header(b'6').mode(0o622), "fifo", "", b"")
        .member(header(b'7'), "contiguous", "", b"data");
    let (_test, image) = load(std::slice::from_ref(&layer));
    let tree = &image.layers[0];
    let null = stat(tree, "null");
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777, null.uid()), (rustix::fs::makedev(1, 3), 0o666, 4));
    assert_eq!(stat(tree, "block").rdev(), rustix::fs::makedev(7, 300));
    assert!(stat(tree, "fifo").file_type().is_fifo());
    assert_eq!((stat(tree, "fifo").mode() & 0o7777, read(tree, "contiguous")), (0o622, "data".to_owned()));

    let test = TestStore::new();
    let options = image::LoadOptions { devices: false, ..image::LoadOptions::default() };
    let archive = crate::archive::docker_archive(&[layer.finish()], &["app"]);
    image::load(&test.store, crate::images::file(&archive), &options, &|_| ()).unwrap();
    let names: Vec<String> = snapshot(&test.store.resolve("app").unwrap().layers[0]).into_keys().collect();
    assert_eq!(names, ["", "contiguous", "fifo"]);
}

#[test]
fn sparse_files_have_holes() {
    let (_test, image) = load(&[Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"1073741824"),
        ])
        .file("GNUSparseFile.1/sparse", &{
            let mut data = b"2\n0\n4\n536870912\n4\n".to_vec();
            data.resize(512, 0);
            data.extend_from_slice(b"headmid!");
            data
        })]);
    let file = std::fs::File::open(image.layers[0].join("sparse")).unwrap();
    let stat = file.metadata().unwrap();
    assert_eq!(stat.len(), 1 << 30);
    assert!(stat.blocks() < 100, "{} blocks", stat.blocks());
    let mut piece = [0; 5];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut piece, (512 << 20) - 1).unwrap();
    assert_eq!(&piece, b"\0mid!");
}

#[test]
fn high_ids_are_remembered_with_a_file() {
    let (_test, image) = load(&[
        Tar::new().member(header(b'0').uid(70000).gid(65536), "a", "", b"").member(
            header(b'5').uid(70000),
            "b",
            "",
            b"",
        ),
        Tar::new().pax(&[("uid", b"4294967294")]).member(header(b'2'), "c", "x", b"").member(
            header(b'0').uid(65535),
            "d",
            "",
            b"",
        ),
    ]);
    let high = |kind, id, path: &str| HighId { kind, id, path: path.to_owned() };
    let mut found = image.high_ids.clone();
    found.sort_by_key(|high| (high.kind, high.id));
    let expected =
        [high(IdKind::Uid, 70000, "a"), high(IdKind::Uid, 4_294_967_294, "c"), high(IdKind::Gid, 65536, "a")];
    assert_eq!(found, expected);
    assert_eq!(stat(&image.layers[0], "c").uid(), 4_294_967_294);
}

#[test]
fn missing_parents_take_the_lower_layers_attributes() {
    let lower = Tar::new()
        .member(header(b'5').mode(0o750).uid(10).gid(11).mtime(12), "a", "", b"")
        .pax(&[("SCHILY.xattr.user.note", b"lower")])
        .member(header(b'5').mode(0o700).mtime(13), "a/b", "", b"")
        .file("a/b/lower", b"");
    let (_test, image) = load(&[lower, Tar::new().file("a/b/c/upper", b"upper").file("own/file", b"")]);
    assert_eq!(image.layers.len(), 3, "one extra layer: {:?}", image.layers);
    mounted(&image.layers, |root| {
        let seen = snapshot(root);
        let attributes = |name: &str| {
            let object = &seen[name];
            (object.mode, object.uid, object.gid, object.mtime.0)
        };
        assert_eq!(attributes("a"), (0o750, 10, 11, 12));
        assert_eq!(attributes("a/b"), (0o700, 0, 0, 13));
        assert_eq!(seen["a/b"].xattrs.get("user.note").unwrap(), b"lower");
        assert_eq!(attributes("a/b/c"), (0o755, 0, 0, MTIME.cast_signed()), "no lower layer has it");
        assert_eq!(read(root, "a/b/c/upper"), "upper");
        assert!(root.join("a/b/lower").exists());
    });
}

#[test]
fn only_a_directory_that_stays_keeps_its_attributes() {
    let directory = |name: &str| Tar::new().member(header(b'5').mode(0o700).mtime(5), name, "", b"").finish();
    let lower: Vec<u8> = ["opaque", "gone", "late", "file"].iter().fold(Vec::new(), |mut tar, name| {
        tar.extend_from_slice(&directory(name)[..512]);
        tar
    });
    let lower = Tar::new().append(&lower);
    let upper = Tar::new()
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/.wh.idle", b"")
        .file(".wh.gone", b"")
        .file("gone/new", b"")
        .file("late/new", b"")
        .file(".wh.late", b"")
        .file("file", b"")
        .file("file/new", b"");
    let (_test, image) = load(&[lower, upper]);
    mounted(&image.layers, |root| {
        let seen = snapshot(root);
        for (name, mode) in [("opaque", 0o700), ("gone", 0o755), ("late", 0o755), ("file", 0o755)] {
            assert_eq!(seen[name].mode, mode, "{name}");
        }
        assert!(!seen.contains_key("opaque/idle"));
    });
}

#[test]
fn layers_with_entries_for_everything_need_no_extra_layer() {
    let (_test, image) = load(&[
        Tar::new().dir("a").file("a/x", b"1").file("a/y", b""),
        Tar::new().dir("a").file("a/x", b"2").file("a/.wh.y", b""),
    ]);
    assert_eq!(image.layers.len(), 2);
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    let lower = Tar::new()
        .dir("plain")
        .file("plain/gone", b"")
        .file("plain/kept", b"")
        .dir("opaque")
        .file("opaque/gone", b"")
        .dir("opaque/dir")
        .file("opaque/dir/gone", b"")
        .dir("replaced")
        .file("replaced/gone", b"")
        .dir("again")
        .file("again/gone", b"")
        .dir("nested")
        .dir("nested/dir")
        .file("nested/dir/gone", b"")
        .file("file", b"");
    let upper = Tar::new()
        .file("plain/.wh.gone", b"")
        // In any order with the entries that stay.
        .dir("opaque")
        .file("opaque/new", b"")
        .file("opaque/.wh..wh..opq", b"")
        .dir("opaque/dir")
        .file("opaque/dir/.wh.gone", b"")
        .file(".wh.replaced", b"")
        .dir("replaced")
        .file("replaced/new", b"")
        .dir("again")
        .file("again/new", b"")
        .file(".wh.again", b"")
        .file("nested/.wh.dir", b"")
        .file(".wh.file", b"")
        .file("file", b"new")
        .file("missing/.wh.nothing", b"")
        .file(".wh.nothing", b"");
    let (_test, image) = load(&[lower, upper]);
    mounted(&image.layers, |root| {
        let names: Vec<String> = snapshot(root).into_keys().collect();
        let expected = [
            "",
            "again",
            "again/new",
            "file",
            "missing",
            "nested",
            "opaque",
            "opaque/dir",
            "opaque/new",
            "plain",
            "plain/kept",
            "replaced",
            "replaced/new",
        ];
        assert_eq!(names, expected, "and no whiteout shows as a name that nothing can open");
        assert_eq!(read(root, "file"), "new");
    });
}

#[test]
fn a_file_in_between_hides_the_directory_below_it() {
    let (_test, image) = load(&[
        Tar::new().dir("d").file("d/gone", b""),
        Tar::new().file("d", b"file").dir("d").file("d/new", b""),
        Tar::new().file("n", b"file").file("n/new", b""),
    ]);
    mounted(&image.layers, |root| {
        let names: Vec<String> = snapshot(root).into_keys().collect();
        assert_eq!(names, ["", "d", "d/new", "n", "n/new"]);
    });
}

#[test]
fn an_opaque_root_begins_anew() {
    let (_test, image) =
        load(&[Tar::new().file("gone", b""), Tar::new().file(".wh..wh..opq", b"").file("new", b"")]);
    assert_eq!(image.layers.len(), 1);
    mounted(&image.layers, |root| assert_eq!(snapshot(root).into_keys().collect::<Vec<_>>(), ["", "new"]));
}

#[test]
fn hard_links_reach_across_layers() {
    let lower = Tar::new()
        .member(header(b'5').mode(0o711).mtime(3), "d", "", b"")
        .pax(&[("SCHILY.xattr.security.capability", &CAPABILITY)])
        .member(header(b'0').mode(0o755).uid(1).mtime(5), "d/file", "", b"content")
        .symlink("way", "d")
        .symlink("d/link", "file")
        .file("gone", b"gone");
    let upper = Tar::new()
        .hard_link("one", "d/file")
        .hard_link("e/two", "way/file")
        .hard_link("three", "one")
        .hard_link("same-link", "d/link")
        .hard_link("kept", "gone")
        .file(".wh.gone", b"");
    let (_test, image) = load(&[lower, upper]);
    mounted(&image.layers, |root| {
        let seen = snapshot(root);
        for name in ["e/two", "one", "three"] {
            assert_eq!(seen[name].same_as.as_deref(), Some("d/file"), "{name}");
        }
        let file = &seen["d/file"];
        assert_eq!((file.mode, file.uid, file.mtime.0), (0o755, 1, 5));
        assert_eq!(file.xattrs["security.capability"], CAPABILITY);
        assert_eq!((seen["d"].mode, seen["d"].mtime.0), (0o711, 3));
        assert_eq!(seen["same-link"].kind, Kind::Symlink(b"file".to_vec()));
        assert_eq!(seen["same-link"].same_as.as_deref(), Some("d/link"));
        assert_eq!(read(root, "kept"), "gone");
        assert!(!seen.contains_key("gone"));
    });
}

#[test]
fn a_layer_is_unpacked_once_for_all_images() {
    let base = Tar::new().file("base", b"").finish();
    let test = TestStore::new();
    let one = test.load_layers(std::slice::from_ref(&base)).unwrap();
    let two = test.load_layers(&[base, Tar::new().file("top", b"").finish()]).unwrap();
    assert_eq!(one.layers[0], two.layers[1]);
    assert_eq!(std::fs::read_dir(test.root.join("layers")).unwrap().count(), 2);
}
