//! What was looked for and what was tried, in words for people.

use std::fmt;
use std::path::PathBuf;

use adit_ssh::auth::client::Outcome;
use adit_ssh::key::Fingerprint;
use adit_ssh::printable::Printable;

/// What was looked for in vain.
#[derive(Debug)]
pub struct Nothing {
    /// Key files whose private half nobody has.
    pub(super) lacking: Vec<PathBuf>,
    /// Whether an ssh-agent was asked.
    pub(super) has_agent: bool,
    /// Whether a key of the ssh-agent is all that was wanted.
    pub(super) is_agents: bool,
    /// Why the ssh-agent was asked in vain.
    pub(super) trouble: Option<String>,
}

/// What people call it.
#[derive(Debug, Clone)]
pub(super) enum Name {
    Key(PathBuf, Fingerprint),
    Certificate(PathBuf, Fingerprint),
    AgentKey(Printable, Fingerprint),
    Answers,
    Password,
}

/// How an offer fared, for people.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(super) name: Name,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(file, fingerprint) => write!(f, "key {} ({fingerprint})", file.display()),
            Self::Certificate(file, fingerprint) => {
                write!(f, "certificate {} ({fingerprint})", file.display())
            }
            Self::AgentKey(comment, fingerprint) => {
                write!(f, "ssh-agent's key {comment} ({fingerprint})")
            }
            Self::Answers => f.write_str("keyboard-interactive"),
            Self::Password => f.write_str("password"),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.outcome {
            Outcome::NotTried => "was not tried",
            Outcome::NoCommonAlgorithm => "has no algorithm that the server takes",
            Outcome::KeyRefused => "is not known there",
            Outcome::SignatureRefused => "was refused with its signature",
            Outcome::Accepted => "was accepted, but something more is wanted",
            Outcome::ChangeWanted => "has expired there and must be changed first",
            Outcome::NotGiven => "was not given",
            Outcome::WrongSignature => "was signed with in another way than asked",
            Outcome::Refused | _ => "was refused",
        };
        write!(f, "{} {words}", self.name)
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing to log in with: ")?;
        if !self.is_agents {
            if self.lacking.is_empty() {
                f.write_str("no key file, and ")?;
            } else {
                let files = self.lacking.iter().map(|file| file.display().to_string());
                let files: Vec<String> = files.collect();
                write!(f, "no private key for {}, and ", files.join(", "))?;
            }
        }
        match (&self.trouble, self.has_agent) {
            (Some(why), _) => write!(f, "the {why}")?,
            (None, true) if self.is_agents => f.write_str("the ssh-agent has no key (ssh-add)")?,
            (None, true) => f.write_str("the ssh-agent has none that may be offered")?,
            (None, false) => f.write_str("no ssh-agent")?,
        }
        if self.is_agents {
            return Ok(());
        }
        f.write_str("; name a key file (-i; key: in a file)")
    }
}
