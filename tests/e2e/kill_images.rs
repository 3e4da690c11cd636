//! SIGKILL at every operation of `pull`, `push` and `load`, every unpacked file included: an image is there whole, or not at all.

use serde_json::json;
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::{Host, Image, Mini, Tarball};

use crate::killing::{Scene, at_every_operation, settle};

/// Two layers of a dozen files each, on top of busybox.
fn image() -> Image {
    let layer = |n: usize| {
        (0..12).fold(Tarball::new().directory(&format!("d{n}"), 0o755), |layer, file| {
            layer
                .file(&format!("d{n}/{file}"), 0o644, vec![b'x'; 3000])
                .hardlink(&format!("d{n}/{file}-again"), &format!("d{n}/{file}"))
        })
    };
    let binary = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let base = Tarball::new()
        .directory("bin", 0o755)
        .file("bin/busybox", 0o755, binary)
        .hardlink("bin/cat", "bin/busybox");
    Image::of([base, layer(1), layer(2)]).set("Cmd", json!(["cat", "/d1/11", "/d2/0-again"]))
}

/// Whole, or not at all; and in the end it can be had.
fn whole_or_absent(host: &Host, name: &str, again: &dyn Fn(&Host) -> Mini) {
    let listed = !host.mini(["images", "-q"]).run().ok().line().is_empty();
    if listed {
        let output = host.mini(["run", "--rm", "--pull=never", name]).run().ok();
        assert_eq!(output.stdout.len(), 6000, "an image that is listed is not whole");
        host.mini(["rmi", name]).run().ok();
    }
    again(host).run().ok();
    host.mini(["run", "--rm", "--pull=never", name]).run().ok();
    host.mini(["rmi", name]).run().ok();
    settle(host);
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn load_of_an_archive() {
    let host = Host::new();
    let archive = image().docker_archive(&["killed:1"]);
    let file = host.work().join("archive");
    std::fs::write(&file, archive).expect("write");
    let load = |host: &Host| host.mini(["load", "-i"]).arg(host.work().join("archive"));
    let absent = |host: &Host| drop(host.mini(["rmi", "killed:1"]).run());
    let scene =
        Scene { before: &absent, command: &load, after: &|host| whole_or_absent(host, "killed:1", &load) };
    at_every_operation(&host, "client", &scene);
}

#[track_caller]
fn pull(role: &str, command: &dyn Fn(&Host, &str) -> Mini) {
    let host = Host::new();
    let mut contents = Contents::default();
    contents.add("killed", "1", &image());
    let server = ImageServer::open(contents);
    let name = format!("{}/killed:1", server.name());
    let absent = |host: &Host| drop(host.mini(["rmi", &name]).run());
    let again = |host: &Host| host.mini(["pull", &name]);
    let scene = Scene {
        before: &absent,
        command: &|host| command(host, &name),
        after: &|host| whole_or_absent(host, &name, &again),
    };
    at_every_operation(&host, role, &scene);
}

#[test]
fn pull_by_itself() {
    pull("client", &|host, name| host.mini(["pull", name]));
}

#[test]
fn the_child_that_pulls_for_run() {
    pull("pull", &|host, name| host.mini(["run", "--rm", name]));
}

#[test]
fn rmi_of_an_image() {
    let host = Host::new();
    let archive = image().docker_archive(&["killed:1"]);
    std::fs::write(host.work().join("archive"), archive).expect("write");
    let load = |host: &Host| host.mini(["load", "-i"]).arg(host.work().join("archive"));
    let present = |host: &Host| drop(load(host).run().ok());
    let rmi = |host: &Host| host.mini(["rmi", "killed:1"]);
    let scene =
        Scene { before: &present, command: &rmi, after: &|host| whole_or_absent(host, "killed:1", &load) };
    at_every_operation(&host, "client", &scene);
}

/// Its layers are compressed first, which changes the store under an image that is there all the time.
#[test]
fn the_client_of_push() {
    let host = Host::new();
    // It has every blob already.
    let server =
        ImageServer::twisted(Contents::default(), Access::Open, |request, reply| match &*request.method {
            "HEAD" => Reply::new(200, ""),
            "PUT" => Reply::new(201, ""),
            _ => reply,
        });
    let name = format!("{}/killed:1", server.name());
    std::fs::write(host.work().join("archive"), image().docker_archive(&[&name])).expect("write");
    let absent = |host: &Host| drop(host.mini(["rmi", &name]).run());
    let load = |host: &Host| host.mini(["load", "-i"]).arg(host.work().join("archive"));
    let present = |host: &Host| {
        absent(host);
        load(host).run().ok();
    };
    let push = |host: &Host| host.mini(["push", &name]);
    let whole = |host: &Host| {
        let output = host.mini(["run", "--rm", "--pull=never", &name]).run().ok();
        assert_eq!(output.stdout.len(), 6000, "an image that is pushed is not whole");
        let pushed = push(host).run().ok();
        let digest = host.mini(["images", "--digests", "--format", "{{.Digest}}"]).run().ok().line();
        pushed.stdout_has(&digest);
        whole_or_absent(host, &name, &load);
    };
    at_every_operation(&host, "client", &Scene { before: &present, command: &push, after: &whole });
}
