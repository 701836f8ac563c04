//! Sets of TCP ports, as people write them: `22,80,8000-8100`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of ports, 1 to 65535. Written as numbers and ranges parted by commas; nothing, or `none`, is the
/// empty set and `*` all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortSet {
    /// Ascending, none touches the next, each low end at most its high end.
    ranges: Vec<(u16, u16)>,
}

/// Ranges in one text: what a line of configuration may hold.
const RANGES: usize = 1_024;

/// A text that names no set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortSetError {
    /// Neither a number nor a range.
    #[error("{0:?} is no port; ports are numbers and ranges like 22,8000-8100")]
    NotAPort(String),
    /// A range that ends before it begins.
    #[error("the range {0}-{1} ends before it begins")]
    Backwards(u16, u16),
    /// Port 0 stands for any port, which is a right of its own.
    #[error("port 0 is no port: it asks for any, and has a setting of its own")]
    Zero,
    /// More ranges than anybody writes.
    #[error("more than {RANGES} ranges of ports")]
    TooMany,
}

impl PortSet {
    /// No port.
    pub const EMPTY: Self = Self { ranges: Vec::new() };

    /// All ports.
    #[must_use]
    pub fn all() -> Self {
        Self {
            ranges: vec![(1, u16::MAX)],
        }
    }

    /// One port. 0 is none.
    #[must_use]
    pub fn one(port: u16) -> Self {
        Self::from_ranges([(port, port)])
    }

    /// The union of the ranges, both ends included. Port 0 is left out, and so is a range that ends before
    /// it begins.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut sorted: Vec<_> = ranges
            .into_iter()
            .map(|(low, high)| (low.max(1), high))
            .filter(|(low, high)| low <= high)
            .collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match ranges.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        Self { ranges }
    }

    /// Whether the port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        let after = self.ranges.partition_point(|(low, _)| *low <= port);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, high)| port <= *high)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ports.
    pub fn len(&self) -> u32 {
        self.ranges.iter().fold(0, |sum, (low, high)| {
            sum.saturating_add(
                u32::from(*high)
                    .saturating_sub(u32::from(*low))
                    .saturating_add(1),
            )
        })
    }

    /// The ports in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges.iter().flat_map(|(low, high)| *low..=*high)
    }

    /// The port that stands at `index` of the set in order, for a draw among them.
    pub fn nth(&self, index: u32) -> Option<u16> {
        let mut left = index;
        for (low, high) in &self.ranges {
            let size = u32::from(*high)
                .saturating_sub(u32::from(*low))
                .saturating_add(1);
            if left < size {
                return u16::try_from(u32::from(*low).saturating_add(left)).ok();
            }
            left = left.saturating_sub(size);
        }
        None
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// The ports of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let pairs = self.ranges.iter().flat_map(|(low, high)| {
            other
                .ranges
                .iter()
                .map(move |(other_low, other_high)| (*low.max(other_low), *high.min(other_high)))
        });
        Self::from_ranges(pairs)
    }

    /// The ports of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// The ports of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut from = 1;
        for (low, high) in &other.ranges {
            rest.push((from, low.saturating_sub(1)));
            let Some(after) = high.checked_add(1) else {
                return self.intersection(&Self::from_ranges(rest));
            };
            from = after;
        }
        rest.push((from, u16::MAX));
        self.intersection(&Self::from_ranges(rest))
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        match text.trim() {
            "" | "none" => return Ok(Self::EMPTY),
            "*" => return Ok(Self::all()),
            _ => {}
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            if ranges.len() >= RANGES {
                return Err(PortSetError::TooMany);
            }
            let part = part.trim();
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (read_port(low, part)?, read_port(high, part)?);
            if low > high {
                return Err(PortSetError::Backwards(low, high));
            }
            ranges.push((low, high));
        }
        Ok(Self::from_ranges(ranges))
    }
}

/// A port by its digits; no sign, no blank, no leading zero that would hide an octal number.
fn read_port(digits: &str, part: &str) -> Result<u16, PortSetError> {
    let is_plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    let number = is_plain.then(|| digits.parse::<u16>().ok()).flatten();
    match number {
        Some(0) => Err(PortSetError::Zero),
        Some(number) => Ok(number),
        None => Err(PortSetError::NotAPort(part.chars().take(40).collect())),
    }
}

impl TryFrom<String> for PortSet {
    type Error = PortSetError;

    fn try_from(text: String) -> Result<Self, PortSetError> {
        text.parse()
    }
}

impl From<PortSet> for String {
    fn from(set: PortSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ranges.is_empty() {
            return f.write_str("none");
        }
        for (at, (low, high)) in self.ranges.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            if low == high {
                write!(f, "{low}")?;
            } else {
                write!(f, "{low}-{high}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_is_read_as_people_write_it() {
        let set: PortSet = "22, 80,8000-8100,8050-8200,81".parse().unwrap();
        assert_eq!(set.to_string(), "22,80-81,8000-8200");
        assert_eq!(set.len(), 1 + 2 + 201);
        assert_eq!(set.nth(3), Some(8_000));
        assert_eq!(set.nth(204), None);
        assert_eq!("none".parse(), Ok(PortSet::EMPTY));
        assert_eq!("*".parse(), Ok(PortSet::all()));
    }

    #[test]
    fn what_is_no_port_is_refused_with_its_text() {
        for (text, words) in [
            ("0", "port 0"),
            ("-1", "\"-1\""),
            ("65536", "\"65536\""),
            ("80,,81", "\"\""),
            ("90-80", "ends before"),
            ("010", "\"010\""),
            ("1-2-3", "\"1-2-3\""),
            ("+80", "\"+80\""),
        ] {
            let error = text.parse::<PortSet>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    fn any_set() -> impl Strategy<Value = PortSet> {
        proptest::collection::vec((any::<u16>(), any::<u16>()), 0..6).prop_map(PortSet::from_ranges)
    }

    proptest! {
        #[test]
        fn a_set_reads_back_as_it_was_written(set in any_set()) {
            prop_assert_eq!(set.to_string().parse::<PortSet>().unwrap(), set);
        }

        #[test]
        fn intersection_and_union_are_those_of_sets(a in any_set(), b in any_set(), port: u16) {
            prop_assert_eq!(a.intersection(&b).contains(port), a.contains(port) && b.contains(port));
            prop_assert_eq!(a.union(&b).contains(port), a.contains(port) || b.contains(port));
        }
    }

    #[test]
    fn what_is_taken_away_is_gone_and_nothing_else_is() {
        for (from, away, rest) in [
            ("10-20", "15", "10-14,16-20"),
            ("10-20,30-40", "15-35", "10-14,36-40"),
            ("1-65535", "1,65535", "2-65534"),
            ("22,80", "*", "none"),
            ("22,80", "none", "22,80"),
        ] {
            let [from, away]: [PortSet; 2] = [from, away].map(|text| text.parse().unwrap());
            assert_eq!(from.difference(&away).to_string(), rest);
        }
    }
}
