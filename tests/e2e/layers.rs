//! Layers that tell the truth: what a stack of them looks like from inside, through `load` and through `pull` alike.

use tests::delivery::BOTH;
use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

/// What a script says in a container of busybox with these layers on top, however the image came.
#[track_caller]
fn says(layers: impl IntoIterator<Item = Tarball>, script: &str, expected: &str) {
    let image = layers.into_iter().fold(Image::busybox(), Image::with);
    for delivery in BOTH {
        let host = Host::new();
        let (output, name) = delivery.hand_over(&host, &image);
        output.ok();
        let output = host.mini(["run", "--rm", &name, "sh", "-c", script]).run().ok();
        assert_eq!(output.text(), expected, "{delivery:?}: {output}");
    }
}

#[test]
fn whiteouts_delete_files_directories_and_what_is_in_them() {
    let lower = Tarball::new()
        .directory("d", 0o755)
        .file("d/gone", 0o644, "x")
        .file("d/kept", 0o644, "x")
        .directory("tree", 0o755)
        .directory("tree/deep", 0o755)
        .file("tree/deep/file", 0o644, "x")
        .file("file", 0o644, "x");
    let upper = Tarball::new().whiteout("d/gone").whiteout("tree").whiteout("file").whiteout("never-was");
    says([lower, upper], "ls d; ls -d tree file never-was 2>/dev/null; true", "kept\n");
}

#[test]
fn a_whiteout_does_not_touch_its_own_layer() {
    let lower = Tarball::new().file("a", 0o644, "old").file("b", 0o644, "old");
    let upper = Tarball::new().file("a", 0o644, "new").whiteout("a").whiteout("b").file("b", 0o644, "new");
    says([lower, upper], "cat a b", "newnew");
}

#[test]
fn an_opaque_directory_hides_what_is_below_in_any_order() {
    let lower = Tarball::new()
        .directory("d", 0o755)
        .file("d/below", 0o644, "x")
        .directory("d/sub", 0o755)
        .file("d/sub/y", 0o644, "y");
    let first = Tarball::new()
        .directory("d", 0o755)
        .opaque("d")
        .file("d/above", 0o644, "x")
        .directory("d/sub", 0o755);
    let last = Tarball::new()
        .directory("d", 0o755)
        .file("d/above", 0o644, "x")
        .directory("d/sub", 0o755)
        .opaque("d");
    for upper in [first, last] {
        says([lower.clone(), upper], "ls d d/sub", "d:\nabove\nsub\n\nd/sub:\n");
    }
}

#[test]
fn a_directory_made_again_above_its_whiteout_is_empty() {
    let lower = Tarball::new().directory("d", 0o755).file("d/old", 0o644, "x");
    let middle = Tarball::new().whiteout("d");
    let upper = Tarball::new().directory("d", 0o700).file("d/new", 0o644, "x");
    says([lower, middle, upper], "ls d; stat -c %a d", "new\n700\n");
}

#[test]
fn kinds_replace_each_other_between_layers() {
    let lower = Tarball::new()
        .directory("dir-to-file", 0o755)
        .file("dir-to-file/x", 0o644, "x")
        .file("file-to-dir", 0o644, "x")
        .symlink("link-to-file", "/etc")
        .file("file-to-link", 0o644, "x");
    let upper = Tarball::new()
        .file("dir-to-file", 0o644, "file")
        .directory("file-to-dir", 0o755)
        .file("link-to-file", 0o644, "file")
        .symlink("file-to-link", "/etc/passwd");
    let script = "cat dir-to-file link-to-file; [ -d file-to-dir ] && readlink file-to-link";
    says([lower, upper], script, "filefile/etc/passwd\n");
}

#[test]
fn a_missing_parent_takes_mode_and_owner_of_the_layer_below() {
    let lower = Tarball::new()
        .entry(&Entry::new(b'5', "data", 0o700).owned_by(1000, 1001))
        .entry(&Entry::new(b'5', "data/deep", 0o2750).owned_by(7, 8))
        .file("data/deep/below", 0o644, "x");
    let upper = Tarball::new().file("data/deep/above", 0o644, "x").file("new/parent/file", 0o644, "x");
    let script = "stat -c '%a %u:%g' data data/deep new new/parent; ls data/deep";
    says([lower, upper], script, "700 1000:1001\n2750 7:8\n755 0:0\n755 0:0\nabove\nbelow\n");
}

#[test]
fn a_file_as_a_parent_becomes_a_directory() {
    let layer = Tarball::new().file("nondir", 0o644, "x").file("nondir/foo", 0o644, "inside");
    says([layer], "cat nondir/foo", "inside");
    let (lower, upper) =
        (Tarball::new().file("nondir", 0o644, "x"), Tarball::new().file("nondir/foo", 0o644, "inside"));
    says([lower, upper], "cat nondir/foo", "inside");
}

#[test]
fn hard_links_are_one_file_also_across_layers() {
    let lower = Tarball::new().file("a", 0o640, "content").hardlink("b", "a");
    let upper = Tarball::new().hardlink("c", "a").hardlink("deep/d", "/b");
    says(
        [lower, upper],
        "stat -c %h a; cat b c deep/d; stat -c %a c; stat -c %i a c | uniq | wc -l",
        "2\ncontentcontentcontent640\n1\n",
    );
}

