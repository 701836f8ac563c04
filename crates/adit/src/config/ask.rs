//! Passphrases and passwords: from a file, the environment, or the person at the terminal, in that
//! order. Never from the command line, which every user of the machine can read.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use adit_tunnel::agent::login::prompt::{Ask, Question, Told};
use tracing::warn;

use crate::terminal::{self, Echo, Terminal};

/// Where secrets come from.
pub(crate) struct Sources {
    passphrase: Source,
    password: Source,
    /// Whether a person is asked for a password that nobody has left.
    asks_password: bool,
    /// What was typed for a prompt, for the next time that the tunnel logs in.
    typed: Mutex<HashMap<String, Told>>,
    /// Whether a password is among it, so that there is one when nobody is there any more.
    has_typed_password: AtomicBool,
}

/// Whose secrets they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of the host that was asked for.
    Destination,
    /// Of a host on the way there, which must never be told the destination's password.
    Hop,
}

/// A secret that somebody has left in one place.
pub(crate) enum Given {
    /// In the first line of a file.
    File(PathBuf),
    /// In a variable, which was read.
    Told(Told),
}

/// One kind of secret.
#[derive(Default)]
struct Source {
    file: Option<PathBuf>,
    variable: Option<Told>,
}

/// Variable with the passphrase of the keys.
const PASSPHRASE: &str = "ADIT_PASSPHRASE";
/// Variable with the password.
pub(crate) const PASSWORD: &str = "ADIT_PASSWORD";
/// Most bytes of a secret (RFC 4252 sets none; OpenSSH takes 1,024 of a password).
const SECRET: u64 = 1_024;
/// How often a person may try (ssh_config(5), NumberOfPasswordPrompts).
const TRIES: usize = 3;
/// Most prompts whose answers are kept. A server that asks for more is answered anew each time.
const KEPT: usize = 16;

impl Sources {
    /// Those files, and this process's environment and terminal.
    ///
    /// The password of the environment is for one destination alone, if it is for this one; keys, and so their passphrase, are for all.
    pub(crate) fn of_this_process(
        whose: Whose,
        passphrase: Option<PathBuf>,
        password: Option<PathBuf>,
        takes_password: bool,
    ) -> Self {
        let variable = |name| std::env::var_os(name).and_then(told);
        let is_destination = whose == Whose::Destination;
        Self {
            passphrase: Source {
                file: passphrase,
                variable: variable(PASSPHRASE),
            },
            password: Source {
                file: password.filter(|_| is_destination),
                variable: variable(PASSWORD).filter(|_| takes_password),
            },
            asks_password: true,
            typed: Mutex::new(HashMap::new()),
            has_typed_password: AtomicBool::new(false),
        }
    }

    /// Those of a login that is written down as a whole: no password but the given one. A passphrase that is
    /// not given comes from the environment, or from the person at the terminal.
    pub(crate) fn given(passphrase: Option<Given>, password: Option<Given>) -> Self {
        let left = || Source {
            file: None,
            variable: std::env::var_os(PASSPHRASE).and_then(told),
        };
        Self {
            passphrase: passphrase.map_or_else(left, Source::of),
            password: password.map(Source::of).unwrap_or_default(),
            asks_password: false,
            typed: Mutex::new(HashMap::new()),
            has_typed_password: AtomicBool::new(false),
        }
    }

    /// The answer to a prompt that may not be seen: what was left for it first, then the person.
    fn hidden(
        &self,
        source: &Source,
        prompt: &str,
        heading: &[&str],
        attempt: usize,
    ) -> Option<Told> {
        let left = if attempt == 0 {
            source.get().or_else(|| self.remembered(prompt))
        } else {
            None
        };
        left.or_else(|| {
            if source.is_some() && attempt > 0 {
                // It was wrong once and is not asked of a person, who did not choose it.
                return None;
            }
            let _turn = terminal::turn();
            // Somebody may have answered while another had the terminal.
            if attempt == 0
                && let Some(told) = self.remembered(prompt)
            {
                return Some(told);
            }
            let told = type_in(heading, prompt, Echo::Off)?;
            self.remember(prompt, &told);
            let is_password = std::ptr::eq(source, &raw const self.password);
            self.has_typed_password
                .fetch_or(is_password, Ordering::Relaxed);
            Some(told)
        })
    }

    fn remembered(&self, prompt: &str) -> Option<Told> {
        let typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        typed.get(prompt).map(copy)
    }

    fn remember(&self, prompt: &str, told: &Told) {
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        if typed.len() < KEPT || typed.contains_key(prompt) {
            typed.insert(prompt.to_owned(), copy(told));
        }
    }
}

impl Ask for Sources {
    fn secret(&self, question: &Question<'_>) -> Option<Told> {
        match *question {
            Question::Passphrase { file, attempt } => {
                let prompt = format!("Passphrase of {}: ", file.display());
                if attempt > 0 && !self.passphrase.is_some() {
                    crate::log::say("That is not its passphrase.");
                }
                self.hidden(&self.passphrase, &prompt, &[], attempt)
            }
            Question::Password { peer, attempt } => {
                let prompt = format!("Password of {}@{}: ", peer.user, peer.host);
                self.hidden(&self.password, &prompt, &[], attempt)
            }
            Question::Prompt {
                peer,
                heading,
                text,
                echo,
                attempt,
            } => {
                let prompt = format!("({}@{}) {text}", peer.user, peer.host);
                if echo {
                    let _turn = terminal::turn();
                    type_in(heading, &prompt, Echo::On)
                } else {
                    self.hidden(&self.password, &prompt, heading, attempt)
                }
            }
            // What is asked tomorrow is not answered today.
            _ => None,
        }
    }

