//! Layers whose names and links attack: none may read, write or delete outside its own directory. Each through `load` and
//! through `pull`.

use std::path::PathBuf;

use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

use crate::attack::{Fate, MARK, TARGET, attack, layer, mark, search};

#[test]
fn names_that_climb() {
    for name in [
        format!("../{MARK}"),
        format!("/../{MARK}"),
        format!("a/../../{MARK}"),
        format!("{}{MARK}", "../".repeat(40)),
        format!("{}etc/{MARK}", "../".repeat(40)),
        format!("./.././../{MARK}"),
    ] {
        attack(Fate::EitherWay, [mark(layer(), &name)], "true", "");
    }
}

#[test]
fn absolute_names_lie_inside() {
    attack(
        Fate::Valid,
        [mark(layer(), &format!("{TARGET}/{MARK}"))],
        &format!("cat {TARGET}/{MARK}"),
        "evil",
    );
}

#[test]
fn the_root_itself_and_its_parent_as_entries() {
    for (kind, name) in [
        (b'5', ".."),
        (b'5', "/"),
        (b'5', "."),
        (b'2', ".."),
        (b'0', ".."),
        (b'0', "."),
        (b'2', "."),
        (b'0', ""),
    ] {
        let entry = Entry::new(kind, name, 0o777).to("/etc");
        attack(Fate::EitherWay, [layer().entry(&entry)], "true", "");
    }
}

#[test]
fn hard_links_to_what_is_outside() {
    let up = format!("{}{TARGET}/canary", "../".repeat(30));
    for target in ["../x", "/../x", up.as_str(), "/run/mini-test/work/canary"] {
        let linked = layer().hardlink("stolen", target);
        attack(Fate::EitherWay, [linked.clone()], "cat /stolen 2>/dev/null; true", "");
        // A file of the same name must not be written through the link.
        attack(Fate::EitherWay, [linked.file("stolen", 0o777, "dead")], "true", "");
    }
}

#[test]
fn a_hard_link_to_a_directory_and_a_file_below_it() {
    let up = format!("{}{TARGET}", "../".repeat(30));
    for target in ["bin", "/", "..", up.as_str()] {
        attack(
            Fate::EitherWay,
            [mark(layer().hardlink("door", target), &format!("door/{MARK}"))],
            "true",
            "",
        );
    }
}

#[test]
fn a_symlink_in_the_place_of_a_hard_link_is_not_followed() {
    let swapped = layer()
        .file("a", 0o644, "old")
        .hardlink("b", "a")
        .symlink("b", &format!("{TARGET}/canary"))
        .file("b", 0o644, "new");
    attack(Fate::Valid, [swapped], "cat a b", "oldnew");
}

#[test]
fn links_that_climb_are_resolved_inside() {
    for target in ["../../x", "../../../../../../../../x", "/../x"] {
        let through = mark(
            layer().directory("dir", 0o755).symlink("dir/loophole", target),
            &format!("dir/loophole/new/{MARK}"),
        );
        attack(
            Fate::Valid,
            [through],
            &format!("cat /x/new/{MARK}; readlink dir/loophole"),
            &format!("evil{target}\n"),
        );
    }
}

#[test]
fn links_to_the_hosts_directories_are_resolved_inside() {
    let climbing = format!("{}{TARGET}", "../".repeat(30));
    for (target, place) in [("/", "/"), ("/../", "/"), (TARGET, TARGET), (climbing.as_str(), TARGET)] {
        let one = mark(layer().symlink("link", target), &format!("link/{MARK}"));
        attack(Fate::Valid, [one], &format!("cat {place}/{MARK}"), "evil");
    }
}

#[test]
fn links_of_a_lower_layer_are_resolved_inside() {
    for target in ["/", TARGET, "../../../../../.."] {
        let lower = layer().symlink("link", target);
        attack(
            Fate::Valid,
            [lower, mark(layer(), &format!("link/{MARK}"))],
            &format!("cat /link/{MARK}"),
            "evil",
        );
    }
}

#[test]
fn chains_and_loops_of_links() {
    let chain =
        layer().symlink("a", "b/c").symlink("b", "..").directory("c", 0o755).symlink("d", "a/../../..");
    attack(Fate::EitherWay, [mark(chain, &format!("d/{MARK}"))], "true", "");
    let circle = layer().symlink("x", "y").symlink("y", "x");
    attack(Fate::EitherWay, [mark(circle, &format!("x/{MARK}"))], "true", "");
}

