//! Rows as lines: three columns, what there is, what the host sees, what the container sees. PURE.
//!
//! Where lines have a width, cells are broken rather than cut short: a path is worth nothing without its end. Whatever others have
//! named, such as files and processes, is shown without what would command a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::screen::Place;
use super::{Section, View};
use crate::output::{table, visible};
use crate::words::Words;

/// Between two columns.
const GAP: usize = 2;

/// The widest that the first column is.
const WHAT: usize = 14;

/// All sections, one below the other: as wide as they are, or broken to lines of a width.
pub(super) fn once(view: &View, width: Option<usize>, words: &Words) -> String {
    let mut text = format!("{}\n", title(view, words));
    for section in &view.sections {
        text.push('\n');
        match width {
            Some(width) => text.extend(lines(section, width, words).into_iter().map(|line| line + "\n")),
            None => text += &unbroken(section, words),
        }
    }
    text
}

fn title(view: &View, words: &Words) -> String {
    format!(
        "{}  {}  pid {}  {}",
        visible(&view.name),
        words.text(&format!("title.{}", view.status)),
        view.pid,
        &view.id[..12.min(view.id.len())]
    )
}

/// What stands above the columns.
fn heading(section: &Section, words: &Words) -> [String; 3] {
    let name = words.text(&format!("section.{}", section.name)).to_uppercase();
    [name, words.text("column.host"), words.text("column.container")]
}

fn unbroken(section: &Section, words: &Words) -> String {
    let rows: Vec<Vec<String>> = section
        .rows
        .iter()
        .map(|row| [&row.what, &row.host, &row.container].map(|cell| visible(cell)).into())
        .collect();
    table::table(&heading(section, words).each_ref().map(String::as_str), &rows)
}

/// A section under its heading, no line wider than `width`.
fn lines(section: &Section, width: usize, words: &Words) -> Vec<String> {
    let heading = heading(section, words);
    let widest = section.rows.iter().map(|row| visible(&row.what).width()).max().unwrap_or(0);
    let what = widest.max(heading[0].width()).min(WHAT);
    let side = width.saturating_sub(what + 2 * GAP) / 2;
    let columns = [what, side, side];
    let mut lines = broken(heading.each_ref().map(String::as_str), columns, width);
    for row in &section.rows {
        let cells = [visible(&row.what), visible(&row.host), visible(&row.container)];
        lines.extend(broken([&cells[0], &cells[1], &cells[2]], columns, width));
    }
    lines
}

/// A row as so many lines as its longest cell needs.
fn broken(cells: [&str; 3], columns: [usize; 3], width: usize) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        cells.iter().zip(columns).map(|(cell, width)| wrapped(cell, width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(columns) {
            let part = cell.get(index).map_or("", String::as_str);
            line += part;
            line.extend(std::iter::repeat_n(' ', (width + GAP).saturating_sub(part.width())));
        }
        // A window may be too narrow for anything.
        cut(line.trim_end(), width)
    };
    (0..height).map(line).collect()
}

/// Parts of a text that are no wider than `width`, broken behind blanks, slashes and commas where that leaves no part half empty.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end();
    loop {
        let end = fitting(rest, width);
        if end == rest.len() {
            parts.push(rest.to_owned());
            return parts;
        }
        // No part is empty, whatever the width: it would never end.
        let end = if end == 0 { rest.chars().next().map_or(rest.len(), char::len_utf8) } else { end };
        let blank_follows = rest[end..].starts_with(' ');
        let good = rest[..end].rfind([' ', '/', ',']).map(|at| at + 1).filter(|at| at * 2 > end);
        let (part, further) = rest.split_at(if blank_follows { end } else { good.unwrap_or(end) });
        parts.push(part.trim_end().to_owned());
        rest = further.trim_start();
        if rest.is_empty() {
            return parts;
        }
    }
}

/// How many bytes of a text are no wider than `width`.
fn fitting(text: &str, width: usize) -> usize {
    let mut wide = 0;
    for (at, letter) in text.char_indices() {
        wide += letter.width().unwrap_or(0);
        if wide > width {
            return at;
        }
    }
    text.len()
}

fn cut(text: &str, width: usize) -> String {
    text[..fitting(text, width)].to_owned()
}

/// A whole screen: as many lines as it has, and no wider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) lines: Vec<String>,
    /// How many lines of the page lie above the screen.
    pub(super) above: usize,
    /// How many lines of it the screen has room for.
    pub(super) room: usize,
}

