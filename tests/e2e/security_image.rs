//! Images whose configuration and files attack: their texts are data, their paths are looked up inside.

use serde_json::json;
use tests::tarball::Entry;
use tests::{Image, Tarball};

use crate::secret::{TARGET, untouched, with_secret};

#[test]
fn cve_2022_23648_an_images_volumes_name_no_path_of_the_host() {
    let up = format!("/..{TARGET}");
    let image = Image::busybox().set("Volumes", json!({TARGET: {}, up: {}, "/etc/../../run": {}}));
    let host = with_secret(&image);
    let script = format!("cat {TARGET}/secret /run/mini-test/work/secret; touch {TARGET}/x; true");
    let output = host.mini(["run", "--rm", "evil", "sh", "-c", &script]).run();
    assert!(!output.text().contains("secret"), "{output}");
    untouched(&host);
}

#[test]
fn cve_2026_53488_labels_and_every_other_text_of_an_image_are_data() {
    let bait = format!("$(touch {TARGET}/x); touch {TARGET}/y; `touch {TARGET}/z`");
    let image = Image::busybox()
        .set("Labels", json!({"run": bait, "install": bait, bait.clone(): "x"}))
        .set("Env", json!([format!("BAIT={bait}"), "LD_PRELOAD=/evil.so", "no-equals-sign"]))
        .set("StopSignal", bait.clone())
        .set("ExposedPorts", json!({bait.clone(): {}}))
        .set("Healthcheck", json!({"Test": ["CMD-SHELL", bait]}));
    let host = with_secret(&image);
    host.mini(["run", "--rm", "evil", "true"]).run();
    host.mini(["inspect", "evil"]).run().ok();
    host.mini(["images"]).run().ok();
    untouched(&host);
}

#[test]
fn an_images_user_and_directory_are_parsed_strictly_and_looked_up_inside() {
    for (key, value) in [
        ("User", "../../etc/passwd"),
        ("User", "0:0:0"),
        ("User", "-1"),
        ("WorkingDir", "/../../../../run/mini-test/work"),
        ("WorkingDir", "relative/../../.."),
    ] {
        let host = with_secret(&Image::busybox().set(key, value));
        let output = host.mini(["run", "--rm", "evil", "cat", "secret"]).run();
        assert!(!output.text().contains("the host"), "{key}={value}: {output}");
        untouched(&host);
    }
}

#[test]
fn files_that_mini_reads_in_an_image_may_be_anything() {
    let long = "x".repeat(1 << 20);
    let fifo = Entry::new(b'6', "etc/passwd", 0o644);
    for (what, layer) in [
        ("a link out", Tarball::new().symlink("etc/passwd", &format!("{TARGET}/secret"))),
        ("a fifo", Tarball::new().entry(&fifo)),
        ("a directory", Tarball::new().whiteout("etc/passwd").directory("etc/group", 0o755)),
        (
            "a device",
            Tarball::new().entry(&Entry { device: (1, 5), ..Entry::new(b'3', "etc/passwd", 0o644) }),
        ),
        ("one long line", Tarball::new().file("etc/passwd", 0o644, &long)),
        ("many lines", Tarball::new().file("etc/passwd", 0o644, "x:y\n".repeat(1 << 18))),
    ] {
        let host = with_secret(&Image::busybox().with(layer));
        for user in ["0", "someone"] {
            let output = host.mini(["run", "--rm", "-u", user, "evil", "true"]).run();
            assert!(
                !output.err().contains("panicked") && !output.err().contains("secret"),
                "{what}: {output}"
            );
            // Taken as empty or refused; what counts is that it neither hangs nor reads the host's.
            let taken = user == "0" && output.status.success();
            assert!(taken || output.status.code() == Some(125), "{what}, user {user}: {output}");
        }
    }
}

#[test]
fn files_that_mini_mounts_over_in_an_image_may_be_links() {
    for name in ["etc/hosts", "etc/resolv.conf", "etc/hostname", "etc"] {
        let layer = if name == "etc" {
            Tarball::new().whiteout("etc")
        } else {
            Tarball::new().symlink(name, &format!("{TARGET}/secret"))
        };
        let over = if name == "etc" { Tarball::new().symlink("etc", TARGET) } else { Tarball::new() };
        let host = with_secret(&Image::busybox().with(layer).with(over));
        host.mini(["run", "--rm", "evil", "cat", "/etc/hosts"]).run();
        untouched(&host);
    }
}
