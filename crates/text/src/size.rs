//! Counts of bytes as people write them: `512`, `64KiB`, `10MB`.
//!
//! A whole number, alone or with one unit: `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`,
//! `MiB`, `GiB`, `TiB` (powers of 1024). `KB` is taken as `kB`.

use crate::duration::split;

/// What a message shows as a good size.
pub const EXAMPLE: &str = "64KiB";

/// The units with their bytes.
const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// No whole number at the beginning.
    #[error("a size begins with a whole number")]
    NotANumber,
    /// Something that is no unit after the number.
    #[error("units are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB")]
    UnknownUnit,
    /// More bytes than 64 bits hold.
    #[error("the size is too large")]
    TooLarge,
}

/// Reads a number of bytes.
///
/// # Errors
///
/// Says what is wrong with it. The text itself is not in the error.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let (digits, unit) = split(text, |c| c.is_ascii_digit());
    if digits.is_empty() {
        return Err(SizeError::NotANumber);
    }
    let number: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, bytes) = unit.ok_or(SizeError::UnknownUnit)?;
    number.checked_mul(*bytes).ok_or(SizeError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        use SizeError::{NotANumber, TooLarge, UnknownUnit};
        for (text, wanted) in [
            ("0", Ok(0)),
            ("512", Ok(512)),
            ("512B", Ok(512)),
            ("64KiB", Ok(65_536)),
            ("10MB", Ok(10_000_000)),
            ("10kB", Ok(10_000)),
            ("16777215TiB", Ok(u64::MAX - (1 << 40) + 1)),
            ("16777216TiB", Err(TooLarge)),
            ("99999999999999999999", Err(TooLarge)),
            ("10 MB", Err(UnknownUnit)),
            ("10mb", Err(UnknownUnit)),
            ("1.5MB", Err(UnknownUnit)),
            ("MB", Err(NotANumber)),
            ("-1", Err(NotANumber)),
            ("", Err(NotANumber)),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
