//! When a registry is asked again: how often, after how long, and what it says about that itself.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::RegistryError;
use crate::progress::Retrying;

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    pub(crate) max: u32,
    /// After the first failure; twice as long after each further one.
    pub(crate) wait: Duration,
}

/// Another attempt that is to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry<'a> {
    /// 2 or more.
    pub(crate) attempt: u32,
    /// How long until then.
    pub(crate) wait: Duration,
    pub(crate) cause: &'a RegistryError,
}

impl Retry<'_> {
    /// Tells of it, with the whole chain of causes.
    pub(crate) fn tell(self, tell: impl FnOnce(Retrying<'_>)) {
        let Self { attempt, wait, cause } = self;
        let mut text = cause.to_string();
        let mut below = std::error::Error::source(cause);
        while let Some(source) = below {
            text += &format!(": {source}");
            below = source.source();
        }
        tell(Retrying { attempt, wait, cause: &text });
    }
}

/// The longest that a registry can make us wait between attempts.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Those who are told the same time come back within this much of it.
const SPREAD: Duration = Duration::from_secs(1);

impl Attempts {
    /// Runs `request`, for something small, until it succeeds, fails for good, or has failed too often.
    pub(crate) async fn run<T, F: Future<Output = Result<T, RegistryError>>>(
        self,
        mut request: impl FnMut() -> F,
        retrying: impl Fn(Retry<'_>),
    ) -> Result<T, RegistryError> {
        for attempt in 1.. {
            match request().await {
                Err(error) if error.is_passing() && attempt < self.max => {
                    self.pause(attempt, &error, &retrying).await;
                }
                done => return done,
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Says that there will be another attempt, and waits for its time. Whoever sets the clock meanwhile changes nothing.
    pub(crate) async fn pause(self, failed: u32, cause: &RegistryError, retrying: &impl Fn(Retry<'_>)) {
        let wait = self.wait_after(failed, cause.retry_after(), lot());
        retrying(Retry { attempt: failed + 1, wait, cause });
        tokio::time::sleep(wait).await;
    }

    /// How long to wait after so many failures. `lot` spreads those whom the same registry has refused at the same
    /// moment: over the second half of our own wait, or behind the time that the registry named. PURE.
    fn wait_after(self, failed: u32, asked: Option<Duration>, lot: u8) -> Duration {
        let share = f64::from(lot) / 256.0;
        match asked {
            Some(asked) => asked.min(WAIT_MAX) + self.wait.min(SPREAD).mul_f64(share),
            None => {
                let doubled = self.wait.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
                doubled.min(WAIT_MAX).mul_f64(0.5 + share / 2.0)
            }
        }
    }
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3). A date counts from the answer's own `Date`, so that
/// neither our clock nor the registry's need be right; from `now` where it has none. PURE.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let asked = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)));
    }
    let until = date(headers, &RETRY_AFTER)?;
    let wait = until.duration_since(date(headers, &DATE).unwrap_or(now));
    // One that is over already.
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(headers.get(name)?.to_str().ok()?.trim()).ok()
}

fn lot() -> u8 {
    let mut lot = [0];
    // Without a random number all wait equally long, which is no harm.
    let _given = rustix::rand::getrandom(&mut lot, rustix::rand::GetRandomFlags::NONBLOCK);
    lot[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_are_spread_and_bounded() {
        let attempts = Attempts { max: 5, wait: Duration::from_secs(1) };
        let waits = |lot| (1..=4).map(|failed| attempts.wait_after(failed, None, lot).as_millis()).collect();
        let (short, long): (Vec<_>, Vec<_>) = (waits(0), waits(128));
        assert_eq!((short, long), (vec![500, 1000, 2000, 4000], vec![750, 1500, 3000, 6000]));
        for failed in [7, 32, u32::MAX] {
            assert_eq!(attempts.wait_after(failed, None, 0), WAIT_MAX / 2);
            assert!(attempts.wait_after(failed, None, 255) <= WAIT_MAX);
        }
        let asked =
            |seconds, lot| attempts.wait_after(1, Some(Duration::from_secs(seconds)), lot).as_millis();
        assert_eq!([asked(7, 0), asked(7, 128), asked(u64::MAX, 0), asked(0, 0)], [7000, 7500, 60_000, 0]);
        let long = Attempts { max: 5, wait: Duration::MAX };
        assert_eq!(long.wait_after(40, None, 0), WAIT_MAX / 2);
        assert!(long.wait_after(1, Some(Duration::MAX), 255) <= WAIT_MAX + SPREAD);
    }

    #[test]
    fn seconds_and_dates_are_understood_whatever_the_clock_says() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = Duration::from_secs(24 * 3600);
        for (asked, date, expected) in [
            (Some("120"), None, Some(Duration::from_secs(120))),
            (Some(" 0 "), None, Some(Duration::ZERO)),
            (Some("99999999999999999999999"), None, Some(Duration::from_secs(u64::MAX))),
            // By the registry's own clock, which is decades behind.
            (
                Some("Sun, 06 Nov 1994 08:49:37 GMT"),
                Some("Sun, 06 Nov 1994 08:49:07 GMT"),
                Some(Duration::from_secs(30)),
            ),
            (
                Some("Sun, 06 Nov 1994 08:49:37 GMT"),
                Some("Mon, 07 Nov 1994 08:49:37 GMT"),
                Some(Duration::ZERO),
            ),
            (Some("Fri, 02 Jan 2026 00:00:00 GMT"), None, Some(day)),
            (Some("Fri, 02 Jan 2026 00:00:00 GMT"), Some("soon"), Some(day)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, Some(Duration::ZERO)),
            (Some("-1"), None, None),
            (Some("1.5"), None, None),
            (Some("soon"), None, None),
            (Some(""), None, None),
            (None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(RETRY_AFTER, asked), (DATE, date)] {
                headers.extend(value.map(|value| (name, value.parse().unwrap())));
            }
            assert_eq!(retry_after(&headers, now), expected, "{asked:?} {date:?}");
        }
    }
}
