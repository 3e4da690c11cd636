//! Tests that cannot run here say so loudly, and only those that are expected to.

use std::io::Write;

const EXPECTED: &str = include_str!("../expected-skips.txt");

/// Says that this test cannot run here, and why. The test then returns.
///
/// # Panics
/// Unless the test's name stands in `tests/expected-skips.txt`: a skip nobody expects is a failure.
#[track_caller]
pub fn skip(reason: &str) {
    let name = test_name();
    assert!(
        EXPECTED.lines().any(|line| line.trim() == name),
        "{name} cannot run here ({reason}), and tests/expected-skips.txt does not list it"
    );
    // A lost message is no reason to fail: the list is what is checked.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
}

/// The running test's path, such as `cgroup::pids_limit`: libtest names the thread after it, nextest says it.
fn test_name() -> String {
    if let Ok(name) = std::env::var("NEXTEST_TEST_NAME") {
        return name;
    }
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default(),
    }
}
