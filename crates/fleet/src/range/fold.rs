//! Back from names to an expression.
//!
//! A term is a text before a bracket, the bracket with the numbers, a text behind it; where the bracket stands in the
//! digits is free (`red00[1-2]`, `red[10-30/10]` or `red[1-3]0`). Which names share a term, and which numbers a range, is
//! chosen for the whole list from its end, so that no other choice is shorter. Terms that differ in one number left
//! of their brackets are terms of a higher level, and folded in the same way: `a1b[3-4],a2b[3-4]` is `a[1-2]b[3-4]`.

use std::collections::{HashMap, HashSet};

/// The shortest expression that gives these names in this order. Names that come twice stand where they came first.
/// Names are those of hosts ([`Host`](crate::host::Host)).
///
/// Both ends of a range are written with all their digits: `n[008-011]`, never `n[008-11]`, though both are read. Brackets
/// that multiply are found from the right to the left.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut seen = HashSet::new();
    let names = names.into_iter().filter(|name| seen.insert(*name));
    let mut terms: Vec<Term> = names.map(Term::name).collect();
    loop {
        let folded = level(&terms);
        if folded.len() == terms.len() {
            break;
        }
        terms = folded;
    }
    let texts: Vec<_> = terms.into_iter().map(|term| term.text).collect();
    texts.join(",")
}

/// A part of an expression between two commas.
#[derive(Debug, Clone)]
struct Term {
    text: String,
    /// Before this a bracket may be opened.
    free: usize,
}

/// Most digits of a number that is written in a bracket.
const DIGITS: usize = 18;

/// Where a bracket may stand in a term: what is before it, the number, what is behind it.
type Split<'a> = (&'a str, &'a str, &'a str);
/// What terms of one bracket have in common.
type Around<'a> = (&'a str, &'a str);

/// How a bracket goes on at a term.
#[derive(Debug, Clone, Copy)]
struct Inside {
    /// Length of all that follows from this number on, without what is before the bracket.
    length: usize,
    /// How many terms this range is of.
    count: usize,
    /// Whether the bracket is closed behind them.
    is_last: bool,
    /// How many terms from here on differ by `step`, and are written as a range could.
    run: usize,
    step: u64,
    number: u64,
    digits: usize,
}

/// How an expression goes on at a term.
#[derive(Debug, Clone, Copy)]
struct Outside<'a> {
    length: usize,
    /// The bracket that is opened, if one is.
    around: Option<Around<'a>>,
}

impl Term {
    fn name(name: &str) -> Self {
        Self {
            text: name.to_owned(),
            free: name.len(),
        }
    }

    /// All places for a bracket.
    fn splits(&self) -> impl Iterator<Item = Split<'_>> {
        let free = self.text.get(..self.free).unwrap_or_default();
        let is_digit = |at: usize| free.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        (0..free.len()).flat_map(move |begin| {
            let ends = (begin..free.len())
                .take_while(move |at| is_digit(*at))
                .take(DIGITS);
            ends.filter_map(move |last| {
                let (before, rest) = self.text.split_at_checked(begin)?;
                let (number, behind) = rest.split_at_checked(last + 1 - begin)?;
                Some((before, number, behind))
            })
        })
    }
}

