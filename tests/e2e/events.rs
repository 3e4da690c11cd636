//! `mini events`: what has happened, what happens, and a journal that is bounded and never in the way.

use std::fs;

use serde_json::Value;
use tests::server::{Contents, ImageServer};
use tests::{Host, Image, processes, wait};

/// What has happened, with these flags.
#[track_caller]
fn history(host: &Host, flags: &[&str]) -> Vec<Value> {
    let output =
        host.mini(["events", "--since", "1h", "--until", "0s", "--format", "json"]).args(flags).run();
    output.ok().json_lines()
}

/// `container die`, in order.
fn actions(events: &[Value]) -> Vec<String> {
    let word = |event: &Value, name: &str| event[name].as_str().expect("a word").to_owned();
    events.iter().map(|event| format!("{} {}", word(event, "Type"), word(event, "Action"))).collect()
}

fn attribute<'e>(event: &'e Value, name: &str) -> &'e str {
    event["Actor"]["Attributes"][name].as_str().unwrap_or_default()
}

#[test]
fn a_container_from_its_making_to_its_end() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "--name", "box", "-l", "tier=front", "busybox", "sh", "-c", "exit 3"])
        .run()
        .code(3);
    let events = history(&host, &["--filter", "type=container", "--filter", "type=network"]);
    assert_eq!(
        actions(&events),
        [
            "container create",
            "container attach",
            "network connect",
            "container start",
            "container die",
            "network disconnect",
            "container destroy"
        ]
    );
    let id = events[0]["id"].as_str().expect("an id").to_owned();
    for event in &events {
        match event["Type"].as_str() {
            Some("container") => {
                assert_eq!((&event["id"], &event["from"]), (&Value::from(id.as_str()), &"busybox".into()));
                assert_eq!((attribute(event, "name"), attribute(event, "tier")), ("box", "front"), "{event}");
            }
            _ => {
                assert_eq!(
                    (attribute(event, "container"), attribute(event, "name")),
                    (id.as_str(), "bridge")
                );
            }
        }
    }
    assert_eq!((attribute(&events[4], "exitCode"), attribute(&events[4], "execDuration")), ("3", "0"));
    let times: Vec<_> = events.iter().map(|event| event["timeNano"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn every_command_on_a_container_is_told() {
    let host = Host::with_busybox();
    let all = |words: &[&str]| host.mini(words).run().ok();
    all(&["create", "--name", "box", "--stop-signal", "KILL", "busybox", "sleep", "1000"]);
    all(&["start", "box"]);
    all(&["pause", "box"]);
    all(&["unpause", "box"]);
    all(&["exec", "box", "echo", "a b"]);
    host.mini(["exec", "box", "sh", "-c", "exit 4"]).run().code(4);
    all(&["top", "box"]);
    all(&["update", "--pids-limit", "100", "box"]);
    all(&["kill", "-s", "USR1", "box"]);
    all(&["rename", "box", "other"]);
    all(&["restart", "other"]);
    all(&["stop", "other"]);
    all(&["rm", "other"]);
    let events = history(&host, &["--filter", "type=container"]);
    assert_eq!(
        actions(&events).iter().map(|action| action.trim_start_matches("container ")).collect::<Vec<_>>(),
        [
            "create",
            "start",
            "pause",
            "unpause",
            "exec_create: echo a b",
            "exec_start: echo a b",
            "exec_die",
            "exec_create: sh -c exit 4",
            "exec_start: sh -c exit 4",
            "exec_die",
            "top",
            "update",
            "kill",
            "rename",
            "kill",
            "die",
            "start",
            "restart",
            "kill",
            "die",
            "stop",
            "destroy",
        ]
    );
    let codes: Vec<_> =
        events.iter().map(|event| attribute(event, "exitCode")).filter(|code| !code.is_empty()).collect();
    assert_eq!(codes, ["0", "4", "137", "137"]);
    assert_eq!(attribute(&events[4], "execID"), attribute(&events[6], "execID"));
    assert_eq!(attribute(&events[12], "signal"), "10");
    assert_eq!((attribute(&events[13], "oldName"), attribute(&events[13], "name")), ("/box", "other"));
    assert_eq!((attribute(&events[18], "signal"), attribute(&events[18], "name")), ("9", "other"));
}

#[test]
fn images_that_come_and_go_are_told() {
    let host = Host::with_busybox();
    let mut contents = Contents::default();
    contents.add("pulled", "1", &Image::busybox());
    let server = ImageServer::open(contents);
    let name = format!("{}/pulled:1", server.name());
    host.mini(["pull", &name]).run().ok();
    host.mini(["run", "--rm", "--pull", "always", &name, "true"]).run().ok();
    host.mini(["rmi", &name]).run().ok();
    let events = history(&host, &["--filter", "type=image"]);
    let actions = actions(&events);
    assert_eq!(actions[..4], ["image load", "image pull", "image pull", "image untag"], "{actions:?}");
    assert_eq!(
        (&events[1]["id"], attribute(&events[1], "name")),
        (&name.as_str().into(), name.trim_end_matches(":1"))
    );
}

#[test]
fn what_happens_is_shown_as_it_happens() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "before", "busybox", "true"]).run().ok();
    let form = "{{.Action}} {{.Actor.Attributes.name}} {{index .Actor.Attributes \"exitCode\"}}";
    let mut follower =
        host.spawn(["events", "--filter", "event=die", "--filter", "event=destroy", "--format", form]);
    // It has nothing to say of what was before.
    wait::until("a follower that listens", || {
        processes::proc_file(follower.pid(), "wchan").filter(|at| at.contains("poll"))
    });
    host.mini(["run", "--name", "after", "busybox", "sh", "-c", "exit 5"]).run().code(5);
    assert_eq!(follower.line(), "die after 5");
    host.mini(["rm", "before"]).run().ok();
    assert_eq!(follower.line(), "destroy before ");
    follower.close_stdout();
    host.mini(["rm", "after"]).run().ok();
    follower.wait();
}

