//! What becomes of what a container writes: docker's log drivers and their options. PURE.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use regex_lite::Regex;
use runtime::io::log::Bounds;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::values;
use crate::commands::flags::LogArgs;
use crate::output::template::{Template, Value as Field};

/// How it is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogDriver {
    /// As docker's: a JSON object a line.
    #[default]
    JsonFile,
    /// The same lines, more of them, older files packed.
    Local,
    /// Not at all.
    None,
}

/// What a user said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogRequest {
    pub(crate) driver: LogDriver,
    /// As they were typed, docker's names.
    pub(crate) options: BTreeMap<String, String>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogPlan {
    /// `None`: nothing is kept.
    pub(crate) bounds: Option<Bounds>,
    /// What every line has, a JSON object; empty for nothing.
    pub(crate) attributes: String,
}

/// The drivers that there are.
const HERE: &str = "json-file, local and none";

/// docker's others.
const ELSEWHERE: [&str; 9] =
    ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog"];

impl LogDriver {
    /// docker's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogDriver::JsonFile => "json-file",
            LogDriver::Local => "local",
            LogDriver::None => "none",
        }
    }

    fn bounds(self) -> Option<Bounds> {
        match self {
            LogDriver::JsonFile => Some(Bounds::default()),
            // docker's own defaults for it.
            LogDriver::Local => Some(Bounds { file: 20 << 20, files: 5, packs: true }),
            LogDriver::None => None,
        }
    }
}

impl LogRequest {
    /// Understands the flags.
    ///
    /// # Errors
    /// A driver that is none, or an option that it does not have.
    pub(crate) fn new(args: &LogArgs) -> Result<LogRequest> {
        let driver = match args.log_driver.as_deref() {
            None | Some("" | "json-file") => LogDriver::JsonFile,
            Some("local") => LogDriver::Local,
            Some("none") => LogDriver::None,
            Some(other) if ELSEWHERE.contains(&other) => {
                bail!(
                    "log driver {other:?} is not supported: it sends what a container writes elsewhere; there are {HERE}"
                )
            }
            Some(other) => bail!("log driver {other:?} not found: there are {HERE}"),
        };
        let mut options = BTreeMap::new();
        for text in &args.log_opt {
            let pair =
                text.split_once('=').with_context(|| format!("invalid --log-opt {text:?}: KEY=VALUE"))?;
            options.insert(pair.0.to_owned(), pair.1.to_owned());
        }
        let request = LogRequest { driver, options };
        request.bounds()?;
        request.patterns("labels-regex")?;
        request.patterns("env-regex")?;
        request.tag()?;
        Ok(request)
    }

    /// How much is kept.
    fn bounds(&self) -> Result<Option<Bounds>> {
        let driver = self.driver.name();
        let mut bounds = self.driver.bounds();
        for (key, value) in &self.options {
            let invalid = || format!("invalid --log-opt {key}={value}");
            let Some(bounds) = &mut bounds else {
                bail!("unknown log opt {key:?} for log driver {driver:?}")
            };
            match key.as_str() {
                "max-size" if value == "-1" => bounds.file = u64::MAX,
                "max-size" => {
                    bounds.file = values::bytes(value).with_context(invalid)?;
                    ensure!(bounds.file > 0, "{}: it must be larger than 0, or -1 for no limit", invalid());
                }
                "max-file" => {
                    bounds.files = value.parse().ok().with_context(invalid)?;
                    ensure!(bounds.files > 0, "{}: max-file cannot be less than 1", invalid());
                }
                "compress" => bounds.packs = truth(value).with_context(invalid)?,
                "labels" | "env" | "tag" if self.driver == LogDriver::JsonFile => {}
                "labels-regex" | "env-regex" if self.driver == LogDriver::JsonFile => {}
                "mode" if value == "blocking" => {}
                "mode" | "max-buffer-size" => bail!(
                    "{}: mini writes the log itself, at once; nothing is buffered and nothing dropped",
                    invalid()
                ),
                _ => bail!("unknown log opt {key:?} for log driver {driver:?}"),
            }
        }
        if let Some(bounds) = &bounds {
            let asked = self.options.get("compress").and_then(|value| truth(value)) == Some(true);
            ensure!(
                !asked || (bounds.files > 1 && bounds.file < u64::MAX),
                "compress cannot be true when max-file is less than 2 or max-size is not set"
            );
        }
        Ok(bounds.map(|bounds| Bounds { packs: bounds.packs && bounds.files > 1, ..bounds }))
    }

