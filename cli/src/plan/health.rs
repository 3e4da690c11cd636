//! Which health checks a container gets: what the image says, and the user over it. PURE.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::commands::flags::HealthArgs;

/// What a user, or an image, says of it: docker's `Healthcheck`, in which 0 and nothing are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct HealthRequest {
    /// `["CMD", …]`, `["CMD-SHELL", COMMAND]`, `["NONE"]`; empty where nothing is said.
    pub(crate) test: Vec<String>,
    /// ns.
    pub(crate) interval: u64,
    /// ns.
    pub(crate) timeout: u64,
    /// ns.
    pub(crate) start_period: u64,
    /// ns.
    pub(crate) start_interval: u64,
    pub(crate) retries: u32,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthPlan {
    /// As it was said.
    pub(crate) test: Vec<String>,
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// ns.
    pub(crate) interval: u64,
    /// ns.
    pub(crate) timeout: u64,
    /// ns.
    pub(crate) start_period: u64,
    /// ns.
    pub(crate) start_interval: u64,
    pub(crate) retries: u32,
}

/// ns.
const SECOND: u64 = 1_000_000_000;

impl HealthRequest {
    /// Understands the flags.
    ///
    /// # Errors
    /// Flags that contradict each other, or a duration that is none.
    pub(crate) fn new(args: &HealthArgs) -> Result<HealthRequest> {
        let duration = |flag: &str, text: &Option<String>| -> Result<u64> {
            let Some(text) = text else { return Ok(0) };
            let length =
                clock::duration(text).with_context(|| format!("invalid {flag} {text:?}: such as 1m30s"))?;
            ensure!(length == 0 || length >= SECOND / 1000, "{flag} {text}: it cannot be less than 1ms");
            Ok(length)
        };
        let retries = args.health_retries.unwrap_or(0);
        let request = HealthRequest {
            test: match (&args.health_cmd, args.no_healthcheck) {
                (_, true) => vec!["NONE".to_owned()],
                (Some(command), _) if !command.is_empty() => vec!["CMD-SHELL".to_owned(), command.clone()],
                _ => Vec::new(),
            },
            interval: duration("--health-interval", &args.health_interval)?,
            timeout: duration("--health-timeout", &args.health_timeout)?,
            start_period: duration("--health-start-period", &args.health_start_period)?,
            start_interval: duration("--health-start-interval", &args.health_start_interval)?,
            retries: u32::try_from(retries).ok().context("--health-retries cannot be negative")?,
        };
        let alone = HealthRequest { test: request.test.clone(), ..HealthRequest::default() };
        ensure!(
            !args.no_healthcheck || (args.health_cmd.is_none() && request == alone),
            "--no-healthcheck conflicts with --health-* options"
        );
        Ok(request)
    }

    /// The user's words over the image's: what the user does not say, the image does.
    pub(crate) fn over(&self, image: Option<&HealthRequest>) -> HealthRequest {
        let none = HealthRequest::default();
        let image = image.unwrap_or(&none);
        let or = |own: u64, other: u64| if own == 0 { other } else { own };
        HealthRequest {
            test: if self.test.is_empty() { image.test.clone() } else { self.test.clone() },
            interval: or(self.interval, image.interval),
            timeout: or(self.timeout, image.timeout),
            start_period: or(self.start_period, image.start_period),
            start_interval: or(self.start_interval, image.start_interval),
            retries: if self.retries == 0 { image.retries } else { self.retries },
        }
    }

    /// What is done about it, with docker's defaults; `None` where nothing is to be checked.
    ///
    /// `shell` is what the image runs commands with.
    ///
    /// # Errors
    /// A test of a form that is none: an image may say anything.
    pub(crate) fn plan(&self, shell: &[String]) -> Result<Option<HealthPlan>> {
        let args = match self.test.split_first() {
            None => return Ok(None),
            Some((kind, [])) if kind == "NONE" => return Ok(None),
            Some((kind, args @ [_, ..])) if kind == "CMD" => args.to_vec(),
            Some((kind, [command])) if kind == "CMD-SHELL" => [shell, std::slice::from_ref(command)].concat(),
            _ => anyhow::bail!(
                "the health check {:?} is neither NONE, CMD and a program, nor CMD-SHELL and a command",
                self.test
            ),
        };
        let or = |own: u64, default: u64| if own == 0 { default } else { own };
        Ok(Some(HealthPlan {
            test: self.test.clone(),
            args,
            interval: or(self.interval, 30 * SECOND),
            timeout: or(self.timeout, 30 * SECOND),
            start_period: self.start_period,
            start_interval: or(self.start_interval, 5 * SECOND),
            retries: if self.retries == 0 { 3 } else { self.retries },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(command: Option<&str>) -> HealthArgs {
        HealthArgs { health_cmd: command.map(str::to_owned), ..HealthArgs::default() }
    }
    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn flags_are_understood_or_refused() {
        let all = HealthArgs {
            health_interval: Some("1m30s".into()),
            health_timeout: Some("500ms".into()),
            health_retries: Some(5),
            ..args(Some("true"))
        };
        let request = HealthRequest::new(&all).unwrap();
        assert_eq!(request.test, words(&["CMD-SHELL", "true"]));
        assert_eq!((request.interval, request.timeout, request.retries), (90 * SECOND, SECOND / 2, 5));
        assert_eq!(HealthRequest::new(&HealthArgs::default()).unwrap(), HealthRequest::default());
        for bad in [
            HealthArgs { health_interval: Some("x".into()), ..args(None) },
            HealthArgs { health_interval: Some("-1s".into()), ..args(None) },
            HealthArgs { health_timeout: Some("1us".into()), ..args(None) },
            HealthArgs { health_retries: Some(-1), ..args(None) },
            HealthArgs { no_healthcheck: true, ..args(Some("true")) },
            HealthArgs { no_healthcheck: true, health_retries: Some(1), ..args(None) },
        ] {
            assert!(HealthRequest::new(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_user_lies_over_the_image() {
        let image = HealthRequest {
            test: words(&["CMD", "/check", "-x"]),
            interval: 7 * SECOND,
            retries: 9,
            ..HealthRequest::default()
        };
        let shell = words(&["/bin/sh", "-c"]);
        let plan =
            |user: &HealthArgs| HealthRequest::new(user).unwrap().over(Some(&image)).plan(&shell).unwrap();
        let own = plan(&args(None)).unwrap();
        assert_eq!((own.args, own.interval, own.retries), (words(&["/check", "-x"]), 7 * SECOND, 9));
        let mixed = plan(&HealthArgs { health_retries: Some(1), ..args(Some("test -e /x")) }).unwrap();
        assert_eq!(mixed.args, words(&["/bin/sh", "-c", "test -e /x"]));
        assert_eq!((mixed.interval, mixed.timeout, mixed.retries), (7 * SECOND, 30 * SECOND, 1));
        assert_eq!(plan(&HealthArgs { no_healthcheck: true, ..args(None) }), None);
        assert_eq!(HealthRequest::default().over(None).plan(&shell).unwrap(), None);
        for bad in [&["CMD"][..], &["CMD-SHELL"], &["CMD-SHELL", "a", "b"], &["true"], &["NONE", "x"]] {
            let request = HealthRequest { test: words(bad), ..HealthRequest::default() };
            assert!(request.plan(&shell).is_err(), "{bad:?}");
        }
    }
}
