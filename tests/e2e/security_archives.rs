//! Layers whose archives attack: sizes, headers, packings and digests that lie. Each through `load` and through `pull`.

use tests::image::{Blob, Compression, digest, pack};
use tests::server::{Contents, ImageServer};
use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

use crate::attack::{Fate, MARK, attack, layer, mark};

#[test]
fn sizes_that_lie() {
    let with = |entry: Entry<'_>| layer().entry(&entry);
    let negative = Tarball::new().raw(&{
        let mut archive = with(Entry::new(b'0', "negative", 0o644)).finish();
        archive.truncate(1024);
        archive[512 + 124..512 + 136].copy_from_slice(b"-0000000001\0");
        let sum: u32 = archive[512..1024]
            .iter()
            .enumerate()
            .map(|(n, byte)| if (148..156).contains(&n) { 32 } else { u32::from(*byte) })
            .sum();
        archive[512 + 148..512 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive
    });
    attack(Fate::Refused, [negative], "", "");
    let huge =
        Entry { claimed_size: Some(u64::MAX >> 1), ..Entry::new(b'0', "huge", 0o644).holding("short") };
    attack(Fate::Refused, [with(huge)], "", "");
    let longer = Entry { claimed_size: Some(1 << 40), ..Entry::new(b'0', "longer", 0o644).holding("short") };
    attack(Fate::Refused, [with(longer)], "", "");
}

#[test]
fn cve_2025_62518_two_sizes_for_one_entry() {
    let smuggled = Tarball::new().file(MARK, 0o644, "smuggled").finish();
    let outer = Entry::new(b'0', "outer", 0o644).holding(&smuggled[..1024]);
    // PAX says that the entry is empty, the header says that it holds an archive.
    attack(Fate::Refused, [layer().pax(&[("size", b"0")]).entry(&outer)], "", "");
    let empty = Entry { claimed_size: Some(0), ..outer };
    attack(Fate::Refused, [layer().pax(&[("size", b"1024")]).entry(&empty)], "", "");
}

#[test]
fn broken_extensions() {
    for record in ["5 a=b\n", "99999999999 a=b\n", "0 a=b\n", "x a=b\n", "7 ab\n", "-6 a=b\n"] {
        let pax = Entry::new(b'x', "pax", 0o644).holding(record);
        attack(Fate::EitherWay, [layer().entry(&pax).file("f", 0o644, "x")], "true", "");
    }
    let name = [b'n'; 1 << 20];
    let long = Entry::new(b'L', "././@LongLink", 0o644).holding(&name);
    attack(Fate::Refused, [layer().entry(&long).file("f", 0o644, "x")], "", "");
}

#[test]
fn headers_that_are_none() {
    let mut archive = layer().file("x", 0o644, "x").finish();
    archive[512 + 148] ^= 1;
    attack(Fate::Refused, [Tarball::new().raw(&archive)], "", "");
    let noise: Vec<u8> = (0..10_240_u32).map(|n| u8::try_from(n * 7919 % 251).expect("below 251")).collect();
    attack(Fate::Refused, [Tarball::new().raw(&noise)], "", "");
}

#[test]
fn names_that_are_too_long() {
    let deep = "d/".repeat(2000) + MARK;
    attack(Fate::EitherWay, [mark(layer(), &deep)], "true", "");
    attack(Fate::Refused, [layer().file(&"n".repeat(4096), 0o644, "x")], "", "");
}

#[test]
fn device_nodes_open_nothing() {
    // kmsg, which docker's device list does not have.
    let node = Entry { device: (1, 11), ..Entry::new(b'3', "kmsg", 0o666) };
    let disk = Entry { device: (254, 0), ..Entry::new(b'4', "disk", 0o666) };
    let script =
        "head -c 1 /kmsg > /dev/null 2>&1 && echo read; head -c 1 /disk > /dev/null 2>&1 && echo read; true";
    attack(Fate::Valid, [layer().entry(&node).entry(&disk)], script, "");
}

/// A registry or a layout that hands out other bytes than the descriptor says.
#[track_caller]
fn packed(bytes: Vec<u8>, diff_id_of: &[u8]) -> Vec<(&'static str, bool)> {
    let mut image = Image::busybox();
    image.layers.push(diff_id_of.to_vec());
    let mut results = Vec::new();
    let mut blobs = image.packed_layers();
    blobs[1].bytes = bytes;
    let configuration = image.configuration();
    let descriptors: Vec<_> = blobs.iter().map(Blob::descriptor).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": image.manifest().media_type,
        "config": configuration.descriptor(), "layers": descriptors,
    });
    let manifest = Blob { media_type: image.manifest().media_type, bytes: manifest.to_string().into_bytes() };
    let mut contents = Contents::default();
    for blob in blobs.iter().chain([&configuration]) {
        contents.add_blob("given", blob.clone());
    }
    contents.add_manifest("given", "1", manifest.clone());
    {
        let host = Host::new();
        let server = ImageServer::open(contents);
        let output = host.mini(["pull", &format!("{}/given:1", server.name())]).run();
        assert!(output.status.success() || output.err().contains("mini: "), "{output}");
        results.push(("pull", output.status.success()));
    }
    let host = Host::new();
    let mut descriptor = manifest.descriptor();
    descriptor["annotations"] = serde_json::json!({"io.containerd.image.name": "given:1"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]});
    let archive = tests::image::layout(&index, blobs.iter().chain([&configuration, &manifest]));
    let output = host.mini(["load"]).stdin(archive).run();
    assert!(output.status.success() || output.err().contains("mini: "), "{output}");
    results.push(("load", output.status.success()));
    results
}

#[test]
fn gzip_members_may_follow_each_other_and_may_not_end_early() {
    let tar = layer().file("x", 0o644, vec![b'x'; 100_000]).finish();
    let (head, tail) = tar.split_at(40_000);
    let two = [pack(head, Compression::Gzip), pack(tail, Compression::Gzip)].concat();
    assert_eq!(packed(two.clone(), &tar), [("pull", true), ("load", true)], "concatenated members");
    assert_eq!(
        packed(two[..two.len() - 5].to_vec(), &tar),
        [("pull", false), ("load", false)],
        "a truncated one"
    );
    let whole = pack(&tar, Compression::Gzip);
    assert_eq!(
        packed(whole[..whole.len() / 2].to_vec(), &tar),
        [("pull", false), ("load", false)],
        "half of one"
    );
    let trailing = [whole, b"trailing noise".to_vec()].concat();
    assert_eq!(packed(trailing, &tar), [("pull", false), ("load", false)], "noise after the last");
}

#[test]
fn a_layer_that_is_not_its_diff_id_is_refused() {
    let (claimed, real) = (layer().finish(), layer().file("other", 0o644, "x").finish());
    assert_ne!(digest(&claimed), digest(&real));
    assert_eq!(packed(pack(&real, Compression::Gzip), &claimed), [("pull", false), ("load", false)]);
}

#[test]
fn zstd_with_a_giant_window_is_refused_before_it_is_allocated() {
    let tar = layer().finish();
    // A frame header (RFC 8878, 3.1.1.1) that asks for a window of 2^41 bytes, and an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00];
    assert_eq!(packed(frame.to_vec(), &tar), [("pull", false), ("load", false)]);
}
