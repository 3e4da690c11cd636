//! `mini import`: images of archives of files.

use std::fs;

use serde_json::{Value, json};
use tests::docker::Docker;
use tests::image::{Blob, Compression, digest, pack};
use tests::server::{Contents, ImageServer};
use tests::{Host, Image, Tarball, skip};

fn rootfs() -> Vec<u8> {
    Image::busybox().layers.remove(0)
}

fn inspect(host: &Host, name: &str) -> Value {
    host.mini(["image", "inspect", name]).run().ok().json()[0].clone()
}

#[test]
fn an_archive_by_file_by_stdin_and_by_address() {
    let host = Host::new();
    let tar = rootfs();
    let diff_id = digest(&tar);
    for packing in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let packed = pack(&tar, packing);
        let file = host.work().join("rootfs.tar");
        fs::write(&file, &packed).expect("write");
        for import in [host.mini(["import"]).arg(&file), host.mini(["import", "-"]).stdin(packed)] {
            let id = import.arg("flat").run().ok().stderr("").line();
            let made = inspect(&host, "flat");
            assert_eq!((&made["Id"], &made["RootFS"]["Layers"]), (&json!(id), &json!([diff_id])));
            assert_eq!((&made["Comment"], &made["Parent"]), (&json!("Imported from -"), &json!("")));
            host.mini(["run", "--rm", "flat", "echo", "works"]).run().ok().stdout("works\n");
        }
    }
    let mut contents = Contents::default();
    contents.add_blob("app", Blob { media_type: "application/x-tar".into(), bytes: tar });
    let server = ImageServer::open(contents);
    let address = format!("http://{}/v2/app/blobs/{diff_id}", server.name());
    let id = host.mini(["image", "import", &address]).run().ok().line();
    let made = inspect(&host, &id);
    assert_eq!(
        (&made["Comment"], &made["RepoTags"]),
        (&json!(format!("Imported from {address}")), &json!([]))
    );
    host.mini(["run", "--rm", &id, "echo", "works"]).run().ok().stdout("works\n");
    host.mini(["import", &address.replace(&diff_id, "sha256:0")]).run().error(1, &["answered 404"]);
    host.mini(["import", "http://192.0.2.1/x.tar"]).run().error(1, &["192.0.2.1", "MINI_OFFLINE"]);
    host.mini(["import", "http://"]).run().error(1, &["no URL"]);
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn an_exported_container_comes_back_flat() {
    let host = Host::with_busybox();
    host.mini([
        "run",
        "--name",
        "web",
        "busybox",
        "sh",
        "-c",
        "echo x > /x; chown 7:8 /x; chmod 4711 /x; rm /etc/group",
    ])
    .run()
    .ok();
    let archive = host.mini(["export", "web"]).patient(2).run().ok().stdout;
    let import =
        host.mini(["import", "-m", "by hand", "--platform", "linux/arm64/v8", "-c", "CMD [\"cat\", \"/x\"]"]);
    import.args(["--change", "ENV A=1", "-", "flat:1"]).stdin(archive).run().ok();
    let made = inspect(&host, "flat:1");
    assert_eq!((&made["Comment"], &made["Architecture"]), (&json!("by hand"), &json!("arm64")));
    assert_eq!((&made["Config"]["Cmd"], &made["Config"]["Env"]), (&json!(["cat", "/x"]), &json!(["A=1"])));
    host.mini(["run", "--rm", "flat:1"]).run().ok().stdout("x\n");
    let look = ["sh", "-c", "stat -c '%u %g %a' /x; ls /etc"];
    host.mini(["run", "--rm", "flat:1"]).args(look).run().ok().stdout_has("7 8 4711\n").stdout_lacks("group");
    host.mini(["history", "--format", "{{.CreatedBy}}|{{.Comment}}", "flat:1"])
        .run()
        .ok()
        .stdout("|by hand\n");
    host.mini(["events", "--since", "1h", "--until", "0s", "-f", "event=import"])
        .run()
        .ok()
        .stdout_has("image import sha256:");
    host.mini(["rm", "web"]).run().ok();
}

#[test]
fn what_is_no_archive_is_refused_and_nothing_stays() {
    let host = Host::new();
    let tar = rootfs();
    for (what, bytes, expected) in [
        ("nothing of a tar", b"hello".repeat(300), "checksum"),
        ("xz", b"\xfd7zXZ\0\0\0".to_vec(), "xz compression; give it plain, with gzip or with zstd"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bzip2 compression"),
        ("cut", tar[..tar.len() / 2].to_vec(), "making a layer"),
        ("cut gzip", pack(&tar, Compression::Gzip)[..9999].to_vec(), "reading the archive"),
        (
            "a name that leaves its root",
            Tarball::new().file("../../x", 0o644, "x").finish(),
            "leaves its root",
        ),
    ] {
        let output = host.mini(["import", "-", "bad"]).stdin(bytes).run().error(1, &[expected]);
        assert_eq!(output.text(), "", "{what}");
    }
    host.mini(["import", "/none/such.tar"]).run().error(1, &["cannot open /none/such.tar"]);
    host.mini(["import", "-", "Upper"]).stdin(tar.clone()).run().error(1, &["must be lowercase"]);
    host.mini(["import", "-c", "RUN x", "-"])
        .stdin(tar.clone())
        .run()
        .error(1, &["RUN is not a valid change command"]);
    host.mini(["import", "--platform", "windows/amd64", "-"]).stdin(tar).run().error(1, &["windows"]);
    assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "");
    assert_eq!(fs::read_dir(host.root().join("image/blobs/sha256")).expect("the store").count(), 0);
    host.mini(["system", "check"]).run().ok();
    host.mini(["import", "--explain", "-"])
        .stdin(rootfs())
        .run()
        .ok()
        .stderr_has("Read the archive, and make a layer of it");
}

#[test]
fn it_is_dockers_import() {
    let host = Host::new();
    let Some(docker) = Docker::start(&host) else { return skip("docker.io is not installed") };
    let tar = rootfs();
    let options = ["-m", "why", "-c", "CMD [\"sh\"]", "-c", "ENV A=1", "-c", "LABEL a=b", "-", "flat"];
    host.mini(["import"]).args(options).stdin(tar.clone()).run().ok();
    docker.command(["import"]).args(options).stdin(tar).run().ok();
    let ours = inspect(&host, "flat");
    let theirs = docker.command(["image", "inspect", "flat"]).run().ok().json()[0].clone();
    for field in ["Comment", "Author", "Architecture", "Os", "RootFS", "Parent"] {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    for field in ["Cmd", "Env", "Labels", "Entrypoint", "WorkingDir", "User"] {
        assert_eq!(ours["Config"][field], theirs["Config"][field], "{field}");
    }
    let form = ["--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}|{{.Size}}", "flat"];
    assert_eq!(
        host.mini(["history"]).args(form).run().ok().text(),
        docker.command(["history"]).args(form).run().ok().text()
    );
    let archive = host.mini(["save", "flat"]).run().ok().stdout;
    docker.command(["load"]).stdin(archive).run().ok();
    docker.command(["run", "--rm", "flat", "echo", "works"]).run().ok().stdout("works\n");
}
