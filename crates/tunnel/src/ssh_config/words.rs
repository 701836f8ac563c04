//! The words of a line as values.

use std::time::Duration;

use super::draft::is_none;
use super::error::{Place, Problem};
use super::forward::{ForwardForm, parse_time};
use super::keyword::Setting;
use super::parse::{Line, Word};
use super::settings::Placed;

/// Most known_hosts files (OpenSSH's `SSH_MAX_HOSTS_FILES`).
const KNOWN_HOSTS: usize = 32;

/// A problem and its column, 0 for the line as a whole.
pub(super) struct Trouble(pub(super) usize, pub(super) Problem);

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self(0, problem)
    }
}

/// Refuses one more than `limit`.
pub(super) fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), Problem> {
    if count >= limit {
        return Err(Problem::TooMany { what, limit });
    }
    Ok(())
}

/// The words of a line, taken one after the other.
pub(super) struct Words<'a> {
    rest: std::slice::Iter<'a, Word>,
    line: &'a Line,
}

impl<'a> Words<'a> {
    /// All words of a line.
    pub(super) fn of(line: &'a Line) -> Self {
        Self {
            rest: line.words.iter(),
            line,
        }
    }

    /// The next word, which must be there.
    pub(super) fn text(&mut self) -> Result<String, Trouble> {
        let word = self.rest.next().filter(|word| !word.text.is_empty());
        let missing = || Trouble(self.line.column, Problem::NoValue(self.line.name.clone()));
        word.map(|word| word.text.clone()).ok_or_else(missing)
    }

    pub(super) fn placed(&mut self, place: Place) -> Result<Placed<String>, Trouble> {
        let value = self.text()?;
        Ok(Placed { value, place })
    }

    /// The next word as a value; letters in either case.
    pub(super) fn read<T>(
        &mut self,
        keyword: &'static str,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Trouble> {
        let value = self.text()?;
        let found = read(&value.to_ascii_lowercase());
        found.ok_or_else(|| {
            let problem = Problem::Value {
                keyword,
                value,
                wanted,
            };
            Trouble(self.line.column, problem)
        })
    }

    pub(super) fn flag(&mut self, keyword: &'static str) -> Result<bool, Trouble> {
        self.read(keyword, "yes, no", |text| match text {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            _ => None,
        })
    }

    /// A time; `none` is no value, and leaves room for a later one.
    pub(super) fn time(&mut self, keyword: &'static str) -> Result<Option<Duration>, Trouble> {
        let wanted = "seconds, or a time such as 1m30s";
        self.read(keyword, wanted, |text| match text {
            "none" => Some(None),
            text => parse_time(text).map(Some),
        })
    }

    /// All words as files, unless an earlier line gave some; `none` stands alone.
    pub(super) fn files(
        &mut self,
        list: &mut Vec<Placed<String>>,
        is_active: bool,
        here: &Place,
    ) -> Result<(), Trouble> {
        let is_first = list.is_empty();
        let count = self.rest.len();
        for word in self.rest.by_ref() {
            let at = |problem: Problem| Trouble(word.column, problem);
            if word.text.is_empty() {
                return Err(at(Problem::EmptyWord));
            }
            if is_none(&word.text) && count > 1 {
                return Err(at(Problem::NoneNotAlone));
            }
            if is_active && is_first {
                limit("known_hosts files", list.len(), KNOWN_HOSTS).map_err(at)?;
                list.push(Placed {
                    value: word.text.clone(),
                    place: here.clone(),
                });
            }
        }
        Ok(())
    }

    /// One word or two with a colon between, and what kind of forward that is.
    pub(super) fn forward(&mut self, setting: Setting) -> Result<(ForwardForm, String), Trouble> {
        let bind = self.text()?;
        if setting == Setting::DynamicForward {
            return Ok((ForwardForm::Dynamic, bind));
        }
        let is_remote = setting == Setting::RemoteForward;
        match self.rest.next().filter(|word| !word.text.is_empty()) {
            Some(target) if is_remote => {
                Ok((ForwardForm::Remote, format!("{bind}:{}", target.text)))
            }
            Some(target) => Ok((ForwardForm::Local, format!("{bind}:{}", target.text))),
            None if is_remote => Ok((ForwardForm::RemoteDynamic, bind)),
            None => Err(Problem::Forward(bind).into()),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(mut self) -> Result<(), Trouble> {
        match self.rest.next() {
            Some(word) => Err(Trouble(word.column, Problem::ExtraWord(word.text.clone()))),
            None => Ok(()),
        }
    }
}
