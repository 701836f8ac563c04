//! OpenSSH's client configuration: `~/.ssh/config` and `/etc/ssh/ssh_config`, read as ssh(1) reads
//! them.
//!
//! The first value found for a keyword counts, and files are read top to bottom, the user's before
//! the machine's; forwards, keys and certificates add up. Blocks that do not apply are still checked.
//! What is wrong is an error with its place, never passed over. Programs are never run: a block that
//! hangs on `Match exec` is refused, if it would otherwise apply.
//!
//! `docs/reference/ssh_config.md` lists what is read, refused and ignored, and where this is
//! stricter than OpenSSH.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::error::{ConfigError, FileProblem, Place, PlacedProblem, Problem};
pub use self::files::{FileSystem, Files, Guard};
pub(crate) use self::forward::parse_port;
pub use self::forward::{ForwardError, ForwardForm, parse_forward};
pub use self::settings::{
    AddressFamily, ForwardBind, ForwardTarget, HostKeyChecking, IdentityAgent, Jump,
    KnownHostsFile, Placed, Proxy, ProxyCommand, Settings, SshForward,
};
use crate::agent::login::known_hosts::HostAddress;

mod apply;
mod draft;
mod error;
mod expand;
mod files;
mod forward;
mod keyword;
mod matching;
mod parse;
mod settings;
mod values;
mod words;

/// The machine's file.
pub const SYSTEM_FILE: &str = "/etc/ssh/ssh_config";
/// The user's file, below the home directory.
pub const USER_FILE: &str = ".ssh/config";

/// A destination as it was asked for. What is given here counts before any file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A name that files may know under another, or an address.
    pub host: String,
    /// User there.
    pub user: Option<String>,
    /// Port there.
    pub port: Option<u16>,
}

/// Who asks, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// The user's name here; it is asked for only where nothing else says who to log in as.
    pub user: Option<String>,
    /// The user's number here.
    pub uid: u32,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// This machine's name.
    pub host_name: String,
    /// Variables that files may use.
    pub environment: BTreeMap<String, String>,
}

impl Local {
    /// This process, for a user of that name and home.
    pub fn of_this_process(user: Option<String>, home: Option<PathBuf>) -> Self {
        let host_name = rustix::system::uname();
        let host_name = host_name.nodename().to_string_lossy().into_owned();
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let variables = std::env::vars_os();
        Self {
            user,
            uid: rustix::process::getuid().as_raw(),
            home,
            host_name,
            environment: variables
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect(),
        }
    }
}

/// A file to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: Arc<Path>,
    /// Whose it is.
    pub owner: Owner,
    /// Whether it must be there.
    pub presence: Presence,
}

/// Whose file it is; decides what a relative `Include` is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The user's: `~/.ssh`.
    User,
    /// The machine's: `/etc/ssh`.
    System,
}

/// Whether a file must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was named (`-F`).
    Required,
    /// It is looked for.
    Optional,
}

impl Source {
    /// The files of ssh(1): the user's, then the machine's.
    pub fn standard(home: Option<&Path>) -> Vec<Self> {
        let user = home.map(|home| Self {
            path: home.join(USER_FILE).into(),
            owner: Owner::User,
            presence: Presence::Optional,
        });
        let system = Self {
            path: Path::new(SYSTEM_FILE).into(),
            owner: Owner::System,
            presence: Presence::Optional,
        };
        user.into_iter().chain([system]).collect()
    }

    /// What `-F` names: one file, or none at all for the word `none`.
    pub fn named(path: &Path) -> Vec<Self> {
        if path.as_os_str().eq_ignore_ascii_case("none") {
            return Vec::new();
        }
        vec![Self {
            path: path.into(),
            owner: Owner::User,
            presence: Presence::Required,
        }]
    }
}

/// What the files say, and what there is to say about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What counts for the host.
    pub settings: Settings,
    /// What was read otherwise than it is written.
    pub warnings: Vec<Warning>,
    /// Keywords that apply to the host and were passed over, once each, in order.
    pub ignored: Vec<Placed<String>>,
}

/// Something that was read otherwise than it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Warning {
    /// Where it is written.
    pub place: Place,
    /// How it was read.
    pub what: WarningKind,
}

/// How something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// `StrictHostKeyChecking no`.
    #[error("StrictHostKeyChecking no is read as accept-new: a changed key is refused")]
    CheckingOff,
    /// `UserKnownHostsFile /dev/null`.
    #[error("hosts are remembered in adit's own known_hosts and not in /dev/null")]
    Forgetful,
}

/// Reads the files and says what counts for a destination.
///
/// # Errors
///
/// All that is wrong in any of the files, and what applies to this host and is not supported.
pub fn resolve(
    sources: &[Source],
    wanted: &Wanted,
    local: &Local,
    files: &dyn Files,
) -> Result<Resolved, ConfigError> {
    apply::resolve(sources, wanted, local, files)
}

/// OpenSSH's rule for hosts (`ssh_valid_hostname`), and ours: what may stand in a known_hosts file,
/// a command or a log without becoming something else.
fn is_host(host: &str) -> bool {
    HostAddress::new(host, 0).is_ok()
}

/// OpenSSH's rule for users (`ssh_valid_ruser`): no control characters and nothing that a shell takes
/// for more, no leading `-`, none after a blank, and no `\` at the end.
pub fn is_user(user: &str) -> bool {
    let is_bad = |character: char| character.is_control() || "'`\";&<>|(){}".contains(character);
    let mut after_blank = true;
    for character in user.chars() {
        if is_bad(character) || (after_blank && character == '-') {
            return false;
        }
        after_blank = character.is_whitespace();
    }
    !user.is_empty() && !user.ends_with('\\')
}

#[cfg(test)]
mod tests;
