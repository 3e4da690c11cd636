//! One line of comma-separated values, as docker reads `--mount` and `--secret`: a field in quotes may hold commas, and two
//! quotes in it are one (RFC 4180, Go's encoding/csv). PURE.

use anyhow::{Result, bail};

/// The fields of a line.
///
/// # Errors
/// A quote in the middle of a field, or one that is never closed.
pub(crate) fn fields(line: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(line, quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    bail!("a quote in the middle of a field in {line:?}: quote the whole field");
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted_field<'a>(line: &str, quoted: &'a str) -> Result<(String, &'a str)> {
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let Some(end) = rest.find('"') else { bail!("a quote in {line:?} is not closed") };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if rest.is_empty() || rest.starts_with(',') => return Ok((field, rest)),
            None => bail!("text after a closing quote in {line:?}"),
        }
    }
}

/// The line that has these fields.
pub(crate) fn line(fields: &[String]) -> String {
    let quoted = |field: &String| match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_go_reads_them() {
        for (line, expected) in [
            ("a=b,c", Some(vec!["a=b", "c"])),
            (r#"type=bind,"src=/a,b",dst=/c"#, Some(vec!["type=bind", "src=/a,b", "dst=/c"])),
            (r#""a ""quoted"" word""#, Some(vec![r#"a "quoted" word"#])),
            (r#"src="/a,b""#, None),
            (r#""src=/a"#, None),
            (r#""a"b,c"#, None),
            ("a,,b", Some(vec!["a", "", "b"])),
            ("", Some(vec![""])),
            (r#""""#, Some(vec![""])),
        ] {
            let expected = expected.map(|fields| fields.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(fields(line).ok(), expected, "{line}");
        }
    }
}
