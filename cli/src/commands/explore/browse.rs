//! The screens of `explore`: all layers, what one of them changes, and what is wasted. PURE.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use image::Explored;

use super::{Subject, report};
use crate::output::{size, visible};
use crate::screen::{Key, PLAIN, REVERSED};

/// What is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// All layers, and a last line for what is wasted.
    Layers,
    /// What one of them changes.
    Layer(usize),
    /// Paths with wasted bytes.
    Waste,
}

/// Where the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) page: Page,
    /// Which line the cursor is on, and how many are above the window.
    at: usize,
    above: usize,
    /// Where the cursor was in the list of layers.
    layer: usize,
    /// Changes in the order of their bytes, the most first, instead of paths.
    by_size: bool,
}

impl Place {
    pub(super) fn new() -> Place {
        Place { page: Page::Layers, at: 0, above: 0, layer: 0, by_size: false }
    }

    /// Where a key leads; `room` is how many lines of the list the window has.
    pub(super) fn turned(&self, key: Key, explored: &Explored, room: usize) -> Place {
        let length = self.length(explored);
        let last = length.saturating_sub(1);
        let mut place = self.clone();
        match key {
            Key::Up => place.at = self.at.saturating_sub(1),
            Key::Down => place.at = (self.at + 1).min(last),
            Key::ScreenUp => place.at = self.at.saturating_sub(room),
            Key::ScreenDown => place.at = (self.at + room).min(last),
            Key::Top => place.at = 0,
            Key::End => place.at = last,
            Key::Enter | Key::Next if self.page == Page::Layers => {
                let page = if self.at < explored.layers.len() { Page::Layer(self.at) } else { Page::Waste };
                place = Place { page, at: 0, above: 0, layer: self.at, ..place };
            }
            Key::Enter if matches!(self.page, Page::Layer(_)) => {
                place = Place { by_size: !self.by_size, at: 0, above: 0, ..place };
            }
            Key::Back | Key::Previous if self.page != Page::Layers => {
                place = Place { page: Page::Layers, at: self.layer, above: 0, ..place };
            }
            _ => {}
        }
        // The cursor stays in the window.
        place.above = place.above.min(place.at).max((place.at + 1).saturating_sub(room.max(1)));
        place
    }

    fn length(&self, explored: &Explored) -> usize {
        match self.page {
            Page::Layers => explored.layers.len() + 1,
            Page::Layer(index) => explored.layers[index].changes.len(),
            Page::Waste => explored.waste.len(),
        }
    }

    /// As many lines as the window has, none wider; and how many of them belong to the list.
    pub(super) fn frame(
        &self,
        subject: &Subject,
        explored: &Explored,
        (rows, columns): (usize, usize),
    ) -> (Vec<String>, usize) {
        let (title, keys) = match self.page {
            Page::Layers => (
                "  #  LAYER         ADDED            CHANGED          HIDDEN           CREATED BY".to_owned(),
                "up, down: move   enter: open   q: quit",
            ),
            Page::Layer(index) => (
                format!(
                    "layer {index}  {}  {}",
                    subject.label(index, explored),
                    subject.command(index, explored)
                ),
                "up, down: move   enter: sort by path or size   left: back   q: quit",
            ),
            Page::Waste => ("  WASTED     TIMES  PATH".to_owned(), "up, down: move   left: back   q: quit"),
        };
        let room = rows.saturating_sub(3).max(1);
        let list = self.list(subject, explored, room);
        let mut lines = vec![cut(&report::headline(subject, explored), columns), cut(&title, columns)];
        for (number, line) in list.iter().enumerate() {
            let line = cut(line, columns);
            lines.push(match self.above + number == self.at {
                true => {
                    format!("{REVERSED}{line}{}{PLAIN}", " ".repeat(columns.saturating_sub(line.width())))
                }
                false => line,
            });
        }
        if list.is_empty() {
            lines.push(cut("  nothing", columns));
        }
        lines.resize(rows.saturating_sub(1), String::new());
        lines.push(cut(keys, columns));
        // A window of two lines has no room for a list.
        lines.truncate(rows);
        (lines, room)
    }

