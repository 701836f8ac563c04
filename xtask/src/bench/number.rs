//! Numbers: medians, percentiles, and how many digits of them mean something.

use anyhow::Context as _;

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    let lower = sorted.get(middle.checked_sub(1)?)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The smallest value that at least this share of the sorted values does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is a length"
)]
pub(super) fn percentile(sorted: &[f64], share: f64) -> anyhow::Result<f64> {
    let count = float(u64::try_from(sorted.len())?);
    let rank = (count * share).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().context("nothing was measured")
}

/// Three digits, or all before the point.
pub(super) fn short(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_values_of_the_middle_and_the_end() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        for (share, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            let found = percentile(&sorted, share).unwrap();
            assert!((found - expected).abs() < f64::EPSILON, "{share}: {found}");
        }
        assert!(percentile(&[], 0.5).is_err());
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_mean_something() {
        let written = [1234.5, 56.78, 1.234, 0.4567].map(short);
        assert_eq!(written, ["1234", "56.8", "1.23", "0.457"]);
    }
}
