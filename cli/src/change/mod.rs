//! `--change`: instructions of a Dockerfile, applied to the configuration of a new image. PURE.
//!
//! docker's own set for `commit` and `import`, in all their forms; every other instruction is refused by name. What each does to a
//! configuration is docker's too, down to a new ENTRYPOINT that takes the CMD away which was meant for the old one.

mod health;
mod words;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::plan::values;

/// A configuration in the making.
struct Config<'a> {
    config: &'a mut Value,
    /// A CMD that was given stays, whatever ENTRYPOINT comes.
    has_cmd: bool,
}

/// Applies lines to `config`, docker's `Config` of a container or of an image.
///
/// # Errors
/// An instruction that there is not, or that is not allowed here, or makes no sense.
pub(crate) fn apply(config: &mut Value, lines: &[String]) -> Result<()> {
    let mut config = Config { config, has_cmd: false };
    for line in logical(&lines.join("\n")) {
        config.instruct(&line).with_context(|| format!("--change {line:?}"))?;
    }
    Ok(())
}

/// What `changed` does not say, said as in `old`: docker's rule of a commit.
pub(crate) fn merge(changed: &mut Value, old: &Value) {
    let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    if is_empty(&changed["Entrypoint"]) {
        if is_empty(&changed["Cmd"]) {
            changed["Cmd"] = old["Cmd"].clone();
        }
        if changed["Entrypoint"].is_null() {
            changed["Entrypoint"] = old["Entrypoint"].clone();
        }
    }
}

/// Lines without comments, those that end in a backslash joined with the next.
fn logical(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in text.lines() {
        if part.trim_start().starts_with('#') {
            continue;
        }
        match part.trim_end().strip_suffix('\\') {
            Some(begun) => line += begun,
            None => lines.push(std::mem::take(&mut line) + part),
        }
    }
    lines.push(line);
    lines.retain_mut(|line| {
        *line = line.trim().to_owned();
        !line.is_empty()
    });
    lines
}

