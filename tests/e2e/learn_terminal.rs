//! `mini learn` on a terminal: what students type counts as what mini does; and nothing is left, however it ends.

use rustix::process::Signal;
use tests::terminal::{CTRL_C, CTRL_D, Terminal};
use tests::{Host, cgroups, processes, wait};

fn is_wide(letter: char) -> bool {
    ('가'..='힣').contains(&letter)
}

/// `mini learn LESSON` on a terminal of 24 lines and 80 columns, up to the prompt of its first act.
fn at_the_prompt(host: &Host, lesson: &str, language: &str) -> Terminal {
    let mut terminal = host.mini(["learn", lesson, "--lang", language]).terminal(24, 80);
    terminal.expect_screen("q: ");
    terminal.send("\n");
    terminal.expect_screen("[✗]");
    terminal.expect_screen("q: ");
    terminal.send("\n");
    terminal.expect_screen(prompt(language));
    terminal
}

fn prompt(language: &str) -> &'static str {
    if language == "ko" { "실습#" } else { "lab#" }
}

/// Answers whatever is asked with Enter, until this is shown.
#[track_caller]
fn on_to(terminal: &mut Terminal, text: &str) {
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while !terminal.contents().contains(text) {
        assert!(std::time::Instant::now() < deadline, "never {text:?}:\n{}", terminal.contents());
        let before = terminal.bytes().len();
        let line = terminal.cursor_line();
        if ["leave", "나가기", "lab#", "실습#", "--"].iter().any(|end| line.ends_with(end)) {
            terminal.send("\n");
        }
        terminal.expect_more(before);
    }
}

/// Nothing that was shown is wider than the terminal.
#[track_caller]
fn fits(terminal: &Terminal) {
    let text = String::from_utf8_lossy(terminal.bytes()).into_owned();
    // What is typed is the terminal's own to break.
    let typed = |line: &&str| ["lab#", "실습#"].iter().any(|prompt| line.contains(prompt));
    for line in text.split(['\n', '\r']).filter(|line| !typed(line)) {
        let mut width = 0;
        let mut escape = false;
        for letter in line.chars() {
            match letter {
                '\x1b' => escape = true,
                _ if escape => escape = !letter.is_ascii_alphabetic(),
                _ => width += if is_wide(letter) { 2 } else { 1 },
            }
        }
        assert!(width <= 80, "{width} columns: {line}");
    }
}

#[test]
fn what_a_student_types_counts() {
    let host = Host::new();
    for (language, go_on) in [("en", "go on"), ("ko", "계속")] {
        let mut terminal = at_the_prompt(&host, "uts", language);
        terminal.send("c\n");
        terminal.expect_screen("[✗]");
        terminal.send("unshare --uts sh -c 'hostname inside; sleep 1000' & sleep 0.2\n");
        terminal.send("c\n");
        terminal.expect_screen("[✓]");
        on_to(&mut terminal, if language == "ko" { "깨뜨리기" } else { "break it" });
        terminal.expect_screen(prompt(language));
        terminal.send("hostname leaked; sleep 1000 & sleep 0.1\n");
        on_to(&mut terminal, "[✗]");
        terminal.expect_screen("leaked");
        on_to(&mut terminal, if language == "ko" { "고치기" } else { "fix it" });
        terminal.expect_screen(prompt(language));
        terminal.send("hostname outside; unshare --uts sh -c 'hostname mine; sleep 1000' & sleep 0.2\n");
        on_to(&mut terminal, "[✓]");
        terminal.expect_screen("mine");
        terminal.expect_screen(go_on);
        fits(&terminal);
        terminal.send("\n");
        terminal.wait();
    }
    host.mini(["learn", "--list"]).run().ok().stdout_has("yes");
}

