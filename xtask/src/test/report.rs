//! What a run of the tests says in the end: how many there were, and which said that they cannot run here. PURE.

use std::collections::BTreeSet;
use std::fmt::Write;

/// The summary of nextest's report, `junit.xml`. Tests that pass have their output nowhere else, and a skip is a test that
/// passes after it said `SKIPPED NAME: REASON`; whether it may is the harness' own judgement.
pub(super) fn summary(junit: &str) -> String {
    let mut text = String::new();
    let skips: BTreeSet<&str> =
        junit.split(['\n', '>']).filter(|line| line.starts_with("SKIPPED ")).collect();
    for skip in skips.iter().map(|line| line.split('<').next().unwrap_or(line)) {
        let _infallible = writeln!(text, "{}", unescaped(skip));
    }
    let number = |name| attribute(junit, name).unwrap_or(0);
    let failed = number("failures") + number("errors");
    let passed = number("tests").saturating_sub(failed + skips.len());
    let _infallible = writeln!(text, "tests: {passed} passed, {failed} failed, {} skipped", skips.len());
    text
}

/// The number in `name="…"` of the report's first element, which holds the sums.
fn attribute(junit: &str, name: &str) -> Option<usize> {
    let sums = junit.split_once("<testsuites")?.1.split('>').next()?;
    sums.split_once(&format!(" {name}=\""))?.1.split('"').next()?.parse().ok()
}

fn unescaped(xml: &str) -> String {
    xml.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="5" failures="1" errors="1" uuid="x" time="2.5">
    <testsuite name="tests::e2e" tests="4" disabled="0" errors="9" failures="9">
        <testcase name="a::b"><system-err>SKIPPED a::b: no &lt;cgroup&gt; v2</system-err></testcase>
        <testcase name="a::c"><system-err>first
SKIPPED a::c: x &amp; y
</system-err></testcase>
        <testcase name="a::d"><system-out>nothing was SKIPPED here</system-out></testcase>
    </testsuite>
</testsuites>
"#;

    #[test]
    fn skips_are_named_and_do_not_count_as_passed() {
        let wanted =
            "SKIPPED a::b: no <cgroup> v2\nSKIPPED a::c: x & y\ntests: 1 passed, 2 failed, 2 skipped\n";
        assert_eq!(summary(JUNIT), wanted);
    }
}