impl Config<'_> {
    fn instruct(&mut self, line: &str) -> Result<()> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (name, rest) = (name.to_ascii_uppercase(), rest.trim());
        let known = [
            "CMD",
            "ENTRYPOINT",
            "ENV",
            "EXPOSE",
            "HEALTHCHECK",
            "LABEL",
            "ONBUILD",
            "USER",
            "VOLUME",
            "WORKDIR",
        ];
        ensure!(known.contains(&name.as_str()), "{name} is not a valid change command: {}", known.join(", "));
        ensure!(!rest.is_empty(), "{name} requires at least one argument");
        match name.as_str() {
            "CMD" => {
                self.config["Cmd"] = self.command(rest)?.into();
                self.has_cmd = true;
            }
            "ENTRYPOINT" => {
                // An empty list is as if it were not there, unlike that of a CMD.
                let command = Some(self.command(rest)?).filter(|command| !command.is_empty());
                self.config["Entrypoint"] = json!(command);
                // It was the other one's.
                if !self.has_cmd {
                    self.config["Cmd"] = Value::Null;
                }
            }
            "ENV" => self.env(rest)?,
            "EXPOSE" => self.expose(rest)?,
            "HEALTHCHECK" => self.config["Healthcheck"] = health::check(rest, &self.shell())?,
            "LABEL" => {
                for (name, value) in self.pairs("LABEL", rest)? {
                    self.set("Labels", &name, value.into());
                }
            }
            "ONBUILD" => self.on_build(rest)?,
            "USER" => self.config["User"] = self.expanded(rest)?.into(),
            "VOLUME" => self.volume(rest)?,
            _ => self.work_dir(rest)?,
        }
        Ok(())
    }

    /// A list in JSON as it is, anything else for a shell.
    fn command(&self, rest: &str) -> Result<Vec<String>> {
        if let Some(list) = listed(rest)? {
            return Ok(list);
        }
        let mut command = self.shell();
        command.push(rest.to_owned());
        Ok(command)
    }

    /// What runs a command that is one text.
    fn shell(&self) -> Vec<String> {
        let own: Option<Vec<String>> = serde_json::from_value(self.config["Shell"].clone()).ok();
        own.filter(|shell| !shell.is_empty()).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    fn env(&mut self, rest: &str) -> Result<()> {
        let pairs = self.pairs("ENV", rest)?;
        let mut list = strings(&self.config["Env"]);
        for (name, value) in pairs {
            let text = format!("{name}={value}");
            match list.iter_mut().find(|one| one.split('=').next() == Some(&name)) {
                Some(old) => *old = text,
                None => list.push(text),
            }
        }
        self.config["Env"] = list.into();
        Ok(())
    }

    /// `NAME=VALUE …`, or the old form of one `NAME VALUE`.
    fn pairs(&self, instruction: &str, rest: &str) -> Result<Vec<(String, String)>> {
        let words = words::split(rest);
        let has_sign = words.first().is_some_and(|word| word.contains('='));
        let pairs: Vec<(&str, &str)> = if has_sign {
            let apart = |word| {
                str::split_once(word, '=').with_context(|| {
                    format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")
                })
            };
            words.iter().map(String::as_str).map(apart).collect::<Result<_>>()?
        } else {
            let pair = rest.split_once(char::is_whitespace);
            let (name, value) = pair.with_context(|| format!("{instruction} must have two arguments"))?;
            vec![(name, value.trim_start())]
        };
        let mut expanded = Vec::new();
        for (name, value) in pairs {
            let name = self.expanded(name)?;
            ensure!(!name.is_empty(), "{instruction} names can not be blank");
            expanded.push((name, self.expanded(value)?));
        }
        Ok(expanded)
    }

    fn expose(&mut self, rest: &str) -> Result<()> {
        for word in words::split(rest) {
            for word in self.expanded(&word)?.split_whitespace() {
                for port in ports(word)? {
                    self.set("ExposedPorts", &port, json!({}));
                }
            }
        }
        Ok(())
    }

    fn on_build(&mut self, rest: &str) -> Result<()> {
        let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match trigger.as_str() {
            "ONBUILD" => bail!("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            "FROM" | "MAINTAINER" => bail!("{trigger} isn't allowed as an ONBUILD trigger"),
            _ => {}
        }
        let mut list = strings(&self.config["OnBuild"]);
        list.push(rest.to_owned());
        self.config["OnBuild"] = list.into();
        Ok(())
    }

    fn volume(&mut self, rest: &str) -> Result<()> {
        let list = listed(rest)?.unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
        ensure!(!list.is_empty(), "VOLUME requires at least one argument");
        for path in list {
            let path = self.expanded(&path)?;
            ensure!(!path.trim().is_empty(), "VOLUME specified can not be an empty string");
            self.set("Volumes", path.trim(), json!({}));
        }
        Ok(())
    }

    fn work_dir(&mut self, rest: &str) -> Result<()> {
        let path = self.expanded(rest)?;
        ensure!(!path.is_empty(), "cannot normalize nothing");
        let now = self.config["WorkingDir"].as_str().unwrap_or_default();
        let path = values::normal(&Path::new("/").join(now).join(path));
        self.config["WorkingDir"] = path.display().to_string().into();
        Ok(())
    }

    /// A key of an object that may not be there yet.
    fn set(&mut self, field: &str, name: &str, value: Value) {
        if !self.config[field].is_object() {
            self.config[field] = json!({});
        }
        self.config[field][name] = value;
    }

    /// Without quotes, with the image's own variables.
    fn expanded(&self, word: &str) -> Result<String> {
        let env = strings(&self.config["Env"]);
        let variable = |name: &str| {
            let pairs = env.iter().filter_map(|one| one.split_once('='));
            pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
        };
        words::expand(word, &variable)
    }
}

fn strings(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap_or_default()
}

/// A list of texts in JSON; `None` for what is no list.
fn listed(rest: &str) -> Result<Option<Vec<String>>> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<Value>>(rest) {
        // docker takes it for a shell's then: `[ -f x ] && y` is a command.
        Err(_) => Ok(None),
        Ok(list) => {
            let text = |value: Value| value.as_str().map(str::to_owned);
            let list: Option<Vec<String>> = list.into_iter().map(text).collect();
            list.map(Some).context("when using JSON array syntax, arrays must be comprised of strings only")
        }
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`; of `HOST:CONTAINER` the container's. Each by itself, as docker keeps them.
fn ports(word: &str) -> Result<Vec<String>> {
    let invalid = || format!("invalid containerPort: {word}");
    let own = word.rsplit(':').next().unwrap_or(word);
    let (range, protocol) = own.split_once('/').unwrap_or((own, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    ensure!(matches!(protocol.as_str(), "tcp" | "udp" | "sctp"), "invalid proto: {protocol}");
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number =
        |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = number(first).zip(number(last)).with_context(invalid)?;
    ensure!(first <= last, "invalid range specified for the container port: {range}");
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(config: &Value, lines: &[&str]) -> Result<Value> {
        let mut changed = config.clone();
        apply(&mut changed, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())?;
        Ok(changed)
    }

    #[test]
    fn every_instruction_in_every_form() {
        let config = json!({
            "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "Entrypoint": null, "Labels": { "old": "x" },
            "WorkingDir": "/srv", "ExposedPorts": { "1/tcp": {} }, "Volumes": null, "OnBuild": null, "User": "",
        });
        for (line, field, expected) in [
            (r#"CMD ["a", "b c"]"#, "Cmd", json!(["a", "b c"])),
            ("cmd echo $A 'x'", "Cmd", json!(["/bin/sh", "-c", "echo $A 'x'"])),
            ("CMD [ -f x ] && y", "Cmd", json!(["/bin/sh", "-c", "[ -f x ] && y"])),
            ("CMD []", "Cmd", json!([])),
            (r#"ENTRYPOINT ["/e"]"#, "Entrypoint", json!(["/e"])),
            (r#"ENTRYPOINT ["/e"]"#, "Cmd", Value::Null),
            ("ENTRYPOINT exec top -b", "Entrypoint", json!(["/bin/sh", "-c", "exec top -b"])),
            ("ENV B=2 A=\"$A 2\" C='$A'", "Env", json!(["PATH=/bin", "A=1 2", "B=2", "C=$A"])),
            ("ENV B  two words", "Env", json!(["PATH=/bin", "A=1", "B=two words"])),
            ("ENV PATH=/x:${PATH} NEW=${NONE:-y}", "Env", json!(["PATH=/x:/bin", "A=1", "NEW=y"])),
            (
                "EXPOSE 80 81/UDP 90-91",
                "ExposedPorts",
                json!({ "1/tcp": {}, "80/tcp": {}, "81/udp": {}, "90/tcp": {}, "91/tcp": {} }),
            ),
            ("EXPOSE 8080:80 $A", "ExposedPorts", json!({ "1/tcp": {}, "80/tcp": {} })),
            ("LABEL a=1 \"b c\"='d e'", "Labels", json!({ "old": "x", "a": "1", "b c": "d e" })),
            ("LABEL old new value", "Labels", json!({ "old": "new value" })),
            ("LABEL a=1 \\\n  # a comment\n  b=2", "Labels", json!({ "old": "x", "a": "1", "b": "2" })),
            ("ONBUILD  RUN make $A", "OnBuild", json!(["RUN make $A"])),
            ("USER u$A:g", "User", json!("u1:g")),
            (r#"VOLUME ["/a b", "/c"]"#, "Volumes", json!({ "/a b": {}, "/c": {} })),
            ("VOLUME /a /c$A", "Volumes", json!({ "/a": {}, "/c1": {} })),
            ("WORKDIR rel/../x", "WorkingDir", json!("/srv/x")),
            ("WORKDIR /abs/$A/", "WorkingDir", json!("/abs/1")),
            ("HEALTHCHECK NONE", "Healthcheck", json!({ "Test": ["NONE"] })),
        ] {
            assert_eq!(changed(&config, &[line]).expect(line)[field], expected, "{line}");
        }
        let both = changed(&config, &[r#"CMD ["x"]"#, r#"ENTRYPOINT ["/e"]"#]).unwrap();
        assert_eq!((&both["Cmd"], &both["Entrypoint"]), (&json!(["x"]), &json!(["/e"])));
        let shell = json!({ "Shell": ["/bin/bash", "-c"] });
        assert_eq!(changed(&shell, &["CMD x"]).unwrap()["Cmd"], json!(["/bin/bash", "-c", "x"]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, expected) in [
            ("RUN x", "RUN is not a valid change command"),
            ("FROM x", "FROM is not a valid change command"),
            ("STOPSIGNAL 9", "STOPSIGNAL is not a valid"),
            ("CMD", "CMD requires at least one argument"),
            ("CMD [1]", "strings only"),
            ("ENV A", "ENV must have two arguments"),
            ("ENV a=1 b", "can't find = in \"b\""),
            ("ENV =x", "can not be blank"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("EXPOSE 80/icmp", "invalid proto: icmp"),
            ("EXPOSE 9-8", "invalid range"),
            ("EXPOSE 65536", "invalid containerPort"),
            ("ONBUILD ONBUILD x", "Chaining ONBUILD"),
            ("ONBUILD FROM x", "FROM isn't allowed"),
            ("VOLUME [\"\"]", "empty string"),
            ("USER 'x", "single-quote"),
        ] {
            let error = format!("{:#}", changed(&json!({}), &[line]).expect_err(line));
            assert!(error.contains(expected) && error.contains("--change"), "{line}: {error}");
        }
    }

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let old = json!({ "Cmd": ["sh"], "Entrypoint": ["/e"] });
        for (line, cmd, entrypoint) in [
            ("USER x", json!(["sh"]), json!(["/e"])),
            ("CMD []", json!([]), json!(["/e"])),
            (r#"ENTRYPOINT ["/new"]"#, Value::Null, json!(["/new"])),
            ("ENTRYPOINT []", json!(["sh"]), json!(["/e"])),
        ] {
            let mut new = changed(&old, &[line]).unwrap();
            merge(&mut new, &old);
            assert_eq!((&new["Cmd"], &new["Entrypoint"]), (&cmd, &entrypoint), "{line}");
        }
    }
}
