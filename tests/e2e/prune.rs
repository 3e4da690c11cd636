//! `prune` of images, containers and everything: what nobody needs goes, what somebody begins to need stays.

use std::fs;

use serde_json::{Value, json};
use tests::step::{Step, Stepper, Verdict};
use tests::{Host, Image, Running, Tarball, disk, processes, wait};

/// An image with one file above busybox.
pub(crate) fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// `mini image prune ARGS…`.
pub(crate) fn prune(host: &Host, args: &[&str]) -> tests::Output {
    host.mini(["image", "prune"]).args(args).run()
}

/// The names of all images.
pub(crate) fn names(host: &Host) -> Vec<String> {
    let mut names = host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().lines();
    names.sort();
    names
}

/// What happened, a word each: `image prune`.
fn events(host: &Host, kind: &str) -> Vec<Value> {
    let events = host.mini(["events", "--since", "0", "--until", "0s", "--format", "json"]);
    events.args(["--filter", &format!("type={kind}")]).run().ok().json_lines()
}

#[test]
fn an_image_without_a_name_goes_and_its_own_layers_with_it() {
    let host = Host::new();
    let (one, two) = (saying("one"), saying("second"));
    host.load(&one, "x:1");
    let before = disk::used(&host.root());
    host.load(&two, "x:1");
    prune(&host, &["-f", "--filter", "dangling=true"]).ok().stdout_has(&one.configuration().digest());
    let grown = disk::used(&host.root()).saturating_sub(before);
    assert!(grown < 3000, "{grown} bytes are left of an image that is gone");
    host.load(&one, "x:1");
    host.mini(["image", "prune"])
        .stdin("n\n")
        .run()
        .ok()
        .stdout("WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ");
    let output = host.mini(["image", "prune"]).stdin("y\n").run().ok();
    let lines = output.lines();
    assert!(lines[1].ends_with("[y/N] Deleted Images:"), "{output}");
    assert_eq!(lines[2], format!("deleted: {}", two.configuration().digest()));
    assert!(lines[3].starts_with("deleted: sha256:") && lines[4].is_empty(), "{output}");
    // The file's six bytes: what lies below is the other image's too.
    assert_eq!((lines[5].as_str(), lines.len()), ("Total reclaimed space: 6B", 6), "{output}");
    assert_eq!(names(&host), ["x:1"]);
    prune(&host, &["-f"]).ok().stdout("Total reclaimed space: 0B\n");
    host.mini(["run", "--rm", "x:1"]).run().ok().stdout("one");
    let last = events(&host, "image").pop().expect("an event");
    assert_eq!(
        (&last["Action"], &last["Actor"]["Attributes"]),
        (&json!("prune"), &json!({ "reclaimed": "0" }))
    );
}

#[test]
fn with_all_every_image_goes_that_no_container_is_made_of() {
    let host = Host::new();
    let (used, unused) = (saying("used"), saying("unused"));
    host.load(&used, "used:1");
    host.mini(["load"]).stdin(used.docker_archive(&["used:2"])).run().ok();
    host.load(&unused, "unused:1");
    host.mini(["load"]).stdin(unused.docker_archive(&["unused:2"])).run().ok();
    host.mini(["create", "--name", "box", "used:1"]).run().ok();
    host.mini(["image", "prune", "-a"])
        .stdin("\n")
        .run()
        .ok()
        .stdout_has("all images without at least one container associated to them.\n");
    prune(&host, &["-f"]).ok().stdout("Total reclaimed space: 0B\n");
    let output = prune(&host, &["-a", "-f"]).ok();
    let id = unused.configuration().digest();
    let expected = format!(
        "Deleted Images:\nuntagged: used:1\nuntagged: unused:1\nuntagged: unused:2\ndeleted: {id}\ndeleted: "
    );
    assert!(output.text().starts_with(&expected), "{output}");
    assert!(output.text().ends_with("\n\nTotal reclaimed space: 6B\n"), "{output}");
    // docker's rule: one name is enough for the container.
    assert_eq!(names(&host), ["used:2"]);
    host.mini(["start", "-a", "box"]).run().ok().stdout("used");
    prune(&host, &["-a", "-f"]).ok().stdout("Total reclaimed space: 0B\n");
    host.mini(["rm", "box"]).run().ok();
    prune(&host, &["-f", "--filter", "dangling=false"]).ok().stdout_has("untagged: used:2");
    assert_eq!(names(&host), Vec::<String>::new());
    host.mini(["system", "check"]).run().ok().stdout("");
    let told: Vec<_> = events(&host, "image").iter().map(|event| event["Action"].clone()).collect();
    for (action, times) in [("untag", 4), ("prune", 4)] {
        assert_eq!(told.iter().filter(|told| *told == action).count(), times, "{action}: {told:?}");
    }
}

