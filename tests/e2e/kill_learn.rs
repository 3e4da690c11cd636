//! SIGKILL and ctrl-C at every moment of a lesson.

use rustix::process::Signal;
use tests::{Host, Running, cgroups, leftovers, processes, skip, wait};

use crate::killing::{Scene, at_every_operation};

/// Sends a signal to a lesson when it has told so many events; the last of them.
#[track_caller]
fn end_after(host: &Host, lesson: &str, events: usize, signal: Signal) -> String {
    let mut learner = host.spawn(["learn", lesson, "--json"]);
    let told: Vec<String> = (0..events).map(|_| learner.line()).collect();
    learner.signal(signal);
    learner.wait();
    told.last().cloned().unwrap_or_default()
}

/// How many events a lesson tells.
fn events(host: &Host, lesson: &str) -> usize {
    host.mini(["learn", lesson, "--json"]).patient(2).run().ok().lines().len()
}

/// Killed after each event, it leaves nothing that its keeper or `system check --repair` does not remove.
fn killed_after_each_event(lesson: &str) {
    // Lessons wait more than they do.
    const AT_A_TIME: usize = 4;
    let count = events(&Host::new(), lesson);
    let killed = |first: usize| {
        let host = Host::new();
        for number in (first..=count).step_by(AT_A_TIME) {
            let moment = format!("{lesson} killed after {}", end_after(&host, lesson, number, Signal::KILL));
            wait::until(&format!("the end of all: {moment}"), || host.processes().is_empty().then_some(()));
            host.mini(["system", "check", "--repair"]).run().ok();
            let left = leftovers::find(&host);
            assert!(left.is_empty(), "{moment}: {left:#?}");
            host.mini(["system", "check"]).run().ok().stdout("");
        }
    };
    std::thread::scope(|scope| {
        for first in 1..=AT_A_TIME {
            scope.spawn(move || killed(first));
        }
    });
}

#[test]
fn learning_about_networks() {
    killed_after_each_event("net");
}

#[test]
fn learning_about_control_groups() {
    killed_after_each_event("cgroup");
}

#[test]
fn learning_about_overlays() {
    killed_after_each_event("overlay");
}

#[test]
fn learning_about_the_freezer() {
    killed_after_each_event("freezer");
}

#[test]
fn learning_by_containers_of_the_machine() {
    killed_after_each_event("root");
}

#[test]
fn making_the_lab_and_taking_it_away() {
    let host = Host::new();
    let scene = Scene {
        before: &|_| (),
        command: &|host| host.mini(["learn", "uts", "--json"]),
        after: &|host| drop(host.mini(["learn", "mnt", "--json"]).run().ok()),
    };
    at_every_operation(&host, "learner", &scene);
}

/// What looks whether a room is ready makes one of everything: none of it stays.
#[test]
fn trying_what_lessons_need() {
    let host = Host::new();
    let scene = Scene {
        before: &|_| (),
        command: &|host| host.mini(["class", "check", "--json"]),
        after: &|host| drop(host.mini(["class", "check", "--json"]).run().ok()),
    };
    at_every_operation(&host, "tester", &scene);
}

/// Told to end after any event, it leaves nothing at all.
#[test]
fn whoever_has_had_enough_leaves_nothing_at_any_moment() {
    let host = Host::new();
    for (lesson, signal) in
        [("uts", Signal::INT), ("net", Signal::TERM), ("overlay", Signal::HUP), ("netns", Signal::INT)]
    {
        for number in (1..events(&host, lesson)).step_by(3) {
            let event = end_after(&host, lesson, number, signal);
            let left = leftovers::find(&host);
            assert!(left.is_empty(), "{lesson} told to end after {event}: {left:#?}");
            host.mini(["system", "check"]).run().ok().stdout("");
        }
    }
}

/// The helper that takes the second look of the lesson about processor time, which lasts a second.
fn slow_helper(learner: &mut Running) -> i32 {
    while !learner.line().contains("\"kind\":\"look\"") {}
    let keeper = processes::children(learner.pid());
    wait::until("a helper", || {
        processes::children(learner.pid()).into_iter().find(|child| !keeper.contains(child))
    })
}

/// Whatever it waits for: here for a helper that stands still.
#[test]
fn ctrl_c_waits_for_nobody() {
    let host = Host::new();
    let mut learner = host.spawn(["learn", "cpu", "--json"]);
    let helper = slow_helper(&mut learner);
    processes::signal(&processes::open(helper).expect("it takes a second"), Signal::STOP);
    learner.signal(Signal::INT);
    assert!(!learner.wait().status.success());
    assert!(leftovers::find(&host).is_empty(), "{:#?}", leftovers::find(&host));
    host.mini(["system", "check"]).run().ok().stdout("");
}

/// On version 1 what is frozen from above cannot be killed: the learner says so, and does not wait for ever.
#[test]
fn what_does_not_end_is_said() {
    let host = Host::new();
    let Some(freezer) = cgroups::with_controller("freezer").filter(|freezer| !freezer.v2) else {
        return skip("on version 2 SIGKILL ends what is frozen");
    };
    let state = freezer.mount.join(host.cgroup_parent()).join("freezer.state");
    for with_helper in [false, true] {
        let mut learner = host.spawn(["learn", "cpu", "--json"]);
        match with_helper {
            true => drop(slow_helper(&mut learner)),
            false => drop(learner.line()),
        }
        std::fs::write(&state, "FROZEN").expect("freeze the lab from above");
        learner.signal(Signal::INT);
        learner.stderr_has("has not ended");
        // What stands still has the learner's streams.
        std::fs::write(&state, "THAWED").expect("thaw it");
        let output = learner.wait();
        assert!(!output.status.success(), "{output}");
        for part in ["has not ended in 10 s", "(lab, D", "mini system check --repair"] {
            assert!(output.err().contains(part), "no {part}: {output}");
        }
        wait::until("the end of the lab", || host.processes().is_empty().then_some(()));
        host.mini(["system", "check", "--repair"]).run().ok();
        assert!(leftovers::find(&host).is_empty(), "{:#?}", leftovers::find(&host));
    }
}
