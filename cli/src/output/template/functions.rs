//! The functions that docker's templates have: Go's own, and those of docker/cli's `templates` package. PURE.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::printf;
use super::value::Value;

/// A function, and how many arguments it takes.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    least: usize,
    most: usize,
    /// Computes it.
    pub(super) run: for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, String>,
    /// In the heading of a table it leaves its first argument as it is: a heading is no list to join.
    pub(super) spares_headings: bool,
}

/// `and` and `or` are carried out by the evaluation itself: they may leave arguments alone.
static FUNCTIONS: [Function; 23] = [
    of("and", 1, usize::MAX, first),
    of("eq", 1, usize::MAX, |args| truth(equal_to_any(args)?)),
    of("ge", 2, 2, |args| truth(args[0].order(&args[1])? != Ordering::Less)),
    of("gt", 2, 2, |args| truth(args[0].order(&args[1])? == Ordering::Greater)),
    of("index", 1, usize::MAX, |args| {
        args[1..].iter().try_fold(args[0].clone(), |value, key| value.index(key))
    }),
    sparing("join", 2, 2, join),
    sparing("json", 1, 1, |args| Ok(args[0].json().to_string().into())),
    of("le", 2, 2, |args| truth(args[0].order(&args[1])? != Ordering::Greater)),
    of("len", 1, 1, length),
    sparing("lower", 1, 1, |args| Ok(text(&args[0])?.to_lowercase().into())),
    of("lt", 2, 2, |args| truth(args[0].order(&args[1])? == Ordering::Less)),
    of("ne", 2, 2, |args| truth(!args[0].equals(&args[1])?)),
    of("not", 1, 1, |args| truth(!args[0].truth())),
    of("or", 1, usize::MAX, first),
    of("pad", 3, 3, pad),
    of("print", 0, usize::MAX, |args| Ok(printf::print(args).into())),
    of("printf", 1, usize::MAX, |args| Ok(printf::printf(text(&args[0])?, &args[1..]).into())),
    of("println", 0, usize::MAX, |args| Ok(printf::println(args).into())),
    of("slice", 1, 3, slice),
    sparing("split", 2, 2, split),
    sparing("title", 1, 1, |args| Ok(title(text(&args[0])?).into())),
    sparing("truncate", 2, 2, truncate),
    sparing("upper", 1, 1, |args| Ok(text(&args[0])?.to_uppercase().into())),
];

/// Go's, for what this is not made for: HTML and functions in data.
const REFUSED: [&str; 4] = ["call", "html", "js", "urlquery"];

/// The longest text that `pad` adds: no terminal is wider.
const PAD_MAX: i64 = 1 << 16;

type Run = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, String>;

const fn of(name: &'static str, least: usize, most: usize, run: Run) -> Function {
    Function { name, least, most, run, spares_headings: false }
}

const fn sparing(name: &'static str, least: usize, most: usize, run: Run) -> Function {
    Function { name, least, most, run, spares_headings: true }
}

/// The function of a name.
///
/// # Errors
/// There is none.
pub(super) fn find(name: &str) -> Result<&'static Function, String> {
    if REFUSED.contains(&name) {
        return Err(format!("function {name:?} is not supported"));
    }
    let found = FUNCTIONS.iter().find(|function| function.name == name);
    found.ok_or_else(|| format!("function {name:?} not defined"))
}

impl Function {
    /// Whether it takes so many arguments.
    ///
    /// # Errors
    /// In Go's words, where not.
    pub(super) fn takes(&self, count: usize) -> Result<(), String> {
        if (self.least..=self.most).contains(&count) {
            return Ok(());
        }
        let least = if self.least == self.most { "" } else { "at least " };
        Err(format!("wrong number of args for {}: want {least}{} got {count}", self.name, self.least))
    }
}

fn truth<'a>(truth: bool) -> Result<Value<'a>, String> {
    Ok(Json::Bool(truth).into())
}

fn first<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    args.first().cloned().ok_or_else(|| "no argument".to_owned())
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("wrong type for value; expected string; got {}", value.type_name()))
}

fn number(value: &Value<'_>) -> Result<i64, String> {
    value.as_int().ok_or_else(|| format!("wrong type for value; expected int; got {}", value.type_name()))
}

fn equal_to_any(args: &[Value<'_>]) -> Result<bool, String> {
    let [first, others @ ..] = args else { return Ok(false) };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if first.equals(other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn length<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let length = args[0].length().ok_or_else(|| format!("len of type {}", args[0].type_name()))?;
    Ok(Json::from(length).into())
}

fn join<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let wrong = || format!("wrong type for value; expected []string; got {}", args[0].type_name());
    let entries = if args[0].as_str().is_some() { None } else { args[0].entries() };
    let words = entries.ok_or_else(wrong)?;
    let words: Result<Vec<_>, _> = words.iter().map(|(_, word)| text(word).map(str::to_owned)).collect();
    Ok(words?.join(text(&args[1])?).into())
}

fn split<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let (whole, separator) = (text(&args[0])?, text(&args[1])?);
    Ok(Json::from(match separator {
        // Rust's has an empty text at both ends.
        "" => whole.chars().map(String::from).collect::<Vec<_>>(),
        separator => whole.split(separator).map(str::to_owned).collect(),
    })
    .into())
}

/// Each word's first letter in capitals.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        let within = before.is_alphanumeric() || before == '_' || before == '\'';
        if within {
            titled.push(letter);
        } else {
            titled.extend(letter.to_uppercase());
        }
        before = letter;
    }
    titled
}

/// At most so many bytes; Go would cut a letter in two, this leaves it out.
fn truncate<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let (whole, most) = (text(&args[0])?, number(&args[1])?);
    let outside = || format!("slice bounds out of range: {most}");
    let most = usize::try_from(most).map_err(|_| outside())?;
    Ok(whole[..whole.floor_char_boundary(most)].to_owned().into())
}

/// Spaces before and behind a text that is not empty.
fn pad<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let whole = text(&args[0])?;
    let spaces = |value| {
        let count = number(value)?;
        let outside = || format!("{count} spaces: from 0 to {PAD_MAX}");
        let count =
            Some(count).filter(|count| *count <= PAD_MAX).and_then(|count| usize::try_from(count).ok());
        count.map(|count| " ".repeat(count)).ok_or_else(outside)
    };
    let (before, behind) = (spaces(&args[1])?, spaces(&args[2])?);
    Ok(if whole.is_empty() { String::new() } else { format!("{before}{whole}{behind}") }.into())
}

/// `slice x 1 2` is `x[1:2]`.
fn slice<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let length =
        args[0].length().ok_or_else(|| format!("can't slice item of type {}", args[0].type_name()))?;
    let place = |index: usize, default: usize| match args.get(index) {
        None => Ok(default),
        Some(value) => {
            let place = number(value)?;
            let outside = || format!("index out of range: {place}");
            usize::try_from(place).ok().filter(|place| *place <= length).ok_or_else(outside)
        }
    };
    let (from, to) = (place(1, 0)?, place(2, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match args[0].json() {
        Json::String(text) => text
            .get(from..to)
            .map(|part| part.to_owned().into())
            .ok_or_else(|| format!("index out of range: {from} cuts a letter in two")),
        Json::Array(list) => Ok(Json::from(&list[from..to]).into()),
        _ => Err(format!("can't slice item of type {}", args[0].type_name())),
    }
}