#[test]
fn filters_say_which_images() {
    let host = Host::new();
    let labelled = saying("a").set("Labels", json!({ "tier": "front" })).built("2020-01-01T00:00:00Z");
    host.load(&labelled, "a:1");
    host.load(&saying("b").built("2024-01-01T00:00:00Z"), "b:1");
    let all = |filter: &str| prune(&host, &["-a", "-f", "--filter", filter]);
    for nothing in ["label=tier=back", "until=2019-01-01", "label=other"] {
        all(nothing).ok().stdout("Total reclaimed space: 0B\n");
    }
    all("until=2022-01-01").ok().stdout_has("untagged: a:1").stdout_lacks("b:1");
    host.load(&labelled, "a:1");
    all("label!=tier").ok().stdout_has("untagged: b:1").stdout_lacks("a:1");
    all("label=tier=front").ok().stdout_has("untagged: a:1");
    for (bad, complaint) in [
        ("dangling=perhaps", "neither true nor false"),
        ("reference=a", "one of until, label, label!, dangling"),
        ("until=soon", "soon"),
        ("label", "KEY=VALUE"),
    ] {
        all(bad).error(1, &[complaint]);
    }
}

/// A host with a container that ended, one that runs, a volume with a name and one without, and an image without a name.
fn full(host: &Host) {
    host.load(&saying("old"), "x:1");
    host.load(&saying("new"), "x:1");
    host.load(&Image::busybox(), "busybox:latest");
    let write =
        "dd if=/dev/zero of=/file bs=1000 count=5 2>/dev/null; cp /file /anonymous/; cp /file /named/";
    let volumes = ["-v", "/anonymous", "-v", "named:/named"];
    host.mini(["run", "--name", "ended"]).args(volumes).args(["busybox", "sh", "-c", write]).run().ok();
}

#[test]
fn system_prune_says_what_will_go_and_takes_it_in_order() {
    let host = Host::new();
    full(&host);
    host.mini(["system", "prune"]).stdin("n\n").run().ok().stdout(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
         - all dangling images\n\nAre you sure you want to continue? [y/N] ",
    );
    host.mini(["system", "prune", "-a", "--volumes", "--filter", "label=x"])
        .stdin("n\n")
        .run()
        .ok()
        .stdout_has("  - all anonymous volumes not used by at least one container\n  - all images without at least one")
        .stdout_has("associated to them\n\n  Items to be pruned will be filtered with:\n  - label=x\n\nAre you sure");
    host.mini(["system", "prune", "--volumes", "--filter", "until=1h"])
        .run()
        .error(1, &["the \"until\" filter is not supported with \"--volumes\""]);
    host.mini(["system", "prune", "-f", "--filter", "name=x"]).run().error(1, &["invalid filter"]);
    let nothing = "Total reclaimed space: 0B\n";
    host.mini(["system", "prune", "-af", "--volumes", "--filter", "label=x"]).run().ok().stdout(nothing);
    host.mini(["system", "prune", "-af", "--filter", "until=48h", "--filter", "label=y"])
        .run()
        .ok()
        .stdout(nothing);
    let id = host.mini(["ps", "-aq", "--no-trunc"]).run().ok().line();
    let output = host.mini(["system", "prune", "--volumes"]).stdin("y\n").run().ok();
    let text = output.text();
    let (_, list) = text.split_once("[y/N] ").expect("the question");
    let parts: Vec<_> = list.split("\n\n").collect();
    assert_eq!(parts[0], format!("Deleted Containers:\n{id}"));
    assert_eq!(parts[1], "Deleted Networks:\nbridge");
    assert!(parts[2].starts_with("Deleted Volumes:\n") && !parts[2].contains("named"), "{output}");
    assert!(parts[3].starts_with("Deleted Images:\ndeleted: sha256:"), "{output}");
    assert!(parts[4].starts_with("Total reclaimed space: ") && parts[4].ends_with("kB\n"), "{output}");
    assert_eq!(names(&host), ["busybox:latest", "x:1"]);
    host.mini(["volume", "ls", "-q"]).run().ok().stdout("named\n");
    host.mini(["system", "prune", "-af"])
        .run()
        .ok()
        .stdout_has("untagged: x:1")
        .stdout_has("untagged: busybox");
    assert_eq!(names(&host), Vec::<String>::new());
    for (kind, times) in [("container", 4), ("network", 4), ("image", 4), ("volume", 2)] {
        let events = events(&host, kind);
        let prunes: Vec<_> = events.iter().filter(|event| event["Action"] == "prune").collect();
        assert_eq!(prunes.len(), times, "{kind}");
        assert!(prunes.iter().all(|event| event["Actor"]["Attributes"]["reclaimed"].is_string()), "{kind}");
    }
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["volume", "rm", "named"]).run().ok();
}