#[test]
fn it_ends_when_it_was_told_to() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "--name", "box", "busybox", "true"]).run().ok();
    // Without --since, --until alone shows what was, too.
    host.mini(["events", "--until", "0s", "--filter", "event=die"]).run().ok().stdout_has(" container die ");
    let mut follower =
        host.spawn(["events", "--since", "1h", "--until", &in_two_seconds(), "--filter", "container=box"]);
    assert!(follower.line().contains(" container create "));
    let text = follower.wait().ok().text();
    assert!(text.contains("(image=busybox, name=box)"), "{text}");
    host.mini(["events", "--since", "1s", "--until", "1h"]).run().ok().stdout("");
}

/// A time to come, as `--until` takes it.
fn in_two_seconds() -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock that is set");
    (now.as_secs() + 2).to_string()
}

#[test]
fn memory_that_runs_out_and_health_are_told() {
    let host = Host::with_busybox();
    let hungry = [
        "run",
        "--name",
        "hungry",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        "tail /dev/zero",
    ];
    host.mini(hungry).run();
    let container = host.start([
        "--health-cmd",
        "test -f /well",
        "--health-interval",
        "200ms",
        "--health-retries",
        "1",
        "busybox",
        "sleep",
        "1000",
    ]);
    let health = || actions(&history(&host, &["--filter", "event=health_status"]));
    wait::until("a container that is not well", || (health().len() == 1).then_some(()));
    container.sh("touch /well").ok();
    wait::until("a container that is well", || (health().len() == 2).then_some(()));
    assert_eq!(health(), ["container health_status: unhealthy", "container health_status: healthy"]);
    let end =
        history(&host, &["--filter", "container=hungry", "--filter", "event=oom", "--filter", "event=die"]);
    assert_eq!(actions(&end), ["container oom", "container die"]);
}

