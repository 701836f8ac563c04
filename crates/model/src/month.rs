//! Months, in UTC, by which bytes are counted.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A month of a year, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i64);

/// What a year adds to a month's number.
const YEAR: i64 = 100;

impl Month {
    /// The month that a moment is in.
    pub fn of(moment: Timestamp) -> Self {
        let date = moment.to_zoned(TimeZone::UTC).date();
        let year = i64::from(date.year()).saturating_mul(YEAR);
        Self(year.saturating_add(i64::from(date.month())))
    }

    /// Its number, as people would write it: 202611 is November 2026.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The same month of the year before.
    #[must_use]
    pub const fn a_year_before(self) -> Self {
        Self(self.0.saturating_sub(YEAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_what_people_write() {
        let of = |text: &str| Month::of(text.parse().unwrap());
        assert_eq!(of("2026-11-30T23:59:59.9Z").number(), 202_611);
        assert_eq!(of("2026-12-01T00:00:00Z").number(), 202_612);
        assert!(of("2026-12-01T00:00:00Z") < of("2027-01-01T00:00:00Z"));
        let before = of("2027-01-01T00:00:00Z").a_year_before();
        assert_eq!(before, of("2026-01-31T12:00:00Z"));
    }
}
