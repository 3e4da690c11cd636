//! What a template works with: JSON, as Go prints and compares it, and rows that compute what they are asked for. PURE.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value as Json};

use super::shape::{self, Nothing};

/// Something whose fields are computed when they are asked for.
pub(crate) trait Object {
    /// What it is, for messages: `container`.
    fn kind(&self) -> &'static str;
    /// A field; `None` where there is none of that name.
    fn field(&self, name: &str) -> Option<Json>;
    /// What a method answers to a text, `.Label "key"`; `None` where there is none of that name.
    fn call(&self, name: &str, argument: &str) -> Option<String>;
    /// All of it.
    fn json(&self) -> Json;
}

/// A value.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    Nothing(Nothing),
    /// A text, a number, a truth, a list; an object is a struct of Go's.
    Json(Cow<'a, Json>),
    /// An object whose keys are data.
    Map(Cow<'a, Map<String, Json>>),
    Object(&'a dyn Object),
}

impl<'a> From<Json> for Value<'a> {
    fn from(json: Json) -> Value<'a> {
        Value::Json(Cow::Owned(json))
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Value<'a> {
        Value::Json(Cow::Borrowed(json))
    }
}

impl<'a> From<String> for Value<'a> {
    fn from(text: String) -> Value<'a> {
        Json::String(text).into()
    }
}

