//! How healthy a container is: what its checks have said, judged as docker judges, and kept where it can be read.

use std::path::Path;

use runtime::op::OpError;
use runtime::state::{Dirs, Entry};
use runtime::sys::fs::{Durability, write_whole};
use serde::{Deserialize, Serialize};

use crate::plan::health::HealthPlan;

/// How many results are kept.
const RESULTS: usize = 5;

/// How much of what a check says is kept, bytes.
pub(crate) const OUTPUT: usize = 4096;

/// In docker's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    /// No check has succeeded yet.
    #[default]
    Starting,
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

/// What is known of a container's health, under docker's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Health {
    pub(crate) status: HealthStatus,
    /// How many checks have failed in a row.
    pub(crate) failing_streak: u32,
    /// The last ones, oldest first.
    pub(crate) log: Vec<CheckResult>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CheckResult {
    /// RFC 3339, ns.
    pub(crate) start: String,
    /// RFC 3339, ns.
    pub(crate) end: String,
    /// -1 where it could not be run, or not to its end.
    pub(crate) exit_code: i32,
    pub(crate) output: String,
}

impl HealthStatus {
    pub(crate) const ALL: [HealthStatus; 3] =
        [HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy];

    /// docker's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }

    /// As docker's lists say it behind how long a container is up.
    pub(crate) fn in_brackets(self) -> &'static str {
        match self {
            HealthStatus::Starting => " (health: starting)",
            HealthStatus::Healthy => " (healthy)",
            HealthStatus::Unhealthy => " (unhealthy)",
        }
    }
}

impl Health {
    /// Takes a result; `age` is for how long the container had run when the check began, ns. Whether the status is another now. PURE.
    pub(crate) fn judge(&mut self, plan: &HealthPlan, result: CheckResult, age: u64) -> bool {
        let before = self.status;
        if result.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if self.status != HealthStatus::Starting || age >= plan.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= plan.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() >= RESULTS {
            self.log.drain(..=self.log.len() - RESULTS);
        }
        self.log.push(result);
        self.status != before
    }

    /// How long to wait for the next check, ns, of a container that has run for `age` ns. PURE.
    pub(crate) fn interval(&self, plan: &HealthPlan, age: u64) -> u64 {
        if self.status == HealthStatus::Starting && age < plan.start_period {
            plan.start_interval
        } else {
            plan.interval
        }
    }

    /// Writes it down, for as long as the container runs.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn save(&self, directory: &Path) -> Result<(), OpError> {
        let text = serde_json::to_vec(self).expect("health can be written as JSON");
        write_whole(&directory.join(FILE), &text, Durability::Cached)
    }

    /// What was written down of a container; `None` where it has no health checks. Nothing yet is starting.
    pub(crate) fn of(entry: &Entry, plan: Option<&HealthPlan>) -> Option<Health> {
        plan?;
        let Dirs { disk, run } = &entry.dirs;
        let read = |directory: &Path| serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok();
        Some(read(run).or_else(|| read(disk)).unwrap_or_default())
    }
}

/// In the run directory as long as the container runs, beside its record afterwards.
const FILE: &str = "health.json";

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn plan() -> HealthPlan {
        HealthPlan {
            test: Vec::new(),
            args: Vec::new(),
            interval: 30 * SECOND,
            timeout: SECOND,
            start_period: 60 * SECOND,
            start_interval: 5 * SECOND,
            retries: 2,
        }
    }
    fn result(exit_code: i32) -> CheckResult {
        CheckResult { start: String::new(), end: String::new(), exit_code, output: exit_code.to_string() }
    }

    #[test]
    fn failures_count_once_it_has_started() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let mut health = Health::default();
        for (code, age, status, streak, changed) in [
            (1, 10, Starting, 0, false),
            (1, 59, Starting, 0, false),
            (1, 60, Starting, 1, false),
            (0, 61, Healthy, 0, true),
            (-1, 62, Healthy, 1, false),
            (0, 63, Healthy, 0, false),
            (1, 64, Healthy, 1, false),
            (137, 65, Unhealthy, 2, true),
            (1, 66, Unhealthy, 3, false),
            (0, 67, Healthy, 0, true),
        ] {
            assert_eq!(health.judge(&plan(), result(code), age * SECOND), changed, "{age}");
            assert_eq!((health.status, health.failing_streak), (status, streak), "{age}");
        }
        // One that was healthy early is judged by the same measure as all others.
        let mut early = Health::default();
        early.judge(&plan(), result(0), 0);
        early.judge(&plan(), result(1), SECOND);
        assert_eq!((early.status, early.failing_streak), (Healthy, 1));
    }

    #[test]
    fn the_last_five_results_are_kept() {
        let mut health = Health::default();
        for code in 0..8 {
            health.judge(&plan(), result(code), 0);
        }
        let kept: Vec<i32> = health.log.iter().map(|result| result.exit_code).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_starts_is_looked_at_more_often() {
        let mut health = Health::default();
        assert_eq!(health.interval(&plan(), 0), 5 * SECOND);
        assert_eq!(health.interval(&plan(), 60 * SECOND), 30 * SECOND);
        health.judge(&plan(), result(0), 0);
        assert_eq!(health.interval(&plan(), 0), 30 * SECOND);
    }
}