#[test]
fn a_hard_link_keeps_its_targets_owner_and_mode() {
    let link = Entry { mode: 0o777, ..Entry::new(b'1', "b", 0o777).owned_by(1000, 1000).to("a") };
    let layer = Tarball::new().file("a", 0o600, "x").entry(&link);
    says([layer], "stat -c '%a %u:%g' a b", "600 0:0\n600 0:0\n");
}

#[test]
fn a_hard_link_to_a_symlink_links_the_symlink() {
    let layer = Tarball::new().symlink("s", "nowhere").hardlink("h", "s");
    says([layer], "readlink h; stat -c %h s", "nowhere\n2\n");
}

#[test]
fn a_file_in_the_place_of_a_hard_link_leaves_the_other_name_alone() {
    let layer = Tarball::new()
        .file("a", 0o644, "old")
        .hardlink("b", "a")
        .file("b", 0o644, "new")
        .file("c", 0o644, "old")
        .hardlink("d", "c")
        .symlink("d", "elsewhere");
    says([layer], "cat a b c; readlink d", "oldnewoldelsewhere\n");
}

#[test]
fn the_last_of_two_entries_of_one_name_holds() {
    let layer = Tarball::new()
        .file("twice", 0o600, "a longer first one")
        .file("twice", 0o644, "second")
        .directory("twice2", 0o700)
        .directory("twice2", 0o755);
    says([layer], "cat twice; stat -c ' %a' twice twice2", "second 644\n 755\n");
}

#[test]
fn owners_modes_times_and_special_bits_are_kept() {
    let layer = Tarball::new()
        .entry(&Entry::new(b'0', "suid", 0o4755).owned_by(0, 0))
        .entry(&Entry::new(b'0', "sgid", 0o2755).owned_by(5, 6))
        .entry(&Entry::new(b'5', "sticky", 0o1777))
        .entry(&Entry { mtime: 1_234_567_890, ..Entry::new(b'5', "old", 0o555) })
        .file("old/file", 0o400, "x")
        .entry(&Entry { mtime: 42, ..Entry::new(b'2', "link", 0o777).to("target").owned_by(9, 9) });
    let script = "stat -c '%a %u:%g' suid sgid sticky; stat -c %Y old old/file; stat -c '%Y %u' link";
    says([layer], script, "4755 0:0\n2755 5:6\n1777 0:0\n1234567890\n1600000000\n42 9\n");
}

#[test]
fn fifos_sparse_files_and_long_and_odd_names() {
    let long = format!("{}/{}/end", "a".repeat(200), "b".repeat(200));
    let layer = Tarball::new()
        .entry(&Entry::new(b'6', "fifo", 0o644))
        .file(&long, 0o644, "long")
        .entry(&Entry::new(b'0', b"not-\xff\xfe-text", 0o644).holding("odd"))
        .file(" spaces and\nlines ", 0o644, "even");
    let script = format!("[ -p fifo ] && cat {long} not-*-text ' spaces and\nlines '");
    says([layer], &script, "longoddeven");
}

#[test]
fn extended_attributes_and_file_capabilities_are_kept() {
    // cap_net_raw=ep, revision 2 (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ping = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let image = Image::busybox().with(
        Tarball::new()
            .pax(&[("SCHILY.xattr.security.capability", &capability), ("SCHILY.xattr.user.note", b"kept")])
            .file("bin/capable", 0o755, ping),
    );
    for delivery in BOTH {
        let host = Host::on_disk();
        let (output, name) = delivery.hand_over(&host, &image);
        output.ok();
        // Started without rights, it has the one that the file brings: within the container's own user namespace.
        let script = "mkdir /tmp/t; ln -s /bin/capable /tmp/t/grep; \
                      /tmp/t/grep -E 'Cap(Prm|Eff)' /proc/self/status | cut -f2";
        let output = host.mini(["run", "--rm", "-u", "1000", &name, "sh", "-c", script]).run().ok();
        assert_eq!(output.text(), "0000000000002000\n0000000000002000\n", "{delivery:?}");
    }
}

#[test]
fn paths_may_go_through_links_of_the_same_layer() {
    let layer = Tarball::new()
        .directory("usr/lib", 0o755)
        .symlink("lib", "usr/lib")
        .file("lib/file", 0o644, "through")
        .symlink("abs", "/usr")
        .file("abs/share/doc", 0o644, "absolute");
    says(
        [layer],
        "cat usr/lib/file usr/share/doc; readlink lib; readlink abs",
        "throughabsoluteusr/lib\n/usr\n",
    );
}

#[test]
fn names_may_begin_with_a_dot_or_a_slash() {
    let layer = Tarball::new()
        .directory("./", 0o755)
        .file("./dotted", 0o644, "1")
        .file("/rooted", 0o644, "2")
        .file("a/./b//c", 0o644, "3");
    says([layer], "cat /dotted /rooted /a/b/c", "123");
}

#[test]
fn a_hundred_layers_and_a_layer_twice() {
    let numbered =
        |n: usize| Tarball::new().file("last", 0o644, n.to_string()).file(&format!("n/{n}"), 0o644, "");
    says((0..100).map(numbered), "cat last; ls n | wc -l", "99100\n");
    let same = || Tarball::new().file("same", 0o644, "same");
    says([same(), Tarball::new().whiteout("same"), same()], "cat same", "same");
}

#[test]
fn an_empty_layer_is_a_layer() {
    says([Tarball::new(), Tarball::new().file("x", 0o644, "x")], "cat x", "x");
}
