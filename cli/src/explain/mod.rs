//! The narrator: hears of every kernel operation, in client, monitor, init and exec alike, and tells it in order.
//!
//! The libraries emit `tracing` events and do not know that anybody listens. The client prints what it does itself; its
//! copies write one JSON line an event to a pipe that they inherited, which the client reads ([`Story`]). A line is shorter
//! than PIPE_BUF, so lines of several processes never mix (pipe(7)).
//!
//! Before every operation the narrator can also be made to ask somebody who holds it up ([`step`]).

mod form;
mod line;
mod messages;
mod pages;
#[cfg(test)]
mod sources;
pub(crate) mod step;
mod teller;
mod text;
mod visit;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::Result;
use tracing::span;

pub(crate) use form::{ExplainArgs, Form};
pub(crate) use line::Line;
pub(crate) use messages::{Language, Messages};
use step::{Question, Stepper, Verdict};
use teller::Teller;
pub(crate) use text::Scene;
use visit::Fields;

/// Set once, in the client, before anything happens; every copy of the process has it.
static NARRATOR: OnceLock<Narrator> = OnceLock::new();

struct Narrator {
    begin: Instant,
    /// The client's; `None` where only a stepper listens.
    teller: Option<Mutex<Teller>>,
    /// To the client, in its copies.
    pipe: Option<OwnedFd>,
    stepper: Option<Stepper>,
    /// The process that [`Told::role`] is true of: a fresh copy is silent until it says who it is.
    pid: AtomicI32,
    told: Mutex<Told>,
}

/// What a line says of its process.
struct Told {
    role: &'static str,
    /// As the host numbers it.
    pid: i32,
    inside: bool,
    /// The last step, where a stepper wants to know.
    why: String,
}

/// The client's end: what the copies of this process tell.
#[derive(Debug)]
pub(crate) struct Story {
    pipe: OwnedFd,
    rest: Vec<u8>,
}

/// Begins to listen, where `form` is given or a stepper waits; nobody listens otherwise, and operations cost nothing.
///
/// # Errors
/// Where no pipe can be made.
pub(crate) fn begin(form: Option<Form>) -> Result<Option<Story>> {
    let stepper = Stepper::find();
    if form.is_none() && stepper.is_none() {
        return Ok(None);
    }
    let (read, write) = match form {
        Some(_) => runtime::sys::socket::pipe().map(|(read, write)| (Some(read), Some(write)))?,
        None => (None, None),
    };
    let pid = own_pid();
    let told = Mutex::new(Told { role: "client", pid, inside: false, why: String::new() });
    let teller = form.map(|form| Mutex::new(Teller::new(form, crate::output::stderr_has_colours())));
    let narrator =
        Narrator { begin: Instant::now(), teller, pipe: write, stepper, pid: AtomicI32::new(pid), told };
    if NARRATOR.set(narrator).is_ok() {
        tracing::subscriber::set_global_default(Listener).expect("nobody else listens in this process");
    }
    Ok(read.map(|pipe| Story { pipe, rest: Vec::new() }))
}

impl Story {
    /// What to wait on.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Prints what has arrived; false at the end, when every copy of this process has ended.
    pub(crate) fn tell(&mut self) -> bool {
        self.hear(&mut tell)
    }

    fn hear(&mut self, each: &mut dyn FnMut(Line)) -> bool {
        let mut buffer = [0u8; 16 << 10];
        let Ok(length) = rustix::io::read(&self.pipe, &mut buffer) else { return false };
        self.rest.extend_from_slice(&buffer[..length]);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            match serde_json::from_slice::<Line>(&line) {
                Ok(line) => each(line),
                Err(_) => continue, // cut short by the death of its writer
            }
        }
        length > 0
    }

    /// Prints what has arrived until now, and waits for nothing.
    pub(crate) fn tell_what_is_there(mut self) {
        while self.is_there() && self.tell() {}
    }

    /// What has arrived until now, for who tells it in another form.
    pub(crate) fn heard(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        while self.is_there() && self.hear(&mut |line| lines.push(line)) {}
        lines
    }

    fn is_there(&self) -> bool {
        let mut wait = [rustix::event::PollFd::new(&self.pipe, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut wait, Some(&now)) == Ok(1)
    }

    /// Prints the rest, until every copy of this process has ended.
    pub(crate) fn tell_to_the_end(mut self) {
        // The client's own end would keep the pipe open for ever.
        close_own_end();
        while self.tell() {}
    }
}

