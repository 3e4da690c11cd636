//! What the tests' own sources type: string literals in their places, so that a test can ask what other tests try.
//!
//! It reads Rust well enough for how tests are written: command lines are lists of literals, given to `mini([…])`, `spawn`,
//! `start`, `args` or a function of the test's own.

/// A string literal, and the lists that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its text, with escapes as they are written.
    pub text: String,
    /// Literals before it in the same list, nearest list first, outwards to the end of the statement; the last is what the
    /// statement says before any list.
    pub before: Vec<Vec<String>>,
    /// Names of functions and methods that the statement has called so far: `mini`, `start`.
    pub called: Vec<String>,
}

/// All literals of a source file.
pub fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    // A list for every bracket that is open; the first is the statement's.
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut called: Vec<String> = Vec::new();
    let mut name = String::new();
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let letter = rest.chars().next().expect("not at the end");
        let mut width = letter.len_utf8();
        match letter {
            '"' => {
                let (text, length) = string(&source[..at], rest);
                found.push(Literal {
                    text: text.to_owned(),
                    before: open.iter().rev().cloned().collect(),
                    called: called.clone(),
                });
                open.last_mut().expect("the statement's is always there").push(text.to_owned());
                width = length;
            }
            // A character, and no lifetime.
            '\'' => width = character(rest).unwrap_or(1),
            '[' => open.push(Vec::new()),
            '(' => called.push(std::mem::take(&mut name)),
            ']' if open.len() > 1 => {
                let inside = open.pop().expect("two lists at least");
                open.last_mut().expect("the statement's is always there").extend(inside);
            }
            ';' | '{' | '}' => {
                open = vec![Vec::new()];
                called.clear();
            }
            _ => {}
        }
        if letter.is_alphanumeric() || letter == '_' {
            name.push(letter);
        } else {
            name.clear();
        }
        at += width;
    }
    found
}

/// The text of a literal and its length with quotes; `before` tells a raw one.
fn string<'a>(before: &str, source: &'a str) -> (&'a str, usize) {
    let bare = before.trim_end_matches('#');
    let end = format!("\"{}", &before[bare.len()..]);
    if bare.ends_with('r') {
        let length = source[1..].find(&end).map_or(source.len() - 1, |at| at);
        return (&source[1..=length], (length + 1 + end.len()).min(source.len()));
    }
    let mut escaped = false;
    for (at, letter) in source.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return (&source[1..at], at + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (&source[1..], source.len())
}

/// The length of a character in quotes.
fn character(source: &str) -> Option<usize> {
    let inside = source[1..].strip_prefix('\\').map_or(&source[1..], |escaped| &escaped[1..]);
    let close = inside.find('\'')?;
    let end = source.len() - inside.len() + close + 1;
    (end <= 12 && inside[..close].chars().count() <= 1).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, source: &str) -> Literal {
        literals(source).into_iter().find(|literal| literal.text == text).expect("it is there")
    }

    #[test]
    fn literals_know_what_stands_before_them() {
        let source = r#"
            fn test() {
                let c = '"'; // "not this"
                host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh"]).run().error(125, &["text"]);
                for flag in [("--x", "1")] { host.start(["-m", "64m", "busybox"]); }
            }
        "#;
        assert_eq!(of("--rm", source).before, [vec!["run".to_owned()], vec![]]);
        assert_eq!(of("sh", source).before[0], ["busybox"]);
        assert_eq!(of("sh", source).before[1], ["run", "--rm"]);
        assert_eq!(of("text", source).called, ["mini", "args", "args", "run", "error"]);
        assert_eq!(of("-m", source).called, ["start"]);
        let raw = "f(r\"a\\\", r#\"b\"c\"#, \"d\")";
        assert_eq!(
            literals(raw).into_iter().map(|literal| literal.text).collect::<Vec<_>>(),
            ["a\\", "b\"c", "d"]
        );
        assert!(literals(source).iter().all(|literal| literal.text != "not this"));
    }
}
