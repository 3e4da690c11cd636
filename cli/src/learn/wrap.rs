//! Text in columns: by the width that letters have on a terminal, Korean ones two. PURE.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Lines of at most so many columns, broken between words; a word that is wider is broken too, after a `|`, `,` or `/` where it
/// has one. Every line but the first of a paragraph begins with `indent` blanks.
pub(crate) fn wrap(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let lead: String = paragraph.chars().take_while(|letter| *letter == ' ').collect();
        let mut line = lead.clone();
        let mut empty = true;
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if !empty && line.width() + 1 + word.width() > columns {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            empty = false;
            let mut begin = line.len();
            for letter in word.chars() {
                if line.width() + letter.width().unwrap_or(0) > columns {
                    let end = line[begin..].rfind(['|', ',', '/']).map_or(line.len(), |at| begin + at + 1);
                    let end = if indent + line[end..].width() < columns { end } else { line.len() };
                    let rest = line.split_off(end);
                    lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                    begin = line.len();
                    line.push_str(&rest);
                }
                line.push(letter);
            }
        }
        lines.push(line);
    }
    lines
}

/// Two texts side by side, each under its heading, in so many columns altogether.
pub(crate) fn beside(left: (&str, &str), right: (&str, &str), columns: usize) -> Vec<String> {
    let half = columns.saturating_sub(3) / 2;
    let column = |(heading, text): (&str, &str)| {
        let mut lines = wrap(heading, half, 0);
        lines.extend(wrap(text, half, 2));
        lines
    };
    let (left, right) = (column(left), column(right));
    let line = |at: usize| {
        let of = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
        let (left, right) = (of(&left), of(&right));
        let fill = " ".repeat(half.saturating_sub(left.width()));
        format!("{left}{fill} │ {right}").trim_end().to_owned()
    };
    (0..left.len().max(right.len())).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_never_wider_than_there_is_room() {
        for text in [
            "one two three four",
            "호스트 이름은 바깥에서 그대로다",
            "averyveryverylongword 한글한글한글한글한글",
            "(A_LONG_FLAG|ANOTHER_ONE|AND_ONE) /a/path/of/many/parts,한글,한글",
            "  indented line that wraps",
        ] {
            for columns in 6..30 {
                for line in wrap(text, columns, 2) {
                    assert!(line.width() <= columns, "{line:?} is wider than {columns}");
                }
            }
            let letters = |text: &str| text.replace([' ', '\n'], "");
            assert_eq!(letters(&wrap(text, 12, 2).concat()), letters(text));
        }
        assert_eq!(wrap("a b\nc", 80, 0), ["a b", "c"]);
        assert_eq!(wrap("clone3(NEWNS|NEWPID)", 15, 2), ["clone3(NEWNS|", "  NEWPID)"]);
        assert_eq!(wrap("", 80, 0), [""]);
    }

    #[test]
    fn both_sides_begin_in_the_same_column_also_with_wide_letters() {
        let lines = beside(("바깥", "outside"), ("안", "안쪽 이름"), 40);
        let columns: Vec<usize> =
            lines.iter().map(|line| line.split('│').next().unwrap_or("").width()).collect();
        assert_eq!(columns, [19, 19]);
        assert!(lines.iter().all(|line| line.width() <= 40), "{lines:#?}");
    }
}