impl<'a> Value<'a> {
    /// `.Name` of it.
    ///
    /// # Errors
    /// In Go's words, where there is no such field.
    pub(super) fn field(&self, name: &str) -> Result<Value<'a>, String> {
        match self {
            Value::Nothing(Nothing::Value | Nothing::Map) => Ok(Value::Nothing(Nothing::Value)),
            Value::Nothing(Nothing::Pointer) => Err(format!("nil pointer evaluating {name}")),
            Value::Map(map) => Ok(match map {
                Cow::Borrowed(map) => map.get(name).map(Value::from),
                Cow::Owned(map) => map.get(name).cloned().map(Value::from),
            }
            .unwrap_or(Value::Nothing(Nothing::Value))),
            Value::Object(object) => object
                .field(name)
                .map(Value::from)
                .ok_or_else(|| format!("can't evaluate field {name} in type {}", object.kind())),
            Value::Json(json) => match json.as_object() {
                Some(around) => {
                    let found = match json {
                        Cow::Borrowed(json) => json.get(name).map(Value::from),
                        Cow::Owned(json) => json.get(name).cloned().map(Value::from),
                    };
                    of_struct(found, name, around)
                }
                None => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
            },
            Value::Nothing(Nothing::List | Nothing::Text) => {
                Err(format!("can't evaluate field {name} in type {}", self.type_name()))
            }
        }
    }

    /// Whether `{{if}}` takes it for true.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Nothing(_) => false,
            Value::Object(_) => true,
            Value::Map(map) => !map.is_empty(),
            Value::Json(json) => match json.as_ref() {
                Json::Null => false,
                Json::Bool(truth) => *truth,
                Json::Number(number) => number.as_f64() != Some(0.0),
                Json::String(text) => !text.is_empty(),
                Json::Array(list) => !list.is_empty(),
                Json::Object(_) => true,
            },
        }
    }

    /// Go's name for what it is.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nothing(Nothing::Value | Nothing::Pointer) => "nil",
            Value::Nothing(Nothing::List) => "[]interface {}",
            Value::Nothing(Nothing::Text) => "string",
            Value::Nothing(Nothing::Map) | Value::Map(_) => "map[string]interface {}",
            Value::Object(object) => object.kind(),
            Value::Json(json) => type_name(json),
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> Json {
        match self {
            Value::Nothing(Nothing::Text) => Json::String(String::new()),
            Value::Nothing(_) => Json::Null,
            Value::Json(json) => json.as_ref().clone(),
            Value::Map(map) => Json::Object(map.as_ref().clone()),
            Value::Object(object) => object.json(),
        }
    }

    /// As `{{.}}` prints it, `%v`.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Nothing(Nothing::Value) => "<no value>".to_owned(),
            Value::Nothing(Nothing::Pointer) => "<nil>".to_owned(),
            Value::Nothing(Nothing::List) => "[]".to_owned(),
            Value::Nothing(Nothing::Map) => "map[]".to_owned(),
            Value::Nothing(Nothing::Text) => String::new(),
            Value::Json(json) => text(json),
            Value::Map(map) => map_text(map),
            Value::Object(object) => object.json().to_string(),
        }
    }

    /// The text that it is.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Nothing(Nothing::Text) => Some(""),
            Value::Json(json) => json.as_str(),
            _ => None,
        }
    }

    /// The whole number that it is.
    pub(super) fn as_int(&self) -> Option<i64> {
        if let Value::Json(json) = self { json.as_i64() } else { None }
    }

    /// How many there are in it.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Value::Nothing(Nothing::List | Nothing::Map | Nothing::Text) => Some(0),
            Value::Map(map) => Some(map.len()),
            Value::Json(json) => match json.as_ref() {
                Json::String(text) => Some(text.len()),
                Json::Array(list) => Some(list.len()),
                Json::Object(map) => Some(map.len()),
                _ => None,
            },
            Value::Nothing(_) | Value::Object(_) => None,
        }
    }

    /// Keys and values, in the order in which `{{range}}` goes through them; `None` where it cannot.
    pub(super) fn entries(&self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        fn keyed<'a>(
            map: &Map<String, Json>,
            value: impl Fn(&str) -> Value<'a>,
        ) -> Vec<(Value<'a>, Value<'a>)> {
            map.keys().map(|key| (Value::from(key.clone()), value(key))).collect()
        }
        let number = |index: usize| Value::from(Json::from(index));
        match self {
            Value::Nothing(Nothing::Text) | Value::Object(_) => None,
            Value::Nothing(_) => Some(Vec::new()),
            Value::Map(Cow::Borrowed(map)) => Some(keyed(map, |key| Value::from(&map[key]))),
            Value::Map(Cow::Owned(map)) => Some(keyed(map, |key| Value::from(map[key].clone()))),
            Value::Json(json) => match json {
                Cow::Borrowed(Json::Array(list)) => {
                    Some(list.iter().enumerate().map(|(index, one)| (number(index), one.into())).collect())
                }
                Cow::Owned(Json::Array(list)) => Some(
                    list.iter().enumerate().map(|(index, one)| (number(index), one.clone().into())).collect(),
                ),
                json => {
                    let most = json.as_i64().and_then(|most| usize::try_from(most).ok())?;
                    Some((0..most).map(|index| (number(index), number(index))).collect())
                }
            },
        }
    }

    /// One of a list, by its place, or of an object, by its key.
    ///
    /// # Errors
    /// In Go's words, where it is no such thing or has no such place.
    pub(super) fn index(&self, key: &Value<'a>) -> Result<Value<'a>, String> {
        let place = |length: usize| {
            let wrong = || format!("cannot index slice/array with type {}", key.type_name());
            let place = key.as_int().ok_or_else(wrong)?;
            let outside = || format!("index out of range: {place}");
            usize::try_from(place).ok().filter(|place| *place < length).ok_or_else(outside)
        };
        let name =
            || key.as_str().ok_or_else(|| format!("value has type {}; should be string", key.type_name()));
        match self {
            Value::Nothing(Nothing::Value | Nothing::Pointer) => Err("index of untyped nil".to_owned()),
            Value::Nothing(Nothing::List) => place(0).map(|_| Value::Nothing(Nothing::Value)),
            Value::Nothing(Nothing::Map) => name().map(|_| Value::Nothing(Nothing::Text)),
            Value::Map(map) => Ok(match self.field(name()?)? {
                // What its elements are where there is nothing in them: most maps have texts.
                Value::Nothing(Nothing::Value) if map.values().all(Json::is_string) => {
                    Value::Nothing(Nothing::Text)
                }
                value => value,
            }),
            Value::Json(json) => match json.as_ref() {
                Json::Null => Err("index of untyped nil".to_owned()),
                Json::Array(list) => {
                    let place = place(list.len())?;
                    Ok(match json {
                        Cow::Borrowed(json) => (&json[place]).into(),
                        Cow::Owned(json) => json[place].clone().into(),
                    })
                }
                Json::String(text) => {
                    place(text.len()).map(|place| Json::from(text.as_bytes()[place]).into())
                }
                Json::Object(_) => self.field(name()?),
                _ => Err(format!("can't index item of type {}", self.type_name())),
            },
            Value::Nothing(Nothing::Text) => place(0).map(|_| Value::Nothing(Nothing::Value)),
            Value::Object(_) => Err(format!("can't index item of type {}", self.type_name())),
        }
    }

    /// Whether two are the same, as `eq` has it.
    ///
    /// # Errors
    /// In Go's words, where they cannot be compared.
    pub(super) fn equals(&self, other: &Value<'a>) -> Result<bool, String> {
        let is_nil = |value: &Value<'_>| match value {
            Value::Nothing(nothing) => *nothing != Nothing::Text,
            Value::Json(json) => json.is_null(),
            _ => false,
        };
        if is_nil(self) || is_nil(other) {
            return Ok(is_nil(self) && is_nil(other));
        }
        match (basic(self), basic(other)) {
            (Some(one), Some(other)) => one.compare(&other).map(|order| order == Ordering::Equal),
            (None, _) => Err(format!("non-comparable type {}: {}", self.text(), self.type_name())),
            (_, None) => Err(format!("non-comparable type {}: {}", other.text(), other.type_name())),
        }
    }

    /// Which of two is less.
    ///
    /// # Errors
    /// In Go's words, where they have no order.
    pub(super) fn order(&self, other: &Value<'a>) -> Result<Ordering, String> {
        match (basic(self), basic(other)) {
            (Some(Basic::Truth(_)) | None, _) | (_, None) => Err("invalid type for comparison".to_owned()),
            (Some(one), Some(other)) => one.compare(&other),
        }
    }
}

