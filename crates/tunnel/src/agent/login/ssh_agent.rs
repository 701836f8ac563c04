//! A running ssh-agent, over its socket: what keys it holds, and signatures by them.
//!
//! One connection to it serves one login: it is told whose session that is before it signs, so that
//! it can hold its keys' constraints against it, and OpenSSH's takes that once for a connection. It
//! may be anybody's program: what it says is checked by `adit_ssh::ssh_agent`, and a signature that it
//! gives is worth what the server makes of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::ssh_agent::{
    AgentError, Binding, Frames, Identity, Request, SessionBind, parse_binding, parse_identities,
    parse_signature,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A connection to an ssh-agent.
pub struct SshAgent {
    socket: PathBuf,
    stream: UnixStream,
    frames: Frames,
}

/// Why an ssh-agent is of no use.
#[derive(Debug, thiserror::Error)]
#[error("ssh-agent at {} {doing}", .socket.display())]
pub struct SshAgentError {
    socket: PathBuf,
    doing: &'static str,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] AgentError),
    #[error("it said nothing for {} s", DEADLINE.as_secs())]
    Silent,
}

/// An ssh-agent answers at once what no person has to confirm.
const DEADLINE: Duration = Duration::from_secs(5);
/// Read at a time; most answers are smaller.
const READ: usize = 4_096;

impl SshAgent {
    /// Connects to the ssh-agent of that socket.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or not for us, or not within 5 s.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn connect(socket: &Path) -> Result<Self, SshAgentError> {
        let connected = timeout(DEADLINE, UnixStream::connect(socket)).await;
        let stream = match connected {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Cause::Io(error)),
            Err(_) => Err(Cause::Silent),
        };
        match stream {
            Ok(stream) => Ok(Self {
                socket: socket.to_owned(),
                stream,
                frames: Frames::new(),
            }),
            Err(cause) => Err(SshAgentError {
                socket: socket.to_owned(),
                doing: "cannot be reached",
                cause,
            }),
        }
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The keys and certificates that it holds, in its order.
    ///
    /// # Errors
    ///
    /// It breaks the protocol or says nothing for 5 s. The connection is of no more use.
    pub async fn identities(&mut self) -> Result<Vec<Identity>, SshAgentError> {
        let answer = timeout(DEADLINE, self.ask(&Request::List)).await;
        let answer = answer.unwrap_or(Err(Cause::Silent));
        answer
            .and_then(|message| Ok(parse_identities(&message)?))
            .map_err(|cause| self.error("does not list its keys", cause))
    }

    /// Tells it whose session its signatures are for. That it does not know the request is no error.
    ///
    /// # Errors
    ///
    /// As [`identities`](Self::identities).
    pub async fn bind(&mut self, session: SessionBind<'_>) -> Result<Binding, SshAgentError> {
        let answer = timeout(DEADLINE, self.ask(&Request::Bind(session))).await;
        let answer = answer.unwrap_or(Err(Cause::Silent));
        answer
            .and_then(|message| Ok(parse_binding(&message)?))
            .map_err(|cause| self.error("does not take the session", cause))
    }

    /// A signature blob over `data` by `key`, a key or certificate as it was listed. A person may
    /// have to confirm or touch something, so that only the login's deadline ends it.
    ///
    /// # Errors
    ///
    /// It refuses, breaks the protocol or signs with another algorithm.
    ///
    /// # Cancel safety
    ///
    /// The answer to a question that was given up would be taken for the next one's: a connection is
    /// of no more use after that.
    pub async fn sign(
        &mut self,
        key: &[u8],
        data: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Vec<u8>, SshAgentError> {
        let request = Request::Sign {
            key,
            data,
            algorithm,
        };
        let answer = self.ask(&request).await;
        answer
            .and_then(|message| Ok(parse_signature(&message, algorithm)?))
            .map_err(|cause| self.error("does not sign", cause))
    }

    /// Sends a request and waits for the message that answers it.
    async fn ask(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Cause> {
        self.stream.write_all(&request.encode()).await?;
        let mut bytes = [0; READ];
        loop {
            if let Some(message) = self.frames.next_message()? {
                return Ok(message);
            }
            let count = self.stream.read(&mut bytes).await?;
            if count == 0 {
                return Err(Cause::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.frames
                .receive(bytes.get(..count).unwrap_or_default())?;
        }
    }

    fn error(&self, doing: &'static str, cause: Cause) -> SshAgentError {
        SshAgentError {
            socket: self.socket.clone(),
            doing,
            cause,
        }
    }
}

impl fmt::Debug for SshAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshAgent({})", self.socket.display())
    }
}

#[cfg(test)]
mod tests {
    use adit_ssh::key::PublicKey;
    use adit_testkit::ssh_agent::{Behaviour, Key, SshAgent as Fake};

    use super::*;
    use crate::provider;

    fn fake() -> Fake {
        let fake = Fake::start();
        fake.add(Key::ed25519([3; 32]).with_comment("of a test"));
        fake
    }

    #[tokio::test]
    async fn what_it_lists_it_signs_with() {
        let fake = fake();
        let mut agent = SshAgent::connect(&fake.socket()).await.unwrap();
        let keys = agent.identities().await.unwrap();
        let [key] = keys.as_slice() else {
            panic!("{keys:?}")
        };
        assert_eq!(key.comment.as_str(), "of a test");
        let algorithm = KeyAlgorithm::Ed25519;
        let signature = agent.sign(&key.blob, b"data", algorithm).await.unwrap();
        let public = PublicKey::from_blob(&key.blob).unwrap();
        let verifier = provider::of_this_machine().verifier;
        verifier
            .verify(&public, algorithm.signature(), b"data", &signature)
            .unwrap();
    }

    #[tokio::test]
    async fn one_that_misbehaves_is_an_error_that_names_its_socket() {
        for behaviour in [
            Behaviour::Refusing,
            Behaviour::HugeFrame,
            Behaviour::EmptyFrame,
            Behaviour::CutFrame,
            Behaviour::WrongReply,
            Behaviour::TrailingBytes,
            Behaviour::ShortList,
            Behaviour::HangingUp,
        ] {
            let fake = fake();
            fake.behave(behaviour);
            let mut agent = SshAgent::connect(&fake.socket()).await.unwrap();
            let error = agent.identities().await.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&fake.socket().display().to_string()),
                "{behaviour:?}: {text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_is_not_waited_for() {
        let fake = fake();
        let mut agent = SshAgent::connect(&fake.socket()).await.unwrap();
        fake.behave(Behaviour::Silent);
        let error = agent.identities().await.unwrap_err();
        assert!(matches!(error.cause, Cause::Silent), "{error:?}");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = SshAgent::connect(&folder.path().join("none")).await;
        assert!(error.unwrap_err().to_string().contains("cannot be reached"));
    }
}
