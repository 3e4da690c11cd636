//! A template's text cut into tokens: text as it is, and what stands between `{{` and `}}`. PURE.

use serde_json::{Number, Value as Json};

use super::TemplateError;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it begins and ends in the template, bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Nothing is between it and the token before: `.A.B`, not `.A .B`.
    pub(super) glued: bool,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Outside of all actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.`
    Dot,
    /// `.Name`
    Field(String),
    /// `$name`; `$` alone has no name.
    Variable(String),
    /// A function or a keyword.
    Word(String),
    /// A number, a string, a character.
    Literal(Json),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    Pipe,
    LeftParen,
    RightParen,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Cuts a template up.
///
/// # Errors
/// Something that begins and does not end, or that is nothing.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    // White space that the action before wants away.
    let mut trims = false;
    while lexer.at < source.len() {
        let rest = &source[lexer.at..];
        let end = rest.find(OPEN).map_or(source.len(), |found| lexer.at + found);
        let mut text = &source[lexer.at..end];
        if trims {
            text = text.trim_start_matches(is_space);
        }
        let action = source.get(end..).unwrap_or_default();
        let opens_trimming = action.strip_prefix(OPEN).is_some_and(trims_left);
        if opens_trimming {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            lexer.push(Kind::Text(text.to_owned()), end);
        }
        lexer.at = end;
        if action.is_empty() {
            break;
        }
        trims = lexer.action(opens_trimming)?;
    }
    Ok(lexer.tokens)
}

/// `{{- `: what follows the braces.
fn trims_left(action: &str) -> bool {
    action.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn error(&self, what: impl Into<String>) -> TemplateError {
        TemplateError::parse(self.source, self.at, what)
    }

    /// A token from here to `end`.
    fn push(&mut self, kind: Kind, end: usize) {
        let glued = self.tokens.last().is_some_and(|last| last.end == self.at);
        self.tokens.push(Token { kind, start: self.at, end, glued });
        self.at = end;
    }

    /// From `{{` behind `}}`; whether white space after it is to go.
    fn action(&mut self, trims: bool) -> Result<bool, TemplateError> {
        let comment = if trims { self.at + OPEN.len() + 2 } else { self.at + OPEN.len() };
        if self.source.get(comment..).is_some_and(|rest| rest.starts_with("/*")) {
            return self.comment(comment);
        }
        self.push(Kind::Open, self.at + OPEN.len());
        if trims {
            self.at += 1;
        }
        loop {
            let spaces = self.rest().len() - self.rest().trim_start_matches(is_space).len();
            self.at += spaces;
            let rest = self.rest();
            if spaces > 0 && rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(CLOSE)) {
                self.at += 1;
                self.push(Kind::Close, self.at + CLOSE.len());
                return Ok(true);
            }
            if rest.starts_with(CLOSE) {
                self.push(Kind::Close, self.at + CLOSE.len());
                return Ok(false);
            }
            self.token()?;
        }
    }

    fn comment(&mut self, start: usize) -> Result<bool, TemplateError> {
        let Some(end) = self.source[start..].find("*/") else { return Err(self.error("unclosed comment")) };
        let behind = &self.source[start + end + 2..];
        let trimmed = behind.trim_start_matches(is_space);
        let trims = trimmed.len() < behind.len() && trimmed.starts_with("-}}");
        let close = if trims { trimmed.strip_prefix('-') } else { Some(behind) };
        match close.and_then(|close| close.strip_prefix(CLOSE)) {
            Some(rest) => {
                self.at = self.source.len() - rest.len();
                Ok(trims)
            }
            None => Err(self.error("comment ends before closing delimiter")),
        }
    }

    fn token(&mut self) -> Result<(), TemplateError> {
        let mut letters = self.rest().chars();
        let Some(first) = letters.next() else { return Err(self.error("unclosed action")) };
        let second = letters.next();
        let one = self.at + first.len_utf8();
        match first {
            '(' => self.push(Kind::LeftParen, one),
            ')' => self.push(Kind::RightParen, one),
            '|' => self.push(Kind::Pipe, one),
            ',' => self.push(Kind::Comma, one),
            '=' => self.push(Kind::Assign, one),
            ':' if second == Some('=') => self.push(Kind::Declare, one + 1),
            ':' => return Err(self.error("expected :=")),
            '"' => return self.quoted(),
            '`' => return self.raw(),
            '\'' => return self.character(),
            '.' if !second.is_some_and(|letter| letter.is_ascii_digit()) => {
                let end = self.word_end(one);
                let name = self.source[one..end].to_owned();
                self.push(if name.is_empty() { Kind::Dot } else { Kind::Field(name) }, end);
            }
            '$' => {
                let end = self.word_end(one);
                self.push(Kind::Variable(self.source[one..end].to_owned()), end);
            }
            '.' | '+' | '-' | '0'..='9' => return self.number(),
            _ if is_word(first) => {
                let end = self.word_end(self.at);
                self.push(Kind::Word(self.source[self.at..end].to_owned()), end);
            }
            '}' | '{' => {
                return Err(self.error(format!("bad character U+{:04X} '{first}'", u32::from(first))));
            }
            other => return Err(self.error(format!("unexpected {other:?} in command").replace('\'', "\""))),
        }
        Ok(())
    }

    fn word_end(&self, start: usize) -> usize {
        let rest = &self.source[start..];
        start + rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
    }

    fn quoted(&mut self) -> Result<(), TemplateError> {
        let unterminated = || self.error("unterminated quoted string");
        let mut length = 1;
        loop {
            match self.rest().as_bytes().get(length) {
                None | Some(b'\n') => return Err(unterminated()),
                Some(b'"') => break,
                // Whatever is escaped does not end it.
                Some(b'\\') => length += 2,
                Some(_) => length += 1,
            }
        }
        let inner = self.source.get(self.at + 1..self.at + length).ok_or_else(unterminated)?;
        let text = unescape(inner, '"').ok_or_else(|| self.error("invalid syntax in a quoted string"))?;
        self.push(Kind::Literal(Json::String(text)), self.at + length + 1);
        Ok(())
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        let Some(end) = self.rest()[1..].find('`') else {
            return Err(self.error("unterminated raw quoted string"));
        };
        let text = self.rest()[1..=end].to_owned();
        self.push(Kind::Literal(Json::String(text)), self.at + end + 2);
        Ok(())
    }

    /// `'a'` is its number, as in Go.
    fn character(&mut self) -> Result<(), TemplateError> {
        let rest = &self.rest()[1..];
        let escaped = rest.starts_with('\\');
        let end = rest.char_indices().skip(usize::from(escaped) + 1).find(|(_, letter)| *letter == '\'');
        let Some((end, _)) = end else { return Err(self.error("unterminated character constant")) };
        let text = unescape(&rest[..end], '\'').unwrap_or_default();
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => {
                self.push(Kind::Literal(u32::from(letter).into()), self.at + end + 2);
                Ok(())
            }
            _ => Err(self.error(format!("malformed character constant: '{}'", &rest[..end]))),
        }
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let mut before = ' ';
        let more = |letter: char, before: char| {
            is_word(letter)
                || letter == '.'
                || (matches!(letter, '+' | '-') && matches!(before, ' ' | 'e' | 'E'))
        };
        let end = rest.find(|letter| {
            let ends = !more(letter, before);
            before = letter;
            ends
        });
        let text = &rest[..end.unwrap_or(rest.len())];
        let number = number(text).map_err(|what| self.error(what))?;
        self.push(Kind::Literal(Json::Number(number)), self.at + text.len());
        Ok(())
    }
}