#[test]
fn a_terminal_that_changes_its_size_and_one_that_is_left_are_told() {
    let host = Host::with_busybox();
    let mut terminal = host.mini(["run", "-it", "--name", "box", "busybox", "sh"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.resize(30, 100);
    let sizes = || -> Vec<(String, String)> {
        let size =
            |event: &Value| (attribute(event, "height").to_owned(), attribute(event, "width").to_owned());
        history(&host, &["--filter", "event=resize"]).iter().map(size).collect()
    };
    let new = Some(("30".to_owned(), "100".to_owned()));
    wait::until("its new size", || (sizes().last().cloned() == new).then_some(()));
    terminal.send("\x10\x11");
    terminal.ends_with(0);
    let events = history(&host, &["--filter", "event=attach", "--filter", "event=detach"]);
    assert_eq!(actions(&events), ["container attach", "container detach"]);
}

#[test]
fn filters_and_forms_that_make_no_sense_are_refused() {
    let host = Host::with_busybox();
    for (flags, complaint) in [
        (&["--filter", "name"][..], "KEY=VALUE"),
        (&["--filter", "color=red"], "one of container, event"),
        (&["--filter", "node=x"], "no events of that kind"),
        (&["--since", "long ago"], "invalid time"),
        (&["--format", "{{.Action"], "template"),
    ] {
        host.mini(["events", "--until", "0s"]).args(flags).run().error(1, &[complaint]);
    }
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    host.mini(["events", "--until", "0s", "--format", "{{.Colour}}"]).run().error(1, &["Colour"]);
}

#[test]
fn the_journal_is_bounded_and_read_across_its_turns() {
    let host = Host::with_busybox();
    let directory = host.root().join("events");
    let size = || -> u64 {
        fs::read_dir(&directory)
            .expect("the journal")
            .map(|entry| entry.expect("an entry").metadata().expect("stat").len())
            .sum()
    };
    let mut follower =
        host.spawn(["events", "--filter", "event=die", "--format", "{{.Actor.Attributes.name}}"]);
    // As if much had happened.
    let filler = |bytes: usize| {
        let line = format!(
            "{{\"time\":1,\"kind\":\"volume\",\"action\":\"create\",\"id\":\"{}\"}}\n",
            "x".repeat(1000)
        );
        line.repeat(bytes / line.len())
    };
    let mut expected = Vec::new();
    for round in 0..4 {
        let mut file =
            fs::OpenOptions::new().append(true).open(directory.join("journal")).expect("the journal");
        std::io::Write::write_all(&mut file, filler(4 << 20).as_bytes()).expect("fill");
        for one in 0..3 {
            let name = format!("box-{round}-{one}");
            host.mini(["run", "--name", &name, "busybox", "true"]).run().ok();
            expected.push(name);
        }
        assert!(size() < 9 << 20, "{}", size());
    }
    // The first may have been before it listened.
    let first = follower.line();
    let begin = expected.iter().position(|name| *name == first).expect("one of ours");
    for name in &expected[begin + 1..] {
        assert_eq!(follower.line(), *name);
    }
    follower.close_stdout();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    follower.wait();
    let left = history(&host, &["--filter", "event=die", "--filter", "container=box-3-2"]);
    assert_eq!(left.len(), 1);
}

#[test]
fn a_journal_that_cannot_be_written_or_read_stops_nothing() {
    let host = Host::with_busybox();
    let directory = host.root().join("events");
    fs::remove_dir_all(&directory).expect("remove the journal");
    fs::write(&directory, "no directory").expect("a file in its place");
    host.mini(["run", "--rm", "busybox", "true"]).run().ok().stderr("");
    host.mini(["events", "--until", "0s"]).run().code(1);
    fs::remove_file(&directory).expect("remove the file");
    host.mini(["run", "--rm", "--name", "box", "busybox", "true"]).run().ok();
    // What a full disk cut short, and what is no event at all.
    let journal = directory.join("journal");
    let whole = fs::read_to_string(&journal).expect("the journal");
    fs::write(&journal, format!("{{\"time\":17,\"ki\nnonsense\n\n{whole}")).expect("damage it");
    assert_eq!(actions(&history(&host, &["--filter", "event=die"])), ["container die"]);
}

#[test]
fn many_at_once_are_all_told_whole() {
    let host = Host::with_busybox();
    let running: Vec<_> = (0..16).map(|_| host.spawn(["run", "--rm", "busybox", "true"])).collect();
    for one in running {
        one.wait().ok();
    }
    let events = history(&host, &[]);
    for action in ["create", "attach", "start", "die", "destroy"] {
        let all: Vec<_> = events.iter().filter(|event| event["Action"] == action).collect();
        let mut ids: Vec<_> = all.iter().map(|event| event["id"].as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((all.len(), ids.len()), (16, 16), "{action}");
    }
}
