//! Archives become images: docker's and OCI's, compressed or not, from a file or a pipe.

use std::io::Write;

use image::{LoadOptions, Reference, ResolveError, Store};

use crate::archive::{Tar, config, docker_archive, docker_archive_with, gzip, zstd};
use crate::images::{TestStore, chain, file, read};

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
        assert_eq!(loaded[0].id, image::Digest::of(&config(&layers)), "{number}");
        assert_eq!(read(&test.store.resolve("app").unwrap().layers[0], "bin/sh"), "#!", "{number}");
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
