//! SIGKILL at every operation: the loop that the `kill_` modules share.

use tests::step::{Step, Stepped, Stepper, Verdict};
use tests::{Host, Mini, leftovers, processes, wait};

/// A command to be killed in, what it needs, and what must be true afterwards.
pub(crate) struct Scene<'a> {
    /// Sets the host up, before each round. Gets back to the same state whatever the last round left.
    pub(crate) before: &'a dyn Fn(&Host),
    /// The command.
    pub(crate) command: &'a dyn Fn(&Host) -> Mini,
    /// What must work afterwards, beyond what [`aftermath`] checks.
    pub(crate) after: &'a dyn Fn(&Host),
}

/// Kills `role` before its first operation, then before its second, and so on to its last.
#[track_caller]
pub(crate) fn at_every_operation(host: &Host, role: &str, scene: &Scene<'_>) {
    at_every_operation_and_at_once(host, role, scene, &|_| ());
}

/// The same; `at_once` is called after each round with its place, before anything that was left is removed.
#[track_caller]
pub(crate) fn at_every_operation_and_at_once(
    host: &Host,
    role: &str,
    scene: &Scene<'_>,
    at_once: &dyn Fn(&str),
) {
    // Whatever only the first run of all does is done: the rounds are alike. `first_on_the_host` undoes it each time.
    (scene.before)(host);
    (scene.command)(host).run().ok();
    aftermath(host, scene, "unstepped");
    (scene.before)(host);
    let whole = step(host, scene, |_| Verdict::GoOn);
    assert!(whole.output.status.success(), "undisturbed: {}", whole.output);
    let steps: Vec<_> = whole.steps.iter().filter(|step| step.role == role).collect();
    assert!(steps.len() > 1, "{role} takes {} steps: {:#?}", steps.len(), whole.steps);
    at_once("undisturbed");
    aftermath(host, scene, "undisturbed");
    let mut killed = 0;
    for step_of_whole in &steps {
        (scene.before)(host);
        let here = |step: &Step| step.role == role && step.index == step_of_whole.index;
        let stepped = step(host, scene, |step| if here(step) { Verdict::Kill } else { Verdict::GoOn });
        killed += stepped.killed.len();
        let place = format!("{role} killed before {:?} (step {})", stepped.killed, step_of_whole.index);
        at_once(&place);
        aftermath(host, scene, &place);
    }
    // Steps that follow the client's end are seen as long as the stepper happens to listen.
    assert!(killed * 5 >= steps.len() * 4, "only {killed} of {} steps were reached", steps.len());
}

fn step(host: &Host, scene: &Scene<'_>, judge: impl FnMut(&Step) -> Verdict) -> Stepped {
    Stepper::run((scene.command)(host), judge, |_| true)
}

/// `ps -a` tells the truth, `rm` and the next run work, and nothing is left that `system check --repair` does not remove.
#[track_caller]
fn aftermath(host: &Host, scene: &Scene<'_>, place: &str) {
    let say = |what: &str, output: &tests::Output| {
        assert!(output.status.success(), "{place}: {what}: {output}");
        assert!(!output.err().contains("panicked"), "{place}: {what}: {output}");
    };
    settle(host);
    let list = host.mini(["ps", "-a", "-q"]).run();
    say("ps -a", &list);
    let ids = list.lines();
    for id in &ids {
        // One that dies of its monitor's death may do so between two looks.
        wait::until(&format!("ps and /proc to agree: {place}"), || {
            let inspect = host.mini(["inspect", id]).run();
            say("inspect", &inspect);
            let pid = inspect.json()[0]["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            let state = pid.filter(|pid| *pid > 0).and_then(|pid| processes::status(pid, "State"));
            let alive = state.is_some_and(|state| !state.starts_with(['Z', 'X']));
            (host.mini(["ps", "-q"]).run().lines().contains(id) == alive).then_some(())
        });
    }
    if !ids.is_empty() {
        say("rm -f -v", &host.mini(["rm", "-f", "-v"]).args(&ids).run());
    }
    let repair = host.mini(["system", "check", "--repair"]).run();
    say("system check --repair", &repair);
    // It may have been removed by that, so that nothing would be seen of it below.
    assert!(!repair.text().contains("is not whole"), "{place}: an image was there, and not whole: {repair}");
    let left = leftovers::find(host);
    assert!(left.is_empty(), "{place}: left after the repair:\n  {}", left.join("\n  "));
    (scene.after)(host);
}

/// Takes away what stays on a host by design: the bridge, its table, its state. The next run is again the first.
pub(crate) fn first_on_the_host(host: &Host) {
    if host.tool("nft", ["list", "tables"]).contains("mini0") {
        host.tool("nft", ["delete", "table", "ip", "mini0"]);
    }
    if std::fs::read_to_string("/proc/thread-self/net/dev").expect("read").contains("mini0:") {
        host.tool("ip", ["link", "delete", "mini0"]);
    }
    // It may never have been made.
    let _ = std::fs::remove_dir_all("/run/mini-host/network");
}

/// Waits until monitors have tidied up.
pub(crate) fn settle(host: &Host) {
    wait::until("the end of what was being tidied up", || settled(host).then_some(()));
}

/// Whether every process of the binary has ended, but for monitors of containers that live.
fn settled(host: &Host) -> bool {
    // One that is about to end has no program any more, but still its control groups.
    let ours =
        |pid: &i32| processes::exe(*pid).is_none_or(|exe| exe == host.binary() || exe.starts_with("/memfd:"));
    host.processes().iter().filter(|pid| ours(pid)).all(|pid| {
        // A monitor that only waits has a child, the container's init, which runs the payload.
        processes::children(*pid).iter().any(|child| !ours(child))
    })
}

/// The next run works, under the name that the killed one had.
pub(crate) fn run_works(host: &Host) {
    let output =
        host.mini(["run", "--rm", "--name", "killed", "-p", "8080:80", "busybox", "echo", "works"]).run();
    output.ok().stdout("works\n");
}