#[test]
fn a_shell_in_the_lab_is_a_real_one() {
    let host = Host::new();
    let mut terminal = at_the_prompt(&host, "pid", "en");
    terminal.send("sh\n");
    terminal.send("echo pid $(( 40 + 2 )) in $(hostname)\n");
    terminal.expect_screen("pid 42 in outside");
    terminal.send("sleep 1000\n");
    let sleeps = || host.processes().into_iter().any(|pid| processes::command_line(pid) == "sleep 1000");
    wait::until("what was typed", || sleeps().then_some(()));
    terminal.send(CTRL_C);
    wait::until("its end", || (!sleeps()).then_some(()));
    terminal.send("echo still $(( 1 + 1 )) here\n");
    terminal.expect_screen("still 2 here");
    terminal.send("unshare --fork --pid --mount-proc sleep 1000 & sleep 0.3\n");
    terminal.send("exit\n");
    terminal.send("c\n");
    terminal.expect_screen("[✓]");
    terminal.send("q\n");
    terminal.ends_with(0);
}

#[test]
fn enter_is_enough_for_every_lesson() {
    let host = Host::new();
    for (lesson, language) in [("user", "ko"), ("net", "en"), ("root", "ko")] {
        let mut terminal = host.mini(["learn", lesson, "--lang", language]).terminal(24, 80);
        terminal.expect_screen("q: ");
        on_to(&mut terminal, if language == "ko" { "마침" } else { "· done" });
        fits(&terminal);
        terminal.ends_with(0);
        let list = host.mini(["learn", "--list", "--json"]).run().ok().text();
        assert!(list.contains(&format!("\"done\":true,\"lesson\":\"{lesson}\"")), "{list}");
    }
}

#[test]
fn leaving_leaves_nothing() {
    let host = Host::new();
    for keys in [CTRL_C, CTRL_D, "q\n"] {
        let mut terminal = at_the_prompt(&host, "freezer", "en");
        terminal.send("mkdir /tmp/cgroup/freezer/sub2 /tmp/cgroup/sub2; sleep 1000 &\n");
        terminal.send("c\n");
        terminal.expect_screen("[✗]");
        terminal.send(keys);
        terminal.wait();
        terminal.is_restored();
        assert_eq!(host.processes(), [0; 0], "{keys:?}");
        let parents = cgroups::directories_of(&host.cgroup_parent());
        assert!(parents.iter().all(|parent| cgroups::below(parent).is_empty()), "{keys:?}");
        host.mini(["system", "check"]).run().ok().stdout("");
    }
}

#[test]
fn a_killed_learner_leaves_nothing_that_runs() {
    let host = Host::new();
    for (lesson, shown) in [("freezer", "fix it"), ("root", "break it"), ("pid", "break it")] {
        let mut terminal = host.mini(["learn", lesson, "--lang", "en"]).terminal(24, 80);
        terminal.expect_screen("q: ");
        on_to(&mut terminal, shown);
        on_to(&mut terminal, "│");
        assert!(host.processes().len() > 1, "{lesson}: something runs");
        terminal.signal(Signal::KILL);
        terminal.wait();
        wait::until("the end of the lab", || host.processes().is_empty().then_some(()));
        wait::until("the end of its containers", || {
            host.mini(["ps", "-aq"]).run().ok().text().is_empty().then_some(())
        });
        host.mini(["system", "check", "--repair"]).run().ok();
        host.mini(["system", "check"]).run().ok().stdout("");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_lesson() {
    let host = Host::new();
    let mut learner = host.spawn(["learn", "uts", "--json"]);
    learner.line();
    learner.close_stdout();
    assert!(!learner.wait().status.success());
    assert_eq!(host.processes(), [0; 0]);
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn whoever_is_told_to_end_cleans_up_first() {
    let host = Host::new();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut learner = host.spawn(["learn", "cpu", "--json"]);
        while !learner.line().contains("\"kind\":\"look\"") {}
        let children = processes::children(learner.pid());
        assert!(!children.is_empty(), "a lab");
        learner.signal(signal);
        let output = learner.wait();
        assert!(!output.status.success(), "{output}");
        wait::until("the end of the lab", || host.processes().is_empty().then_some(()));
        host.mini(["system", "check"]).run().ok().stdout("");
    }
}
