//! Words that somebody may have meant. PURE.

/// Those among `names` that are as near to `word` as any, and near enough; at most three, in the order of `names`.
///
/// Near is a third of the word's letters, at least one, that are wrong, missing, too many or exchanged with their neighbour; a
/// beginning of three letters is as near as one wrong letter.
pub(super) fn near<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let mut nearest = most;
    let mut found: Vec<&str> = Vec::new();
    for name in names {
        let begins = word.len() >= 3 && name.starts_with(word);
        let far = if begins { 1 } else { distance(word, name) };
        if far < nearest {
            found.clear();
        }
        if far <= nearest && !found.contains(&name) {
            nearest = far;
            found.push(name);
        }
    }
    found.truncate(3);
    found
}

/// Optimal string alignment: letters to change, add, leave out, or exchange with the next.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_is_meant_and_what_is_far_is_not() {
        let names = ["run", "ps", "rm", "start", "stats", "stop", "container", "images", "image"];
        for (word, meant) in [
            ("contianer", vec!["container"]),
            ("stat", vec!["start", "stats"]),
            ("sotp", vec!["stop"]),
            ("conta", vec!["container"]),
            ("imges", vec!["images"]),
            ("rn", vec!["run", "rm"]),
            ("xyzzy", vec![]),
            ("", vec![]),
            ("한국", vec![]),
        ] {
            assert_eq!(near(word, names), meant, "{word}");
        }
    }
}
