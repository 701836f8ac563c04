//! Durations as workflows write them, which may come out of a variable.

use std::time::Duration;

use crate::expr::value::Value;

/// It is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported duration format: {found}")]
pub struct UnsupportedDuration {
    /// What it is, cut and safe to print.
    found: String,
}

/// A number of seconds, or a text: a decimal number with `ms`, `s`, `m`, `h`, `d` or nothing
/// (seconds) behind it, or `MM:SS` or `HH:MM:SS`, each with a fraction if wanted.
///
/// # Errors
///
/// If it is anything else, negative, or beyond what a [`Duration`] holds.
pub fn duration(value: &Value) -> Result<Duration, UnsupportedDuration> {
    let (found, shown) = match value {
        Value::Integer(seconds) => {
            let whole = u64::try_from(*seconds).ok();
            (whole.map(Duration::from_secs), seconds.to_string())
        }
        Value::Float(seconds) => {
            let found = Duration::try_from_secs_f64(*seconds).ok();
            (found, seconds.to_string())
        }
        Value::Text(text) => (written(text.trim()), bare(text)),
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

/// Seconds in a unit. `ms` stands before `s`, which it ends in.
const UNITS: [(&str, f64); 6] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("", 1.0),
];

fn written(text: &str) -> Option<Duration> {
    if text.contains(':') {
        return clock(text);
    }
    let (number, unit) = UNITS
        .into_iter()
        .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, seconds)))?;
    Duration::try_from_secs_f64(decimal(number.trim_end())? * unit).ok()
}

/// `MM:SS` or `HH:MM:SS`; only the first part may be above 59.
fn clock(text: &str) -> Option<Duration> {
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [minutes, seconds] => ("0", *minutes, *seconds),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole(hours) || !is_whole(minutes) {
        return None;
    }
    let (minutes_number, seconds) = (decimal(minutes)?, decimal(seconds)?);
    if seconds >= 60.0 || (parts.len() == 3 && minutes_number >= 60.0) {
        return None;
    }
    let total = decimal(hours)? * 3_600.0 + minutes_number * 60.0 + seconds;
    Duration::try_from_secs_f64(total).ok()
}

/// Digits with at most one point among them; no sign, no exponent.
fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_decimal.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
