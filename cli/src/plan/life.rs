//! How long a container lives: whether it is started again, and when it must have ended. PURE.

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::commands::flags::LifeArgs;

/// Kept with the container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Life {
    pub(crate) restart: RestartPolicy,
    /// After how many seconds it is killed.
    pub(crate) timeout: Option<u64>,
}

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it ended with another code than 0.
    OnFailure {
        /// How often; 0 is as often as it does.
        most: u32,
    },
    /// Whatever its code, until a user stops it; at the next boot even then.
    Always,
    /// The same, and not at the next boot either once a user has stopped it.
    UnlessStopped,
}

impl Life {
    /// Understands the flags.
    ///
    /// # Errors
    /// A policy that is none, or one that contradicts `--rm`.
    pub(crate) fn new(args: &LifeArgs, auto_remove: bool) -> Result<Life> {
        let restart = RestartPolicy::parse(&args.restart)?;
        ensure!(
            !auto_remove || restart == RestartPolicy::No,
            "conflicting options: cannot specify both --restart and --rm"
        );
        Ok(Life { restart, timeout: args.timeout.filter(|seconds| *seconds > 0) })
    }
}

impl RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure[:MOST]`.
    ///
    /// # Errors
    /// Another word, or a number where none belongs.
    pub(crate) fn parse(text: &str) -> Result<RestartPolicy> {
        let (name, most) = text.split_once(':').map_or((text, None), |(name, most)| (name, Some(most)));
        let policy = match name {
            "" if most.is_some() => bail!("invalid restart policy {text:?}: no policy before the colon"),
            "" | "no" => RestartPolicy::No,
            "always" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            "on-failure" => {
                let most = most.map(|most| {
                    most.parse().ok().with_context(|| {
                        format!("invalid restart policy {text:?}: maximum retry count must be an integer")
                    })
                });
                return Ok(RestartPolicy::OnFailure { most: most.transpose()?.unwrap_or(0) });
            }
            _ => {
                bail!("invalid restart policy {text:?}: one of no, always, unless-stopped, on-failure[:MOST]")
            }
        };
        ensure!(
            most.is_none(),
            "invalid restart policy {text:?}: maximum retry count cannot be used with restart policy {name:?}"
        );
        Ok(policy)
    }

    /// As docker calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RestartPolicy::No => "no",
            RestartPolicy::OnFailure { .. } => "on-failure",
            RestartPolicy::Always => "always",
            RestartPolicy::UnlessStopped => "unless-stopped",
        }
    }

    /// How often, where that is limited.
    pub(crate) fn most(self) -> u32 {
        match self {
            RestartPolicy::OnFailure { most } => most,
            _ => 0,
        }
    }
}

/// How often a container has ended by itself, and how long its monitor waited last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    restarts: u32,
    /// ns.
    delay: u64,
}

/// ns, as docker's restart manager has them.
const FIRST: u64 = 100_000_000;
const LONGEST: u64 = 60_000_000_000;
const GOOD_RUN: u64 = 10_000_000_000;

impl Backoff {
    /// How often it was started again.
    pub(crate) fn restarts(self) -> u32 {
        self.restarts
    }

    /// How long to wait before it is started again, ns, after a run of `lasted` ns that ended with `code`; `None` where it is
    /// not. 100 ms at first, twice as long each time, a minute at most; a run of ten seconds begins anew.
    pub(crate) fn next(&mut self, policy: RestartPolicy, code: i32, lasted: u64) -> Option<u64> {
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { most } => code != 0 && (most == 0 || self.restarts < most),
        };
        if !again {
            return None;
        }
        self.delay = match self.delay {
            0 => FIRST,
            _ if lasted >= GOOD_RUN => FIRST,
            delay => delay.saturating_mul(2).min(LONGEST),
        };
        self.restarts += 1;
        Some(self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers() {
        for (text, expected) in [
            ("no", Some(RestartPolicy::No)),
            ("", Some(RestartPolicy::No)),
            ("always", Some(RestartPolicy::Always)),
            ("unless-stopped", Some(RestartPolicy::UnlessStopped)),
            ("on-failure", Some(RestartPolicy::OnFailure { most: 0 })),
            ("on-failure:3", Some(RestartPolicy::OnFailure { most: 3 })),
            ("on-failure:x", None),
            ("on-failure:-1", None),
            ("always:3", None),
            (":3", None),
            ("sometimes", None),
        ] {
            assert_eq!(RestartPolicy::parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_begins_anew_after_a_good_run() {
        let mut backoff = Backoff::default();
        let mut next = |code, lasted| backoff.next(RestartPolicy::Always, code, lasted).unwrap() / 1_000_000;
        let waits: Vec<u64> = (0..12).map(|_| next(1, 5)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!([next(0, GOOD_RUN), next(0, GOOD_RUN - 1)], [100, 200]);
    }

    #[test]
    fn failures_are_counted_and_success_is_the_end() {
        let mut backoff = Backoff::default();
        let policy = RestartPolicy::OnFailure { most: 2 };
        let again: Vec<bool> = [1, 137, 1].map(|code| backoff.next(policy, code, 0).is_some()).into();
        assert_eq!(again, [true, true, false]);
        assert_eq!(backoff.restarts(), 2);
        assert_eq!(Backoff::default().next(RestartPolicy::OnFailure { most: 0 }, 0, 0), None);
        assert_eq!(Backoff::default().next(RestartPolicy::No, 1, 0), None);
        assert!(Backoff::default().next(RestartPolicy::UnlessStopped, 0, 0).is_some());
    }
}
