//! The agent's end of `control@adit`: what an adit gateway tells of our own forwards, and the probes that it makes
//! for us.
//!
//! It is opened only to a peer that says in its identification that it is an adit: at a stock sshd a forced command
//! would be run by it. A gateway that refuses it is a gateway without, and costs nothing further. What comes over it
//! is told and bounded, and no more: nothing that a gateway says has this end dial, run or read anything (security
//! rule G30).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adit_ssh::printable::Printable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::health::Health;
use super::probe::{Finding, LONGEST_DEADLINE};
use crate::control::{
    self, Facts, Instance, Outcome, Place, Talk, TalkError, TargetHealth, Text, ToAgent, ToGateway,
    VERSION,
};
use crate::transport::{Bind, ByteStream, OpenAnswer, Origin, StreamHead, StreamKind, Transport};

/// What is heard of the subsystem of one connection. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Control {
    news: mpsc::Receiver<News>,
    /// Ends when it is dropped.
    task: JoinSet<()>,
}

/// What is news.
#[derive(Debug)]
pub(super) enum News {
    /// The gateway has greeted: it can be asked.
    Open(Asker),
    /// It has the subsystem not, or no more.
    Closed,
    /// It says something.
    Said(ToAgent),
}

/// Asks the gateway to probe forwards.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    questions: mpsc::Sender<Question>,
    pending: Pending,
}

/// Probes that are out, by what was asked for.
#[derive(Debug, Clone, Default)]
struct Pending(Arc<Mutex<HashMap<Bind, oneshot::Sender<Outcome>>>>);

/// One that is to be asked for.
#[derive(Debug)]
struct Question(Bind);

/// How long a gateway may take to open the subsystem and to greet.
const GREETING: Duration = Duration::from_secs(15);
/// How long its last words may take after the end of the connection: they have arrived, or never do.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// News that may wait for the tunnel.
const NEWS: usize = 32;
/// Questions that may wait to be asked.
const QUESTIONS: usize = 32;
/// How long a probe may be out: as long as the gateway's own deadline, and the way there and back besides.
const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of a probe that are sent back at most.
const PROBE: usize = 64;

impl Control {
    /// Opens it, if the peer is an adit. It is told how our services do.
    pub(super) fn open(transport: &Arc<dyn Transport>, health: Health) -> Self {
        let (tell, news) = mpsc::channel(NEWS);
        let mut task = JoinSet::new();
        if let Some(instance) = instance().filter(|_| transport.is_own_peer()) {
            let opening = transport.open(StreamHead {
                kind: StreamKind::Subsystem(control::NAME),
                origin: Origin {
                    host: String::new(),
                    port: 0,
                },
            });
            task.spawn(async move {
                let result = match timeout(GREETING, opening).await {
                    Ok(Ok(stream)) => talk(stream, instance, &tell, health).await.err(),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "gateway has no control for us");
                        None
                    }
                    Err(_) => Some(TalkError::Deaf),
                };
                if let Some(error) = result {
                    let error = super::chain(&error);
                    tracing::debug!(error, "control has ended");
                }
                // A tunnel that has ended wants to know nothing.
                drop(tell.send(News::Closed).await);
            });
        } else {
            // There is room for the first.
            drop(tell.try_send(News::Closed));
        }
        Self { news, task }
    }

    /// What is news next; waits for ever once there is nothing more to come.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn step(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// What the gateway said before the connection ended, and nobody has taken yet.
    pub(super) async fn last_words(mut self) -> Vec<ToAgent> {
        let mut words = Vec::new();
        let rest = async {
            while let Some(news) = self.news.recv().await {
                if let News::Said(message) = news {
                    words.push(message);
                }
            }
        };
        if timeout(LAST_WORDS, rest).await.is_err() {
            tracing::debug!("control has not ended with its connection");
        }
        self.task.shutdown().await;
        words
    }
}

/// Greets, and carries messages until either end is done.
async fn talk(
    stream: ByteStream,
    instance: Instance,
    tell: &mpsc::Sender<News>,
    mut health: Health,
) -> Result<(), TalkError> {
    let mut talk = Talk::new(stream);
    let version = VERSION;
    talk.say(&ToGateway::Hello { version, instance }).await?;
    let version = match timeout(GREETING, talk.hear()).await {
        Ok(Ok(ToAgent::Welcome { version })) if (1..=VERSION).contains(&version) => version,
        Ok(Err(error)) => return Err(error),
        Ok(Ok(_)) | Err(_) => return Err(TalkError::Ungreeted),
    };
    let facts = ToGateway::Facts(facts());
    // A gateway of the first version knows neither facts nor health.
    let may_report = version >= facts.since();
    if may_report {
        talk.say(&facts).await?;
    }
    let (questions, mut to_ask) = mpsc::channel(QUESTIONS);
    let pending = Pending::default();
    let asker = Asker {
        questions,
        pending: pending.clone(),
    };
    let mut is_wanted = tell.send(News::Open(asker)).await.is_ok();
    while is_wanted {
        tokio::select! {
            heard = talk.hear() => {
                let message: ToAgent = heard?;
                if message.since() > version {
                    return Err(TalkError::Version);
                }
                match message {
                    ToAgent::Welcome { .. } => return Err(TalkError::Ungreeted),
                    ToAgent::Probed { forward, outcome } => pending.answer(forward, outcome),
                    message @ (ToAgent::Superseded { .. }
                    | ToAgent::Returned { .. }
                    | ToAgent::Refused { .. }
                    | ToAgent::RetryAfter { .. }
                    | ToAgent::Grant(_)
                    | ToAgent::Identity(_)
                    | ToAgent::Named(_)) => {
                        is_wanted = tell.send(News::Said(message)).await.is_ok();
                    }
                }
            }
            Some(Question(bind)) = to_ask.recv() => {
                let forward = Place::from(&bind);
                talk.say(&ToGateway::Probe { forward }).await?;
            }
            finding = health.next(), if may_report => {
                let health = TargetHealth {
                    forward: Place::from(&finding.forward),
                    is_well: finding.is_well,
                    words: Text::new(&finding.words),
                };
                talk.say(&ToGateway::Health(health)).await?;
            }
        }
    }
    Ok(())
}