/// A number as Go writes it, but for imaginary ones.
fn number(text: &str) -> Result<Number, String> {
    let bad = || format!("bad number syntax: {text:?}");
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            (8, &*lower)
        }
        _ => (10, &*lower),
    };
    let whole = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    if whole {
        let value = i128::from_str_radix(digits, radix).map(|value| if negative { -value } else { value });
        let overflow = || format!("integer overflow: {text:?}");
        return value.ok().and_then(Number::from_i128).ok_or_else(overflow);
    }
    let fraction = radix == 10 && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value: f64 = if fraction { digits.parse().map_err(|_| bad())? } else { return Err(bad()) };
    Number::from_f64(if negative { -value } else { value }).ok_or_else(bad)
}

/// What stands between quotes, as Go reads it; `None` where that is nothing.
fn unescape(text: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    let letter_of = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escape = letters.next()?;
        let mut digits = |count: usize| -> Option<String> {
            let digits: String = letters.by_ref().take(count).collect();
            (digits.len() == count).then_some(digits)
        };
        let letter = match escape {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            escape if escape == quote => quote,
            'u' => letter_of(&digits(4)?, 16)?,
            'U' => letter_of(&digits(8)?, 16)?,
            'x' => {
                bytes.push(u8::from_str_radix(&digits(2)?, 16).ok()?);
                continue;
            }
            '0'..='7' => {
                bytes.push(u8::from_str_radix(&format!("{escape}{}", digits(2)?), 8).ok()?);
                continue;
            }
            _ => return None,
        };
        bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        tokens(source).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn literals_are_gos() {
        for (text, expected) in [
            ("\"a\\tb\\x41\\101\\u00e9\\\"\"", json!("a\tbAA\u{e9}\"")),
            ("`raw\\t`", json!("raw\\t")),
            ("'a'", json!(97)),
            ("'\\n'", json!(10)),
            ("'\\''", json!(39)),
            ("1_000", json!(1000)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("0o17", json!(15)),
            ("017", json!(15)),
            ("-3", json!(-3)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("1e3", json!(1000.0)),
            ("1.5e-3", json!(0.0015)),
        ] {
            let found = kinds(&format!("{{{{{text}}}}}"));
            assert_eq!(found, [Kind::Open, Kind::Literal(expected), Kind::Close], "{text}");
        }
    }

    #[test]
    fn white_space_goes_where_a_marker_says_so() {
        let text = |source: &str| -> Vec<String> {
            let text = |kind| if let Kind::Text(text) = kind { Some(text) } else { None };
            kinds(source).into_iter().filter_map(text).collect()
        };
        for (source, expected) in [
            ("a {{.X}} b", &["a ", " b"][..]),
            ("a {{- .X -}} \n b", &["a", "b"]),
            ("a {{-3}} b", &["a ", " b"]),
            ("a {{/* x */}} b", &["a ", " b"]),
            ("a {{- /* x */ -}} b", &["a", "b"]),
            ("a}}b", &["a}}b"]),
        ] {
            assert_eq!(text(source), expected, "{source}");
        }
    }
}
