//! The pages of a container: drawn again every second, turned by keys.

use anyhow::Result;

use super::View;
use super::layout::{self, Frame};
use crate::screen::{self, Key, Screen};
use crate::words::Words;

/// How long between two looks, s.
const INTERVAL: i64 = 1;

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
    let mut screen = Screen::enter()?;
    let (mut view, mut place) = (first, Place::default());
    loop {
        let frame = draw(&view, place, words)?;
        place.above = frame.above;
        let Some(typed) = screen.wait(Some(INTERVAL))? else {
            match again()? {
                Some(next) => view = next,
                None => return Ok(()),
            }
            continue;
        };
        for key in typed {
            match key {
                Key::Quit => return Ok(()),
                Key::Signal(number) => screen.take(number)?,
                key => place = turned(place, key, view.sections.len(), frame.room),
            }
        }
    }
}

fn draw(view: &View, place: Place, words: &Words) -> Result<Frame> {
    let size = screen::size();
    let frame = layout::frame(view, place, size, words);
    screen::draw(&frame.lines, size.1)?;
    Ok(frame)
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
        Key::Down | Key::Enter => above(place.above + 1),
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