#[test]
fn what_runs_keeps_all_that_it_has() {
    let host = Host::with_busybox();
    let container = host.start(["-v", "/data", "busybox", "sh", "-c", "echo kept > /data/x; sleep 1000"]);
    host.mini(["pause", &container.id]).run().ok();
    let output = host.mini(["system", "prune", "-af", "--volumes"]).run().ok();
    output.stdout("Total reclaimed space: 0B\n");
    host.mini(["unpause", &container.id]).run().ok();
    container
        .sh("until grep kept /data/x; do sleep 0.01; done; ip route | grep -c default")
        .ok()
        .stdout("kept\n1\n");
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
}

/// Before each of its operations somebody prunes.
#[test]
fn a_container_that_is_being_started_is_left_alone() {
    let host = Host::with_busybox();
    for options in [&["-d"][..], &["-d", "--rm"]] {
        let mut pruned = String::new();
        let line = ["--name", "box", "busybox", "sleep", "1000"];
        let stepped = Stepper::run(
            host.mini(["run"]).args(options).args(line),
            |_| {
                pruned += &host.mini(["container", "prune", "-f"]).run().ok().text();
                Verdict::GoOn
            },
            |_| true,
        );
        let id = stepped.output.ok().line();
        assert!(stepped.steps.len() > 20 && !pruned.contains("Deleted"), "{pruned}");
        host.mini(["ps", "-q", "--no-trunc"]).run().ok().stdout(&format!("{id}\n"));
        host.mini(["rm", "-f", "box"]).run().ok();
    }
}

