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

/// Types a line where one is asked for: what is typed before would be shown somewhere else.
#[track_caller]
fn type_line(terminal: &mut Terminal, line: &str) {
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while !["lab#", "실습#"].iter().any(|end| terminal.cursor_line().ends_with(end)) {
        assert!(std::time::Instant::now() < deadline, "no prompt:\n{}", terminal.contents());
        terminal.expect_more(terminal.bytes().len());
    }
    terminal.send(&format!("{line}\n"));
    // The line is the terminal's until it has been shown.
    terminal.expect_more(terminal.bytes().len());
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
    // A screen that is cleared begins with a new line.
    let lines = text.split("\x1b[2J").flat_map(|page| page.split(['\n', '\r']));
    for line in lines.filter(|line| !typed(line)) {
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
        type_line(&mut terminal, "unshare --uts sh -c 'hostname inside; sleep 1000' & sleep 0.2");
        type_line(&mut terminal, "c");
        terminal.expect_screen("[✓]");
        on_to(&mut terminal, if language == "ko" { "깨뜨리기" } else { "break it" });
        terminal.expect_screen(prompt(language));
        type_line(&mut terminal, "hostname leaked; sleep 1000 & sleep 0.1");
        on_to(&mut terminal, "[✗]");
        terminal.expect_screen("leaked");
        on_to(&mut terminal, if language == "ko" { "고치기" } else { "fix it" });
        terminal.expect_screen(prompt(language));
        type_line(
            &mut terminal,
            "hostname outside; unshare --uts sh -c 'hostname mine; sleep 1000' & sleep 0.2",
        );
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

/// The outcomes of checks that were shown, in order.
fn marks(terminal: &Terminal) -> Vec<bool> {
    let text = String::from_utf8_lossy(terminal.bytes()).into_owned();
    text.split('[').filter_map(|rest| Some(rest.split_once(']')?.0)).filter_map(mark).collect()
}

fn mark(text: &str) -> Option<bool> {
    match text {
        "✓" => Some(true),
        "✗" => Some(false),
        _ => None,
    }
}

/// Goes through lessons with the Enter key alone, in both languages: each check fails before, passes after, fails when it is
/// broken, passes when it is fixed.
#[track_caller]
fn enter_is_enough(lessons: &[&str]) {
    let host = Host::new();
    for (lesson, language) in lessons.iter().flat_map(|lesson| [(lesson, "en"), (lesson, "ko")]) {
        let mut terminal = host.mini(["learn", lesson, "--lang", language]).patient(2).terminal(24, 80);
        terminal.expect_screen("q: ");
        on_to(&mut terminal, if language == "ko" { "마침" } else { "· done" });
        terminal.ends_with(0);
        fits(&terminal);
        assert_eq!(
            marks(&terminal),
            [false, true, false, true],
            "{lesson} {language}:\n{}",
            terminal.contents()
        );
        let list = host.mini(["learn", "--list", "--json"]).run().ok().text();
        assert!(list.contains(&format!("\"done\":true,\"lesson\":\"{lesson}\"")), "{list}");
    }
}

#[test]
fn enter_is_enough_for_namespaces() {
    enter_is_enough(&["uts", "mnt", "pid", "ipc", "user"]);
}

#[test]
fn enter_is_enough_for_control_groups() {
    enter_is_enough(&["freezer", "cgroup", "cpu"]);
}

#[test]
fn enter_is_enough_for_files_and_networks() {
    enter_is_enough(&["rootfs", "overlay", "net"]);
}

#[test]
fn enter_is_enough_for_what_a_program_may_do() {
    enter_is_enough(&["capabilities", "seccomp"]);
}

#[test]
fn enter_is_enough_for_containers_of_the_machine() {
    enter_is_enough(&["root", "netns"]);
}

/// The lines that a lesson shows for each thing to do: as many as it has prompts.
fn shown_lines(host: &Host, lesson: &str) -> Vec<Vec<String>> {
    let told = host.mini(["learn", lesson, "--json"]).patient(2).run().ok().lines();
    let mut acts: Vec<Vec<String>> = Vec::new();
    let mut before = String::new();
    for line in told {
        let said: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let (kind, text) = (said["kind"].as_str().expect("a kind"), said["text"].as_str().expect("a text"));
        if kind == "command" {
            match before.as_str() {
                "command" => acts.last_mut().expect("one").push(text.to_owned()),
                _ => acts.push(vec![text.to_owned()]),
            }
        }
        before = kind.to_owned();
    }
    acts
}

/// What a lesson shows to be typed is typed, and counts: mini has nothing to do itself, and every check comes out as it should.
#[track_caller]
fn what_is_shown_can_be_typed(lesson: &str, language: &str) {
    let host = Host::new();
    let acts = shown_lines(&host, lesson);
    let mut terminal = host.mini(["learn", lesson, "--lang", language]).patient(2).terminal(50, 200);
    let broken = acts.len() - 2;
    for (number, lines) in acts.iter().enumerate() {
        on_to_prompt(&mut terminal, language);
        for line in lines {
            type_line(&mut terminal, line);
            if line.contains('&') {
                // Nobody types the next one before this one has begun.
                type_line(&mut terminal, "sleep 1");
            }
        }
        if number + 1 == broken || number > broken {
            // What was started in the background takes a moment.
            let deadline = std::time::Instant::now() + wait::PATIENCE;
            while !check(&mut terminal) {
                assert!(std::time::Instant::now() < deadline, "{lesson}: {lines:?}\n{}", terminal.contents());
            }
        }
        type_line(&mut terminal, "");
    }
    on_to(&mut terminal, if language == "ko" { "마침" } else { "· done" });
    terminal.ends_with(0);
    let text = String::from_utf8_lossy(terminal.bytes()).into_owned();
    assert!(!text.contains("  # "), "mini did it itself: {text}");
    assert!(text.contains("[✗]"), "{text}");
    host.mini(["learn", "--list"]).run().ok().stdout_has("yes");
}

/// Answers whatever is asked with Enter, until something is to be done.
#[track_caller]
fn on_to_prompt(terminal: &mut Terminal, language: &str) {
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while !terminal.cursor_line().ends_with(prompt(language)) {
        assert!(std::time::Instant::now() < deadline, "no prompt:\n{}", terminal.contents());
        let before = terminal.bytes().len();
        if ["leave", "나가기", "--"].iter().any(|end| terminal.cursor_line().ends_with(end)) {
            terminal.send("\n");
        }
        terminal.expect_more(before);
    }
}

/// Asks for a check, and waits for its outcome.
#[track_caller]
fn check(terminal: &mut Terminal) -> bool {
    let before = marks(terminal).len();
    type_line(terminal, "c");
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    loop {
        if let Some(mark) = marks(terminal).get(before) {
            return *mark;
        }
        assert!(std::time::Instant::now() < deadline, "no check:\n{}", terminal.contents());
        let shown = terminal.bytes().len();
        if terminal.cursor_line().ends_with("--") {
            terminal.send("\n");
        }
        terminal.expect_more(shown);
    }
}

#[test]
fn lines_about_networks_can_be_typed() {
    what_is_shown_can_be_typed("net", "en");
}

#[test]
fn lines_about_overlays_can_be_typed() {
    what_is_shown_can_be_typed("overlay", "ko");
}

#[test]
fn lines_about_another_root_can_be_typed() {
    what_is_shown_can_be_typed("rootfs", "en");
}

#[test]
fn lines_about_users_and_mounts_can_be_typed() {
    what_is_shown_can_be_typed("user", "ko");
    what_is_shown_can_be_typed("mnt", "en");
}

#[test]
fn lines_about_control_groups_can_be_typed() {
    what_is_shown_can_be_typed("cgroup", "ko");
    what_is_shown_can_be_typed("freezer", "en");
}

#[test]
fn lines_about_processor_time_can_be_typed() {
    what_is_shown_can_be_typed("cpu", "ko");
}

#[test]
fn lines_about_names_can_be_typed() {
    what_is_shown_can_be_typed("uts", "en");
}

/// What is shown fails, and says so whenever it comes to it, also behind the prompt.
#[test]
fn lines_about_capabilities_can_be_typed() {
    let host = Host::new();
    let acts = shown_lines(&host, "capabilities");
    let mut terminal = at_the_prompt(&host, "capabilities", "en");
    terminal.send(&format!("{}\n", acts[0].join("\n")));
    terminal.expect_screen("you must be root");
    terminal.send("c\n");
    terminal.expect_screen("[✓]");
    terminal.send("q\n");
    terminal.ends_with(0);
}

#[test]
fn lines_about_processes_and_segments_can_be_typed() {
    what_is_shown_can_be_typed("ipc", "en");
    what_is_shown_can_be_typed("pid", "ko");
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
