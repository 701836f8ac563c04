//! The application's side of a connection's task: the [`Transport`] that every carrier shares.

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Asking, Bind, ByteStream, CloseReason, ConnectionEnd, Doubt, EndWatch, ForwardError, OpenError,
    Opening, StreamHead, Transport,
};

/// Speaks to a connection's task.
#[derive(Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    close: watch::Sender<Option<CloseReason>>,
    doubt: watch::Sender<Doubt>,
    end: watch::Receiver<Option<ConnectionEnd>>,
}

/// The task's side of a [`Handle`].
#[derive(Debug)]
pub(crate) struct Desk {
    /// What to do. Ends when the handle is dropped.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Whether to close, and why.
    pub(crate) close: watch::Receiver<Option<CloseReason>>,
    /// Whether the network has changed, and which addresses it has taken with it.
    pub(crate) doubt: watch::Receiver<Doubt>,
    /// Where to say how it ended.
    pub(crate) end: watch::Sender<Option<ConnectionEnd>>,
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
}

/// Commands that may wait for the task. Who has one more waits itself.
const COMMANDS: usize = 64;

impl Handle {
    /// A handle and the task's side of it.
    pub(crate) fn pair() -> (Self, Desk) {
        let (commands, commands_receiver) = mpsc::channel(COMMANDS);
        let (close, close_receiver) = watch::channel(None);
        let (doubt, doubt_receiver) = watch::channel(Doubt::default());
        let (end_sender, end) = watch::channel(None);
        let handle = Self {
            commands,
            close,
            doubt,
            end,
        };
        let desk = Desk {
            commands: commands_receiver,
            close: close_receiver,
            doubt: doubt_receiver,
            end: end_sender,
        };
        (handle, desk)
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

    fn doubt(&self, doubt: Doubt) {
        self.doubt.send_replace(doubt);
    }

    fn end(&self) -> EndWatch {
        EndWatch(self.end.clone())
    }
}

/// Sends a command, waiting for its place. Holds the task only that long: who waits for an answer
/// must not keep a connection open that its owner has dropped.
async fn send(commands: mpsc::WeakSender<Command>, command: Command) -> Result<(), Gone> {
    let commands = commands.upgrade().ok_or(Gone)?;
    commands.send(command).await.map_err(|_| Gone)
}

/// The task has ended, or its handle was dropped.
struct Gone;
