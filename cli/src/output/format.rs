//! `--format`: how lists are printed, and single things.
//!
//! A list says what its rows are ([`Row`]: which columns there are, with docker's names and headings, and what stands in
//! each), which of them a plain table has, and is printed as it was asked for:
//!
//! ```text
//! #[command(flatten)] format: FormatArg                                in the command's Args
//! let format = Format::new::<VolumeRow>(args.format.asked(), &["Driver", "Name"])?;    before anything is looked at
//! output::print(format.text(&rows)?.as_bytes())
//! ```
//!
//! A column is computed when it is printed, so a row should keep what it would take to compute it, and no more. What is no
//! list, such as `version`, is one JSON value: see [`print_one`].

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json};

use super::table;
use super::template::{Object, Template, TemplateError, Value};
use crate::exit_code::ExitCode;

/// `--format` of a list.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct FormatArg {
    /// A table, 'table TEMPLATE', json for an object a line, or a TEMPLATE such as '{{.ID}}'
    #[arg(long, value_name = "FORM")]
    format: Option<String>,
}

impl FormatArg {
    /// What was asked for, if anything was.
    pub(crate) fn asked(&self) -> Option<&str> {
        self.format.as_deref().filter(|form| !form.is_empty())
    }
}

/// What a list has one of in each line.
pub(crate) trait Row {
    /// What it is, for messages: `container`.
    const KIND: &'static str;
    /// docker's placeholders, each with the heading of its column, by name.
    const COLUMNS: &'static [(&'static str, &'static str)];

    /// What stands in a column; `None` where there is none of that name.
    fn column(&self, name: &str) -> Option<Json>;

    /// The same in JSON, where it is not the same.
    fn in_json(&self, name: &str) -> Option<Json> {
        self.column(name)
    }

    /// `.Label "key"`; `None` where such rows have no labels.
    fn label(&self, _key: &str) -> Option<String> {
        None
    }
}

/// How a list is printed.
#[derive(Debug, Clone)]
pub(crate) struct Format(Form);

#[derive(Debug, Clone)]
enum Form {
    /// These columns under their headings.
    Columns(Vec<&'static str>),
    /// One column, without a heading.
    Column(&'static str),
    /// What a template makes of the headings and of each row, lined up.
    Table(Template),
    /// What a template makes of each row.
    Lines(Template),
    /// An object a line.
    Json,
}

/// A template asks for a column that there is not.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct UnknownColumn {
    error: TemplateError,
    /// Those that there are.
    pub(crate) known: String,
}

impl Format {
    /// Understands what was asked for; `columns` are those of the plain table.
    ///
    /// # Errors
    /// A template that makes no sense, or that asks for a column that there is not.
    pub(crate) fn new<R: Row>(asked: Option<&str>, columns: &[&'static str]) -> Result<Format> {
        Ok(Format(match asked.map(|form| (form, form.strip_prefix("table"))) {
            None => Form::Columns(columns.to_vec()),
            Some((_, Some(template))) if template.trim().is_empty() => Form::Columns(columns.to_vec()),
            Some(("json", _)) => Form::Json,
            Some((_, Some(template))) => Form::Table(template_of::<R>(template)?),
            Some((template, None)) => Form::Lines(template_of::<R>(template)?),
        }))
    }

    /// One column alone, as `-q` prints ids.
    pub(crate) fn only(column: &'static str) -> Format {
        Format(Form::Column(column))
    }

    /// Whether it is a table, for what clears the screen before it prints one.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.0, Form::Columns(_) | Form::Table(_))
    }

    /// Whether a column is asked for by its name.
    pub(crate) fn asks_for(&self, column: &str) -> bool {
        match &self.0 {
            Form::Columns(columns) => columns.contains(&column),
            Form::Column(only) => *only == column,
            Form::Table(template) | Form::Lines(template) => {
                template.columns().iter().any(|asked| asked.name == column)
            }
            Form::Json => false,
        }
    }

