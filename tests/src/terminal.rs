//! A terminal of our own: a pty that a command runs on, a keyboard, and a screen that understands escape sequences.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::{processes, wait};

/// Ctrl-C.
pub const CTRL_C: &str = "\x03";
/// Ctrl-D at the start of a line: the end of input.
pub const CTRL_D: &str = "\x04";
/// Ctrl-P and ctrl-Q, docker's keys to detach.
pub const DETACH: &str = "\x10\x11";

/// A command on a terminal.
pub struct Terminal {
    child: Child,
    pidfd: OwnedFd,
    /// None once the terminal has been taken away.
    master: Option<File>,
    /// Held open: without a holder the master reads EIO as soon as the command has gone.
    slave: Option<File>,
    screen: vt100::Parser,
    raw: Vec<u8>,
    before: Settings,
}

/// What can be compared of a terminal's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    special: String,
}

impl Settings {
    fn of(settings: &Termios) -> Self {
        Self {
            input: settings.input_modes.bits(),
            output: settings.output_modes.bits(),
            control: settings.control_modes.bits(),
            local: settings.local_modes.bits(),
            special: format!("{:?}", settings.special_codes),
        }
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("child", &self.child).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts `command` as the leader of a session on a new terminal.
    #[track_caller]
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("openpt");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(name, flags, Mode::empty()).expect("open the terminal"));
        tcsetwinsize(&slave, size(rows, columns)).expect("set the size");
        let before = Settings::of(&tcgetattr(&slave).expect("tcgetattr"));
        let side = || slave.try_clone().expect("dup");
        // setsid(1) makes its standard input the controlling terminal and execs in place: no code of ours runs
        // between fork and exec.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if let Some(directory) = command.get_current_dir() {
            session.current_dir(directory);
        }
        session.stdin(side()).stdout(side()).stderr(side());
        let child = session.spawn().expect("start on a terminal");
        let pidfd = processes::open(child.id().cast_signed()).expect("an unreaped child has a pidfd");
        Self {
            child,
            pidfd,
            master: Some(File::from(master)),
            slave: Some(slave),
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
            raw: Vec::new(),
            before,
        }
    }

    /// The client's process.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Types.
    #[track_caller]
    pub fn send(&mut self, keys: &str) {
        self.master.as_mut().expect("the terminal is there").write_all(keys.as_bytes()).expect("type");
    }

    /// Makes the window larger or smaller; the kernel sends SIGWINCH to the foreground group.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(self.slave.as_ref().expect("the terminal is there"), size(rows, columns))
            .expect("set the size");
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Panics
    /// At the deadline, with the screen.
    #[track_caller]
    pub fn expect_screen(&mut self, text: &str) {
        self.expect_that(&format!("shows {text:?}"), |screen| screen.contains(text));
    }

    /// Waits until something is true of the screen, which `what` says in an error: it may be drawn in pieces.
    ///
    /// # Panics
    /// At the deadline, with the screen.
    #[track_caller]
    pub fn expect_that(&mut self, what: &str, is_true: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + wait::PATIENCE;
        while !is_true(&self.contents()) {
            if !self.read(deadline) {
                panic!("the screen never {what}:\n{}\n{}", self.contents(), self.stacks());
            }
        }
    }

    /// Waits until more bytes than these have reached the screen, or the client has ended.
    ///
    /// # Panics
    /// At the deadline, with the screen.
    #[track_caller]
    pub fn expect_more(&mut self, bytes: usize) {
        let deadline = Instant::now() + wait::PATIENCE;
        while self.raw.len() <= bytes {
            let master = self.master.as_ref().expect("the terminal is there");
            let ready = wait::ready(&[self.pidfd.as_fd(), master.as_fd()], deadline);
            match ready[..] {
                [_, true] => drop(self.read(deadline)),
                [true, _] => return,
                _ => panic!("nothing more:\n{}\n{}", self.contents(), self.stacks()),
            }
        }
    }

    /// The line that the cursor is in.
    pub fn cursor_line(&self) -> String {
        let screen = self.screen.screen();
        let (row, columns) = (usize::from(screen.cursor_position().0), screen.size().1.get());
        screen.rows(0, columns).nth(row).unwrap_or_default().trim_end().to_owned()
    }

    /// What the screen shows.
    pub fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    /// Every byte that reached the screen.
    pub fn bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Sends a signal to the client.
    pub fn signal(&self, signal: Signal) {
        processes::signal(&self.pidfd, signal);
    }

    /// Takes the terminal away, as a closed window does: the kernel hangs up.
    pub fn hang_up(&mut self) {
        self.slave = None;
        self.master = None;
    }

    /// Waits for the client's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + wait::PATIENCE;
        while let Some(master) = &self.master {
            let ready = wait::ready(&[self.pidfd.as_fd(), master.as_fd()], deadline);
            if ready[1] {
                self.read(deadline);
            } else if ready[0] {
                break;
            } else {
                panic!("the client never ended:\n{}\n{}", self.contents(), self.stacks());
            }
        }
        assert!(wait::is_ready(&self.pidfd, deadline), "the client never ended:\n{}", self.stacks());
        self.child.wait().expect("waitpid")
    }

    /// Waits for the client's end with this exit code, and checks that the terminal is as it was.
    #[track_caller]
    pub fn ends_with(&mut self, code: i32) {
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "{status}; the screen:\n{}", self.contents());
        self.is_restored();
    }

    /// Waits until the client has changed the terminal's settings, as `-it` does.
    #[track_caller]
    pub fn is_raw(&self) {
        wait::until("a terminal in raw mode", || (self.mode() != self.before).then_some(()));
    }

    /// The settings are those from before the start.
    #[track_caller]
    pub fn is_restored(&self) {
        assert_eq!(
            self.mode(),
            self.before,
            "the terminal was not restored; the screen:\n{}",
            self.contents()
        );
    }

    fn mode(&self) -> Settings {
        Settings::of(&tcgetattr(self.slave.as_ref().expect("the terminal is there")).expect("tcgetattr"))
    }

    /// Reads what there is. False at the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let master = self.master.as_mut().expect("the terminal is there");
        if !wait::is_ready(&*master, deadline) {
            return false;
        }
        let mut buffer = [0; 4096];
        let length = master.read(&mut buffer).expect("read from the terminal");
        self.screen.process(&buffer[..length]);
        self.raw.extend_from_slice(&buffer[..length]);
        true
    }

    fn stacks(&self) -> String {
        let own = processes::describe(self.pid());
        let children = processes::children(self.pid()).into_iter().map(processes::describe);
        std::iter::once(own).chain(children).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // It is dead or dying: the wait only reaps it.
        let _ = self.child.wait();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a screen has rows and columns")
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Terminal {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Terminal::start(&command, 24, 80)
    }

    #[test]
    fn shows_the_screen_and_knows_its_size() {
        let mut terminal = shell("printf '\\033[2J\\033[3;5Hhere'; stty size; tty -s && echo 'on a tty'");
        terminal.expect_screen("on a tty");
        terminal.expect_screen("24 80");
        assert_eq!(terminal.contents().lines().nth(2), Some("    here24 80"));
        terminal.ends_with(0);
    }

    #[test]
    fn keys_reach_it_and_ctrl_c_is_a_signal() {
        let mut terminal =
            shell("trap 'echo interrupted; exit 7' INT; echo ready; while :; do read x; echo got $x; done");
        terminal.expect_screen("ready");
        terminal.send("hello\n");
        terminal.expect_screen("got hello");
        terminal.send(CTRL_C);
        terminal.expect_screen("interrupted");
        terminal.ends_with(7);
    }

    #[test]
    fn a_new_size_is_a_signal() {
        let mut terminal = shell("trap 'stty size; exit' WINCH; echo ready; while :; do read x; done");
        terminal.expect_screen("ready");
        terminal.resize(30, 100);
        terminal.expect_screen("30 100");
    }

    #[test]
    #[should_panic(expected = "the terminal was not restored")]
    fn a_terminal_left_raw_is_noticed() {
        shell("stty raw").ends_with(0);
    }
}
