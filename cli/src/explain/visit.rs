//! The fields of an event, as the libraries emit them.

use std::fmt::Debug;

use tracing::field::{Field, Visit};

/// All fields that any event has; the others stay empty.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) role: String,
    pub(crate) why: String,
    pub(crate) call: String,
    pub(crate) shell: String,
    pub(crate) path: String,
    pub(crate) micros: u64,
    pub(crate) errno: i64,
    pub(crate) skippable: bool,
}

impl Fields {
    fn place(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "role" => Some(&mut self.role),
            "why" => Some(&mut self.why),
            "call" => Some(&mut self.call),
            "shell" => Some(&mut self.shell),
            "path" => Some(&mut self.path),
            _ => None,
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(place) = self.place(field.name()) {
            value.clone_into(place);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "micros" {
            self.micros = value;
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "errno" {
            self.errno = value;
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "skippable" {
            self.skippable = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let Some(place) = self.place(field.name()) {
            *place = format!("{value:?}");
        }
    }
}
