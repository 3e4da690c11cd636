//! Patterns of names, as docker matches the references of images (Go's path.Match). PURE.

/// Whether a text fits a pattern: `*` is anything but a slash, `?` one letter but a slash, `[a-z]` and `[^a-z]` one letter of
/// these or none of them, `\` takes the next letter as it is.
///
/// # Errors
/// The pattern has a bracket or an escape that does not end.
pub(crate) fn matches(pattern: &str, text: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let parts = parts(&pattern)?;
    Ok(fits(&parts, &text))
}

/// A pattern that does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern with a bracket or an escape that does not end")]
pub(crate) struct BadPattern;

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Star,
    Any,
    One(char),
    /// Ranges, and whether it is all but these.
    Of(Vec<(char, char)>, bool),
}

fn parts(pattern: &[char]) -> Result<Vec<Part>, BadPattern> {
    let mut parts = Vec::new();
    let mut letters = pattern.iter().copied().peekable();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => Part::Star,
            '?' => Part::Any,
            '\\' => Part::One(letters.next().ok_or(BadPattern)?),
            '[' => {
                let but = letters.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || letters.peek() != Some(&']') {
                    let mut one = || match letters.next() {
                        Some('\\') => letters.next().ok_or(BadPattern),
                        Some(']' | '-') | None => Err(BadPattern),
                        Some(letter) => Ok(letter),
                    };
                    let first = one()?;
                    let last = if letters.next_if_eq(&'-').is_some() {
                        letters.next().ok_or(BadPattern)?
                    } else {
                        first
                    };
                    ranges.push((first, last));
                }
                letters.next();
                Part::Of(ranges, but)
            }
            letter => Part::One(letter),
        });
    }
    Ok(parts)
}

/// One star is gone back to, the last: what fits behind an earlier one fits behind it too.
fn fits(parts: &[Part], text: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() || at < parts.len() {
        let letter = text.get(place).copied();
        let fits = match (parts.get(at), letter) {
            (Some(Part::Star), _) => {
                star = Some((at, place));
                at += 1;
                continue;
            }
            (Some(Part::Any), Some(letter)) => letter != '/',
            (Some(Part::One(wanted)), Some(letter)) => letter == *wanted,
            (Some(Part::Of(ranges, but)), Some(letter)) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)) != *but
            }
            _ => false,
        };
        if fits {
            (at, place) = (at + 1, place + 1);
            continue;
        }
        match star {
            // The star takes one letter more.
            Some((behind, taken)) if text.get(taken).is_some_and(|letter| *letter != '/') => {
                star = Some((behind, taken + 1));
                (at, place) = (behind + 1, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("*box*:*", "busybox:latest", true),
            ("b?s?box", "busybox", true),
            ("b?x", "b/x", false),
            ("[a-c]usy[^x]ox", "busybox", true),
            ("[^a-c]usybox", "busybox", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybz", false),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
            ("**", "ab", true),
            ("[\\]a]x", "]x", true),
        ] {
            assert_eq!(matches(pattern, text), Ok(expected), "{pattern} {text}");
        }
        for bad in ["[", "[a", "[]", "a\\", "[a-", "[-a]"] {
            assert_eq!(matches(bad, "a"), Err(BadPattern), "{bad}");
        }
        // No pattern takes more than the product of the two lengths.
        assert_eq!(matches(&"a*".repeat(2000), &"a".repeat(5000)), Ok(true));
        assert_eq!(matches(&("a*".repeat(2000) + "b"), &"a".repeat(5000)), Ok(false));
    }
}
