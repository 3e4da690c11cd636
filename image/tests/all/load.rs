//! Archives become images: docker's and OCI's, compressed or not, from a file or a pipe.

use std::io::Write;

use image::{Digest, LoadOptions, Reference, ResolveError, Store};

use crate::archive::{Tar, config, docker_archive, docker_archive_with, gzip, zstd};
use crate::images::{TestStore, chain, file, read};
use crate::narration::{Event, recorded};
use crate::registry::{Content, OCI, OCI_INDEX, OCI_LAYER};

fn layer() -> Vec<u8> {
    Tar::new().dir("bin/").file("bin/sh", b"#!").finish()
}

#[test]
fn a_docker_archive_becomes_an_image() {
    let test = TestStore::new();
    let archive = docker_archive(
        &[layer(), Tar::new().file("etc/passwd", b"root").finish()],
        &["app", "host:5000/app:1"],
    );
    let loaded = test.load(&archive).unwrap();
    assert_eq!(loaded.len(), 1);
    let names: Vec<String> = loaded[0].names.iter().map(Reference::familiar).collect();
    assert_eq!(names, ["app:latest", "host:5000/app:1"]);
    let image = test.store.resolve("app").unwrap();
    assert_eq!(image.id, loaded[0].id);
    assert_eq!(image.config.config().as_ref().unwrap().cmd().as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!(
        (read(&image.layers[0], "etc/passwd"), read(&image.layers[1], "bin/sh")),
        ("root".into(), "#!".into())
    );
    assert_eq!(image.size, 6);
    assert_eq!(test.store.list().unwrap().len(), 1);
    assert!(std::fs::read_dir(test.root.join("ingest")).unwrap().next().is_none(), "nothing stays half made");
}

#[test]
fn every_packing_gives_the_same_image() {
    let layers = [layer()];
    let plain = docker_archive(&layers, &["app"]);
    let packed = [
        plain.clone(),
        gzip(&plain),
        zstd(&plain),
        docker_archive_with(&layers, &["app"], gzip),
        docker_archive_with(&layers, &["app"], zstd),
    ];
    for (number, archive) in packed.iter().enumerate() {
        let test = TestStore::new();
        let loaded = test.load(archive).unwrap_or_else(|error| panic!("{number}: {}", chain(&error)));
        assert_eq!(loaded[0].id, Digest::of(&config(&layers)), "{number}");
        assert_eq!(read(&test.store.resolve("app").unwrap().layers[0], "bin/sh"), "#!", "{number}");
        assert!(std::fs::read_dir(test.root.join("ingest")).unwrap().next().is_none(), "{number}");
        // The same again is no error and changes nothing.
        let before = test.files();
        test.load(archive).unwrap();
        assert_eq!(test.files(), before, "{number}");
    }
}

#[test]
fn a_pipe_is_as_good_as_a_file() {
    let test = TestStore::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let archive = docker_archive(&[layer()], &["app"]);
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&archive).unwrap());
        let input = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        image::load(&test.store, input, &LoadOptions::default(), &|_| ()).unwrap();
    });
    test.store.resolve("app").unwrap();
}

#[test]
fn old_archives_link_layers_to_each_other() {
    let layers = [layer(), layer()];
    let config = config(&layers);
    let manifest = serde_json::json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"] }]);
    let archive = Tar::new()
        .dir("a/")
        .file("a/layer.tar", &layer())
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("c.json", &config)
        .file("manifest.json", manifest.to_string().as_bytes())
        .finish();
    let test = TestStore::new();
    let loaded = test.load(&archive).unwrap();
    assert!(loaded[0].names.is_empty());
    let image = test.store.resolve(&loaded[0].id.hex()[..12]).unwrap();
    assert_eq!(image.layers.len(), 1, "overlay refuses the same directory twice");
    assert_eq!(image.size, 4, "docker counts it twice all the same");
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let test = TestStore::new();
    let old = test.load(&docker_archive(&[layer()], &["app"])).unwrap();
    let newer = Tar::new().file("new", b"").finish();
    let new = test.load(&docker_archive(&[newer], &["app"])).unwrap();
    assert_eq!(
        (new[0].renamed[0].from, new[0].renamed[0].name.familiar()),
        (old[0].id, "app:latest".to_owned())
    );
    assert_eq!(test.store.resolve("app").unwrap().id, new[0].id);
    assert!(test.store.resolve(&old[0].id.to_string()).unwrap().tags.is_empty());
    assert_eq!(test.store.list().unwrap().len(), 2);
}

