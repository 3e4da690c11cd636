//! Sixteen commands at a time on one container, drawn by lot: none hangs, none lies, and what they leave is true.
//!
//! `MINI_TEST_SEED` draws another lot; a failure says which one it was.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use serde_json::Value;
use tests::step::{Step, Stepper, Verdict};
use tests::{Container, Host, Output, Running, leftovers, processes, wait};

/// How many at a time.
const CLIENTS: usize = 16;
/// How many of these may be such that last until the container ends.
const LASTING: usize = 4;

/// The lots: xorshift64*, which is the same everywhere.
struct Lots(u64);

impl Lots {
    fn new(salt: u64) -> Lots {
        let seed = std::env::var("MINI_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt) | 1)
    }

    /// One of so many.
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % count
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Names that the container has by turns.
const NAMES: [&str; 2] = ["box", "other"];

/// What may be said of a container that is otherwise than the command needs it; every other error is a lie or a fault.
const STATES: [&str; 16] = [
    "no such container",
    "no such object",
    "stopped container",
    "paused container",
    "has --rm",
    "is already allocated",
    "is not running",
    "has ended",
    "is paused",
    "is not paused",
    "was told to go on meanwhile",
    "is restarting",
    "is already in use by container",
    "was removed meanwhile",
    "it was started again",
    "was started again meanwhile",
];

/// A command that runs, and what is known of it.
struct Client {
    words: Vec<String>,
    running: Running,
    lasts: bool,
}

/// One command line.
fn draw(lots: &mut Lots, make: &[&str], lasting_allowed: bool) -> (Vec<String>, bool) {
    let name = lots.one_of(&[NAMES[0], NAMES[0], NAMES[0], NAMES[1]]);
    let other = NAMES[usize::from(name == NAMES[0])];
    let limit = (100 + lots.below(100)).to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let common: [&[&str]; 17] = [
        &["start", name],
        &["start", name],
        &["start", name],
        &["stop", "-t", "0", name],
        &["stop", name],
        &["restart", "-t", "0", name],
        &["restart", name],
        &["kill", name],
        &["kill", "-s", "USR1", name],
        &["pause", name],
        &["unpause", name],
        &["unpause", name],
        &["rename", name, other],
        &["update", "--pids-limit", &limit, name],
        &["exec", name, "true"],
        &["exec", name, "sh", "-c", "echo said; exit 3"],
        &["rm", "-f", name],
    ];
    let looks: [&[&str]; 8] = [
        &["inspect", name],
        &["inspect", name],
        &["ps", "-a", "--format", "json"],
        &["logs", name],
        &["top", name],
        &["stats", "--no-stream", name],
        &["port", name],
        &["system", "check"],
    ];
    match lots.below(20) {
        0 if lasting_allowed => (words(&["wait", name]), true),
        1 if lasting_allowed => (words(&["logs", "-f", name]), true),
        2 if lasting_allowed => (words(&["attach", "--no-stdin", name]), true),
        0..6 => (words(lots.one_of(&looks)), false),
        6..8 => (words(&[&make[..1], &["--name", name], &make[1..]].concat()), false),
        _ => (words(lots.one_of(&common)), false),
    }
}

/// Keeps [`CLIENTS`] commands going until `total` have been started; all end, the lasting ones after the container.
#[track_caller]
fn storm(host: &Host, lots: &mut Lots, make: &[&str], total: usize) -> Vec<(Vec<String>, Output)> {
    let mut clients: Vec<Client> = Vec::new();
    let mut done = Vec::new();
    let mut started = 0;
    while started < total || clients.iter().any(|client| !client.lasts) {
        while started < total && clients.len() < CLIENTS {
            let lasting = clients.iter().filter(|client| client.lasts).count();
            let (words, lasts) = draw(lots, make, lasting < LASTING);
            clients.push(Client { running: host.mini(&words).start(), words, lasts });
            clients.last_mut().expect("pushed just now").running.close_stdin();
            started += 1;
        }
        // What came in while the container stood still goes on only when that does.
        if started == total {
            for name in NAMES {
                host.mini(["unpause", name]).run();
            }
        }
        let fds: Vec<BorrowedFd<'_>> =
            clients.iter().flat_map(|client| client.running.descriptors()).collect();
        let ready = wait::ready(&fds, Instant::now() + wait::PATIENCE);
        let all = || clients.iter().map(|client| client.words.join(" ")).collect::<Vec<_>>().join("\n  ");
        assert!(ready.contains(&true), "hung:\n  {}\n{}", all(), stacks(host));
        let mut going = Vec::new();
        for mut client in clients {
            if client.running.pump_ready() {
                done.push((client.words, client.running.wait()));
            } else {
                going.push(client);
            }
        }
        clients = going;
    }
    let ids = host.mini(["ps", "-aq"]).run().ok().lines();
    agree(host, &ids);
    if !ids.is_empty() {
        host.mini(["rm", "-f"]).args(&ids).run().ok();
    }
    done.extend(clients.into_iter().map(|client| (client.words, client.running.wait())));
    done
}

fn stacks(host: &Host) -> String {
    host.processes().into_iter().map(processes::describe).collect::<Vec<_>>().join("\n")
}

/// What inspect says and what the kernel says, once nobody does anything any more.
#[track_caller]
fn agree(host: &Host, ids: &[String]) {
    for id in ids {
        let found = host.mini(["inspect", id]).run().ok().json()[0].take();
        consistent(&found);
        let state = &found["State"];
        // One that waits for its next run may run by the time that the kernel is asked.
        if state["Status"] == "restarting" || state["Running"] == false {
            continue;
        }
        let container = Container::new(host, found["Id"].as_str().expect("an id").to_owned());
        assert!(processes::command_line(container.pid()).contains("sh -c"), "{found:#}");
        let kernel = container.cgroup_file("pids", "pids.max", "pids.max");
        assert_eq!(container.field("/HostConfig/PidsLimit").to_string(), kernel, "record and kernel");
        let listed = host.mini(["ps", "-q", "--no-trunc", "--filter", &format!("id={id}")]).run().ok();
        listed.stdout_has(&container.id);
    }
    // A monitor may be tidying up behind a client that has been told already.
    let deadline = Instant::now() + wait::PATIENCE;
    loop {
        let check = host.mini(["system", "check"]).run();
        if check.status.success() {
            return;
        }
        assert!(wait::pause(deadline), "what the check finds stays:\n{check}\n{}", stacks(host));
    }
}

/// One look must not contradict itself.
#[track_caller]
fn consistent(found: &Value) {
    let state = &found["State"];
    let running = state["Running"] == true;
    let status = state["Status"].as_str().expect("a status");
    assert_eq!(running, ["running", "paused", "restarting"].contains(&status), "{state:#}");
    assert_eq!(state["Paused"] == true, status == "paused", "{state:#}");
    assert_eq!(state["Restarting"] == true, status == "restarting", "{state:#}");
    assert_eq!(state["Pid"].as_i64() > Some(0), running && status != "restarting", "{state:#}");
}

/// Whether the answer fits the command.
fn fits(words: &[String], output: &Output) -> bool {
    let code = output.status.code();
    if output.err().contains("panicked") {
        return false;
    }
    let verb = words[0].as_str();
    // Its program's own code, or the signal that ended it with its container: SIGUSR1 too, where that came before the trap.
    let programs: &[i32] = match verb {
        "exec" => &[0, 3, 137, 138, 143],
        "attach" => &[0, 137, 138, 143],
        _ => &[0],
    };
    if code.is_some_and(|code| programs.contains(&code)) {
        if verb == "inspect" {
            consistent(&output.json()[0]);
        }
        if verb == "wait" {
            return ["0", "137", "138", "143"].contains(&output.line().as_str());
        }
        return true;
    }
    // Somebody may be at it while the check looks.
    let errors: &[i32] = match verb {
        "run" => &[125],
        "exec" => &[1, 126],
        _ => &[1],
    };
    let names_a_state =
        |line: &str| line.starts_with("mini: ") && STATES.iter().any(|state| line.contains(state));
    code.is_some_and(|code| errors.contains(&code))
        && (verb == "system" || output.err().lines().any(names_a_state))
}

/// By id: made once, each run begins and ends once, nothing after it is gone.
#[track_caller]
fn the_story_is_whole(host: &Host) {
    let events = host.mini(["events", "--since", "1h", "--until", "0s", "--format", "json"]);
    let events = events.args(["--filter", "type=container"]).run().ok().json_lines();
    let mut ids: Vec<_> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let actions: Vec<_> = events
            .iter()
            .filter(|event| event["id"] == id)
            .filter_map(|event| event["Action"].as_str())
            .filter(|action| ["create", "start", "die", "destroy"].contains(action))
            .collect();
        let (first, last) = (actions.first().copied(), actions.last().copied());
        assert_eq!((first, last), (Some("create"), Some("destroy")), "{id}: {actions:?}");
        let runs = &actions[1..actions.len() - 1];
        let alternate = runs.iter().enumerate().all(|(at, action)| *action == ["start", "die"][at % 2]);
        assert!(alternate && runs.len() % 2 == 0, "{id}: {actions:?}");
    }
}

/// `make` is a command line without the name.
#[track_caller]
fn sixteen_at_once(make: &[&str], salt: u64) {
    let host = Host::with_busybox();
    for round in 0..3 {
        let mut lots = Lots::new(salt * 100 + round);
        let answers = storm(&host, &mut lots, make, 90);
        let odd: Vec<_> = answers.iter().filter(|(words, output)| !fits(words, output)).collect();
        let told: Vec<_> = odd.iter().map(|(_, output)| output.to_string()).collect();
        assert!(odd.is_empty(), "round {round}: these answers name no state:\n{}", told.join("\n"));
        let succeeded = answers.iter().filter(|(_, output)| output.status.success()).count();
        assert!(succeeded > 9, "only {succeeded} of {} did anything", answers.len());
        let left = leftovers::find(&host);
        assert!(left.is_empty(), "round {round}: left:\n  {}", left.join("\n  "));
    }
    the_story_is_whole(&host);
}

/// Ends when it is told to, and hears it at once.
const POLITE: &str = "trap 'exit 143' TERM; echo up; while :; do sleep 1000 & wait $!; done";

#[test]
fn a_container_that_stays() {
    sixteen_at_once(&["create", "busybox", "sh", "-c", POLITE], 1);
}

#[test]
fn a_container_in_the_background() {
    sixteen_at_once(&["run", "-d", "-p", "8080:80", "busybox", "sh", "-c", POLITE], 2);
}

#[test]
fn a_container_that_removes_itself() {
    sixteen_at_once(&["run", "-d", "--rm", "busybox", "sh", "-c", POLITE], 3);
}

#[test]
fn a_container_that_is_started_again_by_its_monitor() {
    sixteen_at_once(&["run", "-d", "--restart", "always", "busybox", "sh", "-c", POLITE], 4);
}

#[test]
fn a_container_with_health_checks_in_the_namespaces_of_none() {
    let flags =
        ["run", "-d", "--health-cmd", "true", "--health-interval", "50ms", "--init", "--network", "none"];
    sixteen_at_once(&[&flags[..], &["busybox", "sh", "-c", POLITE]].concat(), 5);
}

#[test]
fn who_comes_second_to_remove_it_tells_no_second_end() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "true"]).run().ok();
    let mut first = None;
    // The second one has seen that it is there, and is about to make the directory that its lock is on.
    let judge = |step: &Step| {
        if step.call.starts_with("mkdir(") && step.call.contains("/containers/") && first.is_none() {
            first = Some(host.mini(["rm", "box"]).run());
        }
        Verdict::GoOn
    };
    Stepper::run(host.mini(["rm", "box"]), judge, |_| true).output.ok().stdout("box\n");
    first.expect("the other one came first").ok().stdout("box\n");
    the_story_is_whole(&host);
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

