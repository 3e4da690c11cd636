//! A screen that is drawn again every second, and the keys that turn its pages. The user's own comes back on every way out.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use runtime::sys::signal;
use runtime::sys::terminal::Raw;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use unicode_width::UnicodeWidthStr as _;

use super::View;
use super::layout::{self, Frame};
use crate::words::Words;

/// How long between two looks, s.
const INTERVAL: i64 = 1;

/// What ends this process or stops it for a while, and what changes the window.
const SIGNALS: [i32; 7] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGCONT, libc::SIGWINCH];

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Page(usize),
    Next,
    Previous,
    Up,
    Down,
    ScreenUp,
    ScreenDown,
    Top,
    End,
    Quit,
    /// In a terminal where keys are no signals, what they would be.
    Signal(i32),
}

/// Which part of which page is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) page: usize,
    /// How many of its lines are above the window.
    pub(super) above: usize,
}

/// Shows one look after the other, until the user quits or `again` has no more.
pub(super) fn show(
    first: View,
    words: &Words,
    again: &mut dyn FnMut() -> Result<Option<View>>,
) -> Result<()> {
    let signals = signal::as_descriptor(&SIGNALS)?;
    let mut raw = Some(enter()?);
    let (mut view, mut place) = (first, Place::default());
    loop {
        let frame = draw(&view, place, words)?;
        place.above = frame.above;
        let Some(typed) = wait(&signals)? else {
            match again()? {
                Some(next) => view = next,
                None => return Ok(()),
            }
            continue;
        };
        for key in typed {
            match key {
                Key::Quit => return Ok(()),
                Key::Signal(number) => {
                    // Restores the terminal too; a program that is stopped has given it back before.
                    drop(raw.take());
                    signal::take(number);
                    raw = Some(enter()?);
                }
                key => place = turned(place, key, view.sections.len(), frame.room),
            }
        }
    }
}

fn enter() -> Result<Raw> {
    Raw::enter_screen(rustix::stdio::stdin(), rustix::stdio::stdout()).context("cannot draw on this terminal")
}

/// Draws over what was there: nothing is ever empty in between. What is left of a line is emptied behind it, but not behind the last
/// column, where the cursor still stands on it.
fn draw(view: &View, place: Place, words: &Words) -> Result<Frame> {
    let (rows, columns) = crate::session::window().unwrap_or((24, 80));
    let frame = layout::frame(view, place, (rows.into(), columns.into()), words);
    let line = |line: &String| match line.width() < usize::from(columns) {
        true => format!("{line}\x1b[K"),
        false => line.clone(),
    };
    let lines: Vec<String> = frame.lines.iter().map(line).collect();
    let mut output = std::io::stdout().lock();
    let text = format!("\x1b[H{}", lines.join("\r\n"));
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot draw on this terminal")?;
    Ok(frame)
}

/// What was typed or sent meanwhile; `None` where it is time for another look.
fn wait(signals: &OwnedFd) -> Result<Option<Vec<Key>>> {
    let limit = Timespec { tv_sec: INTERVAL, tv_nsec: 0 };
    let input = rustix::stdio::stdin();
    let mut polled = [PollFd::new(&input, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
    match rustix::event::poll(&mut polled, Some(&limit)) {
        Ok(0) => return Ok(None),
        Err(Errno::INTR) => return Ok(Some(Vec::new())),
        other => drop(other.context("cannot wait for keys")?),
    }
    let mut keys = Vec::new();
    while let Some(number) = signal::next(signals.as_fd()) {
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
            b'j' | b'\r' => Some(Key::Down),
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

/// Where a key leads. PURE.
fn turned(place: Place, key: Key, pages: usize, room: usize) -> Place {
    let to = |page| Place { page, above: 0 };
    let above = |above| Place { above, ..place };
    match key {
        Key::Page(page) if page < pages => to(page),
        Key::Next => to((place.page + 1) % pages.max(1)),
        Key::Previous => to((place.page + pages.max(1) - 1) % pages.max(1)),
        Key::Up => above(place.above.saturating_sub(1)),
        Key::Down => above(place.above + 1),
        Key::ScreenUp => above(place.above.saturating_sub(room)),
        Key::ScreenDown => above(place.above + room),
        Key::Top => above(0),
        // The frame knows where it ends.
        Key::End => above(usize::MAX / 2),
        _ => place,
    }
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
            (b"\x03", &[Key::Signal(libc::SIGINT)]),
            ("x한".as_bytes(), &[]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn pages_go_round_and_lines_do_not() {
        let place = Place { page: 7, above: 3 };
        for (key, expected) in [
            (Key::Next, Place { page: 0, above: 0 }),
            (Key::Previous, Place { page: 6, above: 0 }),
            (Key::Page(2), Place { page: 2, above: 0 }),
            (Key::Page(8), place),
            (Key::Up, Place { page: 7, above: 2 }),
            (Key::ScreenUp, Place { page: 7, above: 0 }),
            (Key::ScreenDown, Place { page: 7, above: 13 }),
        ] {
            assert_eq!(turned(place, key, 8, 10), expected, "{key:?}");
        }
    }
}
