//! The narrator: hears of every kernel operation, in client, monitor, init and exec alike, and tells it in order.
//!
//! The libraries emit `tracing` events and do not know that anybody listens. The client prints what it does itself; its
//! copies write one JSON line an event to a pipe that they inherited, which the client reads ([`Story`]). A line is shorter
//! than PIPE_BUF, so lines of several processes never mix (pipe(7)).
//!
//! Before every operation the narrator can also be made to ask somebody who holds it up ([`step`]).

mod line;
pub(crate) mod step;
mod visit;

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use anyhow::Result;
use tracing::span;

pub(crate) use line::{Form, Line};
use step::Stepper;
use visit::Fields;

/// Set once, in the client, before anything happens; every copy of the process has it.
static NARRATOR: OnceLock<Narrator> = OnceLock::new();

struct Narrator {
    begin: Instant,
    /// How to tell; `None` where only a stepper listens.
    form: Option<Form>,
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
}

/// The client's end: what the copies of this process tell.
#[derive(Debug)]
pub(crate) struct Story {
    pipe: OwnedFd,
    form: Form,
    rest: Vec<u8>,
}

/// Begins to listen, where `form` is given or a stepper waits; nobody listens otherwise, and operations cost nothing.
///
/// # Errors
/// Where no pipe can be made.
pub(crate) fn begin(form: Option<Form>) -> Result<Option<Story>> {
    let stepper = Stepper::from_environment();
    if form.is_none() && stepper.is_none() {
        return Ok(None);
    }
    let (read, write) = match form {
        Some(_) => runtime::sys::socket::pipe().map(|(read, write)| (Some(read), Some(write)))?,
        None => (None, None),
    };
    let pid = own_pid();
    let told = Mutex::new(Told { role: "client", pid, inside: false });
    let narrator =
        Narrator { begin: Instant::now(), form, pipe: write, stepper, pid: AtomicI32::new(pid), told };
    if NARRATOR.set(narrator).is_ok() {
        tracing::subscriber::set_global_default(Listener).expect("nobody else listens in this process");
    }
    Ok(read.zip(form).map(|(pipe, form)| Story { pipe, form, rest: Vec::new() }))
}

impl Story {
    /// What to wait on.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Prints what has arrived; false at the end, when every copy of this process has ended.
    pub(crate) fn tell(&mut self) -> bool {
        let form = self.form;
        self.hear(&mut |line| print(&line, form))
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

fn print(line: &Line, form: Form) {
    let mut error = std::io::stderr().lock();
    // Who closed stderr wants no story.
    let _unread = match form {
        Form::Text => write!(error, "{}", line.text()),
        Form::Json => writeln!(error, "{}", line.json()),
    };
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
    fn hear(&self, target: &str, fields: Fields) {
        if target == "mini::process" {
            let role = match fields.role.as_str() {
                "client" => "client",
                "monitor" => "monitor",
                "init" => "init",
                "helper" => "helper",
                "exec" => "exec",
                "pull" => "pull",
                "program" => "program",
                "lab" => "lab",
                "container" => "container",
                _ => "process",
            };
            self.pid.store(own_pid(), Ordering::Relaxed);
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *told = Told {
                role,
                pid: pid_of_proc(),
                inside: matches!(role, "init" | "exec" | "program" | "container"),
            };
            return;
        }
        if self.pid.load(Ordering::Relaxed) != own_pid() {
            return;
        }
        let (role, pid, inside) = {
            let told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (told.role, told.pid, told.inside)
        };
        match (target, &self.stepper) {
            ("mini::before" | "mini::file", Some(stepper)) => stepper.ask(role, fields.call_or_path()),
            ("mini::before" | "mini::file", None) => {}
            _ => {
                let Some(form) = self.form else { return };
                let at = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                let line = Line::new(fields, role, pid, inside, at);
                if role == "client" {
                    print(&line, form);
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
        let stepping = NARRATOR.get().is_some_and(|narrator| narrator.stepper.is_some());
        match metadata.target() {
            "mini::file" => stepping,
            target => target.starts_with("mini::"),
        }
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if let Some(narrator) = NARRATOR.get() {
            let mut fields = Fields::default();
            event.record(&mut fields);
            narrator.hear(event.metadata().target(), fields);
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