/// Who tells a monitor to end in the moment in which its container ends by itself has told it: it is not started again. And several
/// who say so at once are all heard.
#[test]
fn stops_that_come_as_it_ends_by_itself_count() {
    let host = Host::with_busybox();
    let run = ["run", "--restart", "always", "--name", "box", "busybox", "sh", "-c", "exit 1"];
    let mut stops: Vec<Running> = Vec::new();
    // It is held while it writes down how it ended, and sees who has come in only after that.
    let judge = |step: &Step| {
        if step.role == "monitor" && step.call.contains("record.json") && stops.is_empty() {
            stops.extend((0..3).map(|_| host.spawn(["stop", "-t", "0", "box"])));
            for stop in &stops {
                wait::until("a stop that waits for its answer", || {
                    processes::proc_file(stop.pid(), "wchan").filter(|at| at.contains("skb"))
                });
            }
        }
        Verdict::GoOn
    };
    Stepper::run(host.mini(run), judge, |_| true).output.code(1);
    assert_eq!(stops.len(), 3, "the monitor wrote nothing down");
    for stop in stops {
        stop.wait().ok().stdout("box\n");
    }
    let state = host.mini(["inspect", "box"]).run().ok().json()[0]["State"].take();
    assert_eq!(state["Status"], "exited", "{state}");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (1)");
}
