//! `--root` on an overlay, as inside another container: layers that nothing can stack, and a copy of its image for each container.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::json;
use tests::delivery::BOTH;
use tests::image::{Compression, pack};
use tests::step::{Step, Stepper, Verdict};
use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

use crate::killing::settle;

/// What is told once.
pub(crate) const NOTICE: &str = "the image store lies on an overlay: each container gets a copy of its image";

/// Does something on a host whose root is an overlay, and looks that nothing is left of any container.
pub(crate) fn on_an_overlay(what: impl FnOnce(&Host)) {
    let host = Host::new();
    let (place, work) = (host.root(), host.work());
    for directory in ["lower", "upper", "work"] {
        fs::create_dir_all(work.join(directory)).expect("make a directory");
    }
    let show = |name: &str| work.join(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", show("lower"), show("upper"), show("work"));
    let place = place.to_str().expect("text");
    host.tool("mount", ["-t", "overlay", "-o", &options, "overlay", place]);
    what(&host);
    settle(&host);
    let ids = host.mini(["ps", "-aq"]).run().ok().lines();
    if !ids.is_empty() {
        host.mini(["rm", "-f", "-v"]).args(ids).run().ok();
    }
    host.mini(["network", "prune", "-f"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
    let left: Vec<_> = fs::read_dir(containers(&host)).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    host.tool("umount", [place]);
    for directory in ["lower", "upper", "work"] {
        fs::remove_dir_all(work.join(directory)).expect("remove");
    }
}

fn containers(host: &Host) -> PathBuf {
    host.root().join("containers")
}

/// The copy of the only container.
fn copy(host: &Host) -> PathBuf {
    let mut all: Vec<_> = fs::read_dir(containers(host)).expect("containers").flatten().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).path().join("copy")
}

/// cap_net_raw=ep, revision 2 (linux/capability.h).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What is hard to copy: all that one layer can say of another, and all that a file can have.
pub(crate) fn difficult() -> Image {
    let capable = fs::read("/bin/busybox").expect("busybox-static is installed");
    let below = Tarball::new()
        .directory("d", 0o2750)
        .file("d/hidden", 0o644, "below")
        .file("d/kept", 0o4755, "below")
        .directory("e", 0o755)
        .file("e/hidden", 0o644, "below")
        .directory("e/sub", 0o700)
        .file("e/sub/hidden", 0o644, "below")
        .directory("becomes-a-file", 0o755)
        .file("becomes-a-file/x", 0o644, "below")
        .file("becomes-a-directory", 0o644, "below")
        .file("linked", 0o640, "linked")
        .entry(&Entry::new(b'0', "owned", 0o604).owned_by(1000, 1001).holding("owned"))
        .entry(&Entry::new(b'6', "pipe", 0o620).owned_by(7, 8))
        .entry(&Entry::new(b'2', "link", 0o777).owned_by(3, 4).to("owned"));
    let above = Tarball::new()
        .whiteout("d/hidden")
        .directory("e", 0o711)
        .opaque("e")
        .file("e/new", 0o644, "new")
        .file("becomes-a-file", 0o644, "file")
        .directory("becomes-a-directory", 0o755)
        .file("becomes-a-directory/x", 0o644, "x")
        .hardlink("again", "linked")
        .pax(&[("SCHILY.xattr.security.capability", &CAPABILITY)])
        .file("bin/capable", 0o755, capable);
    Image::busybox().with(below).with(above)
}

pub(crate) const LOOK: &str = "ls -R /d /e /becomes-a-directory; cat /becomes-a-file /linked /again; echo; \
                    stat -c '%n %a %u:%g %h' /d /d/kept /e /linked /again /owned /pipe /link; \
                    mkdir /tmp/t; ln -s /bin/capable /tmp/t/grep; \
                    su -s /bin/sh nobody -c '/tmp/t/grep CapEff /proc/self/status' | cut -f2";

pub(crate) const SEEN: &str = "/becomes-a-directory:\nx\n\n/d:\nkept\n\n/e:\nnew\nfilelinkedlinked\n\
                    /d 2750 0:0 2\n/d/kept 4755 0:0 1\n/e 711 0:0 2\n/linked 640 0:0 2\n/again 640 0:0 2\n\
                    /owned 604 1000:1001 1\n/pipe 620 7:8 1\n/link 777 3:4 1\n0000000000002000\n";

#[test]
fn all_that_layers_say_is_in_the_copy_and_that_there_are_copies_is_said_once() {
    for delivery in BOTH {
        on_an_overlay(|host| {
            let (output, name) = delivery.hand_over(host, &difficult());
            output.ok().stderr_has(&format!("mini: {NOTICE}"));
            let ran = host.mini(["run", "--rm", &name, "sh", "-c", LOOK]).run().ok();
            assert_eq!((ran.text(), ran.err()), (SEEN.to_owned(), String::new()), "{delivery:?}");
            let shared = host.mini(["run", "--rm", "--userns=host", &name, "sh", "-c", LOOK]).run().ok();
            assert_eq!(shared.text(), SEEN, "{delivery:?}");
            host.mini(["run", "--rm", "--read-only", &name, "sh", "-c", "echo >/x"]).run().code(1);
            host.mini(["system", "check", "--deep"]).run().ok().stdout("");
            let info = host.mini(["info"]).run().ok();
            info.stdout_has(&format!("Storage driver: vfs: {NOTICE}"));
            host.mini(["info", "--format", "{{.Driver}}"]).run().ok().stdout("vfs\n");
        });
    }
}

#[test]
fn a_container_has_its_copy_to_itself_and_keeps_it() {
    on_an_overlay(|host| {
        host.load(&difficult(), "image:1");
        let script = "cat /note /e/new; echo mine >/note; echo >>/e/new; rm /d/kept; chown 5:6 /owned";
        host.mini(["run", "--name", "box", "image:1", "sh", "-c", script]).run().code(0).stdout("new");
        host.mini(["run", "--rm", "image:1", "sh", "-c", LOOK]).run().ok().stdout(SEEN);
        host.mini(["start", "-a", "box"]).run().stdout("mine\nnew\n");
        let driver = "{{.Driver}} {{.GraphDriver.Name}} {{.GraphDriver.Data.MergedDir}}";
        let tree = copy(host).join("tree").display().to_string();
        host.mini(["inspect", "-f", driver, "box"]).run().ok().stdout(&format!("vfs vfs {tree}\n"));
        host.mini(["run", "-d", "--name", "runs", "image:1", "sleep", "1000"]).run().ok();
        host.mini(["exec", "runs", "sh", "-c", "echo hers >/note; cat /note"]).run().ok().stdout("hers\n");
        for name in ["box", "runs"] {
            let archive = host.mini(["cp", &format!("{name}:/note"), "-"]).run().ok();
            assert!(String::from_utf8_lossy(&archive.stdout).contains("note\0"), "{name}: {archive}");
            let file = host.home().join("in");
            fs::write(&file, "from outside").expect("write");
            host.mini(["cp", file.to_str().expect("text"), &format!("{name}:/d/in")]).run().ok();
            assert!(!host.mini(["export", name]).run().ok().stdout.is_empty());
        }
        host.mini(["exec", "runs", "stat", "-c", "%u", "/d/in"]).run().ok().stdout("0\n");
        host.mini(["restart", "-t", "0", "runs"]).run().ok();
        host.mini(["exec", "runs", "cat", "/note", "/d/in"]).run().ok().stdout("hers\nfrom outside");
        host.mini(["create", "--name", "new", "image:1", "sh", "-c", "cat /d/in; stat -c %u /d/in"])
            .run()
            .ok();
        let file = host.home().join("in").display().to_string();
        host.mini(["cp", &file, "new:/d/in"]).run().ok();
        host.mini(["start", "-a", "new"]).run().ok().stdout("from outside0\n");
        host.mini(["rm", "-f", "box", "runs", "new"]).run().ok();
    });
}

#[test]
fn what_has_changed_is_told_and_becomes_a_layer() {
    on_an_overlay(|host| {
        host.load(&difficult(), "image:1");
        let script = "echo n >/n; rm /d/kept; chmod 600 /owned; touch -d @1 /e/new; mkdir -p /p/q; echo >/p/q/r; \
                      rm -r /becomes-a-directory; echo >/becomes-a-directory";
        host.mini(["run", "--name", "none", "image:1", "true"]).run().ok();
        host.mini(["diff", "none"]).run().ok().stdout("");
        host.mini(["run", "--name", "box", "image:1", "sh", "-c", script]).run().ok();
        let expected = "C /becomes-a-directory\nC /d\nD /d/kept\nC /e\nC /e/new\nA /n\nC /owned\nA /p\nA /p/q\nA /p/q/r\n";
        host.mini(["diff", "box"]).run().ok().stdout(expected);
        host.mini(["commit", "box", "made:1"]).run().ok();
        host.mini(["commit", "none", "same:1"]).run().ok();
        let layers = "{{len .RootFS.Layers}}";
        host.mini(["inspect", "-f", layers, "image:1", "same:1", "made:1"]).run().ok().stdout("3\n3\n4\n");
        let look = "cat /n; ls /d; stat -c '%a %u:%g' /owned /linked; cat /e/new; ls -R /p; [ -f /becomes-a-directory ]";
        let seen = "n\n600 1000:1001\n640 0:0\nnew/p:\nq\n\n/p/q:\nr\n";
        host.mini(["run", "--rm", "made:1", "sh", "-c", look]).run().ok().stdout(seen);
        // Each stands by itself: another mini would read the same.
        let archive = host.mini(["save", "made:1"]).run().ok();
        host.mini(["rm", "none", "box"]).run().ok();
        host.mini(["rmi", "made:1", "same:1", "image:1"]).run().ok();
        host.mini(["load", "-q"]).stdin(archive.stdout).run().ok();
        host.mini(["run", "--rm", "made:1", "sh", "-c", look]).run().ok().stdout(seen);
    });
}

/// A directory that somebody else keeps may lie anywhere: from there no bytes are shared.
#[test]
fn a_root_of_somebody_elses_is_copied_from_another_file_system() {
    on_an_overlay(|host| {
        let theirs = host.work().join("theirs");
        for directory in ["bin", "hole"] {
            fs::create_dir_all(theirs.join(directory)).expect("make a directory");
        }
        fs::copy("/bin/busybox", theirs.join("bin/sh")).expect("busybox-static is installed");
        let hole = File::create(theirs.join("hole/file")).expect("make a file");
        hole.set_len(1 << 20).expect("make a hole");
        let run = ["run", "--rm", "--rootfs", theirs.to_str().expect("text"), "/bin/sh", "-c"];
        let script = "stat -c '%s %b' /hole/file; echo mine >/hole/file; cat /hole/file";
        host.mini(run).arg(script).run().ok().stdout("1048576 0\nmine\n");
        assert_eq!(fs::metadata(theirs.join("hole/file")).expect("it is there").len(), 1 << 20);
    });
}

/// The ranges of two runs may differ: who owns what stays, as the container sees it.
#[test]
fn with_other_ids_everything_belongs_to_whom_it_belonged() {
    on_an_overlay(|host| {
        host.load(&difficult(), "image:1");
        let script = format!(
            "cat /note; echo mine >/note; chown 5:6 /note; stat -c %u:%g /note; rm -rf /tmp/t; {LOOK}"
        );
        let run = host.mini(["run", "--name", "box", "image:1", "sh", "-c", &script]).run().ok();
        assert_eq!(run.text(), format!("5:6\n{SEEN}"));
        let ids = || fs::read_to_string(copy(host).join("ids.json")).expect("ids");
        let before = ids();
        let json: serde_json::Value = serde_json::from_str(&before).expect("JSON");
        let root = json["users"][0]["host"].as_u64().expect("an id");
        assert_eq!(capabilitys_root(host), root);
        // Whoever gives the range back removes its file.
        settle(host);
        let range = Path::new("/run/mini-host/ids").join(root.to_string());
        let taken = File::create(&range).expect("a lease");
        rustix::fs::flock(&taken, rustix::fs::FlockOperation::LockExclusive).expect("lock it");
        host.mini(["start", "-a", "box"]).run().ok().stdout(&format!("mine\n5:6\n{SEEN}"));
        assert_ne!(ids(), before);
        let json: serde_json::Value = serde_json::from_str(&ids()).expect("JSON");
        assert_eq!(json["users"][0]["host"], capabilitys_root(host));
        drop(taken);
        fs::remove_file(&range).expect("give it back");
    });
}

/// The root of a container is an overlay, and mini lives in it as on any host; where the container has users of its own, there are
/// none for others.
#[test]
fn a_container_has_containers_in_it() {
    let host = Host::with_busybox();
    fs::copy(host.binary(), host.work().join("mini")).expect("copy the binary");
    fs::write(host.work().join("image.tar"), difficult().docker_archive(&["image:1"])).expect("write");
    let bind = format!("{}:/w", host.work().display());
    let nested = |users: &str, script: &str| {
        let words = [
            "run",
            "--rm",
            "--privileged",
            users,
            "-v",
            &bind,
            "-e",
            "MINI_OFFLINE=1",
            "busybox",
            "sh",
            "-c",
            script,
        ];
        host.mini(words).run()
    };
    let script = format!(
        "/w/mini load -q -i /w/image.tar >/dev/null && /w/mini run --rm image:1 sh -c \"{LOOK}\" && \
         /w/mini run --rm -v data:/d image:1 sh -c 'echo mine >/d/x' && \
         /w/mini run --rm -v data:/x image:1 cat /x/x && /w/mini volume rm data && /w/mini system check",
    );
    let output = nested("--userns=host", &script).ok();
    assert_eq!(output.text(), format!("{SEEN}mine\ndata\n"));
    output.stderr_has(NOTICE);
    let refused =
        nested("--userns=private", "/w/mini load -q -i /w/image.tar; /w/mini run --rm image:1 true");
    refused.error(125, &["this user namespace has no range of 65536 ids"]).hints("--userns=host");
}

/// Whose root the capability of a program in the copy belongs to: `struct vfs_ns_cap_data`, version 3. In version 2 it would be the
/// host's, and hold in every container.
fn capabilitys_root(host: &Host) -> u64 {
    let mut value = [0; 64];
    let program = copy(host).join("tree/bin/capable");
    let length = rustix::fs::getxattr(program, "security.capability", &mut value[..]).expect("a capability");
    assert_eq!((length, value[3]), (24, 3));
    u32::from_le_bytes(value[20..24].try_into().expect("four bytes")).into()
}

#[test]
fn a_layer_that_lies_is_refused_here_too() {
    on_an_overlay(|host| {
        let image = Image::busybox().with(Tarball::new().file("word", 0o644, "x"));
        let (mut blobs, manifest) = image.blobs();
        let honest: Vec<_> = blobs.iter().map(tests::image::Blob::digest).collect();
        blobs[1].bytes = pack(&Tarball::new().file("word", 0o644, "y").finish(), Compression::Gzip);
        let index = json!({"schemaVersion": 2, "manifests": [manifest.descriptor()]});
        let mut lying = Tarball::new()
            .file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", 0o644, index.to_string())
            .file(&format!("blobs/sha256/{}", &manifest.digest()[7..]), 0o644, &manifest.bytes);
        for (blob, digest) in blobs.iter().zip(&honest) {
            lying = lying.file(&format!("blobs/sha256/{}", &digest[7..]), 0o644, &blob.bytes);
        }
        host.mini(["load"]).stdin(lying.finish()).run().error(1, &["sha256:"]);
        let mark = Entry { device: (0, 0), ..Entry::new(b'3', "mark", 0o600) };
        let hostile = Image::busybox().with(Tarball::new().entry(&mark));
        host.mini(["load"]).stdin(hostile.docker_archive(&["hostile:1"])).run().error(1, &["0:0"]);
        host.mini(["images", "-q"]).run().ok().stdout("");
    });
}

/// A store that came from elsewhere has marks that only overlay understands.
#[test]
fn a_store_of_another_file_system_is_not_misread() {
    on_an_overlay(|host| {
        host.load(&Image::busybox(), "busybox:latest");
        let version = host.root().join("image/version");
        assert_eq!(fs::read_to_string(&version).expect("a version"), "1-copied\n");
        fs::write(&version, "1\n").expect("write");
        host.mini(["images"]).run().error(1, &["was made on another file system"]).hints("move it away");
        fs::write(&version, "1-copied\n").expect("write");
    });
}

/// SIGKILL from the first operation of the copying to the one after its last.
#[test]
fn a_copy_that_was_not_finished_is_found_and_goes() {
    on_an_overlay(|host| {
        host.load(&difficult(), "image:1");
        let command = || host.mini(["run", "--name", "box", "--network=none", "image:1", "echo", "runs"]);
        // What only the first run of all does is done: the rounds are alike.
        command().run().ok();
        host.mini(["rm", "box"]).run().ok();
        let whole = Stepper::run(command(), |_| Verdict::GoOn, |_| true);
        whole.output.ok();
        let ours = |step: &&Step| step.role == "client" && step.call.contains("copy.new");
        let steps: Vec<_> = whole.steps.iter().filter(ours).map(|step| step.index).collect();
        assert!(steps.len() > 4, "{:#?}", whole.steps);
        let (first, last) = (steps[0], steps[steps.len() - 1] + 1);
        let mut halves = 0;
        for number in first..=last {
            settle(host);
            host.mini(["rm", "-f", "box"]).run().ok();
            let here = |step: &Step| step.role == "client" && step.index == number;
            let kill = |step: &Step| if here(step) { Verdict::Kill } else { Verdict::GoOn };
            let stepped = Stepper::run(command(), kill, |_| true);
            assert_eq!(stepped.killed.len(), 1, "{:#?}", stepped.steps);
            let place = format!("{:?}", stepped.killed);
            settle(host);
            let half = copy(host).with_extension("new");
            let was_half = half.exists();
            halves += usize::from(was_half);
            let found = host.mini(["system", "check"]).run();
            assert_eq!(
                found.text().contains("its copy of the image was not finished"),
                was_half,
                "{place}: {found}"
            );
            if number % 2 == 0 {
                host.mini(["system", "check", "--repair"]).run();
                assert!(!half.exists(), "{place}");
            }
            host.mini(["start", "-a", "box"]).run().ok().stdout("runs\n");
            assert!(!half.exists() && copy(host).exists(), "{place}");
        }
        assert!(halves > 3, "{halves} of {} were half", last - first);
    });
}
