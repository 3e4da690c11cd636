//! Archives: unpacked as layers, loaded as images, extracted by `cp`, always in the [`crate::jail`].
//!
//! Bytes at random are no archive: a header has a checksum. So `tar` mends the checksums of what it is given, and the others make archives
//! out of words that attacks are made of ([`archive`]).

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use arbitrary::{Result, Unstructured};
use image::{Check, Digest, ExtractOptions, Inside, Into, LoadOptions, Owners, Store};

use crate::{jail, tree};

const BLOCK: usize = 512;
/// Bytes of an archive without entries.
const END: usize = 2 * BLOCK;

/// Any blocks, unpacked as a layer; where a header would be, its checksum is right.
pub fn tar(input: &[u8]) {
    let mut archive = input.to_owned();
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        // An empty block ends an archive.
        if block.iter().any(|byte| *byte != 0) {
            mend(block);
        }
        let size = std::str::from_utf8(&block[124..135])
            .ok()
            .and_then(|text| usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok());
        at += BLOCK + size.unwrap_or(0).min(archive.len()).next_multiple_of(BLOCK);
    }
    jail::run(unpack, &archive);
}

/// An archive of attacks, unpacked as a layer.
pub fn layer(input: &[u8]) {
    let mut words = Unstructured::new(input);
    jail::run(unpack, &archive(&mut words, 16));
}

/// Images of one to three such layers, loaded into a store, resolved, checked and removed.
pub fn load(input: &[u8]) {
    jail::run(
        |place, input| {
            let mut words = Unstructured::new(input);
            let count = words.int_in_range(1..=3).unwrap_or(1);
            let layers: Vec<_> = (0..count).map(|_| archive(&mut words, 8)).collect();
            let root = place.join("image");
            let store = Store::open(&root).expect("a store in an empty place");
            let options = LoadOptions { concurrency: 1, ..LoadOptions::default() };
            let loaded = image::load(&store, file(&docker_archive(&layers)), &options, &|_| ());
            let is_fair = layers.iter().all(|layer| layer.len() == END);
            assert!(loaded.is_ok() || !is_fair, "empty layers are refused: {loaded:?}");
            if loaded.is_ok() {
                let image = store.resolve("x:y").expect("what was loaded is there");
                assert!(!image.layers.is_empty());
                image.layers.iter().for_each(|layer| tree::check(layer));
                let check = Check { deep: true, in_use: &|_| None, repair: None };
                let findings = store.check(&check).expect("a store can be checked");
                assert!(findings.is_empty(), "{findings:?}");
                store.remove("x:y", false, true, &|_| None).expect("what was loaded can be removed");
            }
            let left = std::fs::read_dir(root.join("layers")).expect("a store has layers").count();
            assert_eq!(left, 0, "of layers that are refused or removed nothing stays");
            drop(store);
            std::fs::remove_dir_all(&root).expect("a store can be removed");
        },
        input,
    );
}

/// A tree that one such archive made, into which `cp` extracts another: as the host's tree, and as a container's with links.
pub fn cp(input: &[u8]) {
    jail::run(
        |place, input| {
            let mut words = Unstructured::new(input);
            let inside = words.arbitrary().unwrap_or(false);
            let powers = words.arbitrary().unwrap_or(false);
            let below = archive(&mut words, 8);
            let above = archive(&mut words, 8);
            let _refused = image::fuzzing::unpack_layer(&below, place, "tree");
            let tree = place.join("tree");
            let open = |path: &Path| OwnedFd::from(File::open(path).expect("a directory"));
            let root = open(&tree);
            let owns = |uid, _| uid < 1000;
            let container = Inside { root: std::os::fd::AsFd::as_fd(&root), path: b"", owns: &owns };
            let into = Into { directory: open(&tree), name: "tree", container: inside.then_some(container) };
            let ids = |_, id: u32| (id < 65536).then_some(id);
            let options = ExtractOptions {
                owners: if powers { Owners::Kept(&ids) } else { Owners::One(0, 0) },
                powers,
                top: powers,
                entries_max: 1000,
                bytes_max: 1 << 20,
            };
            let _refused = image::extract(above.as_slice(), into, options);
            drop(root);
            image::fuzzing::remove_tree(place, "tree").expect("a tree can be removed");
        },
        input,
    );
}

fn unpack(place: &Path, archive: &[u8]) {
    let _refused = image::fuzzing::unpack_layer(archive, place, "tree");
    tree::check(&place.join("tree"));
    image::fuzzing::remove_tree(place, "tree").expect("a tree can be removed");
}

/// docker's archive of one image, `x:y`, with these layers.
fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids }
    });
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": ["x:y"], "Layers": names }]);
    let mut archive = Vec::new();
    let mut add = |name: &str, content: &[u8]| {
        archive.extend(image::tar_header(name, 0o644, content.len() as u64));
        archive.extend(content);
        archive.extend(image::tar_padding(content.len() as u64));
    };
    add("manifest.json", manifest.to_string().as_bytes());
    add("config.json", config.to_string().as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        add(name, layer);
    }
    archive.extend(image::TAR_END);
    archive
}

