//! `HEALTHCHECK`, the instruction. PURE.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::listed;
use crate::clock;

/// `NONE`, or flags and then `CMD …`, in docker's form: times are nanoseconds.
pub(super) fn check(mut rest: &str, shell: &[String]) -> Result<Value> {
    let mut check = json!({});
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        set(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check["Test"] = match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => json!(["NONE"]),
        ("NONE", _) => bail!("HEALTHCHECK NONE takes no arguments"),
        ("CMD", "") => bail!("Missing command after HEALTHCHECK CMD"),
        ("CMD", command) => match listed(command)? {
            Some(list) => [vec!["CMD".to_owned()], list].concat().into(),
            None if shell == ["/bin/sh", "-c"] => json!(["CMD-SHELL", command]),
            None => [&["CMD".to_owned()][..], shell, &[command.to_owned()]].concat().into(),
        },
        (other, _) => bail!("Unknown type {other:?} in HEALTHCHECK (try CMD)"),
    };
    Ok(check)
}

fn set(check: &mut Value, flag: &str) -> Result<()> {
    let (name, value) = flag.split_once('=').with_context(|| format!("{flag} has no value"))?;
    let field = match name {
        "--retries" => {
            let retries: u32 = value.parse().with_context(|| format!("{name} {value:?}"))?;
            check["Retries"] = retries.into();
            return Ok(());
        }
        "--interval" => "Interval",
        "--timeout" => "Timeout",
        "--start-period" => "StartPeriod",
        "--start-interval" => "StartInterval",
        _ => bail!("unknown flag: {name}"),
    };
    let time = clock::duration(value).with_context(|| format!("{name} {value:?} is no time, as in 10s"))?;
    ensure!(time == 0 || time >= 1_000_000, "{name} {value:?} is less than a millisecond");
    check[field] = time.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_dockers() {
        let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
        for (text, expected) in [
            ("NONE", Some(json!({ "Test": ["NONE"] }))),
            ("CMD true || false", Some(json!({ "Test": ["CMD-SHELL", "true || false"] }))),
            (
                r#"--interval=5s --retries=2 CMD ["a", "b"]"#,
                Some(json!({ "Test": ["CMD", "a", "b"], "Interval": 5_000_000_000_u64, "Retries": 2 })),
            ),
            (
                "--timeout=1m --start-period=0 CMD x",
                Some(json!({ "Test": ["CMD-SHELL", "x"], "Timeout": 60_000_000_000_u64, "StartPeriod": 0 })),
            ),
            ("NONE x", None),
            ("CMD", None),
            ("x", None),
            ("--interval=1us CMD x", None),
            ("--color=red CMD x", None),
            ("--interval CMD x", None),
        ] {
            assert_eq!(check(text, &shell).ok(), expected, "{text}");
        }
    }
}
