//! The application's side of a connection's task: the [`Transport`] that every carrier shares.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{
    Asking, Bind, ByteStream, CloseReason, ConnectionEnd, Doubt, EndWatch, ForwardError, Liveness,
    OpenError, Opening, StreamHead, Transport,
};

/// Speaks to a connection's task.
#[derive(Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Box<Command>>,
    close: watch::Sender<Option<CloseReason>>,
    doubt: watch::Sender<Doubt>,
    asked: watch::Sender<u64>,
    life: watch::Receiver<Life>,
    end: watch::Receiver<Option<ConnectionEnd>>,
    is_own_peer: bool,
}

/// The task's side of a [`Handle`].
#[derive(Debug)]
pub(crate) struct Desk {
    /// What to do. Ends when the handle is dropped. In boxes, since a channel keeps room for 32 at once, also while
    /// none is there.
    pub(crate) commands: mpsc::Receiver<Box<Command>>,
    /// Whether to close, and why.
    pub(crate) close: watch::Receiver<Option<CloseReason>>,
    /// Whether the network has changed, and which addresses it has taken with it.
    pub(crate) doubt: watch::Receiver<Doubt>,
    /// How often it was asked whether the peer is there.
    pub(crate) asked: watch::Receiver<u64>,
    /// Where to say that it is.
    pub(crate) life: watch::Sender<Life>,
    /// Where to say how it ended.
    pub(crate) end: watch::Sender<Option<ConnectionEnd>>,
}

/// What the task knows of its peer's life.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Life {
    /// The last question that something came after.
    pub(crate) heard: u64,
    /// The least time that an answer has taken.
    pub(crate) round_trip: Option<Duration>,
}

/// What an application wants of a connection's task. A reply that has no receiver any more was
/// cancelled.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open a byte stream.
    Open {
        /// What for.
        head: StreamHead,
        /// Where the stream goes. A stream that comes back from it is dropped, which resets it.
        reply: oneshot::Sender<Result<ByteStream, OpenError>>,
    },
    /// Ask for a forward.
    Forward {
        /// The address.
        bind: Bind,
        /// Where the port goes.
        reply: oneshot::Sender<Result<u16, ForwardError>>,
    },
    /// Take a forward back.
    Cancel {
        /// The address, with the port that was granted.
        bind: Bind,
        /// Where the same port goes.
        reply: oneshot::Sender<Result<u16, ForwardError>>,
    },
    /// Say something to the peer's person.
    Say(String),
}

/// Commands that may wait for the task. Who has one more waits itself.
const COMMANDS: usize = 64;

impl Handle {
    /// A handle and the task's side of it.
    pub(crate) fn pair() -> (Self, Desk) {
        let (commands, commands_receiver) = mpsc::channel(COMMANDS);
        let (close, close_receiver) = watch::channel(None);
        let (doubt, doubt_receiver) = watch::channel(Doubt::default());
        let (asked, asked_receiver) = watch::channel(0);
        let (life_sender, life) = watch::channel(Life::default());
        let (end_sender, end) = watch::channel(None);
        let handle = Self {
            commands,
            close,
            doubt,
            asked,
            life,
            end,
            is_own_peer: false,
        };
        let desk = Desk {
            commands: commands_receiver,
            close: close_receiver,
            doubt: doubt_receiver,
            asked: asked_receiver,
            life: life_sender,
            end: end_sender,
        };
        (handle, desk)
    }

    /// The same handle, to a peer that is an adit too.
    pub(crate) const fn with_own_peer(mut self) -> Self {
        self.is_own_peer = true;
        self
    }

    fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<u16, ForwardError>>) -> Command + Send + 'static,
    ) -> Asking {
        let commands = self.commands.downgrade();
        Asking::new(async move {
            let (reply, answer) = oneshot::channel();
            if send(commands, command(reply)).await.is_err() {
                return Err(ForwardError::Closed);
            }
            answer.await.unwrap_or(Err(ForwardError::Closed))
        })
    }
}

impl Transport for Handle {
    fn open(&self, head: StreamHead) -> Opening {
        let commands = self.commands.downgrade();
        Opening::new(async move {
            let (reply, stream) = oneshot::channel();
            if send(commands, Command::Open { head, reply }).await.is_err() {
                return Err(OpenError::Closed);
            }
            stream.await.unwrap_or(Err(OpenError::Closed))
        })
    }

    fn forward(&self, bind: Bind) -> Asking {
        self.ask(move |reply| Command::Forward { bind, reply })
    }

    fn cancel(&self, bind: Bind) -> Asking {
        self.ask(move |reply| Command::Cancel { bind, reply })
    }

    fn close(&self, reason: CloseReason) {
        self.close.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(reason);
            is_first
        });
    }

    fn say(&self, text: &str) {
        let command = Box::new(Command::Say(String::from(text)));
        drop(self.commands.try_send(command));
    }

    fn doubt(&self, doubt: Doubt) {
        self.doubt.send_replace(doubt);
    }

    fn is_alive(&self, within: Duration) -> Liveness {
        let (asked, mut life) = (self.asked.clone(), self.life.clone());
        Liveness::new(async move {
            let mut question = 0;
            asked.send_modify(|count| {
                *count = count.saturating_add(1);
                question = *count;
            });
            // Only the task's sender counts: this one must not keep anything waiting.
            drop(asked);
            let heard = timeout(within, life.wait_for(|life| life.heard >= question)).await;
            heard.is_ok_and(|heard| heard.is_ok())
        })
    }

    fn round_trip(&self) -> Option<Duration> {
        self.life.borrow().round_trip
    }

    fn is_own_peer(&self) -> bool {
        self.is_own_peer
    }

    fn end(&self) -> EndWatch {
        EndWatch(self.end.clone())
    }
}

/// Waits for the next question whether the peer is there; its number.
///
/// # Cancel safety
///
/// Cancel safe.
pub(crate) async fn asked(asked: &mut watch::Receiver<u64>) -> u64 {
    if asked.changed().await.is_err() {
        // Nobody is left who could ask.
        return std::future::pending().await;
    }
    *asked.borrow_and_update()
}

/// Sends a command, waiting for its place. Holds the task only that long: who waits for an answer
/// must not keep a connection open that its owner has dropped.
async fn send(commands: mpsc::WeakSender<Box<Command>>, command: Command) -> Result<(), Gone> {
    let commands = commands.upgrade().ok_or(Gone)?;
    commands.send(Box::new(command)).await.map_err(|_| Gone)
}

/// The task has ended, or its handle was dropped.
struct Gone;
