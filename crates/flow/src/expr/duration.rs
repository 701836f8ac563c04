//! Durations as model-compose writes them: `5`, `0.5`, `1.5h`, `200ms`, `01:30`, `1:02:03.5`; and as
//! adit does: `1h30m`. They stand in files, and come out of variables.
//!
//! A number alone is seconds. Two or three numbers with colons are minutes and seconds, or hours,
//! minutes and seconds.

use std::time::Duration;

use crate::expr::value::Value;

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

/// Reads a duration. White space around it counts for nothing.
///
/// # Errors
///
/// Says what is wrong with it. The text itself is not in the error.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if text.contains(':') {
        return clock(text);
    }
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic());
    let unit_at = unit_at.unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at).unwrap_or((text, ""));
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

/// `MM:SS` and `HH:MM:SS`, the last with a fraction or without; only the first may be above 59.
fn clock(text: &str) -> Result<Duration, DurationError> {
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let (hours, minutes, rest) = match parts.as_slice() {
        [minutes, seconds] => ("0", *minutes, *seconds),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(DurationError::Unsupported),
    };
    let [hours, minutes, rest] = [decimal(hours)?, decimal(minutes)?, decimal(rest)?];
    let is_whole = minutes.fract() == 0.0 && hours.fract() == 0.0;
    let minutes_are_first = parts.len() == 2;
    if !is_whole || rest >= 60.0 || (!minutes_are_first && minutes >= 60.0) {
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

/// A value is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported duration format: {found}")]
pub struct UnsupportedDuration {
    /// What it is, cut and safe to print.
    found: String,
}

/// The duration that a value says: a number of seconds, or a text as [`parse_duration`] reads it.
///
/// # Errors
///
/// If it is anything else, negative, or beyond what a [`Duration`] holds.
pub fn duration(value: &Value) -> Result<Duration, UnsupportedDuration> {
    let (found, shown) = match value {
        Value::Integer(number) => {
            let whole = u64::try_from(*number).ok();
            (whole.map(Duration::from_secs), number.to_string())
        }
        Value::Float(number) => (seconds(*number).ok(), number.to_string()),
        Value::Text(text) => (parse_duration(text).ok(), bare(text)),
        Value::Null
        | Value::Boolean(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => (None, value.kind().to_owned()),
    };
    found.ok_or(UnsupportedDuration { found: shown })
}

/// The text, cut and safe to print, without quotes: the message is that of model-compose.
fn bare(text: &str) -> String {
    let shown = adit_text::show(text);
    let inside = shown.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
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
            ("1d2h3m4s5ms", Ok(93_784_005)),
            ("30m1h", Err(Unsupported)),
            ("0", Ok(0)),
            ("-1", Err(Negative)),
            ("", Err(Unsupported)),
            ("s", Err(Unsupported)),
            ("5 parsecs", Err(Unsupported)),
            ("1h 30m", Err(Unsupported)),
            (".5", Err(Unsupported)),
            ("5.", Err(Unsupported)),
            ("1e3", Err(Unsupported)),
            ("1:2:3:4", Err(Unsupported)),
            ("1.5:00", Err(Unsupported)),
            ("inf", Err(Unsupported)),
            ("99999999999999999999d", Err(TooLong)),
        ] {
            assert_eq!(
                parse_duration(text),
                wanted.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_units_and_clocks_are_durations() {
        for (text, milliseconds) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("1.5s", 1_500),
            ("5m", 300_000),
            ("0.5h", 1_800_000),
            ("1d", 86_400_000),
            ("0s", 0),
            ("7", 7_000),
            (" 2.25 ", 2_250),
            ("10 s", 10_000),
            ("01:30", 90_000),
            ("90:00", 5_400_000),
            ("1:02:03.5", 3_723_500),
        ] {
            let found = duration(&Value::from(text));
            assert_eq!(found, Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        let seconds = duration(&Value::Integer(3));
        assert_eq!(seconds, Ok(Duration::from_secs(3)));
        let seconds = duration(&Value::Float(0.25));
        assert_eq!(seconds, Ok(Duration::from_millis(250)));
    }

    #[test]
    fn anything_else_is_refused_in_the_words_of_the_original() {
        for (value, found) in [
            (Value::from("soon"), "soon"),
            (Value::from(""), ""),
            (Value::from("s"), "s"),
            (Value::from("-1s"), "-1s"),
            (Value::from("1e3s"), "1e3s"),
            (Value::from("1.2.3s"), "1.2.3s"),
            (Value::from("1:60"), "1:60"),
            (Value::from("1:60:00"), "1:60:00"),
            (Value::from("1:2:3:4"), "1:2:3:4"),
            (Value::from(":5"), ":5"),
            (Value::from("inf"), "inf"),
            (
                Value::from("99999999999999999999d"),
                "99999999999999999999d",
            ),
            (Value::Integer(-1), "-1"),
            (Value::Float(f64::NAN), "NaN"),
            (Value::Null, "null"),
            (Value::Boolean(true), "boolean"),
        ] {
            let error = duration(&value).unwrap_err().to_string();
            assert_eq!(error, format!("Unsupported duration format: {found}"));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text: String) {
            prop_assert!(parse_duration(&text) != Ok(Duration::MAX));
        }
    }
}
