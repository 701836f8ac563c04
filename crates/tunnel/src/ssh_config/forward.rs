//! Values with a grammar of their own: forwards, jumps, ports and times.

use std::path::PathBuf;
use std::time::Duration;

use super::error::Problem;
use super::settings::{ForwardBind, ForwardTarget, SshForward};

/// Longest forward, in bytes: OpenSSH's buffer without its NUL.
const FORWARD_LENGTH: usize = 255;
/// Longest Unix socket path, in bytes (`sun_path` without its NUL).
const SOCKET_PATH_LENGTH: usize = 107;

/// Who listens for the visitors of a forward, and whether they all go to one target or each to what
/// it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardForm {
    /// `-L`, `LocalForward`: we listen; one target.
    Local,
    /// `-R`, `RemoteForward` with a target: the peer listens; one target.
    Remote,
    /// `-D`, `DynamicForward`: we listen; what visitors name.
    Dynamic,
    /// `-R`, `RemoteForward` without a target: the peer listens; what visitors name.
    RemoteDynamic,
}

/// Why a text is no forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Longer than any forward is for OpenSSH.
    #[error("forward is longer than {FORWARD_LENGTH} bytes")]
    TooLong,
    /// Too few fields, too many, or in an order that means nothing.
    #[error("forward does not have the fields that it needs")]
    Fields,
    /// A bracket without its other half, or with text after it.
    #[error("a bracket encloses an address, as in [::1]")]
    Bracket,
    /// Not a number from 0, or from 1 for the target's.
    #[error("{0:?} is no port")]
    Port(String),
    /// A target without a name.
    #[error("{0:?} is no host or address")]
    Host(String),
    /// Longer than a Unix socket's path can be.
    #[error("path is longer than {SOCKET_PATH_LENGTH} bytes")]
    Path,
}

/// A part of a forward, and whether it has a `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    text: String,
    is_path: bool,
}

/// Reads `[bind:]port:host:hostport` and its relatives with socket paths (`parse_forward`).
///
/// A bind's port may be 0, which only an end that can tell the port should be given; a bind's host
/// is not held against any rule.
pub fn parse_forward(text: &str, form: ForwardForm) -> Result<SshForward, ForwardError> {
    if text.len() > FORWARD_LENGTH {
        return Err(ForwardError::TooLong);
    }
    let fields = fields(text.trim_start_matches(|it: char| it.is_ascii_whitespace()))?;
    let is_dynamic = matches!(form, ForwardForm::Dynamic | ForwardForm::RemoteDynamic);
    let (bind, target) = match fields.as_slice() {
        [path] if is_dynamic && path.is_path => (at_path(path)?, ForwardTarget::Socks),
        [port] if is_dynamic => (at_port(None, port)?, ForwardTarget::Socks),
        [host, port] if is_dynamic => (at_port(Some(host), port)?, ForwardTarget::Socks),
        _ if is_dynamic => return Err(ForwardError::Fields),
        [bind, target] if bind.is_path && target.is_path => (at_path(bind)?, to_path(target)?),
        [port, target] if target.is_path => (at_port(None, port)?, to_path(target)?),
        [bind, host, port] if bind.is_path => (at_path(bind)?, to_port(host, port)?),
        [host, port, target] if target.is_path => (at_port(Some(host), port)?, to_path(target)?),
        [port, host, host_port] => (at_port(None, port)?, to_port(host, host_port)?),
        [bind, port, host, host_port] => (at_port(Some(bind), port)?, to_port(host, host_port)?),
        _ => return Err(ForwardError::Fields),
    };
    Ok(SshForward { bind, target })
}

fn at_port(host: Option<&Field>, port: &Field) -> Result<ForwardBind, ForwardError> {
    let host = host.map(|host| host.text.clone());
    let port = port_of(port)?;
    Ok(ForwardBind::Tcp { host, port })
}

fn at_path(path: &Field) -> Result<ForwardBind, ForwardError> {
    socket_path(path).map(ForwardBind::Unix)
}

fn to_port(host: &Field, port: &Field) -> Result<ForwardTarget, ForwardError> {
    let number = port_of(port)?;
    if number == 0 {
        return Err(ForwardError::Port(port.text.clone()));
    }
    let host = host.text.clone();
    if host.is_empty() {
        return Err(ForwardError::Host(host));
    }
    Ok(ForwardTarget::Tcp { host, port: number })
}

