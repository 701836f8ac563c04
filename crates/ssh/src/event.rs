//! What a connection has to tell its owner.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::algorithm::KexAlgorithm;
use crate::channel::{ChannelId, ChannelKind, ChannelRequest, OpenFailure};
use crate::forward::{Forward, ForwardAnswer, RequestId};
use crate::kex::HostKeyOffer;
use crate::printable::Printable;
use crate::provider::KexMethod;

/// Something that happened, or a question that the owner answers by a method of the connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Client: is this the host's key? Answered by
    /// [`trust_host`](crate::connection::Connection::trust_host) or
    /// [`refuse_host`](crate::connection::Connection::refuse_host); until then nothing more is read.
    HostKey(HostKeyOffer),
    /// Something about logging in, of a client.
    Login(crate::auth::client::ClientEvent),
    /// Server: may this login pass? Answered by
    /// [`answer_key`](crate::connection::Connection::answer_key),
    /// [`answer_login`](crate::connection::Connection::answer_login) or
    /// [`ask_prompts`](crate::connection::Connection::ask_prompts).
    Admission(crate::auth::server::ServerQuestion),
    /// The login is done; channels and forwards may be had.
    Authenticated,
    /// The peer asks for a channel. Answered by
    /// [`accept_channel`](crate::connection::Connection::accept_channel) or
    /// [`refuse_channel`](crate::connection::Connection::refuse_channel).
    ChannelAsked {
        /// The channel to be.
        channel: ChannelId,
        /// What for.
        kind: ChannelKind,
    },
    /// A channel that we asked for is open.
    ChannelOpened {
        /// The channel.
        channel: ChannelId,
    },
    /// A channel that we asked for is refused.
    ChannelRefused {
        /// The channel that will not be.
        channel: ChannelId,
        /// Why.
        failure: OpenFailure,
        /// The peer's words.
        text: Printable,
    },
    /// Bytes wait to be taken by [`take_chunk`](crate::connection::Connection::take_chunk). Comes
    /// again only after all were taken.
    Readable {
        /// The channel.
        channel: ChannelId,
    },
    /// Bytes given to [`write`](crate::connection::Connection::write) have been sealed.
    Sealed {
        /// The channel.
        channel: ChannelId,
        /// How many.
        bytes: usize,
    },
    /// The peer sends no more on this channel. Bytes may still wait to be taken.
    Ended {
        /// The channel.
        channel: ChannelId,
    },
    /// The peer has closed the channel: it takes and sends nothing more. Bytes that arrived may
    /// still wait to be taken.
    Closed {
        /// The channel.
        channel: ChannelId,
        /// Whether it was closed before the peer had ended its half, so that bytes may be missing.
        was_cut: bool,
    },
    /// Bytes that waited on a channel after the peer had closed it are gone: nobody has taken any
    /// for [`CLOSE_LINGER`](crate::limits::CLOSE_LINGER).
    Lost {
        /// The channel.
        channel: ChannelId,
    },
    /// The peer asks something on a session channel. If it wants a reply, the owner gives it by
    /// [`answer_channel_request`](crate::connection::Connection::answer_channel_request), in order.
    ChannelRequest {
        /// The channel.
        channel: ChannelId,
        /// What.
        request: ChannelRequest,
        /// Whether an answer is owed.
        want_reply: bool,
    },
    /// The peer answers our oldest request on a channel.
    ChannelAnswer {
        /// The channel.
        channel: ChannelId,
        /// Whether it was granted.
        good: bool,
    },
    /// The peer asks to listen for it. Answered by
    /// [`answer_forward`](crate::connection::Connection::answer_forward).
    ForwardAsked {
        /// The question.
        id: RequestId,
        /// For what.
        forward: Forward,
        /// Whether an answer goes to the peer; it has to be given to the engine in any case.
        want_reply: bool,
    },
    /// The peer does not want that forward any more. It is already forgotten here.
    ForwardCancelled {
        /// Which.
        forward: Forward,
    },
    /// The peer answers our request for a forward.
    ForwardAnswered {
        /// Our request.
        id: RequestId,
        /// Its answer.
        answer: ForwardAnswer,
    },
    /// The server announced its host keys (OpenSSH's hostkeys-00): blobs of keys that can be parsed,
    /// no certificates, none twice, none of them proved. Comes once.
    HostKeys(Vec<Vec<u8>>),
    /// The server holds these of the host keys that it was asked to prove; none if it refused.
    HostKeysProved(Vec<Vec<u8>>),
    /// A ping came back.
    Pong,
    /// A sign of life that was asked for came back.
    Alive {
        /// How long it took.
        round_trip: Duration,
    },
    /// A window could grow if the allowance were larger.
    WantsAllowance {
        /// By so many bytes.
        bytes: u64,
    },
    /// Client: the keys will be renewed before long, and that begins with a key pair whose making takes
    /// a while (sntrup761: 11 ms, measured 2026-11-22). [`KexMethod::start`] makes one anywhere, and
    /// [`give_key_pair`](crate::connection::Connection::give_key_pair) hands it in; it need not be
    /// answered.
    WantsKeyPair {
        /// The method that is in use.
        kex: KexAlgorithm,
        /// What makes the pair.
        method: Arc<dyn KexMethod>,
    },
    /// New keys are in use both ways.
    Rekeyed {
        /// From our first message of it, or the peer's, to the peer's last.
        took: Duration,
    },
}

/// The queue of events. Bounded by what causes them: each stands for a packet, a channel or a
/// pending request, all of which have limits, and the owner empties it after every call.
#[derive(Debug, Default)]
pub(crate) struct Events(VecDeque<Event>);

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}