    /// The rows, printed, each line ended.
    ///
    /// # Errors
    /// Where the template does not fit what stands in a column.
    pub(crate) fn text<R: Row>(&self, rows: &[R]) -> Result<String> {
        Ok(match &self.0 {
            Form::Column(only) => rows.iter().map(|row| cell(row, only) + "\n").collect(),
            Form::Columns(columns) => {
                let headings: Vec<&str> = columns.iter().map(|name| heading::<R>(name)).collect();
                let cells: Vec<Vec<String>> =
                    rows.iter().map(|row| columns.iter().map(|name| cell(row, name)).collect()).collect();
                table::table(&headings, &cells)
            }
            Form::Table(template) => {
                let headings = template.heading(&Headings(R::COLUMNS));
                table::aligned(&format!("{headings}\n{}", lines(template, rows)?))
            }
            Form::Lines(template) => lines(template, rows)?,
            Form::Json => rows.iter().map(|row| Fields(row).json().to_string() + "\n").collect(),
        })
    }
}

/// A thing that is no list, printed by a template or as one line of JSON. The code is docker's where the template makes no sense.
///
/// # Errors
/// The template does not fit the thing.
pub(crate) fn print_one(form: &str, value: &Json) -> Result<ExitCode> {
    match OneFormat::new(form) {
        Ok(format) => {
            super::print(format.text(value)?.as_bytes())?;
            Ok(ExitCode::Success)
        }
        Err(error) => {
            super::error(&error);
            Ok(ExitCode::Format)
        }
    }
}

/// How things are printed that are no list.
#[derive(Debug, Clone)]
pub(crate) struct OneFormat(Template);

impl OneFormat {
    /// Understands what was asked for: `json`, or a template.
    ///
    /// # Errors
    /// A template that makes no sense.
    pub(crate) fn new(form: &str) -> Result<OneFormat> {
        let template = if form == "json" { "{{json .}}" } else { form };
        Ok(OneFormat(Template::parse(template).context(ERROR)?))
    }

    /// A thing, printed, its line ended.
    ///
    /// # Errors
    /// The template does not fit it.
    pub(crate) fn text(&self, value: &Json) -> Result<String> {
        Ok(self.0.render(&Value::from(value)).context(ERROR)? + "\n")
    }
}

/// docker's words before those of its templates.
const ERROR: &str = "template parsing error";

/// Rows as the objects that `json` prints.
pub(crate) fn objects<R: Row>(rows: &[R]) -> Json {
    rows.iter().map(|row| Fields(row).json()).collect()
}

/// docker lets `\t` and `\n` be typed in the templates of lists.
fn template_of<R: Row>(text: &str) -> Result<Template> {
    let text = text.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse(&text).context(ERROR)?;
    let known = |name| R::COLUMNS.iter().any(|(column, _)| *column == name) || name == "Label";
    if let Some(column) = template.columns().into_iter().find(|column| !known(column.name)) {
        let error = template.unknown(&column, R::KIND);
        let names: Vec<String> = R::COLUMNS.iter().map(|(column, _)| format!(".{column}")).collect();
        return Err(UnknownColumn { error, known: names.join(" ") }).context(ERROR);
    }
    Ok(template)
}

fn lines<R: Row>(template: &Template, rows: &[R]) -> Result<String> {
    let line = |row| template.render(&Value::Object(&Fields(row))).map(|line| line + "\n");
    rows.iter().map(line).collect::<Result<_, _>>().context(ERROR)
}

fn heading<R: Row>(name: &str) -> &'static str {
    R::COLUMNS.iter().find(|(column, _)| *column == name).map_or("", |(_, heading)| heading)
}

fn cell<R: Row>(row: &R, name: &str) -> String {
    match row.column(name) {
        Some(Json::String(text)) => text,
        Some(value) => Value::from(value).text(),
        None => String::new(),
    }
}

/// A row, as templates see it.
struct Fields<'a, R: Row>(&'a R);

impl<R: Row> Object for Fields<'_, R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    fn field(&self, name: &str) -> Option<Json> {
        self.0.column(name)
    }

    fn call(&self, name: &str, argument: &str) -> Option<String> {
        (name == "Label").then(|| self.0.label(argument)).flatten()
    }

    fn json(&self) -> Json {
        let field = |name: &str| (name.to_owned(), self.0.in_json(name).unwrap_or_default());
        Json::Object(R::COLUMNS.iter().map(|(name, _)| field(name)).collect::<Map<_, _>>())
    }
}