fn to_path(path: &Field) -> Result<ForwardTarget, ForwardError> {
    socket_path(path).map(ForwardTarget::Unix)
}

fn port_of(field: &Field) -> Result<u16, ForwardError> {
    parse_port(&field.text).ok_or_else(|| ForwardError::Port(field.text.clone()))
}

fn socket_path(field: &Field) -> Result<PathBuf, ForwardError> {
    if field.text.len() > SOCKET_PATH_LENGTH {
        return Err(ForwardError::Path);
    }
    Ok(PathBuf::from(&field.text))
}

/// Fields parted by colons. Brackets hold one together, a backslash takes the next character for
/// itself, and a colon at the end is passed over.
fn fields(text: &str) -> Result<Vec<Field>, ForwardError> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let field = if let Some(inside) = rest.strip_prefix('[') {
            let (field, after) = inside.split_once(']').ok_or(ForwardError::Bracket)?;
            rest = match after.strip_prefix(':') {
                Some(after) => after,
                None if after.is_empty() => after,
                None => return Err(ForwardError::Bracket),
            };
            Field {
                text: field.to_owned(),
                is_path: field.contains('/'),
            }
        } else {
            let mut field = Field {
                text: String::new(),
                is_path: false,
            };
            let mut characters = rest.chars();
            loop {
                match characters.next() {
                    Some('\\') => {
                        let taken = characters.next().ok_or(ForwardError::Fields)?;
                        field.text.push(taken);
                    }
                    None | Some(':') => break,
                    Some(character) => {
                        field.is_path |= character == '/';
                        field.text.push(character);
                    }
                }
            }
            rest = characters.as_str();
            field
        };
        fields.push(field);
    }
    Ok(fields)
}

/// A number from 0; names of services are not looked up.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Seconds, or numbers with `s`, `m`, `h`, `d`, `w` one after the other (`convtime`); at most
/// 2^31 - 1 seconds.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit());
        let (number, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let mut after = after.chars();
        let seconds: u64 = match after.next() {
            None | Some('s' | 'S') => 1,
            Some('m' | 'M') => 60,
            Some('h' | 'H') => 3_600,
            Some('d' | 'D') => 86_400,
            Some('w' | 'W') => 604_800,
            Some(_) => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = after.as_str();
    }
    let is_time = !text.is_empty() && i32::try_from(total).is_ok();
    is_time.then(|| Duration::from_secs(total))
}

