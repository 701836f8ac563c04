//! Durations as people write them: `250ms`, `10s`, `1h30m`, `2d`.
//!
//! One or more whole numbers, each with its unit, larger units first and each unit once, without
//! spaces. A day is 24 hours.

use std::time::Duration;

/// What a message shows as a good duration.
pub const EXAMPLE: &str = "1h30m";

/// The units with their milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// It begins with a minus.
    #[error("a duration is not negative")]
    Negative,
    /// A number without a unit.
    #[error("the unit is missing; units are ms, s, m, h and d")]
    NoUnit,
    /// A unit that is none of ours.
    #[error("units are ms, s, m, h and d")]
    UnknownUnit,
    /// A unit that comes twice, or after a smaller one.
    #[error("larger units come first, each of them once")]
    Order,
    /// Something else where a whole number belongs.
    #[error("a duration is whole numbers with units")]
    NotANumber,
    /// More milliseconds than 64 bits hold.
    #[error("the duration is too long")]
    TooLong,
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
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    loop {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(DurationError::NotANumber);
        }
        let number: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
        let (unit, after) = split(after, char::is_alphabetic);
        if unit.is_empty() {
            return Err(match after {
                "" => DurationError::NoUnit,
                _ => DurationError::NotANumber,
            });
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::UnknownUnit);
        }
        // Units that were passed over or used are gone from the iterator.
        let Some((_, milliseconds)) = units.find(|(name, _)| *name == unit) else {
            return Err(DurationError::Order);
        };
        total = number
            .checked_mul(*milliseconds)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        if after.is_empty() {
            return Ok(Duration::from_millis(total));
        }
        rest = after;
    }
}

/// As [`parse`], but a number alone is taken as seconds.
///
/// # Errors
///
/// Says what is wrong with it. The text itself is not in the error.
pub fn parse_or_seconds(text: &str) -> Result<Duration, DurationError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        let seconds: u64 = text.parse().map_err(|_| DurationError::TooLong)?;
        // As many as with a unit, so that what is accepted can be written with one.
        seconds
            .checked_mul(1_000)
            .map(Duration::from_millis)
            .ok_or(DurationError::TooLong)
    } else {
        parse(text)
    }
}

/// Writes a duration as [`parse`] reads it, with what is below a millisecond left out.
pub fn render(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (name, milliseconds) in UNITS {
        let milliseconds = u128::from(milliseconds);
        // None of the units is zero.
        let count = left.checked_div(milliseconds).unwrap_or_default();
        left = left.checked_rem(milliseconds).unwrap_or_default();
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(name);
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// `text` cut before its first character that does not belong.
pub(crate) fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_numbers_with_units() {
        use DurationError::{Negative, NoUnit, NotANumber, Order, TooLong, UnknownUnit};
        for (text, wanted) in [
            ("250ms", Ok(250)),
            ("10s", Ok(10_000)),
            ("5m", Ok(300_000)),
            ("1h30m", Ok(5_400_000)),
            ("2d", Ok(172_800_000)),
            ("1d2h3m4s5ms", Ok(93_784_005)),
            ("0s", Ok(0)),
            ("90m", Ok(5_400_000)),
            ("18446744073709551615ms", Ok(u64::MAX)),
            ("18446744073709551616ms", Err(TooLong)),
            ("213503982335d", Err(TooLong)),
            ("213503982334d9999h", Err(TooLong)),
            ("-1s", Err(Negative)),
            ("30", Err(NoUnit)),
            ("1h30", Err(NoUnit)),
            ("1y", Err(UnknownUnit)),
            ("1S", Err(UnknownUnit)),
            ("10sec", Err(UnknownUnit)),
            ("30m1h", Err(Order)),
            ("1s1s", Err(Order)),
            ("", Err(NotANumber)),
            ("s", Err(NotANumber)),
            ("soon", Err(NotANumber)),
            ("1.5h", Err(NotANumber)),
            ("1h 30m", Err(NotANumber)),
            (" 1h", Err(NotANumber)),
            ("+1h", Err(NotANumber)),
            ("١s", Err(NotANumber)),
        ] {
            assert_eq!(parse(text), wanted.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_number_alone_is_seconds_only_where_that_is_said() {
        assert_eq!(parse_or_seconds("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_or_seconds("30ms"), Ok(Duration::from_millis(30)));
        assert_eq!(parse_or_seconds("-30"), Err(DurationError::Negative));
        assert_eq!(
            parse_or_seconds("18446744073709551615"),
            Err(DurationError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn durations_survive_writing_and_reading(milliseconds: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&render(duration)), Ok(duration));
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            if let Ok(duration) = parse_or_seconds(&text) {
                prop_assert_eq!(parse(&render(duration)), Ok(duration));
            }
        }
    }
}