/// The headings, as templates see them.
struct Headings(&'static [(&'static str, &'static str)]);

impl Object for Headings {
    fn kind(&self) -> &'static str {
        "heading"
    }

    fn field(&self, name: &str) -> Option<Json> {
        self.0.iter().find(|(column, _)| *column == name).map(|(_, heading)| Json::from(*heading))
    }

    /// The heading of a label's column is the last part of its name.
    fn call(&self, name: &str, argument: &str) -> Option<String> {
        let last = argument.rsplit('.').next().unwrap_or(argument);
        (name == "Label").then(|| last.replace(['-', '_'], " "))
    }

    fn json(&self) -> Json {
        Json::Object(
            self.0.iter().map(|(name, heading)| ((*name).to_owned(), Json::from(*heading))).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(&'static str, u64);

    impl Row for Thing {
        const KIND: &'static str = "thing";
        const COLUMNS: &'static [(&'static str, &'static str)] =
            &[("ID", "THING ID"), ("Names", "NAMES"), ("Size", "SIZE")];

        fn column(&self, name: &str) -> Option<Json> {
            match name {
                "ID" => Some("3f2a9c81d04b".into()),
                "Names" => Some(self.0.into()),
                "Size" => Some(self.1.into()),
                _ => None,
            }
        }

        fn label(&self, key: &str) -> Option<String> {
            Some(if key == "b.c-d" { "<2>".to_owned() } else { String::new() })
        }
    }

    fn text(asked: Option<&str>) -> Result<String> {
        Format::new::<Thing>(asked, &["ID", "Names"])?.text(&[Thing("web", 7), Thing("한국한국한국", 12)])
    }

    #[test]
    fn a_list_is_printed_as_it_was_asked_for() {
        for (asked, expected) in [
            (None, "THING ID       NAMES\n3f2a9c81d04b   web\n3f2a9c81d04b   한국한국한국\n"),
            (Some("table"), "THING ID       NAMES\n3f2a9c81d04b   web\n3f2a9c81d04b   한국한국한국\n"),
            (
                Some("table {{.Size}}\\t{{upper .Names}}|{{pad .ID 1 1}}"),
                "SIZE      NAMES| THING ID \n7         WEB| 3f2a9c81d04b \n12        한국한국한국| 3f2a9c81d04b \n",
            ),
            (
                Some("table {{.Label \"b.c-d\"}}\\t{{.Names}}"),
                "c d       NAMES\n<2>       web\n<2>       한국한국한국\n",
            ),
            // What cannot be done with a heading ends it, as in docker.
            (
                Some("table {{.Names}}\\t{{range split .ID \",\"}}{{.}}{{end}}|"),
                "NAMES          \nweb            3f2a9c81d04b|\n한국한국한국   3f2a9c81d04b|\n",
            ),
            (Some("{{.Names}}\\n-"), "web\n-\n한국한국한국\n-\n"),
            (Some("yaml"), "yaml\nyaml\n"),
            (
                Some("json"),
                "{\"ID\":\"3f2a9c81d04b\",\"Names\":\"web\",\"Size\":7}\n\
                 {\"ID\":\"3f2a9c81d04b\",\"Names\":\"한국한국한국\",\"Size\":12}\n",
            ),
            (Some("{{json .Names}} {{if gt .Size 10}}big{{end}}"), "\"web\" \n\"한국한국한국\" big\n"),
        ] {
            assert_eq!(text(asked).unwrap(), expected, "{asked:?}");
        }
        assert_eq!(Format::only("ID").text(&[Thing("", 0)]).unwrap(), "3f2a9c81d04b\n");
    }

    #[test]
    fn a_column_that_there_is_not_is_told_before_anything_is_looked_at() {
        for (asked, expected) in [
            (
                "table {{.ID}} {{.Foo}}",
                "template parsing error: template: :1:10: executing \"\" at <.Foo>: can't evaluate field Foo in type thing",
            ),
            ("{{range .Names}}", "template parsing error: template: :1: unexpected EOF"),
        ] {
            let error = Format::new::<Thing>(Some(asked), &[]).unwrap_err();
            assert_eq!(format!("{error:#}"), expected);
        }
        let unknown = Format::new::<Thing>(Some("{{.Foo}}"), &[]).unwrap_err();
        let known = unknown.downcast_ref::<UnknownColumn>().map(|unknown| unknown.known.as_str());
        assert_eq!(known, Some(".ID .Names .Size"));
        let error = text(Some("{{.Names.X}}")).unwrap_err();
        assert!(format!("{error:#}").ends_with("can't evaluate field X in type string"), "{error:#}");
    }

    #[test]
    fn what_is_asked_for_is_known_before_it_is_computed() {
        let format = |asked| Format::new::<Thing>(Some(asked), &["ID"]).unwrap();
        for (asked, expected) in [("table", false), ("{{if .Size}}x{{end}}", true), ("json", false)] {
            assert_eq!(format(asked).asks_for("Size"), expected, "{asked}");
        }
        assert!(
            format("table").is_table() && format("table {{.ID}}").is_table() && !format("json").is_table()
        );
    }
}