/// A jump as it is written, before tokens are put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenJump {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// Reads `[user@]host[:port]` or `ssh://[user@]host[:port]`.
pub(super) fn parse_jump(text: &str) -> Option<WrittenJump> {
    let (is_uri, rest) = match text.strip_prefix("ssh://") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // In a URI a name with an `@` would be written with a `%`, which stands for something else here.
    let parts = if is_uri {
        rest.split_once('@')
    } else {
        rest.rsplit_once('@')
    };
    let (user, address) = match parts {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let user = match user {
        Some(user) if is_uri => {
            let user = user.split(';').next().unwrap_or_default();
            (!user.contains('%')).then_some(Some(user))?
        }
        user => user,
    };
    if user.is_some_and(str::is_empty) {
        return None;
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(inside) => {
            let (host, after) = inside.split_once(']')?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return None,
            };
            (host, port)
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() || host.contains('/') {
        return None;
    }
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Some(parse_port(port).filter(|port| *port > 0)?),
        None => None,
    };
    Some(WrittenJump {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
    })
}

/// Cuts a `ProxyCommand` as a shell would, as long as it needs no shell. A comment ends it, and a
/// leading `exec`, which only spares a shell, is taken off.
pub(super) fn command_words(text: &str) -> Result<Vec<String>, Problem> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quote) {
            (' ' | '\t', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, Some(open)) if open == character => quote = None,
            ('\\', None) => word.get_or_insert_default().extend(characters.next()),
            ('\\', Some('"')) => {
                let is_escaped = |next: &char| matches!(next, '"' | '\\' | '$' | '`');
                let escaped = characters.next_if(is_escaped).unwrap_or('\\');
                word.get_or_insert_default().push(escaped);
            }
            ('$' | '`', None | Some('"')) | ('|' | '&' | ';' | '<' | '>' | '(' | ')', None) => {
                return Err(Problem::Shell(character));
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(Problem::OpenQuote);
    }
    words.extend(word);
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    if words.is_empty() {
        return Err(Problem::NoValue(String::from("ProxyCommand")));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(text: &str, form: ForwardForm) -> Option<String> {
        let forward = parse_forward(text, form).ok();
        forward.map(|forward| forward.to_string())
    }

    #[test]
    fn forwards_are_read_as_openssh_reads_them() {
        use ForwardForm::{Dynamic, Local, Remote, RemoteDynamic};
        for (text, form, expected) in [
            ("8080:localhost:80", Local, Some("8080 [localhost]:80")),
            ("0:localhost:80", Local, Some("0 [localhost]:80")),
            ("0:localhost:80", Remote, Some("0 [localhost]:80")),
            ("*:8080:[::1]:80", Remote, Some("[*]:8080 [::1]:80")),
            (":8080:h:80:", Remote, Some("[]:8080 [h]:80")),
            ("8080:h:80:x:y", Remote, None),
            ("8080:h:0", Remote, None),
            ("8080::80", Remote, None),
            ("8080:h", Remote, None),
            ("[::1]x:80:h:1", Local, None),
            ("[::1:80:h:1", Local, None),
            ("/a:/b", Local, Some("/a /b")),
            ("/a:h:1", Remote, Some("/a [h]:1")),
            ("80:/b", Remote, Some("80 /b")),
            ("h:80:/b", Remote, Some("[h]:80 /b")),
            ("a\\:b/c:/d", Local, Some("a:b/c /d")),
            ("a\\", Dynamic, None),
            ("1080", Dynamic, Some("1080")),
            ("[::1]:1080", Dynamic, Some("[::1]:1080")),
            ("/s", RemoteDynamic, Some("/s")),
            ("0", RemoteDynamic, Some("0")),
            ("0", Dynamic, Some("0")),
            ("65536", Dynamic, None),
            ("", Dynamic, None),
        ] {
            assert_eq!(forward(text, form).as_deref(), expected, "{text}");
        }
        assert_eq!(forward(&format!("/{}", "a".repeat(107)), Dynamic), None);
        assert_eq!(forward(&format!("80:{}:80", "a".repeat(250)), Local), None);
    }

    #[test]
    fn times_are_read_as_openssh_reads_them() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("1m30s", Some(90)),
            ("1M30", Some(90)),
            ("1w1d1h", Some(694_800)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("-1", None),
        ] {
            let time = parse_time(text).map(|time| time.as_secs());
            assert_eq!(time, seconds, "{text}");
        }
    }

    #[test]
    fn jumps_are_read_as_openssh_reads_them() {
        for (text, user, host, port) in [
            ("a", None, "a", None),
            ("me@a:22", Some("me"), "a", Some(22)),
            ("me@x@a", Some("me@x"), "a", None),
            ("[::1]:22", None, "::1", Some(22)),
            ("a:", None, "a", None),
            ("ssh://me@a:22", Some("me"), "a", Some(22)),
            ("ssh://me;x=y@a", Some("me"), "a", None),
        ] {
            let expected = WrittenJump {
                user: user.map(str::to_owned),
                host: host.to_owned(),
                port,
            };
            assert_eq!(parse_jump(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "@a",
            "me@",
            "a:0",
            "a:ssh",
            "[::1",
            "[::1]x",
            "a/b",
            "ssh://a/b",
        ] {
            assert_eq!(parse_jump(text), None, "{text}");
        }
    }

    #[test]
    fn a_command_is_cut_without_a_shell_or_refused() {
        let words = command_words("exec ssh -qW '[%h]:%p' \"a | b\" c\\;d # all").unwrap();
        assert_eq!(words, ["ssh", "-qW", "[%h]:%p", "a | b", "c;d"]);
        for (text, expected) in [
            ("nc %h | tee", Problem::Shell('|')),
            ("nc \"$HOST\"", Problem::Shell('$')),
            ("nc `hostname`", Problem::Shell('`')),
            ("nc %h 2>/dev/null", Problem::Shell('>')),
            ("nc 'x", Problem::OpenQuote),
            ("# x", Problem::NoValue(String::from("ProxyCommand"))),
        ] {
            assert_eq!(command_words(text), Err(expected), "{text}");
        }
    }
}
