//! A connection: version, keys, login and channels of one end, put together.
//!
//! The owner calls [`Connection::receive`] with what the socket gave, [`Connection::transmit`] for
//! what it shall be given, [`Connection::handle_timeout`] at [`Connection::next_deadline`], and
//! takes [`Connection::poll_event`] empty after each. Nothing here waits.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::auth::client::{ClientAuth, ClientLogin};
use crate::auth::server::{DelaySecret, ServerAuth, ServerLogin};
use crate::block::Pool;
use crate::certificate::Restrictions;
use crate::channel::table::{Caps, Channels};
use crate::error::ConnectionError;
use crate::event::{Event, Events};
use crate::flow::Peer;
use crate::forward::requests::GlobalRequests;
use crate::kex::{HostKey, Kex, Negotiated};
use crate::limits;
use crate::negotiate::Role;
use crate::packet::{PacketReader, PacketWriter};
use crate::version::{Ident, IdentReader, Preamble};

mod ask;
mod config;
mod ext_info;
#[cfg(fuzzing)]
pub mod fuzzing;
mod goodbye;
mod host_keys;
mod login;
mod receive;
mod rekey;
mod timers;
mod transmit;

pub use config::{ClientConfig, KeepAlive, RekeyLimits, ServerConfig, TransportConfig};
use timers::Timers;

/// How far a connection has come.
enum Stage {
    /// The peer's identification line.
    Ident(IdentReader),
    /// The first key exchange.
    Kex,
    /// Logging in.
    Login(Auth),
    /// Logged in: there are channels.
    Running(Box<Running>),
    /// Over.
    Closed(ConnectionError),
}

/// What the login will need once there is a session id.
enum Login {
    Client(ClientLogin),
    Server(ServerLogin, DelaySecret),
}

enum Auth {
    Client(Box<ClientAuth>),
    Server(Box<ServerAuth>),
}

/// What exists only after a login: nobody can have a channel before.
struct Running {
    channels: Channels,
    requests: GlobalRequests,
    /// Kept so that late requests of a client are ignored as RFC 4252 section 5.1 wants.
    auth: Auth,
}

/// One end of an SSH connection.
pub struct Connection {
    role: Role,
    stage: Stage,
    /// What had arrived when the connection ended, for who has not taken it yet.
    arrived: Option<Box<Running>>,
    /// Until there is a session id.
    login: Option<Login>,
    /// Server: where the client comes from, if that is an IP address.
    source: Option<IpAddr>,
    pool: Pool,
    peer: Option<Ident>,
    reader: PacketReader,
    writer: PacketWriter,
    kex: Kex,
    ext_info: ext_info::State,
    ours: ext_info::Ours,
    /// The identification line, until it has left.
    ident: Option<Vec<u8>>,
    /// DISCONNECT, when this end has something to say at the end.
    goodbye: Option<Vec<u8>>,
    /// Small messages that wait, in order.
    control: VecDeque<Zeroizing<Vec<u8>>>,
    control_bytes: usize,
    events: Events,
    timers: Timers,
    rekey: RekeyLimits,
    coming: rekey::Coming,
    channel_cap: usize,
    forward_cap: usize,
    /// Server: the host keys that were proved to this client.
    proved_host_keys: Vec<Vec<u8>>,
    /// Pings that have no answer.
    pings: u32,
    /// Cost of what the peer has sent besides channel data since our KEXINIT, which it has not
    /// answered.
    overdue: usize,
    round_trip: Option<Duration>,
    /// A channel has been opened since something was last sent.
    channel_began: bool,
    allowance: u64,
}

impl Connection {
    /// The end that dialled. The identification line and the first key exchange leave at once.
    pub fn client(config: ClientConfig, now: Instant) -> Self {
        let ClientConfig { transport, login } = config;
        let ours = ext_info::Ours::Client;
        Self::new(
            Role::Client,
            transport,
            Arc::new([]),
            Login::Client(login),
            ours,
            now,
        )
    }

    /// The end that accepted. Who knows where the client comes from says so by
    /// [`coming_from`](Self::coming_from).
    pub fn server(config: &ServerConfig, now: Instant) -> Self {
        let mut transport = config.transport.clone();
        transport
            .preferences
            .host_key
            .retain(|algorithm| crate::kex::has_host_key(&config.host_keys, *algorithm));
        let login = Login::Server(config.login.clone(), config.delay_secret.clone());
        let ours = ext_info::Ours::Server {
            signature_algorithms: config.login.signature_algorithms.clone(),
        };
        Self::new(
            Role::Server,
            transport,
            Arc::clone(&config.host_keys),
            login,
            ours,
            now,
        )
    }

    /// Server: the client comes from that address; to be said before anything is received. Without
    /// one, no certificate is good that names addresses.
    #[must_use]
    pub const fn coming_from(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }

