//! The fields of one mapping: asked for by name, and what nobody asked for is reported.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::node::{Entry, Mapping, Node};
use crate::printable::quoted;
use crate::problem::{Place, Problem, Problems, Severity};
use crate::secret::SecretSource;
use crate::suggest;

/// The most known keys that a message lists.
const LISTED: usize = 12;

/// Reads the fields of a mapping, and collects what is wrong with all of them.
///
/// A field that is absent, null or wrong is `None`; what is wrong is among the problems. Ask for
/// every key there is, also for those that do not matter this time, then call
/// [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "unknown keys are found by `finish`"]
pub struct Fields<'a, 'p> {
    place: &'a Place,
    mapping: Option<&'a Mapping>,
    asked: Vec<&'static str>,
    /// Keys that were reported otherwise.
    retired: Vec<&'static str>,
    problems: &'p mut Problems,
}

impl<'a, 'p> Fields<'a, 'p> {
    pub(crate) fn new(
        place: &'a Place,
        mapping: Option<&'a Mapping>,
        problems: &'p mut Problems,
    ) -> Self {
        Self {
            place,
            mapping,
            asked: Vec::new(),
            retired: Vec::new(),
            problems,
        }
    }

    /// The node of `key`, unless it is null.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        let entry = self.ask(key)?;
        (!entry.node.is_null()).then_some(&entry.node)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.mapping.and_then(|mapping| mapping.entry(key))
    }

    /// What `read` makes of the field, if it is given.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Node, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        self.problems.about(key, |problems| read(node, problems))
    }

    /// What `read` makes of the field; its absence is a problem.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Node, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        match self.ask(key) {
            Some(entry) if entry.node.is_null() => {
                let problem = Problem::error(&entry.place, "wants a value, found nothing");
                self.problems.about(key, |problems| problems.push(problem));
                None
            }
            Some(entry) => self
                .problems
                .about(key, |problems| read(&entry.node, problems)),
            None => {
                let message = format!("the key \"{key}\" is missing");
                self.problems.push(Problem::error(self.place, message));
                None
            }
        }
    }

    /// A field with any scalar's text; see [`Node::text`].
    pub fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.optional(key, Node::text)
    }

    /// A field with true or false; see [`Node::boolean`].
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.optional(key, Node::boolean)
    }

    /// A field with a whole number in a range; see [`Node::integer`].
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.optional(key, |node, problems| node.integer(range, problems))
    }

    /// A field with a port; see [`Node::port`].
    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        self.optional(key, Node::port)
    }

    /// A field with a duration; see [`Node::duration`].
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.optional(key, Node::duration)
    }

    /// A field with a number of bytes; see [`Node::size`].
    pub fn size(&mut self, key: &'static str) -> Option<u64> {
        self.optional(key, Node::size)
    }

    /// A field with a path; see [`Node::path`].
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.optional(key, Node::path)
    }

    /// A field with the source of a secret; see [`Node::secret`].
    pub fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        self.optional(key, Node::secret)
    }

    /// A field with one of some words; see [`Node::choice`].
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.optional(key, |node, problems| node.choice(words, problems))
    }

    /// A field with a list; see [`Node::list`].
    pub fn list<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&'a Node, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.optional(key, |node, problems| node.list(problems, read))
    }

    /// A field with a list, or with what would stand in it alone; see [`Node::one_or_many`].
    pub fn one_or_many<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&'a Node, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.optional(key, |node, problems| node.one_or_many(problems, read))
    }

    /// A field with a mapping of names that the user chose; see [`Node::named`].
    pub fn named<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&'a Entry, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.optional(key, |node, problems| node.named(problems, read))
    }

    /// Refuses a key of former times, with the name that it has now.
    pub fn renamed(&mut self, old: &'static str, new: &'static str) {
        self.retired.push(old);
        if let Some(entry) = self.mapping.and_then(|mapping| mapping.entry(old)) {
            let message = format!("the key \"{old}\" is now called \"{new}\"");
            self.problems.push(Problem::error(&entry.place, message));
        }
    }

    /// Where the mapping begins.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// Where a key stands; where the mapping begins if it is absent.
    pub fn place_of(&self, key: &str) -> &'a Place {
        let entry = self.mapping.and_then(|mapping| mapping.entry(key));
        entry.map_or(self.place, |entry| &entry.place)
    }

    /// An error about a field that only its meaning shows. Text of a file goes
    /// into `message` by [`crate::show`].
    pub fn refuse(&mut self, key: &'static str, message: impl Into<String>) {
        let problem = Problem::error(self.place_of(key), message);
        self.problems.about(key, |problems| problems.push(problem));
    }

    /// The problems so far, to add to them.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Refuses the keys that nobody asked for.
    pub fn finish(self) {
        self.finish_by(|_| Severity::Error);
    }

    /// Warns of the keys that nobody asked for.
    pub fn finish_with_warnings(self) {
        self.finish_by(|_| Severity::Warning);
    }

    /// Reports the keys that nobody asked for, as severely as `severity` says of the place of each:
    /// files that were merged need not be of one kind.
    pub fn finish_by(self, severity: impl Fn(&Place) -> Severity) {
        let entries = self.mapping.map(Mapping::entries).unwrap_or_default();
        for entry in entries {
            let key = entry.key.as_str();
            if self.asked.contains(&key) || self.retired.contains(&key) {
                continue;
            }
            let message = format!("unknown key {}", quoted(key));
            let problem = match severity(&entry.place) {
                Severity::Error => Problem::error(&entry.place, message),
                Severity::Warning => Problem::warning(&entry.place, message),
            };
            // What is there already was not meant by a second key.
            let open = self.asked.iter().copied().filter(|known| {
                self.mapping
                    .is_none_or(|mapping| mapping.entry(known).is_none())
            });
            self.problems.push(match suggest::closest(key, open) {
                Some(known) => problem.with_help(format!("did you mean \"{known}\"?")),
                None => match self.asked.len() {
                    0 => problem.with_help("no key is known here"),
                    1..=LISTED => {
                        problem.with_help(format!("known keys: {}", self.asked.join(", ")))
                    }
                    _ => problem,
                },
            });
        }
    }
}

#[cfg(test)]
mod tests;