    /// The lines of the list that are in the window.
    fn list(&self, subject: &Subject, explored: &Explored, room: usize) -> Vec<String> {
        let shown = self.above..(self.above + room).min(self.length(explored));
        match self.page {
            Page::Layers => shown
                .map(|index| match explored.layers.get(index) {
                    Some(layer) => {
                        let [added, changed, hidden] = match layer.is_covered {
                            true => ["covered".to_owned(), String::new(), String::new()],
                            false => [layer.added, layer.changed, layer.hidden].map(report::counted),
                        };
                        format!(
                            "{index:>3}  {:<12}  {added:<15}  {changed:<15}  {hidden:<15}  {}",
                            subject.label(index, explored),
                            subject.command(index, explored)
                        )
                    }
                    None => format!("     wasted        {}", size::decimal_to_four(explored.wasted)),
                })
                .collect(),
            Page::Layer(index) => {
                let changes = &explored.layers[index].changes;
                let mut order: Vec<usize> = (0..changes.len()).collect();
                if self.by_size {
                    order.sort_by_key(|at| std::cmp::Reverse(changes[*at].bytes));
                }
                order[shown]
                    .iter()
                    .map(|at| {
                        let change = &changes[*at];
                        let bytes = size::decimal_to_four(change.bytes);
                        format!("{} {bytes:>9}  {}", report::letter(change.kind), visible(&change.path))
                    })
                    .collect()
            }
            Page::Waste => explored.waste[shown]
                .iter()
                .map(|waste| {
                    format!(
                        "{:>10} {:>5}  {}",
                        size::decimal_to_four(waste.bytes),
                        waste.times,
                        visible(&waste.path)
                    )
                })
                .collect(),
        }
    }
}

/// A text that is no wider than so many columns.
fn cut(text: &str, columns: usize) -> String {
    let mut wide = 0;
    text.chars()
        .take_while(|letter| {
            wide += letter.width().unwrap_or(0);
            wide <= columns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Change, ChangeKind, ExploredLayer, Waste};

    fn explored() -> Explored {
        let change =
            |number: u64| Change { path: format!("/{number}"), kind: ChangeKind::Added, bytes: number };
        let layer = ExploredLayer { changes: (0..30).map(change).collect(), ..ExploredLayer::default() };
        let waste = vec![Waste { path: "/한국\x1b[2J".to_owned(), bytes: 5, times: 2 }];
        Explored { layers: vec![ExploredLayer::default(), layer], seen: 95, wasted: 5, waste, is_cut: false }
    }

    #[test]
    fn keys_move_open_and_come_back() {
        let explored = explored();
        let mut place = Place::new();
        for (key, page, at, above) in [
            (Key::Up, Page::Layers, 0, 0),
            (Key::Down, Page::Layers, 1, 0),
            (Key::Enter, Page::Layer(1), 0, 0),
            (Key::End, Page::Layer(1), 29, 20),
            (Key::ScreenUp, Page::Layer(1), 19, 19),
            (Key::ScreenDown, Page::Layer(1), 29, 20),
            (Key::Enter, Page::Layer(1), 0, 0),
            (Key::Previous, Page::Layers, 1, 0),
            (Key::Down, Page::Layers, 2, 0),
            (Key::Down, Page::Layers, 2, 0),
            (Key::Next, Page::Waste, 0, 0),
            (Key::Down, Page::Waste, 0, 0),
            (Key::Enter, Page::Waste, 0, 0),
            (Key::Back, Page::Layers, 2, 0),
            (Key::Back, Page::Layers, 2, 0),
        ] {
            place = place.turned(key, &explored, 10);
            assert_eq!((place.page, place.at, place.above), (page, at, above), "{key:?}");
        }
    }

    #[test]
    fn a_line_is_cut_between_letters() {
        assert_eq!([cut("한국어", 5), cut("한국어", 4), cut("abc", 9)], ["한국", "한국", "abc"]);
    }
}
