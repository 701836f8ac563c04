//! Whether the host has the key that it should have, and whether it lets us in.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::{Look, SetUpError};
use adit_tunnel::agent::dial::WayError;
use adit_tunnel::agent::login::known_hosts::{HostKeyRefusal, HostVerdict, NewHosts, PinnedKey};
use adit_tunnel::agent::login::prompt::{Ask, Question, Told};
use adit_tunnel::agent::supervise::{ConnectError, Peer, PeerConfig};

use super::diagnosis::{Check, Diagnosis};

/// What a look at the host's key says; and the key, where it is a new host's that may be logged in at
/// without a password.
pub(super) fn host_key(
    look: &Look,
    peer: &Peer,
    new_hosts: NewHosts,
) -> (Diagnosis, Option<PinnedKey>) {
    let key = &look.key;
    let refusal = match &look.verdict {
        HostVerdict::Trusted(proof) => {
            let diagnosis = Diagnosis::ok(Check::HostKey, format!("{key}, {proof}"));
            return (diagnosis, None);
        }
        HostVerdict::Refused(refusal) => refusal,
    };
    if !matches!(refusal, HostKeyRefusal::New { .. }) {
        return (refused_key(refusal), None);
    }
    let (host, port) = (&peer.host, peer.port);
    let place = match (port, host.contains(':')) {
        (22, _) => host.clone(),
        (_, true) => format!("[{host}]:{port}"),
        (_, false) => format!("{host}:{port}"),
    };
    let fingerprint = key.fingerprint();
    let change = format!(
        "compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), \
         then: adit trust {place} {fingerprint}, or pin it: --host-key, host_key: in the file"
    );
    if new_hosts == NewHosts::Refuse {
        let seen = format!("the host is new, and new ones are refused; it shows {key}");
        return (Diagnosis::fail(Check::HostKey, seen, change), None);
    }
    let seen = format!(
        "the host is new; it shows {key}. The first login by a key writes that down; a password is not \
         sent before"
    );
    (Diagnosis::warn(Check::HostKey, seen, change), Some(*key))
}

fn refused_key(refusal: &HostKeyRefusal) -> Diagnosis {
    let change = if let HostKeyRefusal::Changed { .. } | HostKeyRefusal::Unpinned { .. } = refusal {
        "ask whoever runs the host whether it has new keys, and for their fingerprint; nothing is sent \
         there before"
    } else {
        "see the line that is named; nothing is sent there before"
    };
    Diagnosis::fail(Check::HostKey, chain(refusal), change)
}

/// Why there is no login, where not even the settings hold.
pub(super) fn not_set_up(error: &SetUpError) -> Diagnosis {
    let change = "name a private key with -i (or key: in the file), or leave a password with \
                  --password-file; a password is for hosts whose key is known";
    Diagnosis::fail(Check::Login, chain(error), change)
}

/// Why there is no connection.
pub(super) fn not_connected(error: &ConnectError, peer: &Peer) -> Diagnosis {
    let seen = chain(error);
    match error {
        ConnectError::Dial(WayError::Jump(_)) => {
            let change = "look at that host by itself: adit doctor HOP";
            Diagnosis::fail(Check::Reach, seen, change)
        }
        ConnectError::Dial(_) => Diagnosis::fail(
            Check::Reach,
            seen,
            "see whether the host is up and on the net",
        ),
        ConnectError::HostKey(refusal) => refused_key(refusal),
        ConnectError::Login { source, .. } => {
            Diagnosis::fail(Check::Login, seen, let_in(source.as_ref(), peer))
        }
        ConnectError::Handshake(_) => Diagnosis::fail(Check::Login, seen.clone(), handshake(&seen)),
        ConnectError::Keys(_) => {
            let change =
                "name a key that can be opened, with -i and --passphrase-file or ADIT_PASSPHRASE";
            Diagnosis::fail(Check::Login, seen, change)
        }
        ConnectError::Host { .. } | _ => {
            Diagnosis::fail(Check::Login, seen, "write the host as it is")
        }
    }
}

