//! Tables as docker prints them: columns filled up with spaces, no lines. PURE.
//!
//! The rule is that of docker's tabwriter: a cell that another follows is as wide as the widest above and below it and three
//! spaces, and never narrower than ten columns; the last of a line is not filled up.

use unicode_width::UnicodeWidthStr;

/// The narrowest that docker makes a column, spaces included.
const NARROWEST: usize = 10;

/// Between two columns.
const GAP: usize = 3;

/// Rows under a heading, each line ended.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    table_with(NARROWEST, heading, rows)
}

/// The same, with no column but the last narrower than this.
pub(crate) fn table_with(narrowest: usize, heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<&str> = heading.to_vec();
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect());
    lines(narrowest, &std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

/// Lines whose cells end with tabs, as a template prints them.
pub(crate) fn aligned(text: &str) -> String {
    let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    lines(NARROWEST, &cells)
}

fn lines(narrowest: usize, cells: &[Vec<&str>]) -> String {
    let widths = widths(narrowest, cells);
    let mut text = String::new();
    for (row, widths) in cells.iter().zip(&widths) {
        for (index, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if let Some(width) = widths.get(index) {
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            }
        }
        text.push('\n');
    }
    text
}

/// Of every cell but the last of its line. Lines side by side that have a cell at the same place share its width; a line
/// without one begins a new column.
fn widths(narrowest: usize, cells: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = cells.iter().map(|row| vec![0; row.len().saturating_sub(1)]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut begin = 0;
        while begin < cells.len() {
            let block = widths[begin..].iter().take_while(|row| row.len() > column).count();
            let rows = begin..begin + block;
            let widest = cells[rows.clone()].iter().map(|row| row[column].width() + GAP).max();
            let width = widest.unwrap_or(0).max(narrowest);
            widths[rows].iter_mut().for_each(|row| row[column] = width);
            begin += block.max(1);
        }
    }
    widths
}

/// At most `most` columns wide, the last an ellipsis where something was cut off, as docker's ellipsis does.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        short.push(letter);
        if short.width() >= most {
            short.pop();
            break;
        }
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_with_wide_letters() {
        let rows = [vec!["한국한국".to_owned(), "x".to_owned()], vec!["a".to_owned(), "long".to_owned()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID         NAME\n한국한국   x\na          long\n");
        assert_eq!(table_with(3, &["ID", "NAME"], &rows[1..]), "ID   NAME\na    long\n");
    }

    /// What docker 28 prints of such a template.
    #[test]
    fn cells_of_a_template_share_their_columns_width() {
        let text = "CONTAINER ID\tc d\tNAMES\n3f2a9c81d04b\t<2>\tweb\n4f2a9c81d04b\t\tb|\n";
        let expected =
            "CONTAINER ID   c d       NAMES\n3f2a9c81d04b   <2>       web\n4f2a9c81d04b             b|\n";
        assert_eq!(aligned(text), expected);
        // A line without the cell ends the column, as in Go's tabwriter.
        assert_eq!(aligned("a\tb\nc\nlonger than ten\tb\n"), "a         b\nc\nlonger than ten   b\n");
        assert_eq!(aligned("a\t\n"), "a         \n");
    }

    #[test]
    fn what_is_cut_short_ends_with_an_ellipsis() {
        for (text, most, expected) in [
            ("abcdef", 4, "abc…"),
            ("abcd", 4, "abcd"),
            ("한국한국", 4, "한…"),
            ("한국", 4, "한국"),
            ("éaé", 2, "é…"),
        ] {
            assert_eq!(shortened(text, most), expected, "{text}");
        }
    }
}