    fn new(
        role: Role,
        transport: TransportConfig,
        host_keys: Arc<[HostKey]>,
        login: Login,
        ours: ext_info::Ours,
        now: Instant,
    ) -> Self {
        let preamble = match role {
            Role::Client => Preamble::Allowed,
            Role::Server => Preamble::Refused,
        };
        let mut rekey = transport.rekey;
        rekey.bytes = rekey.bytes.map(|bytes| bytes.max(limits::REKEY_BYTES_MIN));
        Self {
            role,
            stage: Stage::Ident(IdentReader::new(preamble)),
            arrived: None,
            login: Some(login),
            source: None,
            pool: transport.pool,
            peer: None,
            reader: PacketReader::new(),
            writer: PacketWriter::new(Arc::clone(&transport.provider.random)),
            kex: Kex::new(
                role,
                transport.provider,
                transport.preferences,
                host_keys,
                transport.nonstrict_chacha,
            ),
            ext_info: ext_info::State::default(),
            ours,
            ident: Some([crate::version::OURS.as_bytes(), b"\r\n"].concat()),
            goodbye: None,
            control: VecDeque::new(),
            control_bytes: 0,
            events: Events::default(),
            timers: Timers::new(now, transport.keep_alive),
            rekey,
            coming: rekey::Coming::default(),
            channel_cap: transport.channels.min(limits::CHANNELS_HARD),
            forward_cap: transport.forwards,
            proved_host_keys: Vec::new(),
            pings: 0,
            overdue: 0,
            round_trip: None,
            channel_began: false,
            allowance: 0,
        }
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Why the connection is over, if it is.
    pub const fn error(&self) -> Option<&ConnectionError> {
        match &self.stage {
            Stage::Closed(error) => Some(error),
            Stage::Ident(_) | Stage::Kex | Stage::Login(_) | Stage::Running(_) => None,
        }
    }

    /// The peer's identification, once it came.
    pub const fn peer(&self) -> Option<&Ident> {
        self.peer.as_ref()
    }

    /// What was negotiated last.
    pub const fn negotiated(&self) -> Option<Negotiated> {
        self.kex.negotiated()
    }

    /// The hash of the first key exchange, which names this connection (RFC 4253 section 7.2).
    pub fn session_id(&self) -> Option<&[u8]> {
        self.kex.session_id()
    }

    /// Server: what the certificates of a login hold it to. That nothing is forwarded where one does
    /// not permit it, the connection sees to; when its time is over, the owner has to end it.
    /// `None` before somebody is logged in.
    pub fn restrictions(&self) -> Option<&Restrictions> {
        match &self.running()?.auth {
            Auth::Server(server) => Some(server.restrictions()),
            Auth::Client(_) => None,
        }
    }

    /// The least time that a keep-alive has taken.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How long nothing has come from the peer.
    pub fn silence(&self, now: Instant) -> Duration {
        self.timers.silence(now)
    }

    /// Windows promised to the peer and bytes that applications have not taken, together.
    pub fn promised(&self) -> u64 {
        self.running()
            .map_or(0, |running| running.channels.promised())
    }

    /// Bytes of channel data, both ways, that were copied from block to block so far: small packets
    /// behind earlier ones, and what a window cut in two. What a cipher does is not in it.
    pub fn copied(&self) -> u64 {
        self.running()
            .map_or(0, |running| running.channels.copied())
    }

    #[doc(hidden)]
    pub fn windows(&self, channel: crate::channel::ChannelId) -> Option<crate::flow::Windows> {
        self.running()?.channels.windows(channel)
    }

    /// Channels, half open ones included.
    pub fn channels(&self) -> usize {
        self.running().map_or(0, |running| running.channels.len())
    }

    /// Whether the owner should go on reading the socket. It should not while a question about the
    /// host key is open, nor while a key exchange that the peer wants has to wait for its time, nor while [`limits::CONTROL_QUEUE_BYTES`] of replies wait for a peer that
    /// does not take them. Replies that wait for a key exchange do not count: only reading ends it,
    /// and what a peer may send meanwhile has a limit of its own.
    pub fn wants_read(&self) -> bool {
        let is_full = self.control_bytes >= limits::CONTROL_QUEUE_BYTES;
        self.error().is_none()
            && !self.kex.awaits_verdict()
            && self.kex.postponed_until().is_none()
            && (!is_full || self.kex.sending_is_held())
    }

    fn running(&self) -> Option<&Running> {
        match &self.stage {
            Stage::Running(running) => Some(running),
            Stage::Ident(_) | Stage::Kex | Stage::Login(_) | Stage::Closed(_) => None,
        }
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.stage {
            Stage::Running(running) => Some(running),
            Stage::Ident(_) | Stage::Kex | Stage::Login(_) | Stage::Closed(_) => None,
        }
    }

    /// A table of channels for this peer.
    fn new_channels(&self) -> Channels {
        let is_own = self.peer.as_ref().is_some_and(Ident::is_own);
        let mut channels = Channels::new(Caps {
            channels: self.channel_cap,
            peer: if is_own { Peer::Own } else { Peer::Stock },
        });
        channels.set_allowance(self.allowance);
        channels
    }

    fn push_control(&mut self, message: impl Into<Zeroizing<Vec<u8>>>) {
        let message = message.into();
        self.control_bytes = self.control_bytes.saturating_add(cost(&message));
        self.control.push_back(message);
    }
}

/// What a small message that waits costs: its bytes and what keeps them.
fn cost(message: &[u8]) -> usize {
    message.len().saturating_add(MESSAGE_OVERHEAD)
}

/// Memory of a small message besides its bytes, so that a flood of empty ones counts.
const MESSAGE_OVERHEAD: usize = 48;

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match &self.stage {
            Stage::Ident(_) => "identification",
            Stage::Kex => "key exchange",
            Stage::Login(_) => "login",
            Stage::Running(_) => "running",
            Stage::Closed(_) => "closed",
        };
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("stage", &stage)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
