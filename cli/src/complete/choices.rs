//! What can be said, read from what help says of it. PURE.
//!
//! A help text that ends with a colon and a list names every word that there is: `when to start it again by itself: no, always,
//! unless-stopped, on-failure, on-failure:MOST`. So completion knows what help knows, and no list is kept twice.

/// A word, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Ends with `:` or `=` where something follows.
    pub(super) word: String,
    /// What follows: `NAME`, `PATH`.
    pub(super) rest: Option<String>,
}

/// The words that a help text lists; none where it lists none.
pub(super) fn choices(help: &str) -> Vec<Choice> {
    let help = without_brackets(help);
    let Some((_, list)) = help.rsplit_once(": ") else { return Vec::new() };
    let list = list.split(';').next().unwrap_or_default().replace(", or ", ", ").replace(" or ", ", ");
    let mut choices = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match item_choices(item) {
            Some(found) => choices.extend(found),
            // Prose.
            None => return Vec::new(),
        }
    }
    choices.dedup();
    choices
}

/// Without `(packed)` and `[default: json-file]`.
fn without_brackets(help: &str) -> String {
    let mut depth = 0;
    let mut kept = String::new();
    for letter in help.chars() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            letter if depth == 0 => kept.push(letter),
            _ => {}
        }
    }
    kept
}

/// `host`, `container:NAME`, `seccomp=FILE|builtin`.
fn item_choices(item: &str) -> Option<Vec<Choice>> {
    let lower = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
    };
    let upper = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"_/:".contains(&byte))
    };
    let plain = |word: String| Choice { word, rest: None };
    let (word, rest) = match item.find([':', '=']) {
        None => return lower(item).then(|| vec![plain(item.to_owned())]),
        Some(at) => (&item[..=at], &item[at + 1..]),
    };
    if !lower(&word[..word.len() - 1]) {
        return None;
    }
    let of_rest = |rest: &str| match rest {
        "" | "…" => Some(plain(word.to_owned())),
        rest if upper(rest) => Some(Choice { word: word.to_owned(), rest: Some(rest.to_owned()) }),
        rest => lower(rest).then(|| plain(format!("{word}{rest}"))),
    };
    rest.split('|').map(of_rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_prose_is_not() {
        for (help, words) in [
            (
                "When to start it: no, always, on-failure, on-failure:MOST",
                "no always on-failure on-failure:MOST",
            ),
            (
                "How its output is kept: json-file, local (packed), or none [default: json-file]",
                "json-file local none",
            ),
            (
                "The network: bridge, none, host, container:NAME or ns:PATH",
                "bridge none host container:NAME ns:PATH",
            ),
            (
                "An option: seccomp=FILE|builtin, no-new-privileges, mask=",
                "seccomp=FILE seccomp=builtin no-new-privileges mask=",
            ),
            ("Stay with these streams alone: stdin, stdout, stderr", "stdin stdout stderr"),
            ("Time zone: local for the host's, or a name as Europe/Berlin", ""),
            ("Size of /dev/shm [default: 64m]", ""),
            ("Limit processors: 1.5 is one and a half", ""),
            ("Which are killed first: -1000 to 1000", ""),
            ("Allow devices: 'c 1:3 rwm', with * for any number", ""),
            ("Add a capability", ""),
        ] {
            let found: Vec<_> = choices(help)
                .into_iter()
                .map(|Choice { word, rest }| word + &rest.unwrap_or_default())
                .collect();
            assert_eq!(found.join(" "), words, "{help}");
        }
    }
}