/// A nameless file, at its beginning.
fn file(content: &[u8]) -> File {
    let name = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
    let mut file = File::from(name);
    file.write_all(content).and_then(|()| file.rewind()).expect("memory can be written");
    file
}

const COMPONENTS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"victim",
    b"link",
    b"..",
    b".",
    b"",
    b".wh.a",
    b".wh.b",
    b".wh..wh..opq",
    b".wh.",
    b".wh...",
    b".wh..wh.x",
    b"etc",
    b"tree",
    b"place",
    b"\xff",
    &[b'n'; 255],
    &[b'n'; 256],
];
const XATTRS: &[&str] = &[
    "user.a",
    "trusted.overlay.opaque",
    "trusted.overlay.redirect",
    "trusted.overlay.metacopy",
    "security.capability",
    "system.posix_acl_default",
    "system.posix_acl_access",
];
const VALUES: &[&[u8]] = &[
    b"y",
    b"/victim",
    b"\x01\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff",
];

/// An archive of at most `max` entries, as the input has it; what is not said is nothing.
fn archive(words: &mut Unstructured<'_>, max: usize) -> Vec<u8> {
    let mut archive = Vec::new();
    for _ in 0..max {
        if words.is_empty() || entry(words, &mut archive).is_err() {
            break;
        }
    }
    archive.extend([0; END]);
    archive
}

fn entry(words: &mut Unstructured<'_>, archive: &mut Vec<u8>) -> Result<()> {
    let kind = *words.choose(b"0050000512234567Sgx\0")?;
    let (path, link) = (path(words)?, if matches!(kind, b'1' | b'2') { path(words)? } else { Vec::new() });
    let data: &[u8] = if matches!(kind, b'0' | b'S' | b'7') {
        words.choose(&[b"".as_slice(), b"x", &[b'y'; 600]])?
    } else {
        b""
    };
    let mut records = Vec::new();
    // Names are said in one of three ways.
    match words.int_in_range(0..=5)? {
        0 => records.push((b"path".to_vec(), path.clone())),
        1 => extension(archive, b'L', &path),
        _ => {}
    }
    if words.ratio(1, 6)? {
        records.push((b"linkpath".to_vec(), link.clone()));
    }
    if words.ratio(1, 4)? {
        records.push((
            format!("SCHILY.xattr.{}", words.choose(XATTRS)?).into_bytes(),
            words.choose(VALUES)?.to_vec(),
        ));
    }
    if words.ratio(1, 20)? {
        records.push((b"size".to_vec(), words.choose(&[b"0".as_slice(), b"1", b"600", b"-1"])?.to_vec()));
    }
    if !records.is_empty() {
        let text: Vec<u8> = records.iter().flat_map(|(key, value)| pax(key, value)).collect();
        extension(archive, b'x', &text);
    }
    let mode = *words.choose(&[0o755_u32, 0o644, 0o4755, 0o2755, 0o1777, 0])?;
    let owner = *words.choose(&[0_u32, 1, 1000, 70_000])?;
    let device = u32::from(words.ratio(1, 2)?);
    header(archive, kind, &path, &link, data.len(), mode, owner, device);
    archive.extend(data);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

fn path(words: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut path = Vec::new();
    if words.ratio(1, 8)? {
        path.push(b'/');
    }
    for number in 0..words.int_in_range(1..=5)? {
        if number > 0 {
            path.push(b'/');
        }
        path.extend(*words.choose(COMPONENTS)?);
    }
    Ok(path)
}

fn pax(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn extension(archive: &mut Vec<u8>, kind: u8, content: &[u8]) {
    header(archive, kind, b"extension", b"", content.len(), 0o644, 0, 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

#[expect(clippy::too_many_arguments, reason = "a header has as many fields")]
fn header(
    archive: &mut Vec<u8>,
    kind: u8,
    path: &[u8],
    link: &[u8],
    size: usize,
    mode: u32,
    owner: u32,
    device: u32,
) {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let length = bytes.len().min(room);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, 100, path);
    put(100, 7, format!("{mode:07o}").as_bytes());
    put(108, 7, format!("{owner:07o}").as_bytes());
    put(116, 7, format!("{owner:07o}").as_bytes());
    put(124, 11, format!("{size:011o}").as_bytes());
    put(136, 11, b"00000000007");
    put(156, 1, &[kind]);
    put(157, 100, link);
    put(257, 8, if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" });
    put(329, 7, format!("{device:07o}").as_bytes());
    put(337, 7, format!("{:07o}", device * 3).as_bytes());
    mend(&mut block);
    archive.extend(block);
}

/// Writes a header's checksum.
fn mend(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
