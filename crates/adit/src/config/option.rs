//! `-o Option=value`, those options of ssh_config(5) that there are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use adit_tunnel::agent::login::algorithms::{AlgorithmListError, AlgorithmLists, Edit};

use super::ssh_config;

/// An option and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SshOption {
    /// Files, as they were written.
    UserKnownHostsFile(Vec<KnownHostsFile>),
    /// What to do about new hosts.
    StrictHostKeyChecking(HostKeyChecking),
    /// Lists of algorithms; each option changes one.
    Algorithms(AlgorithmLists),
    /// A line that could stand in a configuration file, which it counts before.
    Line(String),
}

/// A known_hosts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KnownHostsFile {
    /// Of that path.
    Path(PathBuf),
    /// Of that path below the home directory.
    Home(PathBuf),
    /// adit's own: `/dev/null` was asked for, and what is forgotten at once protects nobody.
    Own,
}

/// Values of `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostKeyChecking {
    /// New hosts are refused.
    Yes,
    /// New hosts are written down and trusted.
    AcceptNew,
    /// A person is asked; where nobody is there, as `accept-new` for logins by key alone.
    Ask,
    /// As `accept-new`, with a warning: a changed key is refused whatever is said.
    No,
}

/// Why an option is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// Not `name=value`.
    Form,
    /// There is no such option.
    Unknown(String),
    /// `StrictHostKeyChecking` has no such value.
    Checking(String),
    /// A list of algorithms is wrong.
    Algorithms(AlgorithmListError),
    /// No line that could stand in a configuration file, and why.
    Line(String),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("write OPTION=VALUE"),
            Self::Unknown(name) => write!(f, "there is no option {name:?}; there are {NAMES}"),
            Self::Checking(value) => write!(f, "{value:?} is none of yes, ask, accept-new, no"),
            Self::Algorithms(error) => error.fmt(f),
            Self::Line(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for OptionError {}

/// The options there are.
const NAMES: &str = "UserKnownHostsFile, StrictHostKeyChecking, Ciphers, KexAlgorithms, AddressFamily, \
                     CertificateFile, ConnectTimeout, DynamicForward, ExitOnForwardFailure, GatewayPorts, \
                     GlobalKnownHostsFile, HashKnownHosts, HostKeyAlias, HostName, IdentitiesOnly, \
                     IdentityAgent, IdentityFile, LocalForward, Port, ProxyCommand, ProxyJump, \
                     RemoteForward, ServerAliveCountMax, ServerAliveInterval, User";
/// Those of them that are read as the line of a file is, in small letters.
const LINES: [&str; 21] = [
    "addressfamily",
    "certificatefile",
    "connecttimeout",
    "dynamicforward",
    "exitonforwardfailure",
    "gatewayports",
    "globalknownhostsfile",
    "hashknownhosts",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "localforward",
    "port",
    "proxycommand",
    "proxyjump",
    "remoteforward",
    "serveralivecountmax",
    "serveraliveinterval",
    "user",
];

impl FromStr for SshOption {
    type Err = OptionError;

    /// `Name=value` or `Name value`; names in either case.
    fn from_str(text: &str) -> Result<Self, OptionError> {
        let is_end = |character: char| character == '=' || character.is_whitespace();
        let (name, value) = text.trim().split_once(is_end).ok_or(OptionError::Form)?;
        let value = value.trim_start_matches(is_end).trim_end();
        if name.is_empty() || value.is_empty() {
            return Err(OptionError::Form);
        }
        match name.to_ascii_lowercase().as_str() {
            "userknownhostsfile" => {
                let files = value.split_whitespace().filter_map(known_hosts_file);
                Ok(Self::UserKnownHostsFile(files.collect()))
            }
            "stricthostkeychecking" => match value.to_ascii_lowercase().as_str() {
                "yes" | "true" => Ok(Self::StrictHostKeyChecking(HostKeyChecking::Yes)),
                "accept-new" => Ok(Self::StrictHostKeyChecking(HostKeyChecking::AcceptNew)),
                "ask" => Ok(Self::StrictHostKeyChecking(HostKeyChecking::Ask)),
                "no" | "off" | "false" => Ok(Self::StrictHostKeyChecking(HostKeyChecking::No)),
                _ => Err(OptionError::Checking(value.to_owned())),
            },
            "ciphers" => Ok(Self::Algorithms(AlgorithmLists {
                ciphers: Edit::parse(value).map_err(OptionError::Algorithms)?,
                ..AlgorithmLists::default()
            })),
            "kexalgorithms" => Ok(Self::Algorithms(AlgorithmLists {
                kex: Edit::parse(value).map_err(OptionError::Algorithms)?,
                ..AlgorithmLists::default()
            })),
            known if LINES.contains(&known) => line(name, value),
            _ => Err(OptionError::Unknown(name.to_owned())),
        }
    }
}

impl SshOption {
    /// That file alone, and no other of the user's.
    pub(crate) fn known_hosts(file: PathBuf) -> Self {
        Self::UserKnownHostsFile(vec![KnownHostsFile::Path(file)])
    }
}

/// Reads what follows `-J`.
pub(crate) fn jump(text: &str) -> Result<SshOption, OptionError> {
    line("ProxyJump", text)
}

/// An option that is read as the line of a file is.
fn line(name: &str, value: &str) -> Result<SshOption, OptionError> {
    if value.contains(['\n', '\0']) {
        return Err(OptionError::Form);
    }
    let line = format!("{name} {value}");
    ssh_config::check_line(&line).map_err(|error| {
        let problem = error.problems.first();
        OptionError::Line(problem.map_or_else(String::new, |placed| placed.problem.to_string()))
    })?;
    Ok(SshOption::Line(line))
}

/// `None` for the word `none`.
fn known_hosts_file(text: &str) -> Option<KnownHostsFile> {
    let text = text.trim_matches('"');
    if text.eq_ignore_ascii_case("none") {
        return None;
    }
    Some(if text == "/dev/null" {
        KnownHostsFile::Own
    } else if let Some(below) = text.strip_prefix("~/") {
        KnownHostsFile::Home(Path::new(below).to_owned())
    } else {
        KnownHostsFile::Path(Path::new(text).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SshOption, OptionError> {
        text.parse()
    }

    #[test]
    fn names_and_values_are_read_as_ssh_reads_them() {
        use HostKeyChecking::{AcceptNew, No, Yes};
        for (text, expected) in [
            ("StrictHostKeyChecking=yes", Yes),
            ("stricthostkeychecking=accept-new", AcceptNew),
            ("StrictHostKeyChecking accept-new", AcceptNew),
            ("STRICTHOSTKEYCHECKING = off ", No),
            ("StrictHostKeyChecking=no", No),
        ] {
            let expected = SshOption::StrictHostKeyChecking(expected);
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        let files = vec![
            KnownHostsFile::Path(PathBuf::from("/a/b")),
            KnownHostsFile::Home(PathBuf::from(".ssh/known_hosts")),
            KnownHostsFile::Own,
        ];
        assert_eq!(
            parse("UserKnownHostsFile=/a/b ~/.ssh/known_hosts /dev/null none"),
            Ok(SshOption::UserKnownHostsFile(files))
        );
        assert!(matches!(
            parse("Ciphers=^aes256-gcm@openssh.com"),
            Ok(SshOption::Algorithms(_))
        ));
        assert!(matches!(
            parse("KexAlgorithms=-ecdh*"),
            Ok(SshOption::Algorithms(_))
        ));
    }

    #[test]
    fn an_option_that_does_not_exist_is_an_error_that_names_those_that_do() {
        for name in ["ForwardAgent", "Cipher", "HostKeyAlgorithms"] {
            let error = parse(&format!("{name}=x")).unwrap_err();
            assert_eq!(error, OptionError::Unknown(name.to_owned()));
            assert!(error.to_string().contains(NAMES));
        }
    }

    #[test]
    fn every_option_that_is_a_line_is_among_the_names() {
        let names: Vec<String> = NAMES.split(", ").map(str::to_ascii_lowercase).collect();
        for line in LINES {
            assert!(names.iter().any(|name| name == line), "{line}");
        }
        assert_eq!(names.len(), LINES.len() + 4);
    }

    #[test]
    fn options_that_are_lines_of_a_file_are_held_against_its_rules() {
        for (text, expected) in [
            ("ProxyJump=a,me@b:2222", Ok("ProxyJump a,me@b:2222")),
            ("proxyjump none", Ok("proxyjump none")),
            (
                "ProxyCommand=ssh -qW %h:%p bastion",
                Ok("ProxyCommand ssh -qW %h:%p bastion"),
            ),
            ("ConnectTimeout=10", Ok("ConnectTimeout 10")),
            ("AddressFamily=inet6", Ok("AddressFamily inet6")),
            ("HostKeyAlias=db", Ok("HostKeyAlias db")),
            ("ProxyJump=a b", Err("no host")),
            ("ProxyJump=a,,b", Err("no jump")),
            ("ProxyJump=-oProxyCommand=x", Err("no host")),
            ("ProxyCommand=a | b", Err("only a shell understands")),
            ("ProxyCommand=a %x", Err("%x stands for nothing")),
            ("ConnectTimeout=soon", Err("seconds")),
            ("AddressFamily=inet4", Err("any, inet, inet6")),
            ("HostKeyAlias=a\nUser root", Err("OPTION=VALUE")),
        ] {
            match (parse(text), expected) {
                (Ok(SshOption::Line(line)), Ok(expected)) => assert_eq!(line, expected),
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part), "{text}: {error}");
                }
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn a_value_that_is_wrong_is_named() {
        for text in ["", "Ciphers", "Ciphers=", "=yes", "  "] {
            assert_eq!(parse(text), Err(OptionError::Form), "{text:?}");
        }
        assert!(matches!(
            parse("StrictHostKeyChecking=maybe"),
            Err(OptionError::Checking(_))
        ));
        for text in [
            "Ciphers=3des-cbc",
            "KexAlgorithms=diffie-hellman-group14-sha256",
        ] {
            assert!(
                matches!(parse(text), Err(OptionError::Algorithms(_))),
                "{text}"
            );
        }
    }
}
