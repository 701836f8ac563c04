//! The options of a line: their syntax, and values that are right in themselves. What they come to together is
//! [`rule`](super::rule)'s.

use adit_model::grant::{Pool, PoolError};
use adit_model::host::{HostClass, classify_host};
use adit_model::lease::{SocketName, SocketNameError};
use adit_model::name::{NamePattern, PatternError};
use adit_model::port::{PortSet, PortSetError};
use adit_model::source::{SourceError, SourceSet};
use adit_ssh::printable::Printable;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a line's options say, each where it stands.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that stand there or not"
)]
pub(super) struct Options {
    /// Forwards, as the flags in their order leave them.
    pub(super) forwards: Forwards,
    pub(super) has_command: bool,
    pub(super) listens: Vec<At<Listen>>,
    pub(super) opens: Vec<Open>,
    pub(super) any_port: Option<usize>,
    pub(super) sockets: Option<SocketNames>,
    /// Names that forwards may have.
    pub(super) offers: Option<Vec<NamePattern>>,
    /// Whether it is given names for which it asks for none.
    pub(super) any_name: bool,
    /// Whether it may have domains that it proves.
    pub(super) own_domains: bool,
    pub(super) pool: Option<Pool>,
    pub(super) takeover_from: Option<SourceSet>,
    pub(super) sources: Option<SourceSet>,
    pub(super) not_after: Option<Timestamp>,
    pub(super) authority: Option<usize>,
    pub(super) names: Option<At<Vec<String>>>,
    pub(super) touch_required: bool,
    pub(super) verify_required: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            forwards: Forwards::Unsaid,
            has_command: false,
            listens: Vec::new(),
            opens: Vec::new(),
            any_port: None,
            sockets: None,
            offers: None,
            any_name: false,
            own_domains: false,
            pool: None,
            takeover_from: None,
            sources: None,
            not_after: None,
            authority: None,
            names: None,
            touch_required: true,
            verify_required: false,
        }
    }
}

/// A value and the byte of the line at which its option stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

/// What the flags of a line say about forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwards {
    /// Nothing.
    Unsaid,
    On,
    Off,
}

/// One `permitlisten`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    /// The text of its host; `None` for a bare port.
    pub(super) host: Option<String>,
    /// Its ports; `None` for all that there are.
    pub(super) ports: Option<PortSet>,
}

/// One `permitopen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// `None` for every name.
    pub(super) host: Option<HostClass>,
    pub(super) ports: PortSet,
}

/// `adit-unix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SocketNames {
    Any,
    These(Vec<SocketName>),
}