/// A field of a struct, as Go's type has it.
fn of_struct<'a>(
    found: Option<Value<'a>>,
    name: &str,
    around: &Map<String, Json>,
) -> Result<Value<'a>, String> {
    let Some(value) = found else {
        let missing = || format!("map has no entry for key {name:?}");
        return shape::left_out(name).map(Value::Nothing).ok_or_else(missing);
    };
    Ok(match value {
        Value::Json(json) if json.is_null() => Value::Nothing(shape::of_null(name)),
        Value::Json(Cow::Borrowed(Json::Object(map))) if shape::is_map(name, around) => {
            Value::Map(Cow::Borrowed(map))
        }
        Value::Json(Cow::Owned(Json::Object(map))) if shape::is_map(name, around) => {
            Value::Map(Cow::Owned(map))
        }
        value => value,
    })
}

/// What can be compared.
enum Basic<'v> {
    Truth(bool),
    Int(i128),
    Float(f64),
    Text(&'v str),
}

fn basic<'v>(value: &'v Value<'_>) -> Option<Basic<'v>> {
    if let Some(text) = value.as_str() {
        return Some(Basic::Text(text));
    }
    let Value::Json(json) = value else { return None };
    match json.as_ref() {
        Json::Bool(truth) => Some(Basic::Truth(*truth)),
        Json::Number(number) => Some(
            number.as_i128().map_or_else(|| Basic::Float(number.as_f64().unwrap_or(f64::NAN)), Basic::Int),
        ),
        _ => None,
    }
}

impl Basic<'_> {
    fn compare(&self, other: &Basic<'_>) -> Result<Ordering, String> {
        match (self, other) {
            (Basic::Truth(one), Basic::Truth(other)) => Ok(one.cmp(other)),
            (Basic::Int(one), Basic::Int(other)) => Ok(one.cmp(other)),
            (Basic::Float(one), Basic::Float(other)) => Ok(one.total_cmp(other)),
            (Basic::Text(one), Basic::Text(other)) => Ok(one.cmp(other)),
            _ => Err("incompatible types for comparison".to_owned()),
        }
    }
}

pub(super) fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "nil",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float64",
        Json::Number(_) => "int",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number_text(number),
        Json::String(text) => text.clone(),
        Json::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(" ")),
        Json::Object(map) => map_text(map),
    }
}

fn map_text(map: &Map<String, Json>) -> String {
    let entries = map.iter().map(|(key, value)| format!("{key}:{}", text(value)));
    format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
}

/// `%v`: `1e+06` where Go's shortest form has an exponent.
pub(super) fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float_text(float),
        None => number.to_string(),
    }
}

/// `%g` with as many digits as the number has (strconv.FormatFloat with precision -1).
pub(super) fn float_text(float: f64) -> String {
    let short = format!("{float:e}");
    let Some((digits, exponent)) = short.split_once('e') else { return short };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => with_exponent(digits, exponent),
        _ => format!("{float}"),
    }
}

/// `1.5e+06`: at least two digits of exponent, with its sign.
pub(super) fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