#[test]
fn what_is_no_archive_of_images_is_refused_and_leaves_nothing() {
    let good = docker_archive(&[layer()], &["app"]);
    let manifest = |config: &str, tags: &str, layers: &str| {
        format!(r#"[{{"Config":"{config}","RepoTags":{tags},"Layers":{layers}}}]"#).into_bytes()
    };
    let with = |manifest: Vec<u8>| {
        Tar::new()
            .file("c.json", &config(&[layer()]))
            .file("l.tar", &layer())
            .file("manifest.json", &manifest)
            .finish()
    };
    for (name, archive, expected) in [
        ("empty", Vec::new(), "no archive of images"),
        ("text", b"hello".repeat(200), "checksum"),
        ("another tar", layer(), "no archive of images"),
        ("xz", b"\xfd7zXZ\0".to_vec(), "xz compression"),
        ("cut", good[..good.len() / 2].to_vec(), "no archive of images"),
        (
            "gzip cut",
            {
                let packed = gzip(&good);
                packed[..packed.len() / 2].to_vec()
            },
            "reading the archive",
        ),
        ("no JSON", with(b"{".to_vec()), "malformed"),
        ("no such config", with(manifest("x.json", "[]", r#"["l.tar"]"#)), "no \"x.json\""),
        ("no such layer", with(manifest("c.json", "[]", r#"["x.tar"]"#)), "no \"x.tar\""),
        (
            "config outside",
            with(manifest("../../etc/passwd", "[]", r#"["l.tar"]"#)),
            "no \"../../etc/passwd\"",
        ),
        ("too few layers", with(manifest("c.json", "[]", "[]")), "0 layers, the configuration 1"),
        ("bad name", with(manifest("c.json", r#"["App"]"#, r#"["l.tar"]"#)), "must be lowercase"),
        (
            "another layer",
            docker_archive_with(&[layer()], &[], |_| Tar::new().file("x", b"").finish()),
            "the blob's digest is",
        ),
        (
            "config in a loop",
            Tar::new()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("manifest.json", &manifest("a", "[]", "[]"))
                .finish(),
            "no \"a\"",
        ),
    ] {
        let test = TestStore::new();
        let before = test.files();
        let error = chain(&test.load(&archive).expect_err(name));
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(test.files(), before, "{name} leaves something");
    }
}

#[test]
fn the_store_is_private_versioned_and_opened_again() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestStore::new();
    assert_eq!(std::fs::metadata(&test.root).unwrap().permissions().mode() & 0o7777, 0o700);
    test.load(&docker_archive(&[layer()], &["app"])).unwrap();
    assert!(Store::open(&test.root).unwrap().resolve("app").is_ok());
    assert!(
        matches!(test.store.resolve("other"), Err(ResolveError::NotFound(name)) if name == "other:latest")
    );
    std::fs::write(test.root.join("version"), "2\n").unwrap();
    let error = chain(&Store::open(&test.root).unwrap_err());
    assert!(error.contains("has format \"2\", this mini reads format 1"), "{error}");
}

#[test]
fn an_image_without_layers_still_has_one_to_mount() {
    let test = TestStore::new();
    let image = test.load_layers(&[]).unwrap();
    assert_eq!(image.layers.len(), 1);
    assert!(std::fs::read_dir(&image.layers[0]).unwrap().next().is_none());
    let _unused = file(b"");
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    members.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).finish()
}

fn item(content: &Content, tag: &str, annotations: &serde_json::Value) -> serde_json::Value {
    let manifest = content.manifest(tag);
    serde_json::json!({
        "mediaType": OCI, "digest": Digest::of(manifest), "size": manifest.len(), "annotations": annotations,
    })
}

#[test]
fn an_oci_layout_is_loaded_with_its_names_and_its_manifest() {
    let mut content = Content::default();
    for tag in ["a", "b", "c", "d"] {
        content.add_image(tag, &[Tar::new().file(tag, b"").finish()], OCI_LAYER, <[u8]>::to_vec);
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [
        item(&content, "a", &serde_json::json!({ "org.opencontainers.image.ref.name": "1.0", "io.containerd.image.name": "docker.io/library/app:1.0" })),
        item(&content, "b", &serde_json::json!({ "org.opencontainers.image.ref.name": "host:5000/app:2" })),
        item(&content, "c", &serde_json::json!({ "org.opencontainers.image.ref.name": "plain" })),
        item(&content, "d", &serde_json::json!({})),
    ] });
    let test = TestStore::new();
    let loaded = test.load(&tar(&content.layout(&index))).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let names: Vec<Vec<String>> =
        loaded.iter().map(|image| image.names.iter().map(Reference::familiar).collect()).collect();
    assert_eq!(
        names,
        [vec!["app:1.0".to_owned()], vec!["host:5000/app:2".into()], vec!["plain:latest".into()], vec![]]
    );
    assert_eq!(test.store.resolve("app:1.0").unwrap().manifest, Digest::of(content.manifest("a")));
    assert!(test.store.resolve(&loaded[3].id.to_string()).unwrap().layers[0].join("d").exists());
    assert_eq!(test.check(false, &|_| None), []);
}

#[test]
fn of_several_platforms_the_right_one_is_loaded() {
    let mut content = Content::default();
    for tag in ["amd64", "arm64"] {
        content.add_image(tag, &[Tar::new().file(tag, b"").finish()], OCI_LAYER, <[u8]>::to_vec);
    }
    let items: Vec<_> = ["arm64", "amd64"]
        .map(|architecture| {
            let mut item = item(&content, architecture, &serde_json::json!({}));
            item["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
            item
        })
        .into();
    let inner = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": items });
    let inner = inner.to_string().into_bytes();
    let size = inner.len();
    let digest = content.add_manifest("inner", OCI_INDEX, inner);
    let name = serde_json::json!({ "io.containerd.image.name": "app:1" });
    let outer = serde_json::json!({ "schemaVersion": 2, "manifests": [
        { "mediaType": OCI_INDEX, "digest": digest, "size": size, "annotations": name },
    ] });
    let archive = tar(&content.layout(&outer));
    for platform in ["linux/amd64", "linux/arm64"] {
        let test = TestStore::new();
        let options = LoadOptions { platform: platform.parse().unwrap(), ..LoadOptions::default() };
        let loaded = image::load(&test.store, file(&archive), &options, &|_| ()).unwrap();
        assert_eq!(loaded.len(), 1);
        let image = test.store.resolve("app:1").unwrap();
        assert!(image.layers[0].join(platform.trim_start_matches("linux/")).exists(), "{platform}");
    }
    let options = LoadOptions { platform: "linux/riscv64".parse().unwrap(), ..LoadOptions::default() };
    let error = chain(&image::load(&TestStore::new().store, file(&archive), &options, &|_| ()).unwrap_err());
    assert!(error.contains("no image for linux/riscv64"), "{error}");
}

#[test]
fn an_oci_layout_that_lies_is_refused() {
    let content = Content::image(&[layer()], OCI_LAYER, <[u8]>::to_vec);
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [item(&content, "latest", &serde_json::json!({}))] });
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let manifest = blob(content.manifest("latest"));
    let config = blob(&config(&[layer()]));
    let layer = blob(&layer());
    type Lie = fn(&mut Vec<u8>);
    let flip: Lie = |bytes| bytes[0] ^= 1;
    let cut: Lie = |bytes| bytes.truncate(10);
    for (name, lie, expected) in [
        (&manifest, flip, "has the digest"),
        (&manifest, cut, "its descriptor says"),
        (&config, flip, "has the digest"),
        (&config, cut, "its descriptor says"),
        (&layer, flip, "layer sha256:"),
        (&layer, cut, "its descriptor says"),
    ] {
        let mut members = content.layout(&index);
        members.iter_mut().filter(|(member, _)| member == name).for_each(|(_, bytes)| lie(bytes));
        let test = TestStore::new();
        let before = test.files();
        let error = chain(&test.load(&tar(&members)).expect_err(expected));
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(test.files(), before, "{name}");
        members.retain(|(member, _)| member != name);
        let error = chain(&test.load(&tar(&members)).expect_err("a missing blob"));
        assert!(error.contains(&format!("the archive has no {name:?}")), "{error}");
    }
    let mut looped = Content::default();
    let mut digest = Digest::of(content.manifest("latest"));
    let mut size = content.manifest("latest").len();
    for _ in 0..6 {
        let item = serde_json::json!({ "mediaType": OCI_INDEX, "digest": digest, "size": size });
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [item] });
        size = index.to_string().len();
        digest = looped.add_manifest("x", OCI_INDEX, index.to_string().into_bytes());
    }
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_INDEX, "digest": digest, "size": size }] });
    let error = chain(&TestStore::new().load(&tar(&looped.layout(&top))).unwrap_err());
    assert!(error.contains("nested too deeply"), "{error}");
}

/// An archive of so many images of one layer, the first of them twice.
fn archive_of(count: usize) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut entries = Vec::new();
    for number in 0..count {
        let layer = Tar::new().file("number", number.to_string().as_bytes()).finish();
        let config = config(std::slice::from_ref(&layer));
        let (layer_name, config_name) = (format!("{number}/layer.tar"), format!("{number}.json"));
        tar = tar.file(&layer_name, &layer).file(&config_name, &config);
        let tags = [format!("app:{number}")];
        entries.push(serde_json::json!({ "Config": config_name, "RepoTags": tags, "Layers": [layer_name] }));
    }
    let mut again = entries[0].clone();
    again["RepoTags"] = serde_json::json!(["app:again"]);
    entries.push(again);
    tar.file("manifest.json", serde_json::json!(entries).to_string().as_bytes()).finish()
}

#[test]
fn many_images_are_flushed_as_often_as_one() {
    let flushes = [1, 20].map(|count| {
        let test = TestStore::new();
        let (loaded, events) = recorded(|| test.load(&archive_of(count)).unwrap());
        assert_eq!(loaded.len(), count + 1);
        for number in 0..count {
            let image = test.store.resolve(&format!("app:{number}")).unwrap();
            assert_eq!(read(&image.layers[0], "number"), number.to_string());
        }
        assert_eq!(test.store.list().unwrap().len(), count);
        assert_eq!(test.store.resolve("app:again").unwrap().id, test.store.resolve("app:0").unwrap().id);
        assert_eq!(test.check(false, &|_| None), []);
        assert!(std::fs::read_dir(test.root.join("ingest")).unwrap().next().is_none(), "something stays");
        let is_flush = |event: &&Event| {
            event.target == "mini::op"
                && ["fsync", "syncfs"].iter().any(|call| event.field("call").contains(call))
        };
        events.iter().filter(is_flush).count()
    });
    assert_eq!(flushes[0], flushes[1]);
}
