//! Words of a line of a Dockerfile: split, unquoted, variables put in. PURE.
//!
//! The rules are docker's, which are a shell's but for what a shell executes: `'…'` as it is, `"…"` with variables, `\` before a
//! character, `$NAME`, `${NAME}`, `${NAME:-WORD}`, `${NAME:+WORD}`.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Result, bail};

/// What a variable holds, if there is one of that name.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Words apart by white space outside of quotes; quotes and backslashes stay.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, None) if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            // In single quotes a backslash is one.
            ('\\', None | Some('"')) => {
                word.push(letter);
                word.extend(letters.next());
                continue;
            }
            _ => {}
        }
        word.push(letter);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word without its quotes, its variables put in.
///
/// # Errors
/// A quote or a brace that does not end; a modifier that there is not.
pub(super) fn expand(word: &str, variables: Variables<'_>) -> Result<String> {
    let mut letters = word.chars().peekable();
    let expanded = until(&mut letters, None, variables)?;
    Ok(expanded)
}

/// Up to `end`, which is taken too; to the end of the word where there is none.
fn until(letters: &mut Peekable<Chars<'_>>, end: Option<char>, variables: Variables<'_>) -> Result<String> {
    let mut out = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            letter if Some(letter) == end => return Ok(out),
            '\'' => loop {
                match letters.next() {
                    Some('\'') => break,
                    Some(letter) => out.push(letter),
                    None => bail!("unexpected end of statement while looking for matching single-quote"),
                }
            },
            '"' => out += &double_quoted(letters, variables)?,
            '$' => out += &variable(letters, variables)?,
            // One at the very end stands for nothing.
            '\\' => out.extend(letters.next()),
            letter => out.push(letter),
        }
    }
    match end {
        None => Ok(out),
        Some(end) => bail!("unexpected end of statement while looking for {end:?}"),
    }
}

fn double_quoted(letters: &mut Peekable<Chars<'_>>, variables: Variables<'_>) -> Result<String> {
    let mut out = String::new();
    loop {
        match letters.next() {
            Some('"') => return Ok(out),
            Some('$') => out += &variable(letters, variables)?,
            Some('\\') => match letters.next() {
                Some(letter @ ('"' | '$' | '\\')) => out.push(letter),
                Some(letter) => out.extend(['\\', letter]),
                None => bail!("unexpected end of statement while looking for matching double-quote"),
            },
            Some(letter) => out.push(letter),
            None => bail!("unexpected end of statement while looking for matching double-quote"),
        }
    }
}

/// What follows a dollar sign.
fn variable(letters: &mut Peekable<Chars<'_>>, variables: Variables<'_>) -> Result<String> {
    let value = |name: &str| variables(name).unwrap_or_default();
    if letters.next_if_eq(&'{').is_none() {
        let name = name(letters);
        return Ok(if name.is_empty() { "$".to_owned() } else { value(&name) });
    }
    let name = name(letters);
    match letters.next() {
        Some('}') if !name.is_empty() => Ok(value(&name)),
        Some(':') => {
            let modifier = letters.next();
            let word = until(letters, Some('}'), variables)?;
            let now = value(&name);
            match modifier {
                Some('-') => Ok(if now.is_empty() { word } else { now }),
                Some('+') => Ok(if now.is_empty() { String::new() } else { word }),
                Some('?') if now.is_empty() => {
                    bail!("{name}: {}", if word.is_empty() { "is not allowed to be unset" } else { &word })
                }
                Some('?') => Ok(now),
                _ => bail!("unsupported modifier ({}) in substitution", modifier.unwrap_or(' ')),
            }
        }
        _ => bail!("bad substitution of {name:?}"),
    }
}

/// Letters, digits and underscores.
fn name(letters: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(letter) = letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
        name.push(letter);
        // `$1x` is the variable 1 and an x.
        if name.len() == 1 && letter.is_ascii_digit() {
            break;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_outside_of_quotes() {
        for (text, expected) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            (r#"a="b c" d"#, &[r#"a="b c""#, "d"]),
            (r"a=b\ c d", &[r"a=b\ c", "d"]),
            (r#"'a "b' c"#, &[r#"'a "b'"#, "c"]),
            (r#""a \" b" c"#, &[r#""a \" b""#, "c"]),
            (r"'a\' b", &[r"'a\'", "b"]),
            ("", &[]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn words_lose_their_quotes_and_get_their_variables() {
        let variables = |name: &str| match name {
            "A" => Some("a b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (word, expected) in [
            ("plain", Some("plain")),
            (r#""x $A""#, Some("x a b")),
            ("'x $A'", Some("x $A")),
            ("${A}c", Some("a bc")),
            ("$Ac", Some("")),
            (r"\$A", Some("$A")),
            (r#""\$A \n \\""#, Some(r"$A \n \")),
            ("${B:-x$A}", Some("xa b")),
            ("${A:-x}", Some("a b")),
            ("${A:+yes}${B:+no}${EMPTY:+no}", Some("yes")),
            ("$", Some("$")),
            ("100$ ", Some("100$ ")),
            ("${A:?gone}", Some("a b")),
            ("${B:?gone}", None),
            ("${A", None),
            ("${A:*}", None),
            ("'x", None),
            (r#""x"#, None),
        ] {
            assert_eq!(expand(word, &variables).ok().as_deref(), expected, "{word}");
        }
    }
}
