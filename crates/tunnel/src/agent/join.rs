//! Becoming a device of a gateway: one login by a new key and a code, and what the gateway says then.
//!
//! [`HostKeyLook::trust_hashed`](super::connect::HostKeyLook::trust_hashed) comes before it: the code says which host
//! key the gateway has, and nothing is sent to any other host.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use adit_ssh::key_file::write_ed25519;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::connect::SshConnect;
use super::control::{Control, News};
use super::health::Health;
use super::login::prompt::{Ask, Question, Told};
use super::supervise::{Connect as _, ConnectError, Connected};
use crate::control::{GrantSummary, Identity, ToAgent};
use crate::enroll::Code;
use crate::transport::CloseReason;

/// What a device was told when it was made one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Who it is, and where its names are.
    pub identity: Identity,
    /// What it may do.
    pub grant: GrantSummary,
}

/// Why nobody joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The login came to nothing.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The login was done, and the gateway did not say as whom. The same code and key get the same answer again.
    #[error("gateway let this machine in and did not say as whom")]
    Silent,
}

/// Makes an Ed25519 key of a device's own, in a new file for its user alone (mode 0600).
///
/// # Errors
/// The file is there already or cannot be written, or the system has no randomness.
pub fn make_key(file: &Path, comment: &str) -> io::Result<()> {
    let mut seed = Zeroizing::new([0; 32]);
    rand::fill(seed.as_mut_slice()).map_err(|_| io::Error::other("no random bytes"))?;
    let text = write_ed25519(&seed, comment).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()
}

/// How long a gateway may take to say who we are, once we are in.
const ANSWER: Duration = Duration::from_secs(15);
/// How long it may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Logs in, and hears who we are.
///
/// # Errors
/// See [`JoinError`].
///
/// # Cancel safety
/// Dropped, the connection ends; the gateway may have made this machine a device by then.
pub async fn join(connect: &SshConnect) -> Result<Joined, JoinError> {
    let Connected { connection, task } = connect.connect().await?;
    let mut driver = JoinSet::new();
    driver.spawn(task);
    let transport = connection.transport;
    let mut control = Control::open(&transport, Health::default());
    let answer = timeout(ANSWER, hear(&mut control)).await;
    transport.close(CloseReason::Stopping);
    drop((control, transport, connection.requests));
    // One that does not hang up is dropped.
    drop(timeout(GOODBYE, driver.join_next()).await);
    driver.shutdown().await;
    answer.ok().flatten().ok_or(JoinError::Silent)
}

async fn hear(control: &mut Control) -> Option<Joined> {
    let (mut identity, mut grant) = (None, None);
    loop {
        match control.step().await {
            News::Said(ToAgent::Identity(said)) => identity = Some(said),
            News::Said(ToAgent::Grant(said)) => grant = Some(said),
            News::Said(
                ToAgent::Welcome { .. }
                | ToAgent::Superseded { .. }
                | ToAgent::Returned { .. }
                | ToAgent::Refused { .. }
                | ToAgent::RetryAfter { .. }
                | ToAgent::Probed { .. }
                | ToAgent::Named(_),
            )
            | News::Open(_) => {}
            News::Closed => return None,
        }
        if let (Some(identity), Some(grant)) = (&identity, &grant) {
            return Some(Joined {
                identity: identity.clone(),
                grant: grant.clone(),
            });
        }
    }
}

/// Answers the gateway's one question, with a code, once; and nothing else.
pub struct CodeAnswer(Code);

impl CodeAnswer {
    /// With that code.
    pub const fn new(code: Code) -> Self {
        Self(code)
    }
}

impl fmt::Debug for CodeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Ask for CodeAnswer {
    fn secret(&self, question: &Question<'_>) -> Option<Told> {
        let is_it = matches!(
            question,
            Question::Prompt {
                echo: false,
                attempt: 0,
                ..
            }
        );
        is_it.then(|| Told::new(std::mem::take(&mut *self.0.text())))
    }

    fn trusts(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn passwords(&self) -> usize {
        1
    }

    fn is_person(&self) -> bool {
        false
    }
}
