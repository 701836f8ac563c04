//! What is wrong with a file, and where.

use std::fmt;
use std::sync::Arc;

use crate::limits;
use crate::printable::{escaped, printable};

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's name as the caller gave it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = escaped(&self.file);
        write!(f, "{file}:{}:{}", self.line, self.column)
    }
}

/// Whether a problem stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used as it is.
    Error,
    /// The file can be used, and probably does not say what was meant.
    Warning,
}

/// One thing that is wrong with a file.
///
/// Shown as `FILE:LINE:COLUMN: message`, with a second line `help: ...` where there is help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    severity: Severity,
    /// The key that the problem is about, already safe to print.
    subject: Option<String>,
    message: String,
    help: Option<String>,
}

impl Problem {
    /// An error at `place`. Text of a file goes into `message` by [`crate::show`], which cuts it;
    /// what a terminal would obey is escaped here in any case.
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            severity: Severity::Error,
            subject: None,
            message: escaped(&message.into()),
            help: None,
        }
    }

    /// A warning at `place`; as [`error`](Self::error) otherwise.
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// The same problem, with what could be done about it.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(escaped(&help.into())),
            ..self
        }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it stops the file from being used.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, after the key that it is about.
    pub fn message(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{subject}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// What could be done about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message())?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// All that is wrong with some files, in the order of places: by file name, line, column.
///
/// Shown one after the other. More than [`limits::PROBLEMS`] are only counted.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    sorted: Vec<Problem>,
    more_errors: usize,
    more_warnings: usize,
}

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem; those at one place stay in the order in which they came.
    pub fn push(&mut self, problem: Problem) {
        if self.sorted.len() >= limits::PROBLEMS {
            let more = match problem.severity {
                Severity::Error => &mut self.more_errors,
                Severity::Warning => &mut self.more_warnings,
            };
            *more = more.saturating_add(1);
            return;
        }
        let at = self
            .sorted
            .partition_point(|earlier| earlier.place <= problem.place);
        self.sorted.insert(at, problem);
    }

    /// Adds all of another's.
    pub fn append(&mut self, others: Self) {
        self.more_errors = self.more_errors.saturating_add(others.more_errors);
        self.more_warnings = self.more_warnings.saturating_add(others.more_warnings);
        for problem in others.sorted {
            self.push(problem);
        }
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Whether one of them stops the files from being used.
    pub fn has_errors(&self) -> bool {
        self.more_errors > 0 || self.iter().any(|one| one.severity == Severity::Error)
    }

    /// The problems in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.sorted.iter()
    }

    /// How many there are, those included that are only counted.
    pub fn count(&self) -> usize {
        self.sorted
            .len()
            .saturating_add(self.more_errors)
            .saturating_add(self.more_warnings)
    }

    /// Runs `read`, and says of each problem that it adds that it is about `key`, unless a key
    /// closer to it was named already.
    pub(crate) fn about<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let mut inner = Self::new();
        let result = read(&mut inner);
        for problem in &mut inner.sorted {
            problem.subject.get_or_insert_with(|| printable(key));
        }
        self.append(inner);
        result
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        let mut problems = Self::new();
        problems.push(problem);
        problems
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.more_errors.saturating_add(self.more_warnings) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, column: u32) -> Place {
        Place {
            file: "a.yml".into(),
            line,
            column,
        }
    }

    #[test]
    fn problems_are_shown_by_place_whatever_order_they_came_in() {
        let mut problems = Problems::new();
        problems.push(Problem::error(&place(9, 1), "last"));
        problems.push(Problem::warning(&place(2, 5), "second").with_help("do this"));
        problems.push(Problem::error(&place(2, 5), "third"));
        problems.push(Problem::error(&place(2, 1), "first"));
        let shown = "a.yml:2:1: first\n\
            a.yml:2:5: warning: second\nhelp: do this\n\
            a.yml:2:5: third\n\
            a.yml:9:1: last";
        assert_eq!(problems.to_string(), shown);
        assert!(problems.has_errors());
    }

    #[test]
    fn only_errors_stop_a_file() {
        let mut problems = Problems::new();
        assert!(problems.is_empty() && !problems.has_errors());
        problems.push(Problem::warning(&place(1, 1), "odd"));
        assert!(!problems.is_empty() && !problems.has_errors());
    }

    #[test]
    fn more_problems_than_the_limit_are_counted() {
        let mut problems = Problems::new();
        for _ in 0..limits::PROBLEMS {
            problems.push(Problem::warning(&place(1, 1), "odd"));
        }
        problems.push(Problem::error(&place(1, 1), "wrong"));
        problems.push(Problem::warning(&place(1, 1), "odd"));
        assert_eq!(problems.count(), limits::PROBLEMS + 2);
        assert!(problems.has_errors());
        assert!(problems.to_string().ends_with("odd\nand 2 more"));
    }

    #[test]
    fn a_key_is_named_once_the_closest_one() {
        let mut problems = Problems::new();
        problems.about("outer", |problems| {
            problems.push(Problem::error(&place(1, 1), "one"));
            problems.about("inner\x1b", |problems| {
                problems.push(Problem::error(&place(2, 1), "two"));
            });
        });
        let shown = "a.yml:1:1: outer: one\na.yml:2:1: inner\\u{1b}: two";
        assert_eq!(problems.to_string(), shown);
    }

    #[test]
    fn no_message_and_no_help_moves_a_cursor() {
        let problem = Problem::error(&place(1, 1), "a\x1b[2J").with_help("b\nc");
        let shown = "a.yml:1:1: a\\u{1b}[2J\nhelp: b\\u{a}c";
        assert_eq!(problem.to_string(), shown);
    }

    #[test]
    fn a_file_name_cannot_forge_a_line() {
        let place = Place {
            file: "a\nb".into(),
            line: 1,
            column: 1,
        };
        assert_eq!(place.to_string(), "a\\u{a}b:1:1");
    }
}
