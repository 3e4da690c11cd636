//! SIGKILL of everybody who takes part in `exec`, at every operation: the container goes on.

use tests::Host;
use tests::step::{Step, Stepper, Verdict};

#[track_caller]
fn kill(role: &str) {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "100000"]);
    let before = container.commands();
    let exec = |judge: &mut dyn FnMut(&Step) -> Verdict| {
        Stepper::run(host.mini(["exec", "box", "sleep", "0.01"]), judge, |_| true)
    };
    let whole = exec(&mut |_| Verdict::GoOn);
    assert!(whole.output.status.success(), "undisturbed: {}", whole.output);
    let count = whole.steps.iter().filter(|step| step.role == role).count();
    assert!(count > 1, "{role} takes {count} steps: {:#?}", whole.steps);
    for index in 0..count {
        let here = |step: &Step| step.role == role && step.index == index;
        let stepped = exec(&mut |step| if here(step) { Verdict::Kill } else { Verdict::GoOn });
        assert!(!stepped.output.status.success() || stepped.killed.is_empty(), "{}", stepped.output);
        assert!(!stepped.output.err().contains("panicked"), "{}", stepped.output);
        tests::wait::until("the end of what the killed exec started", || {
            (container.commands() == before).then_some(())
        });
        assert_eq!(container.field("/State/Running"), true, "{role} killed before {:?}", stepped.killed);
        host.mini(["exec", "box", "echo", "works"]).run().ok().stdout("works\n");
    }
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn the_client() {
    kill("client");
}

#[test]
fn the_helper() {
    kill("helper");
}

#[test]
fn the_process_itself() {
    kill("exec");
}
