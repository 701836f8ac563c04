//! The variables that children get.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use crate::file::Environment;

/// What each child gets, before its own variables: those of this process and those of files and the command
/// line, but neither our own (`ADIT_...`) nor any that is
/// [private](crate::model::Compose::private_variables). `Debug` shows no values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChildEnvironment(BTreeMap<OsString, OsString>);

impl ChildEnvironment {
    /// From the variables of this process ([`std::env::vars_os`]), which may hold what is no text, and the ones
    /// that the files and the command line have added.
    pub fn new(
        process: impl IntoIterator<Item = (OsString, OsString)>,
        environment: &Environment,
        private: &BTreeSet<String>,
    ) -> Self {
        let mut all: BTreeMap<OsString, OsString> = process.into_iter().collect();
        for (name, value) in environment.variables() {
            all.insert(name.into(), value.into());
        }
        all.retain(|name, _| {
            let is_ours = name.as_bytes().starts_with(OURS);
            let is_private = name.to_str().is_some_and(|name| private.contains(name));
            !is_ours && !is_private
        });
        Self(all)
    }

    /// All of them and `own`, of which each replaces what was there by its name and a later one an earlier one.
    pub fn with<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<(OsString, OsString)> {
        let mut all = self.0.clone();
        for (name, value) in own {
            all.insert(name.into(), value.into());
        }
        all.into_iter().collect()
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

impl fmt::Debug for ChildEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How the names of our own begin.
const OURS: &[u8] = b"ADIT_";

#[cfg(test)]
mod tests {
    use adit_text::Problems;

    use super::*;

    #[test]
    fn neither_ours_nor_private_ones_are_passed_on() {
        let own = [
            ("PATH", "/bin"),
            ("ADIT_PASSPHRASE", "p"),
            ("SSH_KEY", "k"),
            ("A", "1"),
        ];
        let texts = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut environment = Environment::of_process(texts);
        let mut problems = Problems::new();
        environment.read_file(".env", b"A=2\nB=2\nSECRET=s\nADIT_X=x", &mut problems);
        environment.say("C=3").unwrap();
        let private = BTreeSet::from(["SECRET".to_owned(), "SSH_KEY".to_owned()]);
        let process = own.map(|(name, value)| (name.into(), value.into()));
        let raw = (OsString::from("RAW"), OsStr::from_bytes(b"\xff").to_owned());
        let children =
            ChildEnvironment::new(process.into_iter().chain([raw]), &environment, &private);
        let names: Vec<_> = children
            .0
            .keys()
            .map(|name| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["A", "B", "C", "PATH", "RAW"]);
        assert_eq!(children.value("A"), Some(OsStr::new("1")));
        assert_eq!(children.value("RAW"), Some(OsStr::from_bytes(b"\xff")));
        assert_eq!(format!("{children:?}"), r#"{"A", "B", "C", "PATH", "RAW"}"#);
    }

    #[test]
    fn a_childs_own_variables_count_before_all() {
        let children = ChildEnvironment::new(
            [("A".into(), "1".into()), ("B".into(), "2".into())],
            &Environment::default(),
            &BTreeSet::new(),
        );
        let all = children.with([
            ("A", "x"),
            ("C", "y"),
            ("A", "z"),
            ("ADIT_SAID", "on purpose"),
        ]);
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        let wanted = [
            ("A", "z"),
            ("ADIT_SAID", "on purpose"),
            ("B", "2"),
            ("C", "y"),
        ];
        assert_eq!(all, wanted);
    }
}
