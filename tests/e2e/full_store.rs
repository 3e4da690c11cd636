//! An image store on a disk without room, or on one that cannot be written to: clear errors, and a store as whole as before.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;
use tests::image::{Compression, Flavour};
use tests::server::{Contents, ImageServer};
use tests::{Host, Image, Loopback, Tarball};

/// Busybox and so many bytes, that no two blocks of are alike.
fn image(bytes: usize) -> Image {
    let data: Vec<u8> =
        (0..bytes / 4).flat_map(|number| u32::try_from(number).expect("few").to_le_bytes()).collect();
    Image::busybox()
        .with(Tarball::new().file("data", 0o644, data))
        .set("Cmd", json!(["sh", "-c", "wc -c < /data"]))
        .packed(Compression::None, Flavour::Oci)
}

/// A host whose root is an ext4 of 64 MiB, with busybox on it.
fn small(host: &Host) -> (PathBuf, Loopback) {
    let disk = Loopback::new(host, 64 << 20);
    host.tool("mkfs.ext4", ["-q", "-m", "0", disk.name()]);
    let place = host.root();
    host.tool("mount", ["-t", "ext4", disk.name(), place.to_str().expect("text")]);
    host.load(&Image::busybox(), "busybox:latest");
    (place, disk)
}

/// The image that was there is whole, and nothing else is.
#[track_caller]
fn as_before(host: &Host) {
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["images", "--format", "{{.Repository}}"]).run().ok().stdout("busybox\n");
    host.mini(["run", "--rm", "busybox", "echo", "works"]).run().ok().stdout("works\n");
}

#[test]
fn a_pull_that_finds_no_room_gives_back_what_it_took() {
    let host = Host::new();
    let (place, _disk) = small(&host);
    let mut contents = Contents::default();
    // One whose blob does not fit, and one whose blob does, but not its layer besides.
    for (name, size) in [("large", 100 << 20), ("medium", 40 << 20), ("little", 1 << 20)] {
        contents.add(name, "1", &image(size));
    }
    let server = ImageServer::open(contents);
    for name in ["large", "medium", "large"] {
        let pull = host.mini(["pull", &format!("{}/{name}:1", server.name())]).run().error(1, &[name]);
        assert!(pull.err().to_lowercase().contains("no space left"), "{pull}");
        as_before(&host);
    }
    let name = format!("{}/little:1", server.name());
    host.mini(["run", "--rm", &name]).run().ok().stdout("1048576\n");
    host.tool("umount", [&place]);
}

#[test]
fn a_disk_without_any_room_takes_no_image_and_loses_none() {
    let host = Host::new();
    let (place, _disk) = small(&host);
    let mut contents = Contents::default();
    contents.add("little", "1", &image(1 << 20));
    let server = ImageServer::open(contents);
    let name = format!("{}/little:1", server.name());
    let filler = place.join("filler");
    let mut file = fs::File::create(&filler).expect("make a file");
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    // What is not on the disk yet may find that it needs less.
    let _full = file.sync_all();
    while file.write_all(b"x").is_ok() {}
    let pull = host.mini(["pull", &name]).run().error(1, &["little"]);
    assert!(pull.err().to_lowercase().contains("no space left"), "{pull}");
    host.mini(["images", "--format", "{{.Repository}}"]).run().ok().stdout("busybox\n");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["system", "df"]).run().ok();
    drop(file);
    fs::remove_file(filler).expect("remove what filled it");
    as_before(&host);
    host.mini(["run", "--rm", &name]).run().ok().stdout("1048576\n");
    host.tool("umount", [&place]);
}

#[test]
fn a_store_that_cannot_be_written_to_says_so_and_can_be_looked_at() {
    let host = Host::new();
    let (place, _disk) = small(&host);
    let mut contents = Contents::default();
    contents.add("little", "1", &image(1 << 20));
    let server = ImageServer::open(contents);
    let name = format!("{}/little:1", server.name());
    let remount =
        |how: &str| host.tool("mount", ["-o", &format!("remount,bind,{how}"), place.to_str().expect("text")]);
    remount("ro");
    for words in
        [&["pull", &name][..], &["rmi", "busybox"], &["image", "prune", "-af"], &["load", "-i", "/dev/null"]]
    {
        let output = host.mini(words).run().code(1);
        assert!(
            words[0] == "load" || output.err().to_lowercase().contains("read-only file system"),
            "{output}"
        );
    }
    host.mini(["images", "--format", "{{.Repository}}"]).run().ok().stdout("busybox\n");
    host.mini(["system", "df"]).run().ok().stdout_has("Images");
    host.mini(["image", "inspect", "busybox"]).run().ok();
    remount("rw");
    as_before(&host);
    host.mini(["run", "--rm", &name]).run().ok().stdout("1048576\n");
    host.tool("umount", [&place]);
}
