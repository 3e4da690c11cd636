//! The time of day, in the forms that records, logs and people want.

use jiff::Timestamp;

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// When so many seconds from now are over, ns since 1970; never where they are negative.
pub(crate) fn deadline(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().map(|seconds| now().saturating_add(seconds.saturating_mul(1_000_000_000)))
}

/// RFC 3339 with nine digits of a second, UTC, as docker's logs have it.
pub(crate) fn rfc3339_nano(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.9}")
}

/// When a process started, as ps(1) says it in STIME: `14:03` today, `Nov23` before. Seconds since 1970.
pub(crate) fn start_time(started: u64, now: u64) -> String {
    let local = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned_datetime(jiff::tz::TimeZone::system())
    };
    let (started, now) = (local(started), local(now));
    let form = if started.date() == now.date() { "%H:%M" } else { "%b%d" };
    started.strftime(form).to_string()
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