    fn trusts(&self, host: &str, shown: &str) -> Option<bool> {
        let _turn = terminal::turn();
        let mut terminal = Terminal::open()?;
        let heading = format!(
            "Host {host} was never seen from here. It shows {shown}.\n\
             Compare this with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there)."
        );
        terminal.say(&heading).ok()?;
        loop {
            let answer = terminal
                .ask("Trust it from here on (yes/no)? ", Echo::On)
                .ok()?;
            match answer.trim() {
                "yes" => return Some(true),
                "no" => return Some(false),
                _ => {}
            }
        }
    }

    fn passwords(&self) -> usize {
        if self.password.is_some() {
            1
        } else if !self.asks_password {
            0
        } else if self.is_person() {
            TRIES
        } else {
            usize::from(self.has_typed_password.load(Ordering::Relaxed))
        }
    }

    fn is_person(&self) -> bool {
        Terminal::open().is_some()
    }
}

impl Source {
    fn of(given: Given) -> Self {
        let (file, variable) = match given {
            Given::File(file) => (Some(file), None),
            Given::Told(told) => (None, Some(told)),
        };
        Self { file, variable }
    }

    const fn is_some(&self) -> bool {
        self.file.is_some() || self.variable.is_some()
    }

    /// Read anew each time: a file may have a new password.
    fn get(&self) -> Option<Told> {
        match &self.file {
            Some(file) => read(file)
                .inspect_err(|error| {
                    let file = file.display();
                    warn!(%file, %error, "secret cannot be read");
                })
                .ok(),
            None => self.variable.as_ref().map(copy),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("passphrase", &self.passphrase.file)
            .field("password", &self.password.file)
            .finish_non_exhaustive()
    }
}

/// The first line of a file that only its owner may read.
///
/// # Errors
///
/// It cannot be read, others can read it, or the line is empty or longer than 1,024 bytes.
pub(crate) fn read(file: &Path) -> io::Result<Told> {
    let opened = File::open(file)?;
    let metadata = opened.metadata()?;
    if metadata.mode() & 0o077 != 0 && metadata.is_file() {
        return Err(io::Error::other("others can read it; run chmod 600 on it"));
    }
    let most = usize::try_from(SECRET).unwrap_or(usize::MAX);
    // All at once, so that no reallocation leaves a copy behind.
    let mut text = String::with_capacity(most.saturating_add(2));
    opened
        .take(SECRET.saturating_add(2))
        .read_to_string(&mut text)?;
    let end = text.find(['\n', '\r']).unwrap_or(text.len());
    text.truncate(end);
    if text.is_empty() || text.len() > most {
        return Err(io::Error::other(
            "its first line is empty or over 1,024 bytes",
        ));
    }
    Ok(Told::new(text))
}

/// A value of the environment; an empty one is none.
fn told(value: OsString) -> Option<Told> {
    let text = value.into_string().ok()?;
    (!text.is_empty()).then(|| Told::new(text))
}

fn copy(told: &Told) -> Told {
    Told::new(told.expose().clone())
}

/// Has the person at the terminal type something.
fn type_in(heading: &[&str], prompt: &str, echo: Echo) -> Option<Told> {
    let mut terminal = Terminal::open()?;
    for line in heading {
        terminal.say(line).ok()?;
    }
    terminal.ask(prompt, echo).ok().map(Told::new)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_first_line_of_a_file_is_the_secret() {
        for (text, secret) in [
            ("word", "word"),
            ("word\n", "word"),
            (" a b \r\nmore", " a b "),
        ] {
            let told = read(file(text, 0o600).path()).unwrap();
            assert_eq!(told.expose(), secret);
        }
        let long = "x".repeat(1_024);
        assert!(read(file(&long, 0o600).path()).is_ok());
    }

    #[test]
    fn a_file_that_is_open_empty_or_too_long_gives_nothing() {
        let long = "x".repeat(1_025);
        for (text, mode, part) in [
            ("word", 0o640, "chmod 600"),
            ("", 0o600, "empty"),
            ("\nword", 0o600, "empty"),
            (&long, 0o600, "1,024"),
        ] {
            let file = file(text, mode);
            let Err(error) = read(file.path()) else {
                panic!("{part}: it was read")
            };
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn who_is_given_no_password_for_a_login_asks_nobody_for_one() {
        assert_eq!(Sources::given(None, None).passwords(), 0);
        let told = Given::Told(Told::new(String::from("word")));
        let sources = Sources::given(None, Some(told));
        assert_eq!(sources.passwords(), 1);
        let given = sources.hidden(&sources.password, "p", &[], 0);
        assert_eq!(given.unwrap().expose(), "word");
    }

    #[test]
    fn what_was_left_is_given_once_in_a_login_and_read_again_for_the_next() {
        let file = file("first", 0o600);
        let sources = Sources {
            passphrase: Source::default(),
            password: Source {
                file: Some(file.path().to_owned()),
                variable: None,
            },
            typed: Mutex::new(HashMap::new()),
            asks_password: true,
            has_typed_password: AtomicBool::new(false),
        };
        assert_eq!(sources.passwords(), 1);
        let give = |attempt| sources.hidden(&sources.password, "p", &[], attempt);
        assert_eq!(give(0).unwrap().expose(), "first");
        assert!(give(1).is_none());
        std::fs::write(file.path(), "second").unwrap();
        assert_eq!(give(0).unwrap().expose(), "second");
    }
}
