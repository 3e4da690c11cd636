//! A whole screen that keys turn the pages of, and the user's own that comes back on every way out.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use runtime::sys::signal;
use runtime::sys::terminal::Raw;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use unicode_width::UnicodeWidthStr as _;

/// What ends this process or stops it for a while, and what changes the window.
const SIGNALS: [i32; 7] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGCONT, libc::SIGWINCH];

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Page(usize),
    Next,
    Previous,
    Up,
    Down,
    Enter,
    Back,
    ScreenUp,
    ScreenDown,
    Top,
    End,
    Quit,
    /// In a terminal where keys are no signals, what they would be.
    Signal(i32),
}

/// The terminal, while it is drawn on.
pub(crate) struct Screen {
    signals: OwnedFd,
    raw: Option<Raw>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It cannot be drawn on.
    pub(crate) fn enter() -> Result<Screen> {
        Ok(Screen { signals: signal::as_descriptor(&SIGNALS)?, raw: Some(enter()?) })
    }

    /// What a signal does: it ends or stops this process, with the terminal given back before.
    ///
    /// # Errors
    /// Afterwards it cannot be drawn on.
    pub(crate) fn take(&mut self, number: i32) -> Result<()> {
        // Restores the terminal too; a program that is stopped has given it back before.
        drop(self.raw.take());
        signal::take(number);
        self.raw = Some(enter()?);
        Ok(())
    }

    /// What was typed or sent; `None` where nothing was for so many seconds.
    ///
    /// # Errors
    /// What poll(2) answered.
    pub(crate) fn wait(&self, seconds: Option<i64>) -> Result<Option<Vec<Key>>> {
        let limit = seconds.map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 });
        let input = rustix::stdio::stdin();
        let mut polled = [PollFd::new(&input, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        match rustix::event::poll(&mut polled, limit.as_ref()) {
            Ok(0) => return Ok(None),
            Err(Errno::INTR) => return Ok(Some(Vec::new())),
            other => drop(other.context("cannot wait for keys")?),
        }
        let mut keys = Vec::new();
        while let Some(number) = signal::next(self.signals.as_fd()) {
            // The window is measured whenever it is drawn.
            keys.extend((number != libc::SIGWINCH && number != libc::SIGCONT).then_some(Key::Signal(number)));
        }
        if !polled[0].revents().is_empty() {
            let mut bytes = [0u8; 256];
            match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
                Ok(length) if length > 0 => keys.extend(self::keys(&bytes[..length])),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // A terminal has no end of input: its window was closed.
                Ok(_) | Err(_) => signal::die_of(libc::SIGHUP),
            }
        }
        Ok(Some(keys))
    }
}

fn enter() -> Result<Raw> {
    Raw::enter_screen(rustix::stdio::stdin(), rustix::stdio::stdout()).context("cannot draw on this terminal")
}

/// Rows and columns of the window.
pub(crate) fn size() -> (usize, usize) {
    let (rows, columns) = crate::session::window().unwrap_or((24, 80));
    (rows.into(), columns.into())
}

/// Whether there is a terminal that can be drawn on and typed at.
pub(crate) fn is_possible() -> bool {
    use std::io::IsTerminal as _;
    let is_dumb = matches!(std::env::var("TERM").unwrap_or_default().as_str(), "" | "dumb");
    !is_dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Draws over what was there: nothing is ever empty in between. What is left of a line is emptied behind it, but not behind the last
/// column, where the cursor still stands on it.
///
/// # Errors
/// The terminal cannot be written to.
pub(crate) fn draw(lines: &[String], columns: usize) -> Result<()> {
    let line = |line: &String| match width(line) < columns {
        true => format!("{line}\x1b[K"),
        false => line.clone(),
    };
    let lines: Vec<String> = lines.iter().map(line).collect();
    let mut output = std::io::stdout().lock();
    let text = format!("\x1b[H{}", lines.join("\r\n"));
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot draw on this terminal")
}

/// Columns of a line; [`REVERSED`] and [`PLAIN`] have none.
fn width(line: &str) -> usize {
    line.replace(REVERSED, "").replace(PLAIN, "").width()
}

/// Letters in the colour of the background, and the other way round (ECMA-48, 8.3.117, SGR 7): where the cursor is.
pub(crate) const REVERSED: &str = "\x1b[7m";
/// As before.
pub(crate) const PLAIN: &str = "\x1b[m";

/// The keys of a portion of input; what means nothing is passed over. PURE.
fn keys(bytes: &[u8]) -> Vec<Key> {
    const SEQUENCES: [(&[u8], Key); 13] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[C", Key::Next),
        (b"\x1bOC", Key::Next),
        (b"\x1b[D", Key::Previous),
        (b"\x1bOD", Key::Previous),
        (b"\x1b[Z", Key::Previous),
        (b"\x1b[5~", Key::ScreenUp),
        (b"\x1b[6~", Key::ScreenDown),
        (b"\x1b[H", Key::Top),
        (b"\x1b[F", Key::End),
    ];
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, further)) = rest.split_first() {
        if let Some((sequence, key)) = SEQUENCES.iter().find(|(sequence, _)| rest.starts_with(sequence)) {
            rest = &rest[sequence.len()..];
            keys.push(*key);
            continue;
        }
        if *first == 0x1b {
            rest = behind_sequence(further);
            continue;
        }
        rest = further;
        keys.extend(match first {
            b'1'..=b'9' => Some(Key::Page(usize::from(first - b'1'))),
            b'\t' | b'n' | b'l' => Some(Key::Next),
            b'p' | b'h' => Some(Key::Previous),
            b'k' => Some(Key::Up),
            b'j' => Some(Key::Down),
            b'\r' | b'\n' => Some(Key::Enter),
            0x7f | 0x08 => Some(Key::Back),
            b' ' => Some(Key::ScreenDown),
            b'b' => Some(Key::ScreenUp),
            b'g' => Some(Key::Top),
            b'G' => Some(Key::End),
            b'q' | b'Q' => Some(Key::Quit),
            0x03 => Some(Key::Signal(libc::SIGINT)),
            0x1a => Some(Key::Signal(libc::SIGTSTP)),
            0x1c => Some(Key::Signal(libc::SIGQUIT)),
            _ => None,
        });
    }
    keys
}

/// Behind a sequence that is not known here: it ends with a letter (ECMA-48, 5.4). The escape key alone is followed by none.
fn behind_sequence(rest: &[u8]) -> &[u8] {
    let Some(parameters) = rest.strip_prefix(b"[") else { return rest };
    let end = parameters.iter().position(|byte| (0x40..=0x7e).contains(byte));
    end.map_or(&[], |end| &parameters[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_as_terminals_send_them() {
        for (bytes, expected) in [
            (&b"q"[..], &[Key::Quit][..]),
            (b"3", &[Key::Page(2)]),
            (b"\x1b[C\x1bOD\t", &[Key::Next, Key::Previous, Key::Next]),
            (b"\x1b[1;5Cq", &[Key::Quit]),
            (b"\x1b", &[]),
            (b"\x1b[", &[]),
            (b"\x1b[5~ ", &[Key::ScreenUp, Key::ScreenDown]),
            (b"\r\x7f", &[Key::Enter, Key::Back]),
            (b"\x03", &[Key::Signal(libc::SIGINT)]),
            ("x한".as_bytes(), &[]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_reverses_letters_has_no_width() {
        assert_eq!(width(&format!("{REVERSED}한a{PLAIN}b")), 4);
    }
}