/// The page of one section, from the line `above` on, or from the last that leaves no room empty.
pub(super) fn frame(view: &View, place: Place, (rows, columns): (usize, usize), words: &Words) -> Frame {
    let Place { page, above } = place;
    let name = |section: &Section| words.text(&format!("section.{}", section.name));
    let tabs: Vec<String> = view
        .sections
        .iter()
        .enumerate()
        .map(|(index, section)| match index == page {
            true => format!("[{} {}]", index + 1, name(section)),
            false => format!("{} {}", index + 1, name(section)),
        })
        .collect();
    let body = view.sections.get(page).map(|section| lines(section, columns, words)).unwrap_or_default();
    // Title, tabs and an empty line above, the keys below; the heading of the page stays where it is.
    let room = rows.saturating_sub(5);
    let (heading, body) = body.split_first().map(|(first, rest)| (first.clone(), rest)).unwrap_or_default();
    let above = above.min(body.len().saturating_sub(room));
    let shown = body.iter().skip(above).take(room);
    let mut lines = vec![title(view, words), tabs.join("  "), String::new(), heading];
    lines.extend(shown.cloned());
    lines.resize(rows.saturating_sub(1), String::new());
    let more = match body.len() > room {
        true => {
            let last = (above + room).min(body.len());
            let values = [("first", above + 1), ("last", last), ("all", body.len())];
            format!(
                "   {}",
                words.filled("screen.lines", &values.map(|(name, value)| (name, value.to_string())))
            )
        }
        false => String::new(),
    };
    lines.push(words.text("screen.keys") + &more);
    lines.truncate(rows);
    Frame { lines: lines.iter().map(|line| cut(line, columns)).collect(), above, room }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;
    use crate::explain::Language;

    fn view() -> View {
        let rows = vec![
            Row::new(
                "layer 1/2",
                "/var/lib/mini/image/layers/0123456789abcdef/bin/busybox",
                "/bin/sh -> /bin/busybox",
            ),
            Row::new("volume 한국", "/한국한국한국한국한국한국한국한국한국한국", "a\x1b[2Jb"),
        ];
        let names = ["process", "user", "file", "mount", "address", "group", "rights", "namespace"];
        let sections =
            names.map(|name| Section { name, rows: if name == "file" { rows.clone() } else { Vec::new() } });
        View {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            status: "running",
            pid: 88,
            sections: sections.into(),
        }
    }

    #[test]
    fn cells_are_broken_where_they_may_be_and_never_cut() {
        for (text, width, expected) in [
            ("", 5, &[""][..]),
            ("abc", 3, &["abc"]),
            ("abc def", 4, &["abc", "def"]),
            ("abc def", 3, &["abc", "def"]),
            ("/usr/lib/x", 6, &["/usr/", "lib/x"]),
            ("abcdefgh", 3, &["abc", "def", "gh"]),
            ("한국한국", 5, &["한국", "한국"]),
            ("한국", 1, &["한", "국"]),
            ("ab", 0, &["a", "b"]),
        ] {
            assert_eq!(wrapped(text, width), expected, "{text} {width}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_window_and_nothing_commands_it() {
        let languages = [Language::En, Language::Ko].map(super::super::words);
        let widths = [0, 1, 5, 20, 40, 80, 81, 200];
        for (words, columns) in languages.iter().flat_map(|words| widths.map(|width| (words, width))) {
            for rows in [0, 1, 4, 5, 6, 24] {
                for page in 0..8 {
                    let frame = frame(&view(), Place { page, above: 99 }, (rows, columns), words);
                    assert_eq!(frame.lines.len(), rows, "{rows}x{columns}");
                    for line in &frame.lines {
                        assert!(
                            line.width() <= columns && !line.contains('\x1b'),
                            "{rows}x{columns}: {line}"
                        );
                    }
                }
            }
            let text = once(&view(), Some(columns), words);
            assert!(text.lines().skip(1).all(|line| line.width() <= columns), "{text}");
        }
    }

    #[test]
    fn a_page_has_tabs_heading_and_keys_and_is_scrolled_to_its_end() {
        let words = super::super::words(Language::En);
        let whole = frame(&view(), Place { page: 2, above: 0 }, (24, 80), &words).lines;
        assert_eq!(whole[0], "web  running  pid 88  0123456789ab");
        assert_eq!(
            whole[1],
            "1 process  2 user  [3 file]  4 mount  5 address  6 group  7 rights  8 namespace"
        );
        assert_eq!(whole[3], "FILE         HOST                              CONTAINER");
        assert_eq!(whole[4], "layer 1/2    /var/lib/mini/image/layers/       /bin/sh -> /bin/busybox");
        assert_eq!(whole[5], "             0123456789abcdef/bin/busybox");
        assert_eq!(whole[6], "volume 한국  /한국한국한국한국한국한국한국한   a\\u{1b}[2Jb");
        assert_eq!(whole[23], "1-8 or left, right: page   up, down: scroll   q: quit");
        let small = frame(&view(), Place { page: 2, above: 99 }, (7, 80), &words);
        assert_eq!((small.above, small.room), (2, 2));
        assert_eq!(small.lines[3..6], [&whole[3..4], &whole[6..8]].concat());
        assert!(small.lines[6].ends_with("lines 3-4 of 4"), "{}", small.lines[6]);
    }

    #[test]
    fn every_page_of_80_columns_has_room_for_its_korean_words() {
        let words = super::super::words(Language::Ko);
        for page in 0..8 {
            let lines = frame(&view(), Place { page, above: 0 }, (24, 80), &words).lines;
            assert!(
                lines[1].contains("[") && lines[1].contains("]") && lines[1].ends_with(['스', ']']),
                "{}",
                lines[1]
            );
            assert!(lines[23].ends_with("q: 나가기"), "{}", lines[23]);
        }
        let lines = frame(&view(), Place { page: 2, above: 0 }, (24, 80), &words).lines;
        // The second column begins in the same one everywhere, however wide what is before it.
        let begins = [("호스트", 3), ("/var", 4), ("/한국", 6)];
        let column = |(text, line): (&str, usize)| lines[line].split(text).next().unwrap_or("").width();
        assert_eq!(begins.map(column), [column(begins[0]); 3], "{lines:#?}");
    }

    #[test]
    fn once_is_as_wide_as_it_is_where_nobody_says() {
        let words = super::super::words(Language::En);
        let text = once(&view(), None, &words);
        assert!(
            text.contains("/var/lib/mini/image/layers/0123456789abcdef/bin/busybox   /bin/sh -> "),
            "{text}"
        );
        assert!(text.contains("a\\u{1b}[2Jb\n"), "{text}");
    }
}
