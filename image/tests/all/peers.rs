//! Other OCI tools read the store, and their images load: skopeo and umoci.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::archive::{Tar, config, docker_archive, docker_archive_with, gzip, header};
use crate::images::{TestStore, chain};
use crate::overlay::mounted;
use crate::snapshot::{differences, snapshot};

/// Runs a tool and gives what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("this test needs {program} (apt-get install {program}): {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Layers with about everything that a layer can have.
pub(crate) fn layers() -> Vec<Vec<u8>> {
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let base = Tar::new()
        .member(header(b'5').mode(0o755).mtime(1_500_000_000), "./", "", b"")
        .dir("bin")
        .dir("usr")
        .dir("usr/bin")
        .dir("usr/lib")
        .dir("etc")
        .dir("var")
        .dir("var/lib")
        .dir("tmp")
        .member(header(b'0').mode(0o4755), "usr/bin/su", "", &vec![b'x'; 300_000])
        .pax(&[("SCHILY.xattr.security.capability", &capability)])
        .member(header(b'0').mode(0o755), "usr/bin/ping", "", b"ping")
        .hard_link("bin/ping", "usr/bin/ping")
        .symlink("lib", "usr/lib")
        .file("lib/through-the-link", b"in usr/lib")
        .member(header(b'5').mode(0o2775).gid(50), "var/local", "", b"")
        .file("var/local/file", b"")
        .member(header(b'0').uid(1000).gid(1000).mode(0o600), "etc/shadow", "", b"secret")
        .member(header(b'6').mode(0o600), "var/fifo", "", b"")
        .member(header(b'3').device(1, 3).mode(0o666), "var/null", "", b"")
        .dir("opt")
        .dir("opt/a")
        .file("opt/a/one", b"1")
        .file("opt/a/two", b"2")
        .dir("opt/b")
        .file("opt/b/x", b"")
        .file("etc/\u{e9}t\u{e9}", b"utf-8");
    let middle = Tar::new()
        .dir("opt")
        .dir("opt/a")
        .file("opt/a/.wh.one", b"")
        .dir("opt/b")
        .file("opt/b/.wh..wh..opq", b"")
        .file("opt/b/y", b"y")
        .dir("usr")
        .dir("usr/bin")
        .file("usr/bin/.wh.su", b"")
        .pax(&[("mtime", b"1600000001.987654321")])
        .file("etc/new", b"new")
        .dir("etc");
    let top = Tar::new()
        .dir("opt")
        .dir("opt/a")
        .file("opt/a/one", b"back again")
        .dir("tmp")
        .file("tmp/f", b"f")
        .hard_link("tmp/g", "tmp/f")
        .symlink("tmp/h", "/etc/new");
    vec![base.finish(), middle.finish(), top.finish()]
}

#[test]
fn the_unpacked_image_is_what_umoci_makes_of_it() {
    let test = TestStore::new();
    let image = test.load_layers(&layers()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle");
    // umoci reads the store itself.
    let source = format!("{}:docker.io/library/test:latest", test.root.display());
    run("umoci", &["unpack", "--image", &source, path(&bundle)]);
    let theirs = snapshot(&bundle.join("rootfs"));
    let mut ours = mounted(&image.layers, snapshot);
    // The root's attributes are the upper directory's, which the test made.
    let mut theirs = theirs;
    ours.remove("");
    theirs.remove("");
    let differences = differences(&ours, &theirs);
    assert!(differences.is_empty(), "ours, then umoci's:\n{}", differences.join("\n"));
    assert!(ours.len() > 25, "{}", ours.len());
}

#[test]
fn skopeo_reads_the_store() {
    let test = TestStore::new();
    let image = test.load_layers(&layers()).unwrap();
    let source = format!("oci:{}:docker.io/library/test:latest", test.root.display());
    let inspected: serde_json::Value = serde_json::from_str(&run("skopeo", &["inspect", &source])).unwrap();
    assert_eq!(inspected["Digest"], image.manifest.to_string());
    assert_eq!(inspected["Layers"].as_array().unwrap().len(), 3);
    let directory = tempfile::tempdir().unwrap();
    let copy = format!("docker-archive:{}:copied:1", directory.path().join("a.tar").display());
    run("skopeo", &["copy", "--quiet", &source, &copy]);
    // Back again, through docker's format.
    let other = TestStore::new();
    let archive = std::fs::read(directory.path().join("a.tar")).unwrap();
    let loaded = other.load(&archive).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(loaded[0].names[0].familiar(), "copied:1");
    assert_eq!(other.store.resolve("copied:1").unwrap().config, image.config);
}

#[test]
fn images_of_skopeo_and_umoci_load() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("docker.tar"), docker_archive_with(&layers(), &["app:1"], gzip)).unwrap();
    let docker = format!("docker-archive:{}", at("docker.tar").display());
    run("skopeo", &["copy", "--quiet", &docker, &format!("oci-archive:{}:app:2", at("oci.tar").display())]);
    run("umoci", &["init", "--layout", path(&at("layout"))]);
    let tagged = format!("{}:made", at("layout").display());
    run("umoci", &["new", "--image", &tagged]);
    std::fs::create_dir(at("files")).unwrap();
    std::fs::write(at("files/hello"), "hello").unwrap();
    run("umoci", &["insert", "--image", &tagged, path(&at("files")), "/files"]);
    run("tar", &["-C", path(&at("layout")), "-cf", path(&at("umoci.tar")), "."]);
    let test = TestStore::new();
    for (archive, name) in [("oci.tar", "app:2"), ("umoci.tar", "made")] {
        let loaded = test.load(&std::fs::read(at(archive)).unwrap());
        let loaded = loaded.unwrap_or_else(|error| panic!("{archive}: {}", chain(&error)));
        assert_eq!(test.store.resolve(name).unwrap().id, loaded[0].id, "{archive}");
    }
    let image = test.store.resolve("made").unwrap();
    mounted(&image.layers, |root| {
        assert_eq!(std::fs::read_to_string(root.join("files/hello")).unwrap(), "hello");
    });
}

#[test]
fn the_configuration_is_kept_byte_for_byte() {
    let test = TestStore::new();
    let layers = layers();
    let image = test.load(&docker_archive(&layers, &["app"])).unwrap();
    assert_eq!(test.store.config_json(image[0].id).unwrap(), config(&layers));
}
