//! Ranges of hosts: one grammar for every command that names hosts.
//!
//! ```text
//! red00[1-2]        red001 red002              the low end's width is every number's
//! n[1,3-5,7]        n1 n3 n4 n5 n7             n[19] is n19
//! n[0-6/2]          n0 n2 n4 n6                a step
//! a[1-2]b[3-4]      a1b3 a1b4 a2b3 a2b4        the rightmost turns fastest
//! pi@red[01-02]     pi@red01 pi@red02
//! @workers          a group, by its name
//! red*              names of groups that are so, in their order; ? is one character
//! a,b  a!b  a&b  a^b    both, the first without the second, in both, in one alone; from left to right
//! ```
//!
//! Blanks part names as commas do, and stand around signs as one likes. Order is kept, and what comes twice stands
//! where it came first. This is python-hostlist's grammar with pdsh's `n[19]` and ClusterShell's steps, groups and
//! signs (spec of 2026-11-21, R2).
//!
//! [`fold()`] is the way back: the shortest expression of that list in that order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

pub use self::fold::fold;
use crate::host::Host;

mod expand;
mod fold;
mod parse;

/// Most names that an expression may stand for; python-hostlist's limit.
pub const NAMES: usize = 100_000;
/// Longest expression, in bytes.
pub const EXPRESSION: usize = 64 << 10;
/// How many groups may stand in each other.
pub const DEPTH: usize = 8;

/// Groups of hosts by their names, each with the expression that it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<String, String>);

impl Groups {
    /// Those, the later one where a name stands twice.
    pub fn new(groups: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(groups.into_iter().collect())
    }

    /// What the group of that name stands for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Whether a group can have that name: letters, digits, `_`, `-` and `.`, 64 at the most.
pub fn is_group(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(parse::is_group_part)
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeError {
    expression: String,
    at: Range<usize>,
    fault: Fault,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing where a name should be.
    #[error("a name is missing here")]
    Empty,
    /// A character that stands in no name.
    #[error("this stands in no name; names have letters, digits, '.', '_', '-' and ':'")]
    Character,
    /// A bracket that is not closed.
    #[error("this bracket is not closed")]
    Unclosed,
    /// A bracket that was not opened.
    #[error("no bracket was opened before this")]
    Unopened,
    /// A bracket in a bracket.
    #[error("brackets do not stand in brackets")]
    Nested,
    /// Something else than a number.
    #[error("a number belongs here: [1-3,7] or [0-6/2]")]
    Number,
    /// A number of more digits than any is read with.
    #[error("a number has 18 digits at the most")]
    Digits,
    /// A range that ends before it begins.
    #[error("this range ends before it begins")]
    Backwards,
    /// A step of nothing.
    #[error("a step is 1 or more")]
    Step,
    /// More names than there may be.
    #[error("this is more than {NAMES} names")]
    TooMany,
    /// The expression is too long.
    #[error("an expression has {EXPRESSION} bytes at the most")]
    TooLong,
    /// There is no such group.
    #[error("there is no group of that name{}", known(.0))]
    NoGroup(Vec<String>),
    /// A group that stands in itself, or in too many others.
    #[error("this group stands in itself, or {DEPTH} deep in others")]
    Depth,
    /// Something is wrong with what a group stands for.
    #[error("group {name} is {text:?}, in which: {fault}")]
    InGroup {
        /// Its name.
        name: String,
        /// What it stands for.
        text: String,
        /// What is wrong.
        fault: Box<Self>,
    },
    /// A name that no host has.
    #[error("{0:?} is no host: {1}")]
    NoHost(String, crate::host::HostError),
    /// A pattern that no name of a group is like.
    #[error("no name of a group is like this")]
    NoMatch,
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        return String::from("; groups stand in adit.yml under groups:");
    }
    format!("; there are {}", names.join(", "))
}

impl RangeError {
    fn new(expression: &str, at: Range<usize>, fault: Fault) -> Self {
        Self {
            expression: expression.to_owned(),
            at,
            fault,
        }
    }

    /// What is wrong.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The bytes of the expression that it is about.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The expression in one line, and carets below what is wrong in another. Of a very long expression what is
    /// around that.
    pub fn caret(&self) -> String {
        const AROUND: usize = 60;
        let begin = self
            .expression
            .floor_char_boundary(self.at.start.saturating_sub(AROUND));
        let end = self
            .at
            .start
            .saturating_add(AROUND)
            .min(self.expression.len());
        let end = self.expression.ceil_char_boundary(end);
        let shown = self.expression.get(begin..end).unwrap_or_default();
        let before = self
            .expression
            .get(begin..self.at.start.min(end))
            .unwrap_or_default();
        let under = self
            .expression
            .get(self.at.start..self.at.end.min(end))
            .unwrap_or_default();
        let shown: String = shown
            .chars()
            .map(|it| if it.is_control() { '?' } else { it })
            .collect();
        let carets = under.chars().count().max(1);
        format!(
            "{shown}\n{}{}",
            " ".repeat(before.chars().count()),
            "^".repeat(carets)
        )
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for RangeError {}

/// The names that expressions stand for, one behind the other, without those of `except`.
///
/// # Errors
///
/// The first thing that is wrong, at its place. Nothing is made before the number of names is known to be allowed.
pub fn expand<'a>(
    expressions: impl IntoIterator<Item = &'a str>,
    except: impl IntoIterator<Item = &'a str>,
    groups: &Groups,
) -> Result<Vec<Host>, RangeError> {
    let mut without = HashSet::new();
    for expression in except {
        without.extend(expand::expand(expression, groups)?);
    }
    let (mut seen, mut hosts) = (HashSet::new(), Vec::new());
    for expression in expressions {
        for host in expand::expand(expression, groups)? {
            if without.contains(&host) || !seen.insert(host.clone()) {
                continue;
            }
            if hosts.len() == NAMES {
                let whole = 0..expression.len();
                return Err(RangeError::new(expression, whole, Fault::TooMany));
            }
            hosts.push(host);
        }
    }
    Ok(hosts)
}

/// The order of names in which numbers in them count as numbers: n9 is before n10.
pub fn order(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (a, b) = (run(left), run(right));
        let (Some((a, a_rest)), Some((b, b_rest))) = (a, b) else {
            // The shorter one, or the same but for zeros in front.
            return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
        };
        let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
        let ordered = if is_number(a) && is_number(b) {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            a.cmp(b)
        };
        if ordered != Ordering::Equal {
            return ordered;
        }
        (left, right) = (a_rest, b_rest);
    }
}

/// The digits that a text begins with, or what is none, and the rest.
fn run(text: &str) -> Option<(&str, &str)> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit());
    let end = text.find(|found: char| found.is_ascii_digit() != is_number);
    let (begin, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    (!begin.is_empty()).then_some((begin, rest))
}

#[cfg(test)]
mod tests;