impl Asker {
    /// Has the gateway send bytes by the public port of a forward to us.
    ///
    /// # Cancel safety
    /// Dropped, an answer that still comes is nobody's.
    pub(super) async fn probe(&self, bind: &Bind) -> Finding {
        let since = tokio::time::Instant::now();
        let (answer, outcome) = oneshot::channel();
        let _out = self.pending.begin(bind, answer);
        let asked = async {
            self.questions.send(Question(bind.clone())).await.ok()?;
            outcome.await.ok()
        };
        match timeout(DEADLINE, asked).await {
            Ok(Some(Outcome::Up)) => Finding::Up(since.elapsed()),
            Ok(Some(Outcome::Nobody { reason })) => Finding::Nobody(reason.shown().to_string()),
            Ok(Some(Outcome::NotYours)) => {
                Finding::Nobody(String::from("gateway does not know it as ours"))
            }
            Ok(Some(Outcome::Silent) | None) | Err(_) => Finding::Silent,
        }
    }

    /// Whether a probe of that forward is out.
    pub(super) fn is_out(&self, host: &str, port: u16) -> bool {
        let host = host.to_owned();
        self.pending.map().contains_key(&Bind::Tcp { host, port })
    }
}

/// A probe that is out until this is dropped.
struct Out<'a> {
    pending: &'a Pending,
    bind: &'a Bind,
}

impl Pending {
    fn begin<'a>(&'a self, bind: &'a Bind, answer: oneshot::Sender<Outcome>) -> Out<'a> {
        self.map().insert(bind.clone(), answer);
        Out {
            pending: self,
            bind,
        }
    }

    /// What nobody has asked for, nobody gets.
    fn answer(&self, forward: Place, outcome: Outcome) {
        if let Some(answer) = self.map().remove(&Bind::from(forward)) {
            // Whoever asked may be gone.
            drop(answer.send(outcome));
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Bind, oneshot::Sender<Outcome>>> {
        // A map is right after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.pending.map().remove(self.bind);
    }
}

/// Sends back what comes by a probe's channel, which is little.
pub(super) async fn answer_probe(answer: OpenAnswer) {
    let mut stream = answer.accept();
    let answered = async {
        let mut left = PROBE;
        let mut bytes = [0; PROBE];
        while left > 0 {
            let room = bytes.get_mut(..left).unwrap_or_default();
            let count = stream.read(room).await?;
            if count == 0 {
                break;
            }
            stream
                .write_all(bytes.get(..count).unwrap_or_default())
                .await?;
            left = left.saturating_sub(count);
        }
        stream.shutdown().await
    };
    match timeout(LONGEST_DEADLINE, answered).await {
        Ok(Ok(())) => tracing::trace!("probe is answered"),
        Ok(Err(error)) => tracing::debug!(%error, "probe broke off"),
        Err(_) => tracing::debug!("probe did not end"),
    }
}

/// What machine this is.
fn facts() -> Facts {
    let system = rustix::system::uname();
    let (kernel, release) = (system.sysname(), system.release());
    let words = format!(
        "{} {} {}",
        kernel.to_string_lossy(),
        release.to_string_lossy(),
        system.machine().to_string_lossy()
    );
    Facts {
        host: Text::new(&system.nodename().to_string_lossy()),
        system: Text::new(&words),
        version: Text::new(env!("CARGO_PKG_VERSION")),
    }
}

/// Which agent this is: drawn once for the process, and never written down, so that a copy of this machine is
/// another. `None` if the system has no randomness.
fn instance() -> Option<Instance> {
    static INSTANCE: OnceLock<Option<Instance>> = OnceLock::new();
    *INSTANCE.get_or_init(|| {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Instance::new(u128::from_be_bytes(bytes)))
    })
}

/// Another connection has taken what ours had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// What it was.
    pub holding: Printable,
    /// Which agent has it now, if it says so.
    pub by: Option<Instance>,
    /// Where that one comes from.
    pub from: Printable,
    /// Since when it has it, as the gateway's clock has it.
    pub since: Printable,
}

impl Successor {
    /// Whether it is another tunnel of this very process.
    pub(super) fn is_ours(&self) -> bool {
        self.by.is_some() && self.by == instance()
    }
}

impl fmt::Display for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holding,
            by,
            from,
            since,
        } = self;
        write!(
            f,
            "{holding} was taken over by another connection of the same principal, from {from}"
        )?;
        if let Some(by) = by {
            write!(f, " (agent {by})")?;
        }
        write!(f, ", at {since}")
    }
}
