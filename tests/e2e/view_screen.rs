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
