//! The extended `authorized_keys`: who may log in, one key a line, and what each may do.
//!
//! The lines are sshd(8)'s, `[options] type base64 [comment]`, with options parted by commas, their names in either
//! case, their values between quotes. What they mean is sshd's meaning with its holes closed: a line that cannot be
//! understood whole is refused with its column, never half used.
//!
//! | Option | Meaning here |
//! |---|---|
//! | none | logs in; forwards by the file's default grant |
//! | `restrict` | everything off; then what comes after it on the line turns on |
//! | `port-forwarding`, `no-port-forwarding` | forwards on and off; needed after `restrict` |
//! | `permitlisten="[host:]port"` | what may be asked for; without a host it is the machine itself alone, unless the default grant is public; never Unix sockets |
//! | `adit-permitlisten="10000-10100,…"` | the same for many ports, without a host |
//! | `adit-port0` | port 0, beside a `permitlisten` or where the default grant has it not |
//! | `adit-unix="name,…"` or `"*"` | Unix sockets in the principal's own folder |
//! | `adit-names="name,…"` | names that forwards may have, `-R name:80:…` |
//! | `permitopen="host:port"` | a name that is known here, or an address; `*` for every such name, every port |
//! | `from="…"` | where it may come from, without names of hosts |
//! | `expiry-time="…"` | until when; what is up then ends |
//! | `cert-authority`, `principals="a,b"` | certificates of this key for these exact names; one needs the other |
//! | `adit-takeover-from="…"` | from where its leases may be taken over |
//! | `command="…"` | runs nothing; without `port-forwarding` or a `permit…` it turns forwards off, and that is told |
//! | `environment`, `tunnel`, `user-rc`, `agent-forwarding`, `X11-forwarding`, `pty` | there is nothing of the kind to allow |
//! | `touch-required`, `verify-required`, both with `no-` | what a security key must report |
//!
//! A line names no principal: its key is one of its own, known by its fingerprint.

use std::io;
use std::path::Path;

use adit_model::grant::Grant;
use adit_model::id::Fingerprint;
use adit_model::source::SourceSet;
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::entry::Identity;
pub use self::option::OptionError;

mod entry;
mod file;
mod line;
mod option;
mod rule;

/// Most bytes of a line, without its end. A longer one is cut in two by some readers, so the file is refused
/// (security rule G08).
pub const LINE_LENGTH: usize = 16_384;
/// Most bytes of a file: some ten thousand keys.
pub const FILE_LENGTH: usize = 4 << 20;

/// What a file says.
#[derive(Debug, Clone, Default)]
pub struct AuthorizedKeys {
    /// The lines that count, in their order.
    pub lines: Vec<Line>,
    /// The lines that do not.
    pub rejected: Vec<Rejected>,
}

/// What a file does not say itself.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// What a line without options may do, and what `*` stands for where a port is asked for.
    pub grant: Grant,
    /// Where `expiry-time` is at home, unless it ends in `Z`.
    pub zone: TimeZone,
}

/// A line that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// The public key, as RFC 4253 section 6.6 encodes it.
    pub blob: Vec<u8>,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// What stands behind the key, safe to print.
    pub comment: String,
    /// What the key is for.
    pub role: Role,
    /// What whoever shows it may do.
    pub grant: Grant,
    /// Where it may be used from.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// What whoever wrote the line may not expect.
    pub notes: Vec<Note>,
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Logging in.
    Key {
        /// Whether a security key must report a touch.
        touch_required: bool,
        /// Whether a security key must report that it verified its user.
        verify_required: bool,
    },
    /// Signing certificates for these names.
    Authority {
        /// Exact names, at least one.
        names: Vec<String>,
    },
}

/// What whoever wrote a line may not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Note {
    /// sshd would leave forwards on.
    #[error(
        "command= runs nothing here and turns forwards off; write port-forwarding to have them"
    )]
    CommandOnly,
    /// sshd would say nothing.
    #[error(
        "forwards are off on this line, so what it permits is without effect; write port-forwarding after restrict"
    )]
    WithoutEffect,
    /// sshd would grant port 0 by it.
    #[error(
        "permitlisten for any port does not give port 0 here; write adit-port0 as well for that"
    )]
    AnyPort,
}

/// A line that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct Rejected {
    /// Its number, from 1.
    pub line: usize,
    /// The byte at which it goes wrong, from 1.
    pub column: usize,
    /// Why.
    pub why: Why,
}

/// Why a line does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Neither options nor a key stand there.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// There is no key behind the options.
    #[error("here is no type of a key")]
    NoKey,
    /// The key cannot be read.
    #[error("the key cannot be read: {0}")]
    Key(adit_ssh::key::KeyError),
    /// A certificate is shown at login; what is listed is its authority's key.
    #[error("a certificate is not listed; list its authority's key with cert-authority")]
    Certificate,
    /// The same key stands in an earlier line, which counts.
    #[error("the same key as in line {0}")]
    Again(usize),
    /// The same key is somebody's already, outside this file.
    #[error("the key is already of another principal")]
    Taken,
}

/// Why a file does not count at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("authorized keys cannot be read")]
    Read(#[source] io::Error),
    /// It is a folder, a pipe, a device.
    #[error("authorized keys are no regular file")]
    NotAFile,
    /// Others may write it, or own it.
    #[error(
        "authorized keys may be written by others: they must be ours or root's, and nobody else's to write (chmod go-w)"
    )]
    Guarded,
    /// Longer than [`FILE_LENGTH`].
    #[error("authorized keys have more than {FILE_LENGTH} bytes")]
    Length,
    /// A line is longer than [`LINE_LENGTH`].
    #[error("line {line} of the authorized keys has more than {LINE_LENGTH} bytes")]
    LineLength {
        /// Its number, from 1.
        line: usize,
    },
    /// A byte 0.
    #[error("line {line} of the authorized keys has a NUL in it")]
    Nul {
        /// Its number, from 1.
        line: usize,
    },
}

impl AuthorizedKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// The file does not count at all; lines that do not are [`rejected`](Self::rejected).
    pub fn read(path: &Path, defaults: &Defaults) -> Result<Self, FileError> {
        Self::parse(&file::read(path)?, defaults)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// It is too long, has a line that is too long, or a NUL.
    pub fn parse(content: &[u8], defaults: &Defaults) -> Result<Self, FileError> {
        if content.len() > FILE_LENGTH {
            return Err(FileError::Length);
        }
        let mut keys = Self::default();
        let lines = content.split(|byte| *byte == b'\n');
        for (number, bytes) in (1..).zip(lines) {
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.len() > LINE_LENGTH {
                return Err(FileError::LineLength { line: number });
            }
            if bytes.contains(&0) {
                return Err(FileError::Nul { line: number });
            }
            match line::read(number, bytes, defaults) {
                Ok(Some(line)) => keys.add(line),
                Ok(None) => {}
                Err(rejected) => keys.rejected.push(rejected),
            }
        }
        Ok(keys)
    }

    /// The first line of a key counts, as to sshd; which restrictions count is never a question (security rule
    /// G02). Logging in and signing certificates are two things.
    fn add(&mut self, line: Line) {
        let is_same = |other: &&Line| {
            other.fingerprint == line.fingerprint
                && matches!(other.role, Role::Key { .. }) == matches!(line.role, Role::Key { .. })
        };
        let earlier = self.lines.iter().find(is_same).map(|other| other.number);
        match earlier {
            Some(earlier) => self.rejected.push(Rejected {
                line: line.number,
                column: 1,
                why: Why::Again(earlier),
            }),
            None => self.lines.push(line),
        }
    }
}

#[cfg(test)]
mod tests;
