//! A wall clock that is set, by hours back and forth: nothing waits for it, and nothing that is said makes no sense.
//!
//! The clock is the whole machine's: these run in the emulated machine alone (`cargo xtask vm-test`), one after the other.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};
use tests::{Container, Host, skip, wait};

/// The machine's clock; put right at the end of the scope.
struct Clock {
    wall: Duration,
    began: Instant,
}

impl Clock {
    /// `None` where it is not the test's to set.
    fn take() -> Option<Clock> {
        if std::env::var_os("MINI_TEST_OWN_CLOCK").is_none() {
            skip("the clock is the machine's");
            return None;
        }
        Some(Clock { wall: now(), began: Instant::now() })
    }

    /// So many hours from the true time.
    fn step(&self, hours: i64) {
        let truth = self.wall + self.began.elapsed();
        let seconds = truth.as_secs().cast_signed() + hours * 3600;
        let time = Timespec { tv_sec: seconds, tv_nsec: truth.subsec_nanos().into() };
        clock_settime(ClockId::Realtime, time).expect("clock_settime");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.step(0);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Back, forth over where it was, and back again.
const STEPS: [i64; 3] = [-5, 7, -3];

fn status(container: &Container<'_>) -> String {
    container.field("/State/Status").as_str().expect("text").to_owned()
}

#[test]
fn what_waits_waits_by_no_clock_that_is_set() {
    let Some(clock) = Clock::take() else { return };
    let host = Host::with_busybox();
    for hours in STEPS {
        clock.step(0);
        // Between two runs.
        let script = "echo x >> /runs; n=$(wc -l < /runs); echo run $n; [ $n -lt 4 ] && exit 1; sleep 1000";
        let crashing = host.start(["--restart", "always", "busybox", "sh", "-c", script]);
        wait::until("a wait", || (status(&crashing) == "restarting").then_some(()));
        clock.step(hours);
        wait::until("its fourth run", || crashing.logs().text().contains("run 4\n").then_some(()));
        wait::until("a run", || (status(&crashing) == "running").then_some(()));
        assert_eq!(crashing.field("/RestartCount"), 3);
        // A health check.
        clock.step(0);
        let flags = ["--health-cmd", "true", "--health-interval", "200ms"];
        let checked = host.start([&flags[..], &["busybox", "sleep", "1000"]].concat());
        let starts =
            || checked.inspect().pointer("/State/Health/Log").and_then(|log| log.as_array().cloned());
        wait::until("a check", || starts().filter(|log| !log.is_empty()));
        clock.step(hours);
        let before = starts();
        wait::until("five others", || {
            let log = starts()?;
            log.iter().all(|one| !before.iter().flatten().any(|old| old == one)).then_some(())
        });
        assert_eq!(checked.field("/State/Health/Status"), "healthy");
        // A stop that insists, and a time that is limited.
        clock.step(0);
        let deaf = host.start(["busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]);
        let short = host.start(["--timeout", "2", "busybox", "sleep", "1000"]);
        let stop = host.spawn(["stop", "-t", "1", &deaf.id]);
        wait::until("a stop", || {
            let told =
                host.mini(["events", "--until", "0s", "--filter", "event=kill", "--format", "{{.ID}}"]);
            told.run().ok().text().contains(&deaf.id).then_some(())
        });
        clock.step(hours);
        stop.wait().ok();
        assert_eq!(deaf.field("/State/ExitCode"), 137);
        assert_eq!(short.wait()["ExitCode"], 137);
        for container in [crashing, checked, deaf, short] {
            container.remove();
        }
    }
}

#[test]
fn what_is_said_of_times_makes_sense() {
    let Some(clock) = Clock::take() else { return };
    let host = Host::with_busybox();
    for hours in STEPS {
        clock.step(0);
        let script = "mkfifo /fifo; exec 3<>/fifo; echo ready; while read x <&3; do echo $x; done";
        let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
        host.mini(["run", "--name", "ended", "busybox", "true"]).run().ok();
        let mut follower = host.spawn(["logs", "-f", "box"]);
        let mut events =
            host.spawn(["events", "--filter", "event=die", "--format", "{{.Actor.Attributes.name}}"]);
        assert_eq!(follower.line(), "ready");
        clock.step(hours);
        // How long it has been: nothing, where that would be before it began.
        let expected = if hours < 0 { "Less than a second" } else { "7 hours" };
        let said = |format: &str| host.mini(["ps", "-a", "--format", format]).run().ok().text();
        let up = said("{{.Names}} {{.Status}} {{.RunningFor}}");
        for (name, word) in [("box", "Up "), ("ended", "Exited (0) ")] {
            let line = up.lines().find(|line| line.starts_with(&format!("{name} "))).expect("a line");
            assert!(line.contains(&format!("{word}{expected}")) && !line.contains('-'), "{up}");
        }
        host.mini(["ps"]).run().ok();
        host.mini(["top", "box"]).run().ok();
        host.mini(["stats", "--no-stream", "box"]).run().ok().stdout_lacks("-0");
        // What comes is shown, by those who were there before, too.
        container.sh("echo after > /fifo").ok();
        assert_eq!(follower.line(), "after");
        let recent = host.mini(["logs", "--since", "10m", "box"]).run().ok();
        assert!(recent.text().ends_with("after\n"), "{recent}");
        host.mini(["logs", "--until", "0s", "box"]).run().ok();
        host.mini(["run", "--rm", "--name", "brief", "busybox", "true"]).run().ok();
        while events.line() != "brief" {}
        let told =
            host.mini(["events", "--since", "10m", "--until", "0s", "--format", "{{json .}}"]).run().ok();
        let brief = told.json_lines();
        let die = brief.iter().rev().find(|event| event["Action"] == "die").expect("its end");
        assert_eq!(die["Actor"]["Attributes"]["name"], "brief");
        host.mini(["kill", "box"]).run().ok();
        follower.wait().ok();
        host.mini(["rm", "box", "ended"]).run().ok();
    }
}
