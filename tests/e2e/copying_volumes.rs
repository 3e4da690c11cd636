//! Volumes and binds where no view of a file's ids can be shifted: `--root` on an overlay.

use std::fs;

use serde_json::json;
use tests::Image;

use crate::copying::{LOOK, SEEN, difficult, on_an_overlay};

/// No view of a volume can be shifted: who has one gets the ids that its files have.
#[test]
fn volumes_are_shared_by_containers_that_have_users_of_their_own() {
    on_an_overlay(|host| {
        host.load(&difficult().set("Volumes", json!({"/d": {}})), "image:1");
        let bins = host.mini(["run", "--rm", "-v", "bins:/bin", "image:1", "sh", "-c", LOOK]).run().ok();
        assert_eq!(bins.text(), SEEN);
        let map = "cat /proc/self/uid_map";
        let host_root = |output: &tests::Output| {
            let text = output.text();
            text.split_whitespace().nth(1).expect("a map").parse::<u32>().expect("an id")
        };
        let script = format!("{map} && echo one >/d/one && chown 5:6 /d/one && mkdir -m 700 /d/sub");
        let one =
            host.mini(["run", "--name", "one", "-v", "data:/d", "image:1", "sh", "-c", &script]).run().ok();
        host.mini(["run", "-d", "--name", "two", "-v", "data:/x", "image:1", "sleep", "1000"]).run().ok();
        let look = ["sh", "-c", "cat /proc/self/uid_map; stat -c '%n %a %u:%g' /x /x/kept /x/one /x/sub"];
        let two = host.mini(["exec", "two"]).args(look).run().ok();
        let seen = "/x 2750 0:0\n/x/kept 4755 0:0\n/x/one 644 5:6\n/x/sub 700 0:0\n";
        assert!(two.text().ends_with(seen), "{two}");
        let part = "type=volume,src=data,dst=/part,volume-subpath=sub";
        let three = [
            "run",
            "--rm",
            "--mount",
            part,
            "image:1",
            "sh",
            "-c",
            "cat /proc/self/uid_map; echo >/part/new",
        ];
        let three = host.mini(three).run().ok();
        host.mini(["exec", "two", "stat", "-c", "%u", "/x/sub/new"]).run().ok().stdout("0\n");
        // The third has an anonymous volume, too.
        assert_eq!([host_root(&two), host_root(&three)], [host_root(&one); 2]);
        host.load(&Image::busybox(), "busybox:latest");
        let apart = host.mini(["run", "--rm", "busybox", "cat", "/proc/self/uid_map"]).run().ok();
        assert_ne!(host_root(&apart), host_root(&one));
        let file = host.home().join("in").display().to_string();
        fs::write(&file, "from outside").expect("write");
        host.mini(["cp", &file, "one:/d/in"]).run().ok();
        host.mini(["exec", "two", "sh", "-c", "stat -c %u /x/in; rm -r /x/in /x/sub"])
            .run()
            .ok()
            .stdout("0\n");
        host.mini(["start", "-a", "one"]).run().ok();
        host.mini(["rm", "-f", "-v", "one", "two"]).run().ok();
        // Nobody lost anything: a volume that is empty is anybody's.
        host.mini(["volume", "create", "fresh"]).run().ok();
        let touch = |users| {
            host.mini([
                "run",
                "--rm",
                users,
                "-v",
                "fresh:/f",
                "busybox",
                "sh",
                "-c",
                "echo >/f/x; rm /f/x; stat -c %u /f",
            ])
            .run()
        };
        for users in ["--userns=host", "--userns=private", "--userns=host"] {
            touch(users).ok().stdout("0\n");
        }
        host.mini(["volume", "rm", "data", "bins", "fresh"]).run().ok();
        host.mini(["volume", "ls", "-q"]).run().ok().stdout("");
    });
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    on_an_overlay(|host| {
        host.load(&Image::busybox(), "busybox:latest");
        let on = |users, volume| {
            host.mini(["run", "--rm", users, "-v", volume, "busybox", "touch", "/etc/x"]).run()
        };
        on("--userns=private", "theirs:/etc").ok();
        on("--userns=host", "theirs:/etc")
            .error(125, &["volume theirs", "those of containers ids", "without"]);
        on("--userns=host", "hosts:/etc").ok();
        on("--userns=private", "hosts:/etc").error(125, &["volume hosts", "the host's ids", "--userns=host"]);
        host.mini(["volume", "rm", "theirs", "hosts"]).run().ok();
        let bound = host.root().join("bound");
        fs::create_dir(&bound).expect("make a directory");
        let bind = format!("{}:/x", bound.display());
        let seen = host.mini(["run", "--rm", "-v", &bind, "busybox", "stat", "-c", "%u", "/x"]).run().ok();
        seen.stdout("65534\n").stderr_has("lies on an overlay, where no ids can be shifted");
        fs::remove_dir(&bound).expect("remove it");
        host.mini(["script", "busybox"]).run().error(1, &["lie on an overlay"]);
    });
}
