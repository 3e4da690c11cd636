//! `mini commit`: images of what containers have written.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::docker::Docker;
use tests::{Host, Image, Tarball, skip, wait};

/// Files for a container to work on.
fn image() -> Image {
    let layer = Tarball::new()
        .directory("srv", 0o750)
        .file("srv/gone", 0o644, "x")
        .directory("srv/dir", 0o755)
        .file("srv/dir/old", 0o644, "x")
        .file("srv/kept", 0o640, "kept");
    Image::busybox().with(layer).set("Env", json!(["A=1", "PATH=/bin"])).set("Labels", json!({"of": "image"}))
}

/// What a container does to them; what is said then of each file, by owner, mode, size and name.
const WORK: &str = "rm /srv/gone; rm -r /srv/dir; mkdir /srv/dir; echo new > /srv/dir/new; ln /srv/dir/new /srv/link; \
    ln -s ../srv/kept /srv/symbolic; mkfifo /srv/fifo; chown 7:8 /srv/dir/new; chmod 4711 /srv/dir/new; \
    dd if=/dev/zero of=/srv/sparse bs=1 count=1 seek=9999999 2>/dev/null; mkdir -p /made/deep; chmod 1777 /made";
const LOOK: &str = "cd /; stat -c '%n %U:%u:%g %a %s %h %F' srv srv/* srv/dir/* made made/deep | sort; cat /srv/dir/new /srv/kept";

fn inspect(host: &Host, name: &str) -> Value {
    host.mini(["image", "inspect", name]).run().ok().json()[0].clone()
}