#[test]
fn links_with_magic_targets() {
    for target in ["/proc/self/root", "/proc/self/cwd", "/proc/1/root/run", "/proc/self/fd/3", "/dev/fd/4"] {
        let layer = mark(layer().symlink("magic", target), &format!("magic/{MARK}"));
        attack(Fate::EitherWay, [layer], "true", "");
    }
}

#[test]
fn whiteouts_of_nothing_of_the_parent_and_of_the_whole() {
    let lower = || layer().directory("d", 0o755).file("d/kept", 0o644, "kept");
    for name in [
        ".wh.",
        ".wh..",
        ".wh...",
        "d/.wh.",
        "d/.wh..",
        "d/.wh...",
        "d/.wh.../x",
        ".wh..wh..wh..opq",
        "d/.wh./x",
    ] {
        attack(
            Fate::EitherWay,
            [lower(), layer().file(name, 0o644, "")],
            "cat d/kept; ls /bin/busybox",
            "kept/bin/busybox\n",
        );
    }
}

#[test]
fn whiteouts_through_links_and_climbing_names_delete_nothing_outside() {
    let through = layer().symlink("door", TARGET).file("door/.wh.canary", 0o644, "").file(
        "door/.wh..wh..opq",
        0o644,
        "",
    );
    attack(Fate::EitherWay, [through], "true", "");
    let climbing = format!("{}{}/.wh.canary", "../".repeat(30), &TARGET[1..]);
    attack(Fate::EitherWay, [layer().file(&climbing, 0o644, "")], "true", "");
}

#[test]
fn whiteouts_with_content_of_another_kind_are_whiteouts_or_refused() {
    let lower = layer().file("victim", 0o644, "x");
    for kind in [b'5', b'2', b'3', b'6'] {
        let upper = layer().entry(&Entry::new(kind, ".wh.victim", 0o777).to(TARGET));
        let image = [lower.clone(), upper];
        attack(Fate::EitherWay, image, "ls -a / | grep '^.wh' || true", "");
    }
}

#[test]
fn overlays_own_attributes_and_its_whiteout_device_mean_nothing() {
    let lower = || layer().directory("d", 0o755).file("d/kept", 0o644, "kept").file("victim", 0o644, "kept");
    for (key, value) in [
        ("SCHILY.xattr.trusted.overlay.opaque", "y"),
        ("SCHILY.xattr.user.overlay.opaque", "y"),
        ("SCHILY.xattr.trusted.overlay.redirect", "/etc"),
        ("SCHILY.xattr.trusted.overlay.whiteout", "y"),
    ] {
        let upper = layer().pax(&[(key, value.as_bytes())]).directory("d", 0o755);
        attack(Fate::EitherWay, [lower(), upper], "cat d/kept", "kept");
    }
    let metacopy = layer().pax(&[
        ("SCHILY.xattr.trusted.overlay.metacopy", b""),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/victim"),
    ]);
    attack(Fate::EitherWay, [lower(), metacopy.file("copy", 0o644, "")], "cat copy", "");
    let device = layer().entry(&Entry::new(b'3', "victim", 0o644));
    for_device_zero(lower(), device);
}

/// A character device 0:0 in a layer is overlay's whiteout: it must be refused, or be no way to delete.
#[track_caller]
fn for_device_zero(lower: Tarball, upper: Tarball) {
    attack(Fate::EitherWay, [lower, upper], "ls -d /d", "/d\n");
}

#[test]
fn a_data_root_is_searched_by_nobody_else() {
    let host = Host::new();
    let program = Entry::new(b'0', "bin/raise", 0o4755).holding("#!/bin/sh\nid -u\n");
    host.load(&Image::busybox().with(layer().entry(&program)), "x:1");
    let mut found: Vec<PathBuf> = Vec::new();
    search(&host.root(), &mut |path| {
        if path.ends_with("raise") {
            found.push(path.to_owned());
        }
    });
    assert!(!found.is_empty(), "the program lies somewhere below the root");
    for program in found {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]).arg(&program);
        let output = tests::Mini::new(command).run();
        assert!(!output.status.success() && output.err().contains("Permission denied"), "{output}");
    }
}
