//! The time of day, in the forms that records, logs and people want.

use jiff::Timestamp;
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// A moment that is waited for, by the clock that nobody sets (CLOCK_MONOTONIC, clock_gettime(2)): ns since the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Now.
    pub(crate) fn now() -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let part = |part: i64| u64::try_from(part).unwrap_or(0);
        Moment(part(time.tv_sec) * SECOND + part(time.tv_nsec))
    }

    /// So many nanoseconds from now.
    pub(crate) fn after(nanoseconds: u64) -> Moment {
        Moment(Moment::now().0.saturating_add(nanoseconds))
    }

    /// When so many seconds from now are over; never where they are negative.
    pub(crate) fn deadline(seconds: i64) -> Option<Moment> {
        u64::try_from(seconds).ok().map(|seconds| Moment::after(seconds.saturating_mul(SECOND)))
    }

    /// How long before the other it was, ns.
    pub(crate) fn before(self, other: Moment) -> u64 {
        other.0.saturating_sub(self.0)
    }

    /// How long ago it was, ns.
    pub(crate) fn ago(self) -> u64 {
        Moment::now().0.saturating_sub(self.0)
    }

    /// Whether it is over.
    pub(crate) fn is_past(self) -> bool {
        self <= Moment::now()
    }

    /// How long it is until then, for poll(2).
    pub(crate) fn left(self) -> Timespec {
        let left = self.0.saturating_sub(Moment::now().0);
        Timespec { tv_sec: (left / SECOND).cast_signed(), tv_nsec: (left % SECOND).cast_signed() }
    }
}

/// ns.
const SECOND: u64 = 1_000_000_000;

/// RFC 3339 with nine digits of a second, UTC, as docker's logs have it.
pub(crate) fn rfc3339_nano(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.9}")
}

/// The same in local time, as docker's events have it.
pub(crate) fn local_nano(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.to_zoned_datetime(jiff::tz::TimeZone::system());
    let zone = if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() };
    format!("{}{zone}", time.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
}

/// RFC 3339 to the second, UTC.
pub(crate) fn rfc3339(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.0}")
}

/// When a process started, as ps(1) says it in STIME: `14:03` today, `Nov23` before. Seconds since 1970.
pub(crate) fn start_time(started: u64, now: u64) -> String {
    let form = if here(started).date() == here(now).date() { "%H:%M" } else { "%b%d" };
    local(started, form)
}

/// A moment where the user is, in a form of strftime(3). Seconds since 1970.
pub(crate) fn local(seconds: u64, form: &str) -> String {
    here(seconds).strftime(form).to_string()
}

fn here(seconds: u64) -> jiff::ZonedDateTime {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned_datetime(jiff::tz::TimeZone::system())
}

/// A moment as docker's lists have it, where the user is: `2026-11-23 21:00:00 +0100 CET`.
pub(crate) fn human_time(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// A moment as people type it: RFC 3339, a date with or without a time of day (here, then), seconds since 1970 with or
/// without a fraction, or how long ago it was (`1h30m`). ns since 1970.
///
/// # Errors
/// A text that is none of these.
pub(crate) fn moment(text: &str, now: u64) -> anyhow::Result<u64> {
    use anyhow::Context as _;
    let nanoseconds = |time: Timestamp| u64::try_from(time.as_nanosecond()).ok();
    let here = |text: &str| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        nanoseconds(time.to_zoned_datetime(jiff::tz::TimeZone::system()).ok()?.timestamp())
    };
    let absolute = || text.parse::<Timestamp>().ok().and_then(nanoseconds).or_else(|| here(text));
    seconds(text)
        .or_else(|| duration(text).map(|ago| now.saturating_sub(ago)))
        .or_else(absolute)
        .with_context(|| format!("invalid time {text:?}: such as 2026-11-23T20:00:00Z, 1795464000 or 10m"))
}

/// `1795464000` or `1795464000.5`. PURE.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// `1h30m`, `1.5s`, `0`: ns, as Go reads a duration that is not negative. PURE.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let mut rest = if text == "0" { "0s" } else { text };
    let mut all = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, length) =
            [("ms", 1e6), ("us", 1e3), ("µs", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))?;
        all += number * length;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty() && all < 9e18).then_some(all as u64)
}

/// A duration that may begin with weeks and days: `7d`, `2w`, `1d12h`. ns. PURE.
///
/// # Errors
/// A text that is none.
pub(crate) fn period(text: &str) -> anyhow::Result<u64> {
    let (mut rest, mut all) = (text, 0_u64);
    for (unit, length) in [('w', 7 * 24 * 3600 * SECOND), ('d', 24 * 3600 * SECOND)] {
        if let Some((number, further)) = rest.split_once(unit)
            && let Ok(number) = number.parse::<u64>()
        {
            all = all.saturating_add(number.saturating_mul(length));
            rest = further;
        }
    }
    let shorter = if rest.is_empty() && !text.is_empty() { Some(0) } else { duration(rest) };
    shorter
        .map(|shorter| all.saturating_add(shorter))
        .ok_or_else(|| anyhow::anyhow!("invalid duration {text:?}: such as 7d, 36h or 1d12h"))
}

/// This moment, as docker's logs have it.
pub(crate) fn log_time() -> String {
    rfc3339_nano(now())
}

/// `2 minutes`, `About an hour`: how long something lasted, as docker says it (units.HumanDuration).
pub(crate) fn human(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, hours) {
        (0, _) => "Less than a second".to_owned(),
        (1, _) => "1 second".to_owned(),
        (..60, _) => format!("{seconds} seconds"),
        (..120, _) => "About a minute".to_owned(),
        (..3600, _) => format!("{minutes} minutes"),
        (_, ..=1) => "About an hour".to_owned(),
        (_, ..48) => format!("{hours} hours"),
        (_, ..336) => format!("{} days", hours / 24),
        (_, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_how_long_ago() {
        let second = 1_000_000_000;
        let now = 1_000_000 * second;
        for (text, expected) in [
            ("0", Some(0)),
            ("1795464000", Some(1_795_464_000 * second)),
            ("1795464000.25", Some(1_795_464_000 * second + second / 4)),
            ("10m", Some(now - 600 * second)),
            ("1h30m", Some(now - 5400 * second)),
            ("1.5s", Some(now - second - second / 2)),
            ("1970-01-01T00:00:10Z", Some(10 * second)),
            ("1970-01-01T01:00:10+01:00", Some(10 * second)),
            ("1000000000h", None),
            ("", None),
            ("m", None),
            ("10", Some(10 * second)),
            ("10x", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text, now).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn periods_may_be_days_and_weeks() {
        let hour = 3600 * 1_000_000_000;
        for (text, expected) in [
            ("7d", Some(168 * hour)),
            ("2w", Some(336 * hour)),
            ("1w1d1h", Some(193 * hour)),
            ("36h", Some(36 * hour)),
            ("0", Some(0)),
            ("9999999999999d", Some(u64::MAX)),
            ("", None),
            ("d", None),
            ("1h1d", None),
            ("-1d", None),
            ("7", None),
        ] {
            assert_eq!(period(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_said_as_docker_says_them() {
        let second = 1_000_000_000;
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 24 * 3600, "2 weeks"),
            (61 * 24 * 3600, "2 months"),
            (800 * 24 * 3600, "2 years"),
        ] {
            assert_eq!(human(seconds * second), expected, "{seconds}");
        }
    }

    #[test]
    fn times_have_nine_digits() {
        assert_eq!(rfc3339_nano(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(rfc3339_nano(1_700_000_000_000_000_000), "2023-11-14T22:13:20.000000000Z");
    }
}