#[test]
fn what_a_container_wrote_is_in_the_image() {
    let host = Host::new();
    host.load(&image(), "base:1");
    let bind = format!("{}:/bind", host.home().display());
    let options = ["--name", "web", "-e", "B=2", "-l", "of=user", "-v", &bind, "--tmpfs", "/scratch"];
    let container = host.start([&options[..], &["base:1", "sh", "-c", "sleep 1000"]].concat());
    container.sh(&format!("{WORK}; echo x > /bind/bound; echo x > /scratch/x")).ok();
    let before = container.sh(LOOK).ok().text();
    let output = host.mini(["commit", "-a", "me <me@x>", "-m", "why", "web", "made:1"]).run().ok().stderr("");
    let id = output.line();
    assert_eq!(container.sh("echo goes on").ok().text(), "goes on\n");
    let after = host.mini(["run", "--rm", "made:1", "sh", "-c", LOOK]).run().ok().text();
    assert_eq!(after, before);
    assert_eq!(
        host.mini(["run", "--rm", "made:1", "sh", "-c", "ls /bind /scratch; echo $A$B"]).run().ok().text(),
        "/bind:\n\n/scratch:\n12\n"
    );
    let (parent, made) = (inspect(&host, "base:1"), inspect(&host, "made:1"));
    assert_eq!((&made["Id"], &made["Parent"]), (&json!(id), &parent["Id"]));
    assert_eq!((&made["Author"], &made["Comment"]), (&json!("me <me@x>"), &json!("why")));
    assert_eq!(made["Container"], container.inspect()["Id"]);
    assert_eq!(made["ContainerConfig"]["Cmd"], json!(["sh", "-c", "sleep 1000"]));
    assert_eq!(made["Config"]["Cmd"], json!(["sh", "-c", "sleep 1000"]));
    assert_eq!(made["Config"]["Env"], json!(["PATH=/bin", "A=1", "B=2"]));
    assert_eq!(made["Config"]["Labels"], json!({"of": "user"}));
    let layers = |image: &Value| image["RootFS"]["Layers"].as_array().expect("layers").clone();
    assert_eq!(layers(&made)[..2], layers(&parent)[..]);
    assert_eq!(layers(&made).len(), 3);
    let steps = host
        .mini(["history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}} {{.Comment}}", "made:1"])
        .run()
        .ok()
        .lines();
    assert_eq!(steps[0], format!("{id} sh -c sleep 1000 why"));
    assert_eq!(steps[1], format!("{} a test ", parent["Id"].as_str().expect("text")));
    let events = host.mini(["events", "--since", "1h", "--until", "0s"]).run().ok().text();
    for event in ["container pause", "container unpause", "container commit", "image tag"] {
        assert!(events.contains(event), "{event}: {events}");
    }
    assert!(
        events
            .contains(&format!("comment=why, image=base:1, imageID={id}, imageRef=docker.io/library/made:1")),
        "{events}"
    );
    container.remove();
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn containers_in_every_state_can_be_committed() {
    let host = Host::with_busybox();
    // Never started: the same files, one step more.
    host.mini(["create", "--name", "new", "busybox", "true"]).run().ok();
    host.mini(["commit", "new", "same"]).run().ok();
    let (old, same) = (inspect(&host, "busybox"), inspect(&host, "same"));
    assert_eq!((&same["RootFS"], &same["Parent"], &same["Size"]), (&old["RootFS"], &old["Id"], &old["Size"]));
    host.mini(["history", "--format", "{{.CreatedBy}} {{.Size}}", "same"]).run().ok().stdout_has("true 0B\n");
    // Ended.
    host.mini(["run", "--name", "ended", "busybox", "sh", "-c", "echo ended > /word"]).run().ok();
    let nameless = host.mini(["container", "commit", "ended"]).run().ok().line();
    host.mini(["run", "--rm", &nameless, "cat", "/word"]).run().ok().stdout("ended\n");
    // Of a committed image, again.
    host.mini(["run", "--name", "again", &nameless, "sh", "-c", "rm /word; echo again > /second"]).run().ok();
    host.mini(["commit", "again", "twice"]).run().ok();
    host.mini(["run", "--rm", "twice", "sh", "-c", "ls /word; cat /second"]).run().code(0).stdout("again\n");
    assert_eq!(host.mini(["history", "-q", "--no-trunc", "twice"]).run().ok().lines()[1], nameless);
    // Its files go when it ends, and whoever reads them comes first.
    let container = host.start(["--rm", "--read-only", "--tmpfs", "/tmp", "busybox", "sleep", "1000"]);
    container.sh("echo x > /tmp/x").ok();
    let short = container.short().to_owned();
    host.mini(["commit", "--pause=false", &short, "read-only"]).run().ok();
    assert_eq!(inspect(&host, "read-only")["RootFS"], old["RootFS"]);
    host.mini(["kill", &short]).run().ok();
    // Users of the host: their ids are the image's.
    host.mini([
        "run",
        "--name",
        "hosts",
        "--userns=host",
        "busybox",
        "sh",
        "-c",
        "echo x > /x; chown 5:6 /x",
    ])
    .run()
    .ok();
    host.mini(["commit", "hosts", "hosts"]).run().ok();
    host.mini(["run", "--rm", "hosts", "stat", "-c", "%u %g", "/x"]).run().ok().stdout("5 6\n");
    host.mini(["rm", "new", "ended", "again", "hosts"]).run().ok();
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn a_container_that_stands_still_goes_on_as_it_was() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "web", "busybox", "sleep", "1000"]);
    let status = || host.mini(["inspect", "-f", "{{.State.Status}}", "web"]).run().ok().line();
    host.mini(["commit", "-p=false", "web"]).run().ok();
    host.mini(["commit", "--pause", "web"]).run().ok();
    assert_eq!(status(), "running");
    host.mini(["pause", "web"]).run().ok();
    host.mini(["commit", "web"]).run().ok();
    assert_eq!(status(), "paused");
    host.mini(["unpause", "web"]).run().ok();
    // Many files: the commit is killed while it reads them.
    container.sh("mkdir /many; for i in $(seq 3000); do echo $i > /many/$i; done").ok();
    for signal in [Signal::KILL, Signal::INT] {
        let commit = host.mini(["commit", "web", "killed"]).start();
        wait::until("a container that stands still", || {
            (status() == "paused" || status() == "running").then_some(())
        });
        commit.signal(signal);
        let ended = commit.wait();
        wait::until("a container that goes on", || (status() == "running").then_some(()));
        drop(ended);
    }
    host.mini(["system", "check", "--repair"]).run().ok();
    container.remove();
}

