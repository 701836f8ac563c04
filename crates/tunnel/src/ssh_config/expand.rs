//! Texts that stand for others: `~`, `%h`, `${HOME}`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::Problem;
use super::{Local, is_host, is_user};

/// What `%` and a letter stand for; complete once the files are read.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub(super) local: &'a Local,
    /// `%n`: the host as it was asked for.
    pub(super) original: &'a str,
    /// `%h`: its name or address.
    pub(super) host: &'a str,
    /// `%k`: the name its key is kept under.
    pub(super) key_alias: &'a str,
    /// `%p`
    pub(super) port: String,
    /// `%r`: the user there.
    pub(super) user: &'a str,
}

impl Tokens<'_> {
    /// The tokens of files: all but `%C`, a hash for control sockets, which there are none of.
    fn of_files(&self, letter: char) -> Option<String> {
        let host_name = self.local.host_name.as_str();
        let home = || Some(self.local.home.as_ref()?.to_str()?.to_owned());
        Some(match letter {
            'L' => host_name.split('.').next().unwrap_or_default().to_owned(),
            'd' => home()?,
            'i' => self.local.uid.to_string(),
            'k' => self.key_alias.to_owned(),
            'l' => host_name.to_owned(),
            'u' => self.local.user.clone()?,
            _ => return self.of_proxies(letter),
        })
    }

    /// The tokens of `ProxyCommand` and `ProxyJump`.
    fn of_proxies(&self, letter: char) -> Option<String> {
        Some(match letter {
            'h' => self.host.to_owned(),
            'n' => self.original.to_owned(),
            'p' => self.port.clone(),
            'r' => self.user.to_owned(),
            _ => return None,
        })
    }

    /// A path with `~`, tokens and variables.
    pub(super) fn path(&self, keyword: &'static str, text: &str) -> Result<PathBuf, Problem> {
        let text = tilde(text, self.local)?;
        let tokens = |part: &str| percent(keyword, part, |letter| self.of_files(letter));
        variables(&text, &self.local.environment, tokens).map(PathBuf::from)
    }

    /// The path of a forwarded socket: tokens alone.
    pub(super) fn socket(&self, keyword: &'static str, text: &str) -> Result<PathBuf, Problem> {
        percent(keyword, text, |letter| self.of_files(letter)).map(PathBuf::from)
    }

    /// A word of a proxy. Host and user go in only when they are safe anywhere.
    pub(super) fn proxy(&self, keyword: &'static str, text: &str) -> Result<String, Problem> {
        for host in [self.host, self.original] {
            if !is_host(host) {
                return Err(Problem::Host(host.to_owned()));
            }
        }
        if !is_user(self.user) {
            return Err(Problem::User(self.user.to_owned()));
        }
        percent(keyword, text, |letter| self.of_proxies(letter))
    }
}

/// Puts in what `%` and a letter stand for, and `%` for `%%`.
pub(super) fn percent(
    keyword: &'static str,
    text: &str,
    stands_for: impl Fn(char) -> Option<String>,
) -> Result<String, Problem> {
    let mut expanded = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        let letter = characters.next();
        let value = match letter {
            Some('%') => Some(String::from("%")),
            letter => letter.and_then(&stands_for),
        };
        expanded.push_str(&value.ok_or_else(|| Problem::Token {
            token: letter.map(String::from).unwrap_or_default(),
            keyword,
        })?);
    }
    Ok(expanded)
}

/// Puts in what `${NAME}` stands for; a `$` before anything else is itself. The parts between go
/// through `other`, the values do not.
pub(super) fn variables(
    text: &str,
    environment: &BTreeMap<String, String>,
    other: impl Fn(&str) -> Result<String, Problem>,
) -> Result<String, Problem> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| Problem::Variable(after.to_owned()))?;
        let value = environment.get(name);
        let value = value.ok_or_else(|| Problem::Variable(name.to_owned()))?;
        expanded.push_str(&other(before)?);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(&other(rest)?);
    Ok(expanded)
}

/// Puts the home directory in the place of a leading `~`. Other people's are not looked up.
pub(super) fn tilde(text: &str, local: &Local) -> Result<String, Problem> {
    let Some(below) = text.strip_prefix('~') else {
        return Ok(text.to_owned());
    };
    let home = local.home.as_ref().and_then(|home| home.to_str());
    match home {
        Some(home) if below.is_empty() || below.starts_with('/') => {
            let (home, below) = (home.trim_end_matches('/'), below.trim_start_matches('/'));
            Ok(format!("{home}/{below}"))
        }
        _ => Err(Problem::Home(text.to_owned())),
    }
}