/// Why options do not count, and with them their line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// Neither an option nor a type of key.
    #[error("\"{0}\" is no option that is known here, and no type of a key")]
    Unknown(Printable),
    /// Nothing between two commas, or behind the last.
    #[error("here an option is missing")]
    Missing,
    /// The value does not begin with a quote.
    #[error("the value of {0} stands between quotes")]
    Unquoted(&'static str),
    /// The value does not end.
    #[error("the quote of {0} does not end")]
    Unterminated(&'static str),
    /// The value is no UTF-8, or has control characters in it.
    #[error("the value of {0} has bytes that are no text")]
    NotText(&'static str),
    /// Given twice where once is the most.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Not a host and a port.
    #[error("{0} is \"host:port\", or \"*\" for either")]
    HostPort(&'static str),
    /// A port that is none.
    #[error("{0}: {1}")]
    Port(&'static str, PortSetError),
    /// A host that cannot be asked for.
    #[error("the host of {0} is none that can be asked for")]
    Host(&'static str),
    /// A source that cannot be checked.
    #[error("{0}: {1}")]
    Source(&'static str, SourceError),
    /// A list of sources that says nothing, or has blanks in it, which sshd takes for a part of a name.
    #[error("{0} is a list without blanks and without gaps")]
    Sources(&'static str),
    /// A name that is no socket's.
    #[error("{0}")]
    Socket(SocketNameError),
    /// A name that is none.
    #[error("adit-names: {0}")]
    Offered(PatternError),
    /// A pool that is none.
    #[error("adit-pool: {0}")]
    Pool(PoolError),
    /// A moment that is none.
    #[error("expiry-time is YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC")]
    Expiry,
    /// Names of certificates, which are exact.
    #[error("principals are names without *, ? and !, parted by commas")]
    Principals,
    /// A certificate authority that would speak for everybody, or names without one.
    #[error("cert-authority and principals need each other")]
    Authority,
    /// A variable that is none.
    #[error("environment is \"NAME=value\"")]
    Environment,
    /// A device that is none.
    #[error("tunnel is a number or any")]
    Tunnel,
    /// Port 0 would draw a port of one host for another.
    #[error(
        "adit-port0 beside permitlisten of several hosts: a drawn port would not be of one of them"
    )]
    PortOfHosts,
}

/// An error and the byte of the line at which it stands.
pub(super) type Placed = (usize, OptionError);

pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Reads options from there to the first blank outside quotes; gives where that is.
pub(super) fn read(line: &[u8], from: usize, zone: &TimeZone) -> Result<(Options, usize), Placed> {
    let mut options = Options::default();
    let mut at = from;
    loop {
        let end = options.read_one(line, at, zone)?;
        match line.get(end) {
            Some(b',') => at = end.saturating_add(1),
            Some(byte) if !is_blank(*byte) => return Err((at, unknown(line, at))),
            _ => return Ok((options, end)),
        }
    }
}

/// What stands there up to the next comma, blank or `=`.
fn name_at(line: &[u8], at: usize) -> &[u8] {
    let rest = line.get(at..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|byte| is_blank(*byte) || matches!(byte, b',' | b'='))
        .unwrap_or(rest.len());
    rest.get(..length).unwrap_or_default()
}

fn unknown(line: &[u8], at: usize) -> OptionError {
    let name = name_at(line, at);
    let shown = name.get(..NAME_SHOWN).unwrap_or(name);
    OptionError::Unknown(Printable::new(shown))
}

/// Bytes of an unknown option in a message.
const NAME_SHOWN: usize = 40;

impl Options {
    /// Reads one option; gives where it ends.
    fn read_one(&mut self, line: &[u8], at: usize, zone: &TimeZone) -> Result<usize, Placed> {
        let name = name_at(line, at);
        if name.is_empty() && line.get(at) != Some(&b'=') {
            return Err((at, OptionError::Missing));
        }
        let end = at.saturating_add(name.len());
        let lower = name.to_ascii_lowercase();
        if line.get(end) != Some(&b'=') {
            if self.flag(&lower, at) {
                return Ok(end);
            }
            return Err((at, unknown(line, at)));
        }
        let Some(name) = VALUED.iter().find(|known| known.as_bytes() == lower) else {
            return Err((at, unknown(line, at)));
        };
        let (value, end) = quoted(line, end.saturating_add(1), name)?;
        self.value(name, &value, at, zone)
            .map_err(|error| (at, error))?;
        Ok(end)
    }

    /// Whether it is one that is known.
    fn flag(&mut self, lower: &[u8], at: usize) -> bool {
        match lower {
            b"restrict" | b"no-port-forwarding" => self.forwards = Forwards::Off,
            b"port-forwarding" => self.forwards = Forwards::On,
            b"cert-authority" => self.authority = Some(at),
            b"touch-required" => self.touch_required = true,
            b"no-touch-required" => self.touch_required = false,
            b"verify-required" => self.verify_required = true,
            b"no-verify-required" => self.verify_required = false,
            b"adit-port0" => self.any_port = Some(at),
            b"adit-any-name" => self.any_name = true,
            b"adit-own-domains" => self.own_domains = true,
            b"agent-forwarding"
            | b"no-agent-forwarding"
            | b"x11-forwarding"
            | b"no-x11-forwarding"
            | b"pty"
            | b"no-pty"
            | b"user-rc"
            | b"no-user-rc" => {}
            _ => return false,
        }
        true
    }

    fn value(
        &mut self,
        name: &'static str,
        value: &str,
        at: usize,
        zone: &TimeZone,
    ) -> Result<(), OptionError> {
        match name {
            PERMIT_LISTEN => self.listens.push(At {
                at,
                value: listen(value)?,
            }),
            PERMIT_RANGES => self.listens.push(At {
                at,
                value: Listen {
                    host: None,
                    ports: Some(ports(value, name)?),
                },
            }),
            PERMIT_OPEN => self.opens.push(open(value)?),
            "from" => once(&mut self.sources, sources(value, name)?, name)?,
            "adit-takeover-from" => once(&mut self.takeover_from, sources(value, name)?, name)?,
            "adit-names" => once(&mut self.offers, offers(value)?, name)?,
            "adit-pool" => {
                let pool = value.parse().map_err(OptionError::Pool)?;
                once(&mut self.pool, pool, name)?;
            }
            "adit-unix" => once(&mut self.sockets, sockets(value)?, name)?,
            "principals" => {
                let value = names(value)?;
                once(&mut self.names, At { at, value }, name)?;
            }
            "expiry-time" => {
                let moment = expiry(value, zone).ok_or(OptionError::Expiry)?;
                // The earliest of several counts, as to sshd.
                self.not_after = Some(self.not_after.map_or(moment, |other| other.min(moment)));
            }
            "command" if self.has_command => return Err(OptionError::Twice(name)),
            "command" => self.has_command = true,
            "environment" => environment(value)?,
            // The last one of the table.
            _ => tunnel(value)?,
        }
        Ok(())
    }
}

const PERMIT_LISTEN: &str = "permitlisten";
const PERMIT_RANGES: &str = "adit-permitlisten";
const PERMIT_OPEN: &str = "permitopen";

/// Options with a value.
const VALUED: [&str; 13] = [
    PERMIT_LISTEN,
    PERMIT_RANGES,
    PERMIT_OPEN,
    "from",
    "adit-takeover-from",
    "adit-names",
    "adit-pool",
    "adit-unix",
    "principals",
    "expiry-time",
    "command",
    "environment",
    "tunnel",
];

fn once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), OptionError> {
    if place.is_some() {
        return Err(OptionError::Twice(name));
    }
    *place = Some(value);
    Ok(())
}

/// A value between quotes, in which `\"` is a quote and any other backslash itself; gives where it ends.
fn quoted(line: &[u8], from: usize, name: &'static str) -> Result<(String, usize), Placed> {
    if line.get(from) != Some(&b'"') {
        return Err((from, OptionError::Unquoted(name)));
    }
    let mut value = Vec::new();
    let mut at = from.saturating_add(1);
    loop {
        match (line.get(at), line.get(at.saturating_add(1))) {
            (None, _) => return Err((from, OptionError::Unterminated(name))),
            (Some(b'\\'), Some(b'"')) => {
                value.push(b'"');
                at = at.saturating_add(2);
            }
            (Some(b'"'), _) => break,
            (Some(byte), _) => {
                value.push(*byte);
                at = at.saturating_add(1);
            }
        }
    }
    let value = String::from_utf8(value)
        .ok()
        .filter(|value| !value.chars().any(char::is_control))
        .ok_or((from, OptionError::NotText(name)))?;
    Ok((value, at.saturating_add(1)))
}

fn ports(text: &str, name: &'static str) -> Result<PortSet, OptionError> {
    if matches!(text, "" | "none" | "*") || text.contains(' ') {
        return Err(OptionError::HostPort(name));
    }
    text.parse().map_err(|error| OptionError::Port(name, error))
}

/// A port or `*`, and no list.
fn port(text: &str, name: &'static str) -> Result<Option<PortSet>, OptionError> {
    if text == "*" {
        return Ok(None);
    }
    if text.contains([',', '-']) {
        return Err(OptionError::HostPort(name));
    }
    ports(text, name).map(Some)
}

/// `host:port` with the host in brackets if it has colons.
fn host_port<'a>(text: &'a str, name: &'static str) -> Result<(&'a str, &'a str), OptionError> {
    let wrong = OptionError::HostPort(name);
    let parts = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':'),
    };
    let Some((host, port)) = parts else {
        return Err(wrong);
    };
    let is_whole = !host.is_empty() && !host.contains(['[', ']', '/', ' ']) && !port.contains(':');
    if is_whole {
        Ok((host, port))
    } else {
        Err(wrong)
    }
}

fn listen(text: &str) -> Result<Listen, OptionError> {
    let (host, digits) = if text.contains(':') {
        let (host, digits) = host_port(text, PERMIT_LISTEN)?;
        (Some(host), digits)
    } else {
        (None, text)
    };
    // A pattern would be compared as the text that it is, and never match.
    if host.is_some_and(|host| host != "*" && host.contains(['*', '?', '!'])) {
        return Err(OptionError::Host(PERMIT_LISTEN));
    }
    Ok(Listen {
        host: host.map(String::from),
        ports: port(digits, PERMIT_LISTEN)?,
    })
}

fn open(text: &str) -> Result<Open, OptionError> {
    let (host, digits) = host_port(text, PERMIT_OPEN)?;
    let host = match host {
        "*" => None,
        host => match classify_host(host) {
            HostClass::Invalid => return Err(OptionError::Host(PERMIT_OPEN)),
            class @ (HostClass::Localhost | HostClass::Address(_) | HostClass::Name(_)) => {
                Some(class)
            }
        },
    };
    Ok(Open {
        host,
        ports: port(digits, PERMIT_OPEN)?.unwrap_or_else(PortSet::all),
    })
}

fn sources(text: &str, name: &'static str) -> Result<SourceSet, OptionError> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(OptionError::Sources(name));
    }
    text.parse()
        .map_err(|error| OptionError::Source(name, error))
}