/// Readable when the debugger that this process was made by has ended; nothing where there is none.
pub(crate) fn overseer() -> Option<BorrowedFd<'static>> {
    NARRATOR.get()?.stepper.as_ref()?.overseer()
}

/// This process goes on without its client, which is not to wait for its end to hear the rest.
pub(crate) fn fall_silent() {
    close_own_end();
}

/// The write end is a process's own copy: the client gives its up when it waits for the last word.
fn close_own_end() {
    if let Some(pipe) = NARRATOR.get().and_then(|narrator| narrator.pipe.as_ref()) {
        // Pointing it at /dev/null leaves the number in use, so that no other descriptor takes its place.
        if let Ok(null) = runtime::sys::terminal::open_null() {
            let _stays_open = runtime::sys::fs::replace(&null, pipe.as_fd());
        }
    }
}

/// Nothing follows, in the client: what is not told yet is.
pub(crate) fn finish() {
    let Some(narrator) = NARRATOR.get() else { return };
    if narrator.pid.load(Ordering::Relaxed) == own_pid()
        && let Some(teller) = &narrator.teller
    {
        teller.lock().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

fn tell(line: Line) {
    if let Some(teller) = NARRATOR.get().and_then(|narrator| narrator.teller.as_ref()) {
        teller.lock().unwrap_or_else(PoisonError::into_inner).hear(line);
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The pid by which the host knows this process: what /proc, still the host's, calls it.
fn pid_of_proc() -> i32 {
    let link = std::fs::read_link("/proc/self").ok();
    link.and_then(|link| link.to_str()?.parse().ok()).unwrap_or_else(own_pid)
}

impl Narrator {
    fn hear(&self, target: &str, library: &str, fields: Fields) {
        if target == "mini::process" {
            let role = match fields.role.as_str() {
                "client" => "client",
                "monitor" => "monitor",
                "init" => "init",
                "helper" => "helper",
                "exec" => "exec",
                "pull" => "pull",
                "program" => "program",
                "learner" => "learner",
                "tester" => "tester",
                "keeper" => "keeper",
                "watcher" => "watcher",
                "lab" => "lab",
                "container" => "container",
                _ => "process",
            };
            self.pid.store(own_pid(), Ordering::Relaxed);
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let inside = matches!(role, "init" | "exec" | "program" | "container");
            *told = Told { role, pid: pid_of_proc(), inside, why: String::new() };
            return;
        }
        if self.pid.load(Ordering::Relaxed) != own_pid() {
            return;
        }
        let (role, pid, inside, why) = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if target == "mini::step" && self.stepper.is_some() {
                told.why.clone_from(&fields.why);
            }
            (told.role, told.pid, told.inside, told.why.clone())
        };
        match (target, &self.stepper) {
            ("mini::before" | "mini::file", Some(stepper)) => {
                let call = if fields.call.is_empty() { fields.path } else { fields.call };
                let Fields { shell, skippable, .. } = fields;
                let question =
                    Question { role: role.to_owned(), seq: 0, call, pid, inside, why, shell, skippable };
                let verdict = stepper.ask(question);
                // Its end is the container's, and the monitor's to clean up behind: that one goes on, as the client does.
                if verdict == Verdict::Abandoned && matches!(role, "init" | "pull") {
                    runtime::sys::process::exit(1);
                }
                match library.split("::").next() {
                    Some("runtime") if verdict == Verdict::Skip => runtime::op::skip(),
                    Some("network") if verdict == Verdict::Skip => network::op::skip(),
                    _ => {}
                }
            }
            ("mini::before" | "mini::file", None) => {}
            _ => {
                if self.teller.is_none() {
                    return;
                }
                let at = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                let line = Line::new(fields, role, pid, inside, at);
                if role == "client" {
                    tell(line);
                } else if let Some(pipe) = &self.pipe {
                    // A client that has gone hears nothing; the container goes on.
                    let _unheard =
                        runtime::sys::fs::write_all(pipe.as_fd(), format!("{}\n", line.json()).as_bytes());
                }
            }
        }
    }
}

/// What `tracing` calls; spans are not used.
struct Listener;

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        let stepper = NARRATOR.get().and_then(|narrator| narrator.stepper.as_ref());
        match metadata.target() {
            "mini::file" => stepper.is_some_and(|stepper| !stepper.offered),
            target => target.starts_with("mini::"),
        }
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if let Some(narrator) = NARRATOR.get() {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let metadata = event.metadata();
            narrator.hear(metadata.target(), metadata.module_path().unwrap_or_default(), fields);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
