//! Tables as docker prints them: columns padded with spaces, three between them, no lines. PURE.

use unicode_width::UnicodeWidthStr;

/// Rows under a heading, each line ended.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    std::iter::once(&heading).chain(rows).map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(cell);
        if index + 1 < row.len() {
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 3));
        }
    }
    line.push('\n');
    line
}

/// At most `most` columns wide, the last an ellipsis where something was cut off, as docker's ellipsis does.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_with_wide_letters() {
        let rows = [vec!["한국".to_owned(), "x".to_owned()], vec!["a".to_owned(), "long".to_owned()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID     NAME\n한국   x\na      long\n");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }
}