fn sockets(text: &str) -> Result<SocketNames, OptionError> {
    if text == "*" {
        return Ok(SocketNames::Any);
    }
    let names = text.split(',').map(str::parse).collect::<Result<_, _>>();
    names.map(SocketNames::These).map_err(OptionError::Socket)
}

fn offers(text: &str) -> Result<Vec<NamePattern>, OptionError> {
    let names = text.split(',').map(str::parse).collect::<Result<_, _>>();
    names.map_err(OptionError::Offered)
}

fn names(text: &str) -> Result<Vec<String>, OptionError> {
    let names: Vec<String> = text.split(',').map(String::from).collect();
    let is_exact = |name: &String| {
        !name.is_empty() && !name.contains(['*', '?', '!']) && !name.contains(char::is_whitespace)
    };
    if names.iter().all(is_exact) {
        Ok(names)
    } else {
        Err(OptionError::Principals)
    }
}

/// `YYYYMMDD[HHMM[SS]]`, with `Z` or `UTC` behind it for UTC. A time that a zone skips or has twice is the earlier.
fn expiry(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let utc = text
        .strip_suffix(['Z', 'z'])
        .or_else(|| text.strip_suffix("UTC"))
        .or_else(|| text.strip_suffix("utc"));
    let digits = utc.unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i8> {
        digits
            .get(from..to)
            .map_or(Some(0), |part| part.parse().ok())
    };
    let year: i16 = digits.get(..4)?.parse().ok()?;
    let civil = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        0,
    )
    .ok()?;
    let zone = if utc.is_some() { &TimeZone::UTC } else { zone };
    let moment = zone.to_ambiguous_timestamp(civil).earlier().ok()?;
    // Before the epoch, and at it, is no moment to sshd.
    (moment > Timestamp::UNIX_EPOCH).then_some(moment)
}

/// Only looked at: nothing is run that it could reach.
fn environment(text: &str) -> Result<(), OptionError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match text.split_once('=') {
        Some((name, _)) if is_name(name) => Ok(()),
        _ => Err(OptionError::Environment),
    }
}

/// Only looked at: there are no such devices.
fn tunnel(text: &str) -> Result<(), OptionError> {
    let is_number =
        !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || text.eq_ignore_ascii_case("any") {
        Ok(())
    } else {
        Err(OptionError::Tunnel)
    }
}
