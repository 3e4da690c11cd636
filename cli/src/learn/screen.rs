//! Lessons on a terminal: a page a step, as long as a terminal is high, and a prompt.
//!
//! The terminal stays in its own mode: it edits lines and makes signals of keys, so nothing has to be put back.

use std::io::Write as _;
use std::os::fd::AsFd;

use anyhow::Result;
use runtime::sys::terminal;

use super::say::{What, failed, mark};
use super::signals::{Interrupted, Signals};
use super::wrap::{beside, wrap};
use crate::words::Words;

/// Rows that a text wants to have below it: the first of what it introduces.
const INTRODUCED: usize = 4;

/// The student has had enough.
#[derive(Debug, thiserror::Error)]
#[error("left")]
pub(crate) struct Left;

/// Writes. Who does not read any more ends the lesson, as every program that writes to a closed pipe, but not before the lab
/// is gone.
///
/// # Errors
/// [`Interrupted`]; what write(2) answered.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Interrupted(libc::SIGPIPE).into())
        }
        other => Ok(other?),
    }
}

/// A person's terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    signals: std::rc::Rc<Signals>,
    columns: usize,
    rows: usize,
    /// Rows of the page that are used.
    row: usize,
    heading: String,
    colour: bool,
    more: String,
    outside: String,
    inside: String,
    /// What was typed and not read yet.
    typed: Vec<u8>,
}

impl Screen {
    /// On standard output, in these words.
    pub(crate) fn new(signals: std::rc::Rc<Signals>, messages: &Words) -> Screen {
        let size = terminal::size(std::io::stdout().as_fd());
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Screen {
            signals,
            columns: if columns < 40 { 80 } else { columns },
            rows: if rows < 10 { 24 } else { rows },
            row: 0,
            heading: String::new(),
            colour: !set("NO_COLOR") && !dumb,
            more: messages.text("screen.more"),
            outside: messages.text("screen.outside"),
            inside: messages.text("screen.inside"),
            typed: Vec::new(),
        }
    }

    /// A new page.
    pub(crate) fn begin(&mut self, lesson: &str, step: &str) -> Result<()> {
        self.heading = format!("{lesson} · {step}");
        self.page()
    }

    fn page(&mut self) -> Result<()> {
        self.row = 0;
        self.write("\x1b[H\x1b[2J")?;
        let heading = wrap(&self.heading, self.columns - 1, 0).into_iter().next().unwrap_or_default();
        self.line(&self.styled("7", &format!(" {heading} ")))?;
        self.line("")
    }

    /// Shows something.
    pub(crate) fn say(&mut self, what: &What) -> Result<()> {
        let columns = self.columns - 1;
        match what {
            What::Text { text } => {
                // It says what comes next, and is not left behind by it.
                self.block(&[(wrap(text, columns, 0), "")], INTRODUCED)?;
                self.line("")
            }
            What::Command { text } => self.block(&[(wrap(&format!("  $ {text}"), columns, 6), "1")], 0),
            What::Reason { text } => self.block(&[(wrap(&format!("  # {text}"), columns, 4), "36")], 2),
            What::Op { text, shell, errno, .. } => {
                let call = wrap(&format!("    {text}{}", failed(*errno)), columns, 8);
                self.block(&[(call, ""), (wrap(&format!("      $ {shell}"), columns, 10), "2")], 0)
            }
            What::Look { text, host, inside } => {
                let question = wrap(&format!("$ {text}"), columns, 4);
                let mut answers = beside((&self.outside, host), (&self.inside, inside), columns);
                let heading = vec![answers.remove(0)];
                self.block(&[(question, "1"), (heading, "2"), (answers, "")], 0)?;
                self.line("")
            }
            What::Check { text, check } => {
                let style = if check.passed { "32" } else { "31" };
                let outcome = wrap(&format!("{} {text}", mark(check.passed)), columns, 4);
                self.block(&[(vec![String::new()], ""), (outcome, style)], 0)
            }
        }
    }

    /// Parts that belong together, with their styles; on a new page where they and so many rows more do not fit on this one.
    fn block(&mut self, parts: &[(Vec<String>, &'static str)], more: usize) -> Result<()> {
        let rows = parts.iter().map(|(lines, _)| lines.len()).sum::<usize>() + more;
        // The heading, and the question at the end.
        if self.row > 2 && rows + 4 <= self.rows && self.row + rows + 2 > self.rows {
            self.turn()?;
        }
        for (lines, style) in parts {
            for line in lines {
                if self.row + 3 > self.rows {
                    self.turn()?;
                }
                self.line(&self.styled(style, line))?;
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        let more = self.more.clone();
        self.ask(&more)?;
        self.page()
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour && !style.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.row += 1;
        self.write(&format!("{text}\n"))
    }

    fn write(&self, text: &str) -> Result<()> {
        self.signals.check()?;
        print(text)
    }

    /// Asks, and waits for a line; the rows of what runs in between are not counted, so a new page begins afterwards where it is
    /// long.
    ///
    /// # Errors
    /// [`Left`] at the end of input, and for `q`; [`Interrupted`].
    pub(crate) fn ask(&mut self, prompt: &str) -> Result<String> {
        self.write(&format!("{prompt} "))?;
        let line = self.read_line()?;
        self.row += 1;
        match line.trim() {
            "q" => Err(Left.into()),
            line => Ok(line.to_owned()),
        }
    }

    /// Something else has written on the page.
    pub(crate) fn disturbed(&mut self) {
        self.signals.forget();
        self.row += 1;
    }

    fn read_line(&mut self) -> Result<String> {
        let input = std::io::stdin();
        loop {
            if let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.signals.wait(Some(input.as_fd()), None)?;
            let mut buffer = [0u8; 1024];
            // Not through Rust's buffer: what a shell in front of us is typed must not be read by us.
            let length = rustix::io::read(&input, &mut buffer)?;
            if length == 0 {
                return Err(Left.into());
            }
            self.typed.extend_from_slice(&buffer[..length]);
        }
    }
}

/// Whether lessons can be shown page by page.
pub(crate) fn is_possible() -> bool {
    terminal::is_terminal(std::io::stdin().as_fd()) && terminal::is_terminal(std::io::stdout().as_fd())
}
