//! `mini load`: archives and layouts, packed or not, from a file or from standard input.

use std::fs;

use serde_json::json;
use tests::image::{Blob, Compression, Flavour, layout, pack};
use tests::{Host, Image, Tarball};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

#[test]
fn every_form_and_every_packing_by_file_and_by_stdin() {
    let image = saying("loaded");
    let name = "saying:1";
    let forms = [
        image.docker_archive(&[name]),
        image.clone().packed(Compression::Gzip, Flavour::Oci).oci_layout(name),
        image.clone().packed(Compression::Zstd, Flavour::Oci).oci_layout(name),
        image.clone().packed(Compression::None, Flavour::Oci).oci_layout(name),
        image.clone().packed(Compression::Gzip, Flavour::Docker).oci_layout(name),
    ];
    let host = Host::new();
    for form in &forms {
        for packing in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let archive = pack(form, packing);
            let file = host.work().join("archive");
            fs::write(&file, &archive).expect("write");
            for load in [host.mini(["load"]).stdin(archive), host.mini(["load", "-i"]).arg(&file)] {
                load.run().ok().stdout_has("Loaded image: saying:1");
                host.mini(["run", "--rm", name]).run().ok().stdout("loaded");
                host.mini(["rmi", name]).run().ok();
            }
        }
    }
}

#[test]
fn every_name_of_an_archive_is_taken() {
    let host = Host::new();
    host.mini(["load"]).stdin(saying("x").docker_archive(&["one:1", "two/three:4"])).run().ok();
    host.mini(["run", "--rm", "one:1"]).run().ok();
    host.mini(["run", "--rm", "two/three:4"]).run().ok();
}

#[test]
fn an_archive_without_a_name_is_loaded_by_its_id() {
    let host = Host::new();
    let image = saying("nameless");
    let output = host.mini(["load"]).stdin(image.docker_archive(&[])).run().ok();
    let id = image.configuration().digest();
    output.stdout_has(&format!("Loaded image ID: {id}"));
    host.mini(["run", "--rm", &id]).run().ok().stdout("nameless");
}

#[test]
fn the_same_archive_twice_is_no_error() {
    let host = Host::new();
    for _ in 0..2 {
        host.mini(["load", "-q"]).stdin(saying("x").docker_archive(&["x:1"])).run().ok();
    }
    assert_eq!(host.mini(["images", "-q"]).run().ok().lines().len(), 1);
}

#[test]
fn what_is_no_archive_is_refused_and_nothing_stays() {
    let host = Host::new();
    let whole = saying("x").docker_archive(&["x:1"]);
    let without = Tarball::new().file("something", 0o644, "else").finish();
    let lying = {
        let image = saying("x");
        let configuration = image.configuration();
        let other = Tarball::new().file("word", 0o644, "another").finish();
        let manifest = json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["0.tar", "1.tar"]}]);
        Tarball::new()
            .file("c.json", 0o644, configuration.bytes)
            .file("0.tar", 0o644, &image.layers[0])
            .file("1.tar", 0o644, other)
            .file("manifest.json", 0o644, manifest.to_string())
            .finish()
    };
    let truncated_gzip = {
        let packed = pack(&whole, Compression::Gzip);
        packed[..packed.len() / 2].to_vec()
    };
    for (what, archive) in [
        ("nothing", Vec::new()),
        ("noise", vec![b'x'; 5000]),
        ("no manifest", without),
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("half of its gzip stream", truncated_gzip),
        ("a layer that is not what its diff id says", lying),
    ] {
        let output = host.mini(["load"]).stdin(archive).run();
        assert_eq!(output.status.code(), Some(1), "{what}: {output}");
        assert!(output.err().lines().any(|line| line.starts_with("mini: ")), "{what}: {output}");
        assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "", "{what}");
    }
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn a_layout_whose_blob_is_not_its_digest_is_refused() {
    let host = Host::new();
    let (mut blobs, manifest) = saying("x").blobs();
    let honest = blobs[1].digest();
    blobs[1] = Blob {
        bytes: pack(&Tarball::new().file("word", 0o644, "y").finish(), Compression::Gzip),
        ..blobs[1].clone()
    };
    let index = json!({"schemaVersion": 2, "manifests": [manifest.descriptor()]});
    let mut archive = Tarball::new()
        .file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", 0o644, index.to_string())
        .file(&format!("blobs/sha256/{}", &manifest.digest()[7..]), 0o644, &manifest.bytes);
    for (blob, digest) in
        [(&blobs[0], blobs[0].digest()), (&blobs[1], honest), (&blobs[2], blobs[2].digest())]
    {
        archive = archive.file(&format!("blobs/sha256/{}", &digest[7..]), 0o644, &blob.bytes);
    }
    host.mini(["load"]).stdin(archive.finish()).run().error(1, &["sha256:"]);
    // A layout whose manifest names what is not there.
    let missing = layout(&index, [&manifest]);
    host.mini(["load"]).stdin(missing).run().error(1, &["sha256"]);
    assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "");
}

#[test]
fn names_inside_the_archive_lead_nowhere_else() {
    let host = Host::new();
    fs::write(host.work().join("secret"), "secret").expect("write");
    let secret = host.work().join("secret");
    let up = format!("../../../../../../../..{}", secret.display());
    for name in [up.as_str(), secret.to_str().expect("text")] {
        let manifest = json!([{"Config": name, "RepoTags": ["x:1"], "Layers": [name]}]);
        let archive =
            Tarball::new().symlink("link", name).file("manifest.json", 0o644, manifest.to_string()).finish();
        let output = host.mini(["load"]).stdin(archive).run().error(1, &[]);
        assert!(!output.err().contains("secret\n"), "{output}");
    }
}
