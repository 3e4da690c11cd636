//! Layers that attack: none may read, write or delete outside its own directory.

use std::os::unix::fs::MetadataExt;

use crate::archive::{Tar, docker_archive, docker_archive_with, gzip};
use crate::attacks::Outcome::{Refused, Unpacked};
use crate::attacks::{Case, cases, names};
use crate::images::{TestStore, chain, read};

#[test]
fn no_layer_reaches_outside_its_directory() {
    for Case { name, layer, outcome } in cases() {
        let test = TestStore::new();
        let victim = test.root.parent().unwrap().join("victim");
        std::fs::write(&victim, "victim").unwrap();
        let before = test.files();
        let loaded = test.load_layers(std::slice::from_ref(&layer));
        match (outcome, loaded) {
            (Refused(expected), Err(error)) => {
                let error = chain(&error);
                assert!(error.contains(expected), "{name}: {error}");
                assert_eq!(test.files(), before, "{name}: the store changed");
            }
            (Unpacked(look), Ok(image)) => look(&image.layers[image.layers.len() - 1]),
            (Refused(_), Ok(_)) => panic!("{name}: was unpacked"),
            (Unpacked(_), Err(error)) => panic!("{name}: {}", chain(&error)),
        }
        let stat = victim.metadata().unwrap();
        assert_eq!(
            (std::fs::read_to_string(&victim).unwrap().as_str(), stat.nlink()),
            ("victim", 1),
            "{name}"
        );
        let beside: Vec<String> = names(test.root.parent().unwrap());
        assert_eq!(beside, ["image", "victim"], "{name}: something lies beside the store");
    }
}

#[test]
fn names_of_4096_bytes_are_made_and_removed() {
    let deep = "d/".repeat(2047) + "fi";
    let test = TestStore::new();
    let image = test.load_layers(&[Tar::new().file(&deep, b"in").file("d/d/x", b"in").finish()]).unwrap();
    assert_eq!(read(&image.layers[0], "d/d/x"), "in");
    test.store.remove("test", false, true, &|_| None).unwrap();
    assert!(std::fs::read_dir(test.root.join("layers")).unwrap().next().is_none());
}

#[test]
fn bombs_giants_and_cut_streams_end_in_a_clear_error() {
    let limits = image::Limits {
        layer_bytes: 8 << 20,
        layer_entries: 1000,
        ratio_from: 1 << 20,
        ..image::Limits::default()
    };
    let load = |archive: &[u8]| {
        let test = TestStore::new();
        let before = test.files();
        let options = image::LoadOptions { limits, ..image::LoadOptions::default() };
        let error = image::load(&test.store, crate::images::file(archive), &options, &|_| ()).unwrap_err();
        assert_eq!(test.files(), before);
        chain(&error)
    };
    let zeros = Tar::new().file("zeros", &vec![0; 4 << 20]).finish();
    let bomb = load(&docker_archive_with(&[zeros], &[], crate::archive::zstd));
    assert!(bomb.contains("the limit is 200 times"), "{bomb}");
    let giant = load(&docker_archive(&[Tar::new().file("giant", &vec![7; 9 << 20]).finish()], &[]));
    assert!(giant.contains("inflates to more than 8388608"), "{giant}");
    let many = (0..1001).fold(Tar::new(), |tar, number| tar.file(number.to_string(), b""));
    let many = load(&docker_archive(&[many.finish()], &[]));
    assert!(many.contains("more than 1000 entries"), "{many}");
    let layer = Tar::new().file("f", &vec![1; 100_000]).finish();
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 10].to_vec();
    let error = load(&docker_archive_with(std::slice::from_ref(&layer), &[], |bytes| cut(&gzip(bytes))));
    assert!(error.contains("inflating gzip data"), "{error}");
    let error = load(&docker_archive_with(std::slice::from_ref(&layer), &[], |bytes| {
        cut(&crate::archive::zstd(bytes))
    }));
    assert!(error.contains("inflating zstd data"), "{error}");
    let error =
        load(&docker_archive_with(&[layer], &[], |bytes| [gzip(bytes), b"garbage".to_vec()].concat()));
    assert!(error.contains("inflating gzip data"), "{error}");
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
    let error = load(&docker_archive_with(&[Vec::new()], &[], |_| window.to_vec()));
    assert!(error.contains("inflating zstd data"), "{error}");
}
