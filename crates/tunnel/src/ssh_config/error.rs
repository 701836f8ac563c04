//! What is wrong with a file, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 where it is the line as a whole.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, " line {}", self.line)?;
        }
        if self.column > 0 {
            write!(f, " column {}", self.column)?;
        }
        Ok(())
    }
}

/// A problem of a line, before it is known of which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineProblem {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: Problem,
}

/// Why configuration files cannot be used: all that is wrong with them, up to a limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(problems))]
pub struct ConfigError {
    /// At least one, in the order of reading.
    pub problems: Vec<PlacedProblem>,
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedProblem {
    /// Where.
    pub place: Option<Place>,
    /// What.
    pub problem: Problem,
}

impl fmt::Display for PlacedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

fn list(problems: &[PlacedProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A line is longer than anybody writes.
    #[error("line is longer than 16,384 bytes")]
    LineLength,
    /// No UTF-8, or a NUL.
    #[error("text is not UTF-8")]
    NotText,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A line without keyword.
    #[error("line has a value without a keyword")]
    NoKeyword,
    /// A keyword without value.
    #[error("{0} has no value")]
    NoValue(String),
    /// No keyword of ssh_config.
    #[error(
        "there is no keyword {0:?}; mend it, or name it in IgnoreUnknown on a line before this one"
    )]
    UnknownKeyword(String),
    /// More words than the keyword takes.
    #[error("{0:?} is one word too many")]
    ExtraWord(String),
    /// An empty word in a list.
    #[error("a word is empty")]
    EmptyWord,
    /// A value that the keyword does not take.
    #[error("{value:?} is none of what {keyword} takes: {wanted}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What was written.
        value: String,
        /// What can be written.
        wanted: &'static str,
    },
    /// More of a kind than there may be.
    #[error("more than {limit} of {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A keyword that cannot be passed over.
    #[error("{keyword} is not supported, and to pass over it would not be safe; {hint}")]
    Unsupported {
        /// The keyword.
        keyword: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// `Match` with a criterion that is never answered here.
    #[error(
        "Match {0} is not supported, and this block applies to the host unless {0} says no; write \
         the host before it without {0}, or use another file (-F)"
    )]
    Unanswered(String),
    /// `Match` with a criterion that there is not.
    #[error("Match has no criterion {0:?}; it has host, originalhost, user, localuser, final, all")]
    UnknownCriterion(String),
    /// A criterion without its patterns.
    #[error("Match {0} names no pattern")]
    CriterionWithoutValue(String),
    /// `Match` without criteria.
    #[error("Match has no criterion; `Match all` always applies")]
    NoCriterion,
    /// `all` with others.
    #[error("Match all goes with no other criterion")]
    AllNotAlone,
    /// `none` in a list.
    #[error("none goes with no other word")]
    NoneNotAlone,
    /// `%` with a letter that stands for nothing.
    #[error("%{token} stands for nothing in {keyword}")]
    Token {
        /// The letter; empty at the end of the text.
        token: String,
        /// The keyword.
        keyword: &'static str,
    },
    /// `${NAME}` that is not set, or not closed.
    #[error("${{{0}}} is not set in the environment")]
    Variable(String),
    /// `~` without a home directory, or `~name`.
    #[error("{0:?} begins at a home directory that is not known; write the whole path")]
    Home(String),
    /// A host that is none.
    #[error("{0:?} is no host or address")]
    Host(String),
    /// A user name that a shell could take for more.
    #[error("{0:?} is no user name: it has characters that a shell could take for more")]
    User(String),
    /// Nothing says who to log in as.
    #[error("who to log in as is not known; write user@{0}, or User in the configuration")]
    NoUser(String),
    /// A jump that is none.
    #[error("{0:?} is no jump; write [USER@]HOST[:PORT], and commas between several")]
    Jump(String),
    /// The last jump is the host itself.
    #[error("ProxyJump leads through {0} to itself")]
    JumpLoop(String),
    /// A command that only a shell understands.
    #[error(
        "ProxyCommand has {0:?}, which only a shell understands; no shell is run: put the command \
         in a script and name that"
    )]
    Shell(char),
    /// A forward that is none.
    #[error("{0:?} is no forward; write [BIND:]PORT HOST:HOSTPORT, IPv6 addresses in brackets")]
    Forward(String),
    /// A file cannot be read.
    #[error("cannot read it: {0}")]
    File(FileProblem),
    /// Includes within includes without end.
    #[error("files include each other more than 16 deep")]
    Depth,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// Somebody else may write to it.
    #[error(
        "it can be written by others, or is neither yours nor root's; `chmod go-w` and `chown` it"
    )]
    WritableByOthers,
    /// It is larger than anybody writes.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// It is no file.
    #[error("it is no regular file")]
    NotRegular,
    /// The system says no.
    #[error("{0}")]
    System(String),
}
