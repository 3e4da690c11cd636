//! `mini view` on a terminal: pages, keys, sizes; and the terminal as it was, on every way out.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tests::terminal::{CTRL_C, Terminal};
use tests::{Host, processes, wait};

use crate::view::start;

/// No line is wider than the window, on any page; `expect_screen` fails where a page is not drawn.
fn pages(terminal: &mut Terminal, columns: usize) {
    let names = ["process", "user", "file", "mount", "address", "group", "rights", "namespace"];
    for (index, name) in names.iter().enumerate() {
        terminal.send(&(index + 1).to_string());
        terminal.expect_screen(&name.to_uppercase());
        terminal.expect_screen(&format!("[{} {name}]", index + 1));
        terminal.expect_screen("q: quit");
        let lines: Vec<String> = terminal.contents().lines().map(str::to_owned).collect();
        assert!(lines.len() <= 24 && lines.last().is_some_and(|line| line.contains("q: quit")), "{lines:#?}");
        // What had been wider would have gone on in the next line, and moved all others out of the window.
        assert!(lines[0].starts_with("box  running"), "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:#?}");
    }
}

#[test]
fn a_screen_of_80_by_24_shows_every_page_and_keys_end_it() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &["-v", "data:/data"]);
    let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
    terminal.expect_screen("[1 process]");
    terminal.is_raw();
    terminal.expect_screen(&container.pid().to_string());
    pages(&mut terminal, 80);
    terminal.send("\x1b[C");
    terminal.expect_screen("[1 process]");
    terminal.send("\x1b[D");
    terminal.expect_screen("[8 namespace]");
    // A mount table is longer than a screen.
    terminal.send("4");
    terminal.expect_screen("lines 1-19 of ");
    terminal.send("j");
    terminal.expect_screen("lines 2-20 of ");
    // What happens is seen without a key.
    terminal.send("1");
    terminal.expect_screen("[1 process]");
    let mut second = host.spawn(["exec", "box", "sh", "-c", "echo ready; exec tail -f /dev/null"]);
    assert_eq!(second.line(), "ready");
    terminal.expect_screen("tail");
    terminal.resize(10, 60);
    terminal.expect_screen("1-8 or left, right: page   up, down: scroll   q: quit");
    terminal.send("q");
    terminal.ends_with(0);
    let bytes = String::from_utf8_lossy(terminal.bytes()).into_owned();
    assert!(
        bytes.contains("\x1b[?1049h") && bytes.ends_with("\x1b[?25h\x1b[?1049l"),
        "the user's own screen comes back"
    );
}

#[test]
fn the_terminal_is_as_it_was_after_every_way_out() {
    let host = Host::with_busybox();
    start(&host, "box", &[]);
    let own_screen = |terminal: &Terminal| {
        terminal.is_restored();
        let bytes = String::from_utf8_lossy(terminal.bytes()).into_owned();
        assert!(bytes.contains("\x1b[?25h\x1b[?1049l"), "{bytes:?}");
    };
    let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
    terminal.expect_screen("[1 process]");
    terminal.send(CTRL_C);
    assert_eq!(terminal.wait().signal(), Some(Signal::INT.as_raw()));
    own_screen(&terminal);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
        terminal.expect_screen("[1 process]");
        terminal.signal(signal);
        assert_eq!(terminal.wait().signal(), Some(signal.as_raw()));
        own_screen(&terminal);
    }
    let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
    terminal.expect_screen("[1 process]");
    host.mini(["rm", "-f", "box"]).run().ok();
    terminal.wait();
    terminal.expect_screen("container box has ended");
    terminal.is_restored();
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_goes_on() {
    let host = Host::with_busybox();
    start(&host, "box", &[]);
    let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
    terminal.expect_screen("[1 process]");
    terminal.send("\x1a");
    wait::until("a stopped client", || {
        processes::status(terminal.pid(), "State").is_some_and(|state| state.starts_with('T')).then_some(())
    });
    terminal.is_restored();
    terminal.signal(Signal::CONT);
    terminal.is_raw();
    terminal.send("2");
    terminal.expect_screen("[2 user]");
    terminal.send("q");
    terminal.ends_with(0);
}

#[test]
fn a_terminal_that_cannot_be_drawn_on_gets_it_once() {
    let host = Host::with_busybox();
    start(&host, "box", &[]);
    for mini in [host.mini(["view", "box"]).env("TERM", "dumb"), host.mini(["view", "--once", "box"])] {
        let mut terminal = mini.terminal(200, 80);
        terminal.wait();
        let text = String::from_utf8_lossy(terminal.bytes()).into_owned();
        assert!(!text.contains('\x1b') && text.contains("NAMESPACE"), "{text}");
        assert!(text.lines().all(|line| line.trim_end().chars().count() <= 80), "{text}");
    }
}

#[test]
fn it_speaks_korean_and_keeps_its_columns() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &[]);
    let korean = host.mini(["view", "--once", "box"]).env("LANG", "ko_KR.UTF-8").run().ok().text();
    for part in ["실행 중", "프로세스", "네임스페이스", "부모", "레이어 1/", "호스트의 것"]
    {
        assert!(korean.contains(part), "no {part}: {korean}");
    }
    for part in ["HOST", "child of", "its own", "the same"] {
        assert!(!korean.contains(part), "{part}: {korean}");
    }
    host.mini(["view", "--once", "--lang", "ko", "box"]).run().ok().stdout_has("컨테이너");
    host.mini(["view", "--once", "--lang", "en", "box"])
        .env("LANG", "ko_KR.UTF-8")
        .run()
        .ok()
        .stdout_has("CONTAINER");
    // Programs are told the same whatever the environment says, and the keys never change.
    let json = host.mini(["view", "--json", "box"]).env("LANG", "ko_KR.UTF-8").run().ok().json();
    assert_eq!(json["Sections"]["user"][0]["What"], "user");
    let json = host.mini(["view", "--json", "--lang", "ko", "box"]).run().ok().json();
    assert_eq!(json["Sections"]["user"][0]["What"], "사용자");
    let mut terminal = host.mini(["view", "--lang", "ko", "box"]).terminal(24, 80);
    for (number, name) in
        ["프로세스", "사용자", "파일", "마운트", "주소", "그룹", "권한", "네임스페이스"].iter().enumerate()
    {
        terminal.send(&(number + 1).to_string());
        terminal.expect_screen(&format!("[{} {name}]", number + 1));
        terminal.expect_screen("q: 나가기");
    }
    terminal.send("q");
    terminal.ends_with(0);
    drop(container);
}
