//! `print`, `println`, `printf`: Go's verbs, flags and complaints (package fmt). PURE.

use serde_json::Value as Json;

use super::value::{self, Value};

/// Wider than any terminal; what Rust formats at most.
const WIDTH_MAX: usize = u16::MAX as usize;

/// One after the other; a space between two that are both no text.
pub(super) fn print(args: &[Value<'_>]) -> String {
    let mut text = String::new();
    let mut before_is_text = true;
    for (index, arg) in args.iter().enumerate() {
        let is_text = arg.as_str().is_some();
        if index > 0 && !is_text && !before_is_text {
            text.push(' ');
        }
        text += &plain(arg);
        before_is_text = is_text;
    }
    text
}

/// One after the other, a space between, and the line ended.
pub(super) fn println(args: &[Value<'_>]) -> String {
    args.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n"
}

/// What is nil is `<nil>` here, not `<no value>`.
fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Nothing(_) if value.type_name() == "nil" => "<nil>".to_owned(),
        value => value.text(),
    }
}

/// What stands between `%` and its verb.
#[derive(Debug, Clone, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    space: bool,
    sharp: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf`.
pub(super) fn printf(format: &str, args: &[Value<'_>]) -> String {
    let mut out = String::with_capacity(format.len());
    let mut letters = format.chars().peekable();
    let mut next = 0;
    let mut reordered = false;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = letters.next_if(|letter| "-+ #0".contains(*letter)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                ' ' => spec.space = true,
                '#' => spec.sharp = true,
                _ => spec.zero = true,
            }
        }
        reordered |= place(&mut letters, &mut next);
        spec.width = if letters.next_if_eq(&'*').is_some() {
            let width = star(args, &mut next, &mut out);
            spec.minus |= width.is_some_and(|width| width < 0);
            width.and_then(|width| usize::try_from(width.unsigned_abs()).ok())
        } else {
            count(&mut letters)
        };
        if letters.next_if_eq(&'.').is_some() {
            reordered |= place(&mut letters, &mut next);
            spec.precision = if letters.next_if_eq(&'*').is_some() {
                star(args, &mut next, &mut out).and_then(|precision| usize::try_from(precision).ok())
            } else {
                Some(count(&mut letters).unwrap_or(0))
            };
        }
        reordered |= place(&mut letters, &mut next);
        match letters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.get(next) {
                None => out += &format!("%!{verb}(MISSING)"),
                Some(arg) => {
                    out += &spec.formatted(arg, verb);
                    next += 1;
                }
            },
        }
    }
    if !reordered && next < args.len() {
        let extra = args[next..].iter().map(|arg| format!("{}={}", arg.type_name(), plain(arg)));
        out += &format!("%!(EXTRA {})", extra.collect::<Vec<_>>().join(", "));
    }
    out
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `[2]`: which argument is the next.
fn place(letters: &mut Letters<'_>, next: &mut usize) -> bool {
    if letters.next_if_eq(&'[').is_none() {
        return false;
    }
    let place = count(letters).and_then(|place| place.checked_sub(1));
    letters.next_if_eq(&']');
    *next = place.unwrap_or(usize::MAX);
    true
}

fn count(letters: &mut Letters<'_>) -> Option<usize> {
    let mut count: Option<usize> = None;
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        let digit = digit.to_digit(10).unwrap_or(0) as usize;
        count = Some((count.unwrap_or(0) * 10 + digit).min(WIDTH_MAX));
    }
    count
}

/// `*`: a width that is an argument.
fn star(args: &[Value<'_>], next: &mut usize, out: &mut String) -> Option<i64> {
    let width = args.get(*next).and_then(Value::as_int);
    *next += 1;
    let known = width.filter(|width| width.unsigned_abs() <= WIDTH_MAX as u64);
    if known.is_none() {
        out.push_str("%!(BADWIDTH)");
    }
    known
}

impl Spec {
    fn formatted(&self, arg: &Value<'_>, verb: char) -> String {
        if verb == 'T' {
            return self.padded(arg.type_name());
        }
        // Each of a list by itself, as Go does.
        if let (Value::Json(json), false) = (arg, verb == 'v')
            && let Json::Array(list) = json.as_ref()
        {
            let each = list.iter().map(|one| self.formatted(&Value::from(one), verb));
            return format!("[{}]", each.collect::<Vec<_>>().join(" "));
        }
        if let Some(text) = arg.as_str() {
            return self.of_text(text, verb);
        }
        if let Value::Json(json) = arg {
            match json.as_ref() {
                Json::Number(number) if number.is_f64() => {
                    return self.of_float(number.as_f64().unwrap_or(0.0), verb);
                }
                Json::Number(number) => return self.of_int(number.as_i128().unwrap_or(0), verb),
                Json::Bool(truth) if matches!(verb, 't' | 'v') => return self.padded(&truth.to_string()),
                Json::Bool(_) => return bad(arg, verb),
                _ => {}
            }
        }
        match (verb, arg.type_name()) {
            ('v', _) => self.padded(&plain(arg)),
            (verb, "nil") => format!("%!{verb}(<nil>)"),
            ('s' | 'd', _) => self.padded(&plain(arg)),
            _ => bad(arg, verb),
        }
    }

    fn of_text(&self, text: &str, verb: char) -> String {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        match verb {
            's' | 'v' => self.padded(&cut),
            'q' => self.padded(&quoted(&cut)),
            'x' => self.padded(&text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
            'X' => self.padded(&text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>()),
            verb => format!("%!{verb}(string={text})"),
        }
    }

    fn of_int(&self, number: i128, verb: char) -> String {
        let size = number.unsigned_abs();
        let letter =
            || u32::try_from(size).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let digits = match verb {
            'd' | 'v' => size.to_string(),
            'b' => format!("{size:b}"),
            'o' if self.sharp => format!("0{size:o}"),
            'o' => format!("{size:o}"),
            'O' => format!("0o{size:o}"),
            'x' if self.sharp => format!("0x{size:x}"),
            'x' => format!("{size:x}"),
            'X' if self.sharp => format!("0X{size:X}"),
            'X' => format!("{size:X}"),
            'c' => return self.padded(&letter().to_string()),
            'q' => return self.padded(&format!("{:?}", letter())),
            'U' => return self.padded(&format!("U+{size:04X}")),
            verb => return format!("%!{verb}(int={number})"),
        };
        let digits = format!("{digits:0>least$}", least = self.precision.unwrap_or(0));
        self.signed(number < 0, &digits)
    }

    fn of_float(&self, number: f64, verb: char) -> String {
        let size = number.abs();
        let digits = match (verb, self.precision) {
            ('f' | 'F', precision) => format!("{size:.precision$}", precision = precision.unwrap_or(6)),
            ('e' | 'E', precision) => {
                let text = format!("{size:.precision$e}", precision = precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let text = value::with_exponent(digits, exponent.parse().unwrap_or(0));
                if verb == 'E' { text.to_uppercase() } else { text }
            }
            ('g' | 'G' | 'v', None) => value::float_text(size),
            ('g' | 'G' | 'v', Some(precision)) => significant(size, precision.max(1)),
            (verb, _) => return format!("%!{verb}(float64={})", value::float_text(number)),
        };
        self.signed(number.is_sign_negative(), &digits)
    }

    /// A number with its sign; zeros go between the two.
    fn signed(&self, negative: bool, digits: &str) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        if self.zero && !self.minus {
            let width = self.width.unwrap_or(0).saturating_sub(sign.len());
            return format!("{sign}{digits:0>width$}");
        }
        self.padded(&format!("{sign}{digits}"))
    }

    fn padded(&self, text: &str) -> String {
        let width = self.width.unwrap_or(0);
        if self.minus { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

/// `%.3g`: so many digits, none of them a zero at the end.
fn significant(size: f64, precision: usize) -> String {
    let text = format!("{size:.least$e}", least = precision - 1);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || i64::from(exponent) >= precision as i64 {
        return value::with_exponent(&short(digits), exponent);
    }
    let decimals = usize::try_from(precision as i64 - 1 - i64::from(exponent)).unwrap_or(0);
    short(&format!("{size:.decimals$}"))
}

fn bad(arg: &Value<'_>, verb: char) -> String {
    format!("%!{verb}({}={})", arg.type_name(), plain(arg))
}

/// As Go quotes a text (strconv.Quote): letters that can be printed stay as they are.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\0'..='\u{1f}' | '\u{7f}' => quoted += &format!("\\x{:02x}", u32::from(letter)),
            // What Rust would escape cannot be printed either.
            letter if letter != '\'' && letter.escape_debug().count() > 1 => {
                let number = u32::from(letter);
                quoted +=
                    &if number < 0x10000 { format!("\\u{number:04x}") } else { format!("\\U{number:08x}") };
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