/// Whoever waited for a container knows that it has ended while its monitor still tidies up: two who prune then wait for that, and
/// one of them tells that it has gone.
#[test]
fn a_container_whose_monitor_is_not_yet_done_goes() {
    let host = Host::with_busybox();
    let mut prunes: Vec<Running> = Vec::new();
    let id = host.work().join("id");
    let run = host.mini(["run", "--cidfile"]).arg(&id).args(["busybox", "true"]);
    let mut has_ended = false;
    let judge = |step: &Step| {
        if step.role == "monitor" && step.call.contains("live.json") {
            has_ended = step.call.starts_with("unlink");
        } else if step.role == "monitor" && has_ended && prunes.is_empty() {
            prunes.extend((0..2).map(|_| host.spawn(["container", "prune", "-f"])));
            for prune in &mut prunes {
                // One that does not wait has ended.
                wait::until("a prune that waits for the monitor", || {
                    let waits =
                        processes::proc_file(prune.pid(), "wchan").is_some_and(|at| at.contains("nanosleep"));
                    (waits || !prune.is_running()).then_some(())
                });
            }
        }
        Verdict::GoOn
    };
    Stepper::run(run, judge, |_| false).output.ok();
    let id = fs::read_to_string(id).expect("the id");
    let told: Vec<_> = prunes.into_iter().map(|prune| prune.wait().ok().text()).collect();
    assert_eq!(told.iter().filter(|told| told.contains(&id)).count(), 1, "{told:?}");
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

/// A command that needs an image, and one that takes it away: one of them is first.
#[test]
fn an_image_is_there_for_a_container_or_not_at_all() {
    let host = Host::new();
    let archive = saying("here").docker_archive(&["x:1"]);
    let (mut ran, mut missed) = (0, 0);
    for round in 0..16 {
        host.mini(["load"]).stdin(archive.clone()).run().ok();
        let create = |host: &Host| host.spawn(["create", "--pull=never", "-v", "/data", "x:1"]);
        let prune = |host: &Host| host.spawn(["image", "prune", "-af"]);
        let (created, pruned) = if round % 2 == 0 {
            let created = create(&host);
            (created, prune(&host))
        } else {
            let pruned = prune(&host);
            (create(&host), pruned)
        };
        pruned.wait().ok();
        let created = created.wait();
        if created.status.success() {
            host.mini(["start", "-a", &created.line()]).run().ok().stdout("here");
            host.mini(["rm", "-v", &created.line()]).run().ok();
            ran += 1;
        } else {
            created.error(1, &["no such image"]);
            missed += 1;
        }
    }
    assert_eq!(ran + missed, 16);
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn what_many_start_nobody_prunes() {
    let host = Host::with_busybox();
    let keeper = host.start(["busybox", "sleep", "1000"]);
    for _ in 0..4 {
        let runs: Vec<_> = (0..4)
            .map(|number| {
                let named = format!("shared{number}:/named");
                let script =
                    "echo x > /data/x && cat /data/x && echo y > /named/y && ip route | grep -c default";
                host.spawn(["run", "--rm", "-v", "/data", "-v", &named, "busybox", "sh", "-c", script])
            })
            .collect();
        let prunes: Vec<_> = (0..4)
            .flat_map(|_| [&["system", "prune", "-af", "--volumes"][..], &["volume", "prune", "-af"]])
            .map(|line| host.spawn(line))
            .collect();
        for prune in prunes {
            prune.wait().ok().stderr("");
        }
        for run in runs {
            run.wait().ok().stdout("x\n1\n");
        }
    }
    keeper.remove();
    host.mini(["volume", "prune", "-af"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
}

/// What would go is told, and stays.
#[test]
fn a_dry_run_tells_what_a_run_does() {
    let host = Host::new();
    full(&host);
    host.mini(["volume", "create", "unused"]).run().ok();
    for line in [
        &["image", "prune"][..],
        &["image", "prune", "-a"],
        &["container", "prune"],
        &["network", "prune"],
        &["volume", "prune", "-a"],
        &["system", "prune"],
        &["system", "prune", "-a", "--volumes"],
    ] {
        let told = host.mini(line).args(["--dry-run"]).run().ok();
        let again = host.mini(line).args(["--dry-run"]).run().ok();
        assert_eq!(told.text(), again.text(), "{line:?} has taken something");
        assert!(told.text().contains(" that would be deleted:\n"), "{told}");
        let saved = host.mini(["ps", "-aq"]).run().ok().lines().len();
        assert_eq!(saved, 1, "{line:?}");
        if line != ["system", "prune", "-a", "--volumes"] {
            continue;
        }
        let done = host.mini(line).args(["-f"]).run().ok();
        let told = told.text().replace("Total space that would be reclaimed", "Total reclaimed space");
        let mut told: Vec<_> = told.lines().map(str::to_owned).collect();
        for line in &mut told {
            if let Some(kind) = line.strip_suffix(" that would be deleted:") {
                *line = format!("Deleted {kind}:");
            }
        }
        assert_eq!(told, done.lines());
    }
    host.mini(["network", "prune", "--dry-run"]).run().ok().stdout("");
    assert!(events(&host, "image").iter().filter(|event| event["Action"] == "prune").count() == 1);
    host.mini(["volume", "rm", "named", "unused"]).run().ok();
}
