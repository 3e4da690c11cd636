//! Layers that are too much: bombs, and a million entries. Slow, and one at a time: they use up memory and disk.

use std::io::Write as _;

use flate2::write::GzEncoder;
use tests::delivery::BOTH;
use tests::image::{Blob, Compression, Flavour};
use tests::server::{Contents, ImageServer};
use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

#[test]
fn a_million_entries_fill_the_disk_with_nothing_and_go_again() {
    let layer =
        (0..1_000_000).fold(Tarball::new(), |layer, n| layer.file(&format!("d{}/f{n}", n % 1000), 0o644, ""));
    let image = Image::busybox().with(layer).packed(Compression::Zstd, Flavour::Oci);
    for delivery in BOTH {
        let host = Host::new();
        let (output, name) = delivery.hand_over(&host, &image);
        output.ok();
        host.mini(["run", "--rm", &name, "sh", "-c", "ls /d7 | wc -l"]).run().ok().stdout("1000\n");
        host.mini(["rmi", &name]).run().ok();
    }
}

/// A layer of zeros, packed a thousand to one: gzip members that each hold 64 MiB.
fn bomb(members: usize) -> Blob {
    let size = (members << 26) as u64;
    let entry = Entry { claimed_size: Some(size), ..Entry::new(b'0', "zeros", 0o644) };
    let head = Tarball::new().entry(&entry).finish();
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
    };
    let mut bytes = pack(&head[..512]);
    bytes.extend(pack(&vec![0; 1 << 26]).repeat(members));
    bytes.extend(pack(&[0; 1024]));
    Blob { media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(), bytes }
}

#[test]
fn a_bomb_on_the_disk_is_refused_with_the_limit_it_passed() {
    // 40 GiB. What they would hash to is never reached.
    let layer = bomb(640);
    let diff_id = format!("sha256:{}", "0".repeat(64));
    let configuration = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let configuration = Blob {
        media_type: "application/vnd.oci.image.config.v1+json".into(),
        bytes: configuration.to_string().into_bytes(),
    };
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": configuration.descriptor(), "layers": [layer.descriptor()],
    });
    let manifest = Blob { media_type: media_type.into(), bytes: manifest.to_string().into_bytes() };
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest.descriptor()]});
    let archive = tests::image::layout(&index, [&configuration, &layer, &manifest]);
    let mut contents = Contents::default();
    contents.add_blob("bomb", configuration);
    contents.add_blob("bomb", layer);
    contents.add_manifest("bomb", "1", manifest);
    let host = Host::new();
    let server = ImageServer::open(contents);
    let pulled = host.mini(["pull", &format!("{}/bomb:1", server.name())]).patient(4).run();
    pulled.error(1, &["limit"]);
    host.mini(["load"]).stdin(archive).patient(4).run().error(1, &["limit"]);
    assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "");
}
