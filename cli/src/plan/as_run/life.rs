//! How long a container lives, and how it is asked whether it is well.

use super::Line;
use crate::plan::health::HealthRequest;
use crate::plan::life::{Life, RestartPolicy};

pub(super) fn of_life(line: &mut Line, life: &Life) {
    let Life { restart, timeout } = life;
    line.values(
        "--restart",
        match restart {
            RestartPolicy::No => None,
            RestartPolicy::OnFailure { most: most @ 1.. } => Some(format!("{}:{most}", restart.name())),
            RestartPolicy::OnFailure { .. } | RestartPolicy::Always | RestartPolicy::UnlessStopped => {
                Some(restart.name().to_owned())
            }
        },
    );
    line.values("--timeout", timeout);
}

pub(super) fn of_health(line: &mut Line, health: &HealthRequest) {
    let HealthRequest { test, interval, timeout, start_period, start_interval, retries } = health;
    line.switch("--no-healthcheck", test.first().is_some_and(|kind| kind == "NONE"));
    line.values("--health-cmd", test.get(1));
    for (flag, length) in [
        ("--health-interval", interval),
        ("--health-timeout", timeout),
        ("--health-start-period", start_period),
        ("--health-start-interval", start_interval),
    ] {
        line.values(flag, Some(*length).filter(|length| *length > 0).map(duration));
    }
    line.values("--health-retries", Some(retries).filter(|retries| **retries > 0));
}

/// `30s`, of ns.
fn duration(length: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)];
    let unit = units.into_iter().find(|(_, unit)| length.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{length}ns"), |(name, unit)| format!("{}{name}", length / unit))
}