#[test]
fn its_configuration_is_changed_as_it_is_asked_for() {
    let host = Host::new();
    host.load(&image(), "base:1");
    host.mini(["create", "--name", "web", "-w", "/srv", "--entrypoint", "/bin/env", "base:1", "x"])
        .run()
        .ok();
    let changes = [
        r#"CMD ["a", "b"]"#,
        "ENV A=2 C='3 4'",
        "EXPOSE 80 90/udp",
        "LABEL new=$A",
        "ONBUILD RUN x",
        "USER nobody:users",
        r#"VOLUME ["/data"]"#,
        "WORKDIR dir",
        "HEALTHCHECK --interval=5s CMD true",
        r#"ENTRYPOINT ["echo"]"#,
    ];
    let mut commit = host.mini(["commit"]);
    for change in changes {
        commit = commit.args(["--change", change]);
    }
    commit.args(["web", "made"]).run().ok();
    let config = inspect(&host, "made")["Config"].clone();
    for (field, expected) in [
        ("Cmd", json!(["a", "b"])),
        ("Entrypoint", json!(["echo"])),
        ("Env", json!(["PATH=/bin", "A=2", "C=3 4"])),
        ("ExposedPorts", json!({"80/tcp": {}, "90/udp": {}})),
        ("Labels", json!({"of": "image", "new": "2"})),
        ("OnBuild", json!(["RUN x"])),
        ("User", json!("nobody:users")),
        ("Volumes", json!({"/data": {}})),
        ("WorkingDir", json!("/srv/dir")),
        ("Healthcheck", json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64})),
    ] {
        assert_eq!(config[field], expected, "{field}");
    }
    host.mini(["run", "--rm", "made"]).run().ok().stdout("a b\n");
    host.mini(["run", "--rm", "--entrypoint", "sh", "made", "-c", "pwd; id -un; mount | grep -c /data"])
        .run()
        .ok()
        .stdout("/srv/dir\nnobody\n1\n");
    // What is not changed is the container's.
    host.mini(["commit", "web", "plain"]).run().ok();
    let plain = inspect(&host, "plain")["Config"].clone();
    assert_eq!((&plain["Entrypoint"], &plain["Cmd"]), (&json!(["/bin/env"]), &json!(["x"])));
    assert_eq!(plain["WorkingDir"], "/srv");
    host.mini(["rm", "web"]).run().ok();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "web", "busybox", "touch", "/x"]).run().ok();
    host.mini(["commit", "none"]).run().error(1, &["no such container: none"]);
    host.mini(["commit", "web", "Upper"]).run().error(1, &["must be lowercase"]);
    host.mini(["commit", "web", &format!("x@sha256:{}", "0".repeat(64))])
        .run()
        .error(1, &["digest reference"]);
    host.mini(["commit", "-c", "RUN x", "web"]).run().error(1, &["RUN is not a valid change command"]);
    host.mini(["commit", "-c", "CMD", "web"]).run().error(1, &["CMD requires at least one argument"]);
    let root = host.work().join("root");
    fs::create_dir(&root).expect("mkdir");
    fs::write(root.join("sh"), fs::read("/bin/busybox").expect("busybox")).expect("write");
    host.mini(["create", "--name", "bare", "--rootfs", root.to_str().expect("text"), "/sh"]).run().ok();
    host.mini(["commit", "bare"]).run().error(1, &["has the directory", "export it, and import that"]);
    assert_eq!(host.mini(["images", "-q"]).run().ok().lines().len(), 1);
    host.mini(["commit", "--explain", "web"]).run().ok().stderr_has("Read what the container has written");
    host.mini(["rm", "web", "bare"]).run().ok();
}

/// A list of variables in an order of its own, anything else as it is.
fn sorted(value: &Value) -> Value {
    let mut list: Vec<String> = serde_json::from_value(value.clone()).unwrap_or_default();
    list.sort();
    if list.iter().any(|one| one.contains('=')) { list.into() } else { value.clone() }
}

