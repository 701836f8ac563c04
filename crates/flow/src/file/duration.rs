//! Durations as model-compose writes them: `5`, `0.5`, `1.5h`, `200ms`, `01:30`, `1:02:03.5`; and as
//! adit does: `1h30m`.
//!
//! A number alone is seconds. Two or three numbers with colons are minutes and seconds, or hours,
//! minutes and seconds.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It begins with a minus.
    #[error("a duration is not negative")]
    Negative,
    /// It is longer than a [`Duration`] holds.
    #[error("the duration is too long")]
    TooLong,
    /// It is something else.
    #[error("a duration is a number of seconds, or one with ms, s, m, h or d")]
    Unsupported,
}

/// Reads a duration.
///
/// # Errors
///
/// Says what is wrong with it. The text itself is not in the error.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if text.contains(':') {
        return clock(text);
    }
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let unit_seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => {
            return adit_text::duration::parse(text).map_err(|error| {
                if error == adit_text::duration::DurationError::TooLong {
                    DurationError::TooLong
                } else {
                    DurationError::Unsupported
                }
            });
        }
    };
    seconds(decimal(number.trim_end())? * unit_seconds)
}

/// `MM:SS` and `HH:MM:SS`, the last with a fraction or without.
fn clock(text: &str) -> Result<Duration, DurationError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hours, minutes, rest) = match parts.as_slice() {
        [minutes, seconds] => ("0", *minutes, *seconds),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(DurationError::Unsupported),
    };
    let [hours, minutes, rest] = [decimal(hours)?, decimal(minutes)?, decimal(rest)?];
    if minutes.fract() != 0.0 || hours.fract() != 0.0 {
        return Err(DurationError::Unsupported);
    }
    seconds(hours.mul_add(3_600.0, minutes.mul_add(60.0, rest)))
}

/// A number of digits with at most one point, and digits before it.
fn decimal(text: &str) -> Result<f64, DurationError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(DurationError::Unsupported);
    }
    text.parse().map_err(|_| DurationError::Unsupported)
}

/// To the microsecond, so that `0.2` is 200 ms and not a little more.
fn seconds(seconds: f64) -> Result<Duration, DurationError> {
    let exact = Duration::try_from_secs_f64(seconds).map_err(|_| DurationError::TooLong)?;
    let microseconds = exact.as_nanos().saturating_add(500) / 1_000;
    let microseconds = u64::try_from(microseconds).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_seconds_units_or_clocks() {
        use DurationError::{Negative, TooLong, Unsupported};
        for (text, wanted) in [
            ("5", Ok(5_000)),
            ("10.0", Ok(10_000)),
            ("0.2", Ok(200)),
            ("200ms", Ok(200)),
            ("1.5s", Ok(1_500)),
            ("5s", Ok(5_000)),
            ("2m", Ok(120_000)),
            ("1.5h", Ok(5_400_000)),
            ("1d", Ok(86_400_000)),
            ("01:30", Ok(90_000)),
            ("1:02:03.5", Ok(3_723_500)),
            ("1h30m", Ok(5_400_000)),
            ("0", Ok(0)),
            ("-1", Err(Negative)),
            ("", Err(Unsupported)),
            ("s", Err(Unsupported)),
            ("5 parsecs", Err(Unsupported)),
            (".5", Err(Unsupported)),
            ("5.", Err(Unsupported)),
            ("1e3", Err(Unsupported)),
            ("1:2:3:4", Err(Unsupported)),
            ("1.5:00", Err(Unsupported)),
            ("inf", Err(Unsupported)),
            ("99999999999999999999d", Err(TooLong)),
        ] {
            assert_eq!(parse(text), wanted.map(Duration::from_millis), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text: String) {
            prop_assert!(parse(&text) != Ok(Duration::MAX));
        }
    }
}
