//! Options of ps(1), as far as `mini top` knows them. PURE.

use anyhow::{Context as _, Result, bail};

use super::field::{self, Field};

/// A column that is asked for.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: &'static Field,
    /// Its heading, where that was asked for too.
    named: Option<String>,
}

impl Column {
    pub(super) fn heading(&self) -> &str {
        self.named.as_deref().unwrap_or(self.field.heading)
    }
}

/// What ps prints where no fields are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `-e`
    Plain,
    /// `-f`
    Full,
    /// `x`
    Bsd,
    /// `u`
    User,
}

impl Form {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Form::Plain => &["pid", "tname", "time", "ucmd"],
            Form::Full => &["UID", "pid", "ppid", "c", "stime", "tname", "time", "cmd"],
            Form::Bsd => &["pid", "tname", "stat", "bsdtime", "args"],
            Form::User => {
                &["user", "pid", "%cpu", "%mem", "vsz", "rss", "tname", "stat", "bsdstart", "bsdtime", "args"]
            }
        }
    }
}

/// The columns that options ask for. Which processes are selected does not matter: they are the container's.
///
/// # Errors
/// Whatever else ps may know, by name.
pub(super) fn columns(options: &[String]) -> Result<Vec<Column>> {
    let mut form = if options.is_empty() { Form::Full } else { Form::Plain };
    let mut columns = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if let Some(long) = option.strip_prefix("--") {
            let list = match long.split_once('=') {
                Some(("format", list)) => list.to_owned(),
                None if long == "format" => {
                    options.next().cloned().context("--format needs a list of fields")?
                }
                _ => bail!(unknown(option)),
            };
            columns.extend(fields(&list)?);
            continue;
        }
        // `-aux` is what many type for `aux`, and ps takes it as that.
        let (dash, letters) = match option.strip_prefix('-') {
            Some(letters)
                if letters.contains('u') && letters.chars().all(|letter| "aux".contains(letter)) =>
            {
                (false, letters)
            }
            Some(letters) => (true, letters),
            None => (false, option.as_str()),
        };
        for (at, letter) in letters.char_indices() {
            match (dash, letter) {
                (_, 'o') => {
                    let rest = &letters[at + 1..];
                    let list = if rest.is_empty() { options.next().map(String::as_str) } else { Some(rest) };
                    columns.extend(fields(list.context("-o needs a list of fields")?)?);
                    break;
                }
                (true, 'e' | 'A' | 'a') | (false, 'a' | 'w') => {}
                (true, 'f') => form = Form::Full,
                (_, 'x') if form != Form::User => form = Form::Bsd,
                (_, 'x') => {}
                (false, 'u') => form = Form::User,
                (true, letter) => bail!(unknown(&format!("-{letter}"))),
                (false, letter) => bail!(unknown(&letter.to_string())),
            }
        }
        if letters.is_empty() {
            bail!(unknown(option));
        }
    }
    if columns.is_empty() {
        columns = form.fields().iter().map(|name| column(name)).collect::<Result<_>>()?;
    }
    Ok(columns)
}

fn unknown(option: &str) -> String {
    format!("the option {option:?} of ps is not supported: -e, -f, -x, aux and -o FIELD,… are")
}

/// `pid,etime`, or blanks between them; after `=` comes a heading, to the end (ps(1), "-o").
fn fields(list: &str) -> Result<Vec<Column>> {
    let (names, named) = list.split_once('=').map_or((list, None), |(names, named)| (names, Some(named)));
    let names = names.split([',', ' ']).filter(|name| !name.is_empty());
    let mut columns: Vec<Column> = names.map(column).collect::<Result<_>>()?;
    if let (Some(last), Some(named)) = (columns.last_mut(), named) {
        last.named = Some(named.to_owned());
    }
    if columns.is_empty() {
        bail!("the list of fields {list:?} names none");
    }
    Ok(columns)
}

fn column(name: &str) -> Result<Column> {
    let field =
        field::find(name).with_context(|| format!("ps has no field {name:?}, or it is not supported"))?;
    Ok(Column { field, named: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let columns = columns(&words).ok()?;
        Some(columns.iter().map(Column::heading).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn options_are_pss() {
        const FULL: &str = "UID PID PPID C STIME TTY TIME CMD";
        const USER: &str = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND";
        for (line, expected) in [
            ("", Some(FULL)),
            ("-ef", Some(FULL)),
            ("-e -f", Some(FULL)),
            ("-e", Some("PID TTY TIME CMD")),
            ("-A", Some("PID TTY TIME CMD")),
            ("-x", Some("PID TTY STAT TIME COMMAND")),
            ("ax", Some("PID TTY STAT TIME COMMAND")),
            ("aux", Some(USER)),
            ("auxww", Some(USER)),
            ("-aux", Some(USER)),
            ("xua", Some(USER)),
            ("-o pid,args", Some("PID COMMAND")),
            ("-opid,cmd", Some("PID CMD")),
            ("-eo pid,etime,vsz", Some("PID ELAPSED VSZ")),
            ("-e -o pid -o user", Some("PID USER")),
            ("o pid", Some("PID")),
            ("--format pid,pcpu", Some("PID %CPU")),
            ("--format=pid,%cpu", Some("PID %CPU")),
            ("-o pid,comm=NAME", Some("PID NAME")),
            ("-o pid=X,comm", Some("X,comm")),
            ("-o", None),
            ("-o ,", None),
            ("-o nothing", None),
            ("-", None),
            ("-L", None),
            ("-eF", None),
            ("-u root", None),
            ("f", None),
            ("--forest", None),
            ("1", None),
        ] {
            assert_eq!(headings(line).as_deref(), expected, "{line}");
        }
    }
}
