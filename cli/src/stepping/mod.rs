//! `mini step`: a debugger for the making of a container.
//!
//! ```text
//!   mini step: the debugger, which has the terminal
//!    └ client ─ monitor ─ init     each asks before every operation, and waits (`explain::step`)
//! ```
//! The client is a group of its own, so that a key for the debugger is none for it. Who quits ends the container's first process,
//! as soon as there is one: then the monitor cleans up as it always does. Where the debugger itself is killed, the first process
//! ends at its next question, and a program that runs by its monitor, which watches the other end of the socket.

mod shell;
mod word;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use runtime::sys::pidfd::Ending;
use runtime::sys::{self, pidfd, process, signal};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;

use crate::exit_code::ExitCode;
use crate::explain::step::{self, Question};
use crate::explain::{Language, Messages, Scene};
use crate::output;
use shell::{Place, Told};
use word::Word;

/// What ends a debugger, and with it the container.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Who this process is after [`split`].
pub(crate) enum Side {
    /// The one that runs the container.
    Asking,
    /// The one that answers.
    Answering(Debugger),
}

/// Where it stops next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    /// Before every operation.
    Stop,
    /// Before the one of this name.
    To(String),
    /// Nowhere.
    Free,
    /// Nowhere, and the container's first process dies.
    Quit,
}

/// The answering side.
pub(crate) struct Debugger {
    socket: OwnedFd,
    signals: OwnedFd,
    client: OwnedFd,
    mode: Mode,
    /// The container's first process, once it has asked.
    init: Option<i32>,
    /// What was typed and not read yet.
    typed: Vec<u8>,
    messages: Messages,
    /// Of a signal, the code that it ends with.
    code: Option<ExitCode>,
    /// The commands have been said once.
    begun: bool,
}

/// Makes the process that is going to run the container.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn split() -> Result<Side> {
    process::assert_single_threaded()?;
    let (ours, theirs) = sys::socket::pair()?;
    let signals = signal::as_descriptor(&[&ENDING[..], &[libc::SIGTTOU]].concat())?;
    let Some(child) = sys::ns::fork()? else {
        drop((ours, signals));
        process::new_group()?;
        signal::reset()?;
        let null = sys::terminal::open_null()?;
        process::set_stdio([null.as_fd(), rustix::stdio::stdout(), rustix::stdio::stderr()])?;
        step::offer(theirs);
        return Ok(Side::Asking);
    };
    drop(theirs);
    Ok(Side::Answering(Debugger {
        socket: ours,
        signals,
        client: pidfd::open(child)?,
        mode: Mode::Stop,
        init: None,
        typed: Vec::new(),
        messages: Messages::of(Language::of_environment()),
        code: None,
        begun: false,
    }))
}

