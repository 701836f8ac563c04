//! The environment of a run: what was said on the command line, what the process has, and files.

use std::collections::BTreeMap;
use std::fmt;

use adit_text::{Place, Problem, Problems};

use super::dotenv;

/// Variables with their values, from three sources. `-e KEY=VALUE` counts before the process's own
/// variables, and those before files.
///
/// No value is shown by `Debug`.
#[derive(Clone, Default)]
pub struct Environment {
    said: BTreeMap<String, String>,
    process: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

/// Why an entry of the command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// There is no equals sign in it, or nothing before it.
    #[error("{} is not KEY=VALUE", adit_text::show(.0))]
    NoValue(String),
}

impl Environment {
    /// An environment with the variables of a process.
    pub fn of_process(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            process: variables.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Takes `KEY=VALUE` from the command line. The value may hold equals signs; a later entry
    /// counts before an earlier one.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn say(&mut self, entry: &str) -> Result<(), EntryError> {
        match entry.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                self.said.insert(key.to_owned(), value.to_owned());
                Ok(())
            }
            _ => Err(EntryError::NoValue(entry.to_owned())),
        }
    }

    /// Takes the variables of an environment file; a later file counts before an earlier one. What
    /// [`dotenv`] passes over is a warning with its line, and without the line's text.
    ///
    /// Nothing is taken of a file that is not UTF-8 or longer than
    /// [`FILE_BYTES`](adit_text::limits::FILE_BYTES); that is an error.
    pub fn read_file(&mut self, name: &str, bytes: &[u8], problems: &mut Problems) {
        let place = |line| Place {
            file: name.into(),
            line,
            column: 1,
        };
        if bytes.len() > adit_text::limits::FILE_BYTES {
            let most = adit_text::limits::FILE_BYTES;
            let message = format!("the file is longer than {most} bytes");
            problems.push(Problem::error(&place(1), message));
            return;
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            let message = "the file is not text in UTF-8";
            problems.push(Problem::error(&place(1), message));
            return;
        };
        let parsed = dotenv::parse(text, &|name| self.process.get(name).cloned());
        for line in parsed.passed_over {
            let message = "this is no KEY=VALUE and is passed over";
            problems.push(Problem::warning(&place(line), message));
        }
        self.files.extend(parsed.variables);
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        let sources = [&self.said, &self.process, &self.files];
        let mut values = sources.iter().filter_map(|source| source.get(name));
        values.next().map(String::as_str)
    }

    /// All variables with the values that count, by name: what children and drivers get, unless it
    /// is [private](crate::model::Compose::private_variables).
    pub fn variables(&self) -> BTreeMap<&str, &str> {
        let sources = [&self.files, &self.process, &self.said];
        let all = sources.iter().flat_map(|source| source.iter());
        all.map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("said", &self.said.len())
            .field("process", &self.process.len())
            .field("files", &self.files.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let process = [("A", "process"), ("B", "process")];
        let mut environment =
            Environment::of_process(process.map(|(key, value)| (key.into(), value.into())));
        let mut problems = Problems::new();
        environment.read_file(".env", b"A=first\nB=first\nC=first\nD=first", &mut problems);
        environment.read_file("b.env", b"D=second\nE=${A}-${C}-", &mut problems);
        assert!(problems.is_empty());
        environment.say("A=said=so").unwrap();
        environment
    }

    #[test]
    fn the_command_line_counts_before_the_process_and_that_before_files() {
        let environment = environment();
        for (name, value) in [
            ("A", Some("said=so")),
            ("B", Some("process")),
            ("C", Some("first")),
            ("D", Some("second")),
            ("E", Some("process--")),
            ("F", None),
        ] {
            assert_eq!(environment.value(name), value, "{name}");
            assert_eq!(environment.variables().get(name).copied(), value, "{name}");
        }
    }

    #[test]
    fn an_entry_without_a_value_is_refused() {
        let mut environment = Environment::default();
        for entry in ["FOO", "", "=x"] {
            assert!(environment.say(entry).is_err(), "{entry}");
        }
        let error = environment.say("FOO").unwrap_err();
        assert_eq!(error.to_string(), "\"FOO\" is not KEY=VALUE");
        assert_eq!(environment.say("FOO="), Ok(()));
        assert_eq!(environment.value("FOO"), Some(""));
    }

    #[test]
    fn a_line_that_is_none_is_told_of_without_its_text() {
        let mut problems = Problems::new();
        let mut environment = Environment::default();
        environment.read_file("x.env", b"A=1\nB=\"s3cr3t\nC=2\n", &mut problems);
        let shown = "x.env:2:1: warning: this is no KEY=VALUE and is passed over";
        assert_eq!(problems.to_string(), shown);
        assert_eq!(environment.value("C"), Some("2"));
        environment.read_file("y.env", b"A=\xff", &mut problems);
        assert!(problems.has_errors());
        assert!(!problems.to_string().contains("s3cr3t"));
    }

    #[test]
    fn no_value_is_shown() {
        assert!(!format!("{:?}", environment()).contains("process\""));
    }
}