    /// What is done for a container.
    ///
    /// # Errors
    /// As [`LogRequest::new`]: a record may have been written by another mini; a tag that asks for what there is not.
    pub(super) fn plan(&self, subject: &Subject<'_>) -> Result<LogPlan> {
        let mut attributes: BTreeMap<&str, String> = BTreeMap::new();
        let names =
            |key: &str| self.options.get(key).map_or_else(Vec::new, |names| names.split(',').collect());
        let chosen = |names: &[&str], pattern: &Option<Regex>, name: &str| {
            names.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
        };
        let (labels, env) = (names("labels"), names("env"));
        let (labels_pattern, env_pattern) = (self.patterns("labels-regex")?, self.patterns("env-regex")?);
        for (name, value) in subject.labels {
            if chosen(&labels, &labels_pattern, name) {
                attributes.insert(name, value.clone());
            }
        }
        for (name, value) in subject.env.iter().filter_map(|variable| variable.split_once('=')) {
            if chosen(&env, &env_pattern, name) {
                attributes.insert(name, value.to_owned());
            }
        }
        if let Some(tag) = self.tag()? {
            attributes.insert("tag", tag.render(&Field::from(&subject.fields())).context("--log-opt tag")?);
        }
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&attributes).context("cannot write attributes as JSON")?,
        };
        Ok(LogPlan { bounds: self.bounds()?, attributes })
    }

    fn patterns(&self, key: &str) -> Result<Option<Regex>> {
        let pattern = self.options.get(key).map(|text| Regex::new(text));
        pattern.transpose().with_context(|| format!("invalid --log-opt {key}"))
    }

    fn tag(&self) -> Result<Option<Template>> {
        let template = self.options.get("tag").filter(|template| !template.is_empty());
        template.map(|template| Template::parse(template)).transpose().context("invalid --log-opt tag")
    }

    /// Every option that holds, those that nobody typed too.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        if let Some(Bounds { file, files, packs }) = self.driver.bounds() {
            all.insert("max-size".to_owned(), format!("{}m", file >> 20));
            all.insert("max-file".to_owned(), files.to_string());
            all.extend(packs.then(|| ("compress".to_owned(), "true".to_owned())));
        }
        all.extend(self.options.clone());
        all
    }
}

/// Whose output it is.
pub(super) struct Subject<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    /// `sha256:…`.
    pub(super) image_id: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) env: &'a [String],
}

impl Subject<'_> {
    /// What docker's templates of tags may ask for.
    fn fields(&self) -> Value {
        let Subject { id, name, image, image_id, .. } = self;
        let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
        json!({
            "ID": short(id), "FullID": id, "Name": name, "DaemonName": "mini", "ImageName": image,
            "ImageID": short(image_id.strip_prefix("sha256:").unwrap_or(image_id)), "ImageFullID": image_id,
        })
    }
}

/// As Go reads a truth value.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(driver: Option<&str>, options: &[&str]) -> Result<LogRequest> {
        let log_opt = options.iter().map(|text| (*text).to_owned()).collect();
        LogRequest::new(&LogArgs { log_driver: driver.map(str::to_owned), log_opt })
    }

    fn planned(driver: Option<&str>, options: &[&str]) -> Result<LogPlan> {
        let labels =
            [("tier", "front"), ("team", "\"x\"")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let env = ["PATH=/bin", "MODE=a=b", "TERM"].map(str::to_owned);
        let subject = Subject {
            id: &"0123456789abcdef".repeat(4),
            name: "box",
            image: "busybox",
            image_id: "sha256:fedcba98765432100",
            labels: &labels.into(),
            env: &env,
        };
        request(driver, options)?.plan(&subject)
    }

    #[test]
    fn drivers_have_dockers_bounds() {
        let bounds = |file, files, packs| Some(Bounds { file, files, packs });
        for (driver, options, expected) in [
            (None, &[][..], bounds(10 << 20, 3, false)),
            (Some("json-file"), &["max-size=1k", "max-file=1"], bounds(1024, 1, false)),
            (Some("json-file"), &["max-size=-1"], bounds(u64::MAX, 3, false)),
            (Some("json-file"), &["compress=true"], bounds(10 << 20, 3, true)),
            (Some("local"), &[], bounds(20 << 20, 5, true)),
            (Some("local"), &["compress=0", "mode=blocking"], bounds(20 << 20, 5, false)),
            (Some("local"), &["max-file=1"], bounds(20 << 20, 1, false)),
            (Some("none"), &[], None),
        ] {
            let plan = planned(driver, options).unwrap();
            assert_eq!(
                plan,
                LogPlan { bounds: expected, attributes: String::new() },
                "{driver:?} {options:?}"
            );
        }
        for (driver, options, complaint) in [
            (Some("syslog"), &[][..], "\"syslog\" is not supported"),
            (Some("nosuch"), &[], "\"nosuch\" not found"),
            (None, &["max-size"], "KEY=VALUE"),
            (None, &["max-size=much"], "max-size=much"),
            (None, &["max-size=0"], "larger than 0"),
            (None, &["max-file=0"], "less than 1"),
            (None, &["compress=maybe"], "compress=maybe"),
            (None, &["compress=true", "max-file=1"], "max-file is less than 2"),
            (None, &["mode=non-blocking"], "nothing dropped"),
            (None, &["color=red"], "unknown log opt \"color\""),
            (None, &["env-regex=("], "env-regex"),
            (None, &["tag={{.Id"], "tag"),
            (None, &["tag={{.Nothing}}"], "tag"),
            (Some("none"), &["max-size=1m"], "unknown log opt"),
            (Some("local"), &["labels=a"], "unknown log opt"),
        ] {
            let said = planned(driver, options).map_err(|error| format!("{error:#}"));
            assert!(
                said.as_ref().is_err_and(|said| said.contains(complaint)),
                "{driver:?} {options:?}: {said:?}"
            );
        }
    }

    #[test]
    fn lines_are_given_what_was_asked_for() {
        for (options, expected) in [
            (&["labels=tier,none", "env=MODE"][..], r#"{"MODE":"a=b","tier":"front"}"#),
            (&["labels-regex=^te", "env-regex=^(MODE|TERM)$"], r#"{"MODE":"a=b","team":"\"x\""}"#),
            (
                &["tag={{.Name}}/{{.ID}}/{{.ImageName}}@{{.ImageID}}"],
                r#"{"tag":"box/0123456789ab/busybox@fedcba987654"}"#,
            ),
            (&["labels=none"], ""),
        ] {
            assert_eq!(planned(None, options).unwrap().attributes, expected, "{options:?}");
        }
    }
}