/// What lets a user in who was refused.
fn let_in(source: &(dyn Error + Send + Sync), peer: &Peer) -> String {
    let words = chain(source);
    let user = &peer.user;
    if words.contains("hung up on the login") {
        return String::from(
            "the server counts each key that is offered (MaxAuthTries 6): name the right one with -i, \
             which leaves the others out (IdentitiesOnly yes)",
        );
    }
    if words.contains("has expired there") {
        return format!("log in by ssh once and change the password of {user}");
    }
    if words.contains("no password is sent") {
        return String::from("trust the host first: adit trust");
    }
    format!(
        "append the .pub of an offered key to ~{user}/.ssh/authorized_keys there (ssh-copy-id), \
         with modes 700 for ~/.ssh, 600 for the file, and a home folder that only {user} can write; \
         journalctl -u ssh there says what sshd minds (AllowUsers, PubkeyAuthentication, expired account)"
    )
}

/// What brings two ends together that did not come to terms.
fn handshake(words: &str) -> &'static str {
    if words.contains("cut off") || words.contains("lost") || words.contains("disconnected") {
        "the server closes the connection before any login: too many at once (MaxStartups), a penalty for \
         our address (PerSourcePenalties of OpenSSH 9.8 and later: wait some minutes), fail2ban, \
         or a sshd that does not start; journalctl -u ssh there says which"
    } else if words.contains("in common") {
        "the server is too old or too strict: let it offer one of ours (KexAlgorithms, Ciphers and \
         HostKeyAlgorithms in its sshd_config)"
    } else if words.contains("took") {
        "something accepts the connection and says nothing: is this port sshd's, and is the machine alive?"
    } else {
        "see whether it is an SSH server that answers at this port: nc HOST PORT shows SSH-2.0-..."
    }
}

/// The same login without its passwords: what is looked at must not be told any.
pub(super) fn by_keys_alone(peer: &mut PeerConfig, pin: PinnedKey) {
    peer.host_keys.pinned = vec![pin];
    peer.login.ask = Arc::new(KeysAlone(Arc::clone(&peer.login.ask)));
}

/// Knows what somebody else knows, but for passwords.
struct KeysAlone(Arc<dyn Ask>);

impl Ask for KeysAlone {
    fn secret(&self, question: &Question<'_>) -> Option<Told> {
        match question {
            Question::Passphrase { .. } => self.0.secret(question),
            Question::Password { .. } | Question::Prompt { .. } | _ => None,
        }
    }

    fn trusts(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn passwords(&self) -> usize {
        0
    }

    fn is_person(&self) -> bool {
        self.0.is_person()
    }
}

impl fmt::Debug for KeysAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeysAlone").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn peer() -> Peer {
        Peer {
            host: String::from("gw.example"),
            port: 2222,
            user: String::from("me"),
        }
    }

    /// What a login error leads to.
    fn login(words: &str) -> Diagnosis {
        let source = Box::new(io::Error::other(words.to_owned()));
        let user = String::from("me");
        not_connected(&ConnectError::Login { user, source }, &peer())
    }

    #[test]
    fn a_refused_login_says_what_lets_in() {
        for (words, part) in [
            (
                "key /k (SHA256:x) is not known there; server accepts publickey",
                "~me/.ssh/authorized_keys",
            ),
            (
                "server hung up on the login; there were to offer a, b",
                "MaxAuthTries",
            ),
            (
                "password was not given; no password is sent to a host that was new",
                "adit trust",
            ),
        ] {
            let diagnosis = login(words);
            assert_eq!(diagnosis.check, Check::Login);
            assert!(diagnosis.seen.contains(words), "{diagnosis}");
            assert!(
                diagnosis.change.as_ref().unwrap().contains(part),
                "{diagnosis}"
            );
        }
    }

    #[test]
    fn a_connection_that_does_not_come_about_says_why_that_may_be() {
        for (words, part) in [
            ("connection was cut off", "MaxStartups"),
            ("no cipher in common; peer offers 3des-cbc", "too old"),
            ("login took more than 30 s", "says nothing"),
            (
                "peer broke the protocol: version line is too long",
                "SSH-2.0-",
            ),
        ] {
            let error = ConnectError::Handshake(Box::new(io::Error::other(words)));
            let diagnosis = not_connected(&error, &peer());
            assert!(diagnosis.seen.contains(words), "{diagnosis}");
            assert!(
                diagnosis.change.as_ref().unwrap().contains(part),
                "{diagnosis}"
            );
        }
    }
}