/// The same container, the same changes: what docker says of its image, mini says of its own.
#[test]
fn it_is_dockers_commit() {
    let host = Host::new();
    host.load(&image(), "base:1");
    let archive = host.mini(["save", "base:1"]).run().ok().stdout;
    let Some(docker) = Docker::start(&host) else { return skip("docker.io is not installed") };
    docker.command(["load"]).stdin(archive).run().ok();
    let options = ["--name", "web", "-e", "B=2", "-l", "of=user", "-w", "/srv", "--expose", "70"];
    let program = ["base:1", "sh", "-c", WORK];
    host.mini(["run"]).args(options).args(program).run().ok();
    docker.command(["run"]).args(options).args(program).run().ok();
    let changes: [&[&str]; 8] = [
        &[],
        &["ENTRYPOINT [\"/bin/echo\"]"],
        &["CMD [\"x\"]", "ENTRYPOINT echo $A"],
        &["CMD echo 'two  words' && true", "USER 7:8"],
        &["ENV A=\"$A $B\" C=${D:-d} E='$A'", "ENV F two  words", "LABEL of=$A \"a b\"=c"],
        &["EXPOSE 80 81/udp 90-92/tcp", "VOLUME /a /b", "VOLUME [\"/c d\"]", "WORKDIR rel/../x"],
        &["ONBUILD RUN x  y", "HEALTHCHECK --interval=1m --retries=3 CMD [\"true\"]"],
        &["CMD []", "# a comment", "LABEL x=1 \\\n y=2", "ENTRYPOINT []"],
    ];
    for lines in changes {
        let with: Vec<&str> = lines.iter().flat_map(|line| ["-c", line]).collect();
        host.mini(["commit", "-a", "me", "-m", "why"]).args(&with).args(["web", "made"]).run().ok();
        docker.command(["commit", "-a", "me", "-m", "why"]).args(&with).args(["web", "made"]).run().ok();
        let (ours, theirs) = (
            inspect(&host, "made"),
            docker.command(["image", "inspect", "made"]).run().ok().json()[0].clone(),
        );
        for field in ["Author", "Comment", "Architecture", "Os"] {
            assert_eq!(ours[field], theirs[field], "{lines:?} {field}");
        }
        let mut fields = theirs["Config"].as_object().expect("an object").clone();
        // Each container has its own; docker says that of what `run` attached.
        for field in ["Hostname", "Image", "AttachStdout", "AttachStderr", "StdinOnce"] {
            fields.remove(field);
        }
        for (field, value) in fields {
            let (ours, theirs) = (&ours["Config"][&field], &value);
            // docker has what the user said before what the image says.
            assert_eq!(sorted(ours), sorted(theirs), "{lines:?} {field}");
        }
        let layers = |image: &Value| image["RootFS"]["Layers"].as_array().expect("layers").len();
        assert_eq!(layers(&ours), layers(&theirs), "{lines:?}");
    }
    let form = ["--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}"];
    assert_eq!(
        host.mini(["history"]).args(form).arg("made").run().ok().text(),
        docker.command(["history"]).args(form).arg("made").run().ok().text()
    );
    // docker runs mini's image, mini runs docker's: the same files.
    let look = ["--rm", "--entrypoint", "sh", "made", "-c", LOOK];
    let ours = host.mini(["run"]).args(look).run().ok().text();
    assert_eq!(docker.command(["run"]).args(look).run().ok().text(), ours);
    let archive = host.mini(["save", "made"]).run().ok().stdout;
    docker.command(["load"]).stdin(archive).run().ok();
    let id = docker.command(["image", "inspect", "-f", "{{.Id}}", "made"]).run().ok().line();
    assert_eq!(json!(id), inspect(&host, "made")["Id"]);
    assert_eq!(docker.command(["run"]).args(look).run().ok().text(), ours);
    docker.command(["commit", "web", "theirs"]).run().ok();
    let archive = docker.command(["save", "theirs"]).run().ok().stdout;
    host.mini(["load"]).stdin(archive).run().ok();
    let theirs = ["--rm", "--entrypoint", "sh", "theirs", "-c", LOOK];
    assert_eq!(host.mini(["run"]).args(theirs).run().ok().text(), ours);
    docker.command(["rm", "web"]).run().ok();
    host.mini(["rm", "web"]).run().ok();
}