/// Folds neighbours into terms, as short as can be.
fn level(terms: &[Term]) -> Vec<Term> {
    let mut inside: Vec<HashMap<Around<'_>, Inside>> = vec![HashMap::new(); terms.len() + 1];
    let mut outside: Vec<Outside<'_>> = vec![
        Outside {
            length: 0,
            around: None
        };
        terms.len() + 1
    ];
    for (at, term) in terms.iter().enumerate().rev() {
        // A comma, if anything follows.
        let behind = |to: usize| {
            let comma = usize::from(to < terms.len());
            outside.get(to).map_or(0, |it| it.length) + comma
        };
        let mut best = Outside {
            length: term.text.len() + behind(at + 1),
            around: None,
        };
        let mut here = HashMap::new();
        for (before, digits, after) in term.splits() {
            let around = (before, after);
            let Some(inner) = choose(&inside, at, around, digits, &behind) else {
                continue;
            };
            here.insert(around, inner);
            // The text before, the bracket's beginning, its end, the text behind.
            let length = before.len() + 1 + inner.length;
            let is_more = inner.count > 1 || !inner.is_last;
            if is_more && length <= best.length {
                best = Outside {
                    length,
                    around: Some(around),
                };
            }
        }
        if let Some(place) = inside.get_mut(at) {
            *place = here;
        }
        if let Some(place) = outside.get_mut(at) {
            *place = best;
        }
    }
    written(terms, &inside, &outside)
}

/// The best way on inside a bracket.
fn choose<'a>(
    inside: &[HashMap<Around<'a>, Inside>],
    at: usize,
    around: Around<'a>,
    digits: &str,
    behind: &impl Fn(usize) -> usize,
) -> Option<Inside> {
    let number: u64 = digits.parse().ok()?;
    let state = |at: usize| inside.get(at).and_then(|states| states.get(&around));
    let next = state(at + 1);
    let step = next.and_then(|next| {
        let step = next.number.checked_sub(number).filter(|step| *step > 0)?;
        let natural = decimals(next.number);
        // As a range would write it, whose low end gives the width.
        (next.digits == natural.max(digits.len())).then_some(step)
    });
    let run = match (step, next) {
        (Some(step), Some(next)) if next.run > 1 && next.step == step => next.run + 1,
        (Some(_), Some(_)) => 2,
        _ => 1,
    };
    let step = step.unwrap_or(0);
    // One that leaves more than its last number to the next range is never shorter: the next would be of the same step.
    let mut best: Option<Inside> = None;
    for count in [run, run.saturating_sub(1), 1] {
        if count == 0 {
            continue;
        }
        let last = state(at + count - 1).map_or(digits.len(), |last| last.digits);
        let item = match (count, step) {
            (1, _) => digits.len(),
            (_, 1) => digits.len() + 1 + last,
            (_, step) => digits.len() + 1 + last + 1 + decimals(step),
        };
        let closed = (1 + around.1.len() + behind(at + count), true);
        let open = state(at + count).map(|next| (1 + next.length, false));
        for (rest, is_last) in [Some(closed), open].into_iter().flatten() {
            let length = item + rest;
            if best.is_none_or(|best| length < best.length) {
                best = Some(Inside {
                    length,
                    count,
                    is_last,
                    run,
                    step,
                    number,
                    digits: digits.len(),
                });
            }
        }
    }
    best
}

/// The terms as they were chosen.
fn written(
    terms: &[Term],
    inside: &[HashMap<Around<'_>, Inside>],
    outside: &[Outside<'_>],
) -> Vec<Term> {
    let mut folded = Vec::new();
    let mut at = 0;
    while let (Some(term), Some(chosen)) = (terms.get(at), outside.get(at)) {
        let Some(around) = chosen.around else {
            folded.push(term.clone());
            at += 1;
            continue;
        };
        let (before, behind) = around;
        let number = |at: usize| {
            let term = terms.get(at)?.text.strip_prefix(before)?;
            term.strip_suffix(behind)
        };
        let mut text = format!("{before}[");
        while let Some(inner) = inside.get(at).and_then(|states| states.get(&around)) {
            text.push_str(number(at).unwrap_or_default());
            if inner.count > 1 {
                text.push('-');
                text.push_str(number(at + inner.count - 1).unwrap_or_default());
                if inner.step > 1 {
                    text.push('/');
                    text.push_str(&inner.step.to_string());
                }
            }
            at += inner.count;
            if inner.is_last {
                break;
            }
            text.push(',');
        }
        text.push(']');
        text.push_str(behind);
        folded.push(Term {
            text,
            free: before.len(),
        });
    }
    folded
}

const fn decimals(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}
