//! What an expression stands for.

use std::collections::HashSet;
use std::ops::Range;

use super::parse::{Numbers, Part, Sign, Term, parse};
use super::{DEPTH, Fault, Groups, NAMES, RangeError};
use crate::host::Host;

/// The names of one expression, each once.
pub(super) fn expand(text: &str, groups: &Groups) -> Result<Vec<Host>, RangeError> {
    at_depth(text, groups, 0)
}

fn at_depth(text: &str, groups: &Groups, depth: usize) -> Result<Vec<Host>, RangeError> {
    let mut all = Ordered::default();
    for (sign, term, at) in parse(text)? {
        let error = |fault| RangeError::new(text, at.clone(), fault);
        let names = term_names(&term, groups, depth).map_err(error)?;
        all.take(sign, names);
        if all.names.len() > NAMES {
            return Err(too_many(text, &at));
        }
    }
    Ok(all.names)
}

fn too_many(text: &str, at: &Range<usize>) -> RangeError {
    RangeError::new(text, at.clone(), Fault::TooMany)
}

fn term_names(term: &Term, groups: &Groups, depth: usize) -> Result<Vec<Host>, Fault> {
    match term {
        Term::Names(parts) => product(parts),
        Term::Group(name) => group(name, groups, depth),
        Term::Pattern(pattern) => {
            let mut found = Ordered::default();
            for name in groups.names() {
                let like = |host: &Host| is_like(pattern.as_bytes(), host.to_string().as_bytes());
                let names = group(name, groups, depth)?.into_iter().filter(like);
                found.take(Sign::And, names.collect());
            }
            if found.names.is_empty() {
                Err(Fault::NoMatch)
            } else {
                Ok(found.names)
            }
        }
    }
}

fn group(name: &str, groups: &Groups, depth: usize) -> Result<Vec<Host>, Fault> {
    let Some(text) = groups.get(name) else {
        return Err(Fault::NoGroup(groups.names().map(str::to_owned).collect()));
    };
    let deeper = depth.saturating_add(1);
    if deeper > DEPTH {
        return Err(Fault::Depth);
    }
    at_depth(text, groups, deeper).map_err(|error| {
        if error.fault == Fault::Depth {
            return Fault::Depth;
        }
        Fault::InGroup {
            name: name.to_owned(),
            text: text.to_owned(),
            fault: Box::new(error.fault),
        }
    })
}

/// All names of a term; how many is known before one is made.
fn product(parts: &[Part]) -> Result<Vec<Host>, Fault> {
    let counts = parts.iter().map(|part| match part {
        Part::Text(_) => 1,
        Part::Numbers(all) => all
            .iter()
            .fold(0, |sum: u64, it| sum.saturating_add(it.count())),
    });
    let most = u64::try_from(NAMES).unwrap_or(u64::MAX);
    if counts.fold(1, u64::saturating_mul) > most {
        return Err(Fault::TooMany);
    }
    let mut texts = vec![String::new()];
    for part in parts {
        texts = match part {
            Part::Text(text) => texts.into_iter().map(|before| before + text).collect(),
            Part::Numbers(all) => {
                let with = |before: String| {
                    let numbers = all.iter().flat_map(|numbers| values(*numbers));
                    numbers.map(move |number| format!("{before}{number}"))
                };
                texts.into_iter().flat_map(with).collect()
            }
        };
    }
    let host = |text: String| text.parse().map_err(|error| Fault::NoHost(text, error));
    texts.into_iter().map(host).collect()
}

fn values(numbers: Numbers) -> impl Iterator<Item = String> {
    let Numbers {
        low,
        high,
        step,
        width,
    } = numbers;
    let next = move |number: &u64| number.checked_add(step).filter(|next| *next <= high);
    std::iter::successors(Some(low), next).map(move |number| format!("{number:0width$}"))
}

/// `*` is any characters, `?` is one.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star stood, and what of the name was tried for it.
    let (mut at, mut of, mut star) = (0, 0, None);
    while let Some(byte) = name.get(of) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(b'?') => (at, of) = (at + 1, of + 1),
            Some(wanted) if wanted == byte => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((stood, tried)) => {
                    (at, of) = (stood + 1, tried + 1);
                    star = Some((stood, tried + 1));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Names, each once, in the order in which they came.
#[derive(Default)]
struct Ordered {
    names: Vec<Host>,
    seen: HashSet<Host>,
}

impl Ordered {
    fn take(&mut self, sign: Sign, names: Vec<Host>) {
        match sign {
            Sign::And => {
                for name in names {
                    if self.seen.insert(name.clone()) {
                        self.names.push(name);
                    }
                }
            }
            Sign::Without => self.keep(&names.into_iter().collect(), false),
            Sign::InBoth => self.keep(&names.into_iter().collect(), true),
            Sign::InOne => {
                let theirs: HashSet<Host> = names.iter().cloned().collect();
                let ours = self.seen.clone();
                self.keep(&theirs, false);
                let new = names.into_iter().filter(|name| !ours.contains(name));
                self.take(Sign::And, new.collect());
            }
        }
    }

    fn keep(&mut self, of: &HashSet<Host>, is_in: bool) {
        self.names.retain(|name| of.contains(name) == is_in);
        self.seen.retain(|name| of.contains(name) == is_in);
    }
}