impl Debugger {
    /// Answers until the client and all its copies have ended; the client's code, 0 for who quits, 130 for ctrl-C.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn run(mut self) -> Result<ExitCode> {
        while self.wait(None)? {
            let mut text = [0u8; 64 << 10];
            let (length, mut descriptors) = sys::socket::receive(self.socket.as_fd(), &mut text)?;
            if length == 0 {
                break;
            }
            let question: Question = serde_json::from_slice(&text[..length])?;
            if let Some(hold) = descriptors.pop() {
                let word = self.answer(&question)?;
                // Whoever asked may have been killed meanwhile, by us or by others.
                let _unheard = sys::fs::write_all(hold.as_fd(), &[word]);
            }
        }
        let ending = pidfd::wait(self.client.as_fd())?;
        if let Mode::To(name) = &self.mode {
            output::say(&self.messages.label("step_never").replace("{}", name));
        }
        Ok(match (self.code, ending) {
            (Some(code), _) => code,
            (None, Ending::Exited(code)) => ExitCode::Program(code),
            (None, Ending::Signaled(number)) => ExitCode::Program(128 + number),
        })
    }

    /// Waits for a question, or for what is typed where that is waited for; a signal quits. False where it came.
    fn wait(&mut self, input: Option<BorrowedFd<'_>>) -> Result<bool> {
        loop {
            let awaited = input.unwrap_or(self.socket.as_fd());
            let mut waits =
                [PollFd::from_borrowed_fd(awaited, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            // An interrupted wait is tried again by the loop.
            let _interrupted = rustix::event::poll(&mut waits, None);
            let ready = !waits[0].revents().is_empty();
            while let Some(number) = signal::next(self.signals.as_fd()) {
                if ENDING.contains(&number) && self.mode != Mode::Quit {
                    self.quit(ExitCode::Program(128 + number))?;
                    if input.is_some() {
                        return Ok(false);
                    }
                }
            }
            if ready {
                return Ok(true);
            }
        }
    }

    /// What is answered to one question.
    fn answer(&mut self, question: &Question) -> Result<u8> {
        if question.role == "init" {
            self.init = Some(question.pid);
        }
        let shown = self.messages.step(&question.why);
        match &self.mode {
            Mode::Free => return Ok(step::GO_ON),
            Mode::Quit => {
                self.end(question)?;
                return Ok(step::GO_ON);
            }
            Mode::To(name) if !word::is_meant(name, &question.call, &question.why, &shown) => {
                return Ok(step::GO_ON);
            }
            Mode::To(_) | Mode::Stop => self.mode = Mode::Stop,
        }
        output::say(Scene { question, messages: &self.messages }.text().trim_end());
        if !self.begun {
            output::say(&format!("# {}", self.messages.label("step_how")));
            self.begun = true;
        }
        while let Some(line) = self.line()? {
            match word::word(&line) {
                Word::Next => return Ok(step::GO_ON),
                Word::Skip if question.skippable => {
                    output::say(self.messages.label("step_skipped"));
                    return Ok(step::SKIP);
                }
                Word::Skip => output::say(self.messages.label("step_needed")),
                Word::RunTo(name) => {
                    self.mode = Mode::To(name);
                    return Ok(step::GO_ON);
                }
                Word::Continue => {
                    self.mode = Mode::Free;
                    return Ok(step::GO_ON);
                }
                Word::Quit => break,
                Word::Inside(command) => match self.init {
                    Some(pid) => self.shell(Place::Inside(pid), command.as_deref(), question)?,
                    None => output::say(self.messages.label("step_no_inside")),
                },
                Word::Outside(command) => self.shell(Place::Outside, command.as_deref(), question)?,
                Word::Help => output::say(self.messages.label("step_help")),
                Word::NoName => output::say(self.messages.label("step_no_name")),
                Word::Unknown => output::say(self.messages.label("step_unknown")),
            }
        }
        if self.mode != Mode::Quit {
            self.quit(ExitCode::Success)?;
        }
        self.end(question)?;
        Ok(step::GO_ON)
    }

    fn shell(&mut self, place: Place, command: Option<&str>, question: &Question) -> Result<()> {
        if command.is_none() && !sys::terminal::is_terminal(rustix::stdio::stdin()) {
            output::say(self.messages.label("step_command"));
            return Ok(());
        }
        let told = Told { waits: question.pid, init: self.init };
        if !shell::run(place, command, told, self.signals.as_fd())? {
            self.quit(ExitCode::Program(128 + libc::SIGTERM))?;
        }
        Ok(())
    }

    /// A line of commands; `None` at their end, and where a signal came first.
    fn line(&mut self) -> Result<Option<String>> {
        if self.mode == Mode::Quit {
            return Ok(None);
        }
        let prompt = self.messages.label("step_prompt").to_owned();
        output::ask(&prompt);
        let input = rustix::stdio::stdin();
        loop {
            if let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !sys::terminal::is_terminal(input) {
                    // A terminal has shown it already.
                    output::say(&line);
                }
                return Ok(Some(line));
            }
            if !self.wait(Some(input))? {
                return Ok(None);
            }
            let mut bytes = [0u8; 4096];
            match rustix::io::read(input, &mut bytes) {
                Ok(0) => {
                    output::say("");
                    return Ok(None);
                }
                Ok(length) => self.typed.extend_from_slice(&bytes[..length]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// From here on everybody goes on, and the container's first process dies.
    fn quit(&mut self, code: ExitCode) -> Result<()> {
        output::say(self.messages.label("step_quitting"));
        self.mode = Mode::Quit;
        self.code = Some(code);
        self.init.map_or(Ok(()), kill)
    }

    /// Ends who must not go on, where it asks only now. A pull leaves nothing half made that the next one does not remove.
    fn end(&self, question: &Question) -> Result<()> {
        match question.role.as_str() {
            "init" | "pull" => kill(question.pid),
            _ => Ok(()),
        }
    }
}

/// Ends a process; one that has ended is no error.
fn kill(pid: i32) -> Result<()> {
    let Some(held) = Pid::from_raw(pid).and_then(|pid| pidfd::open(pid).ok()) else { return Ok(()) };
    match pidfd::send_signal(held.as_fd(), pid, libc::SIGKILL) {
        Err(error) if error.errno() != libc::ESRCH => Err(error.into()),
        _ => Ok(()),
    }
}
