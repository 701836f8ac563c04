//! Key exchange: RFC 4253 sections 7 to 9, strict key exchange (OpenSSH's PROTOCOL, section 1.10).
//!
//! One exchange goes KEXINIT both ways, `C_INIT` from the client, `S_REPLY` with the host's
//! signature from the server, NEWKEYS both ways. Either side may start one, both may at once (the
//! KEXINITs cross: it is the same exchange). What this side sends waits in a queue and leaves
//! before everything else; from our KEXINIT to our NEWKEYS nothing but transport and key exchange
//! messages leave (RFC 4253 section 7.1).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm};
use crate::error::{ConnectionError, Violation};
use crate::message;
use crate::negotiate::{self, Occasion, Preferences, Role};
use crate::packet::Sequence;
use crate::provider::{ActiveKex, CryptoError, CryptoProvider, Digest, KexMethod, Open, Seal};
use crate::version::Ident;

mod agree;
mod derive;
mod hostkey;
mod share;
mod tokens;

use derive::Exchange;
pub(crate) use hostkey::has_host_key;
pub use hostkey::{HostKey, HostKeyOffer};
use tokens::Tokens;

/// Something for the wire that goes before everything else.
pub(crate) enum Outward {
    /// A payload.
    Message(Vec<u8>),
    /// NEWKEYS, and the keys for what comes after it.
    NewKeys(Box<dyn Seal>, Sequence),
}

/// What happened to the exchange that the connection has to know.
pub(crate) enum Progress {
    /// Nothing yet.
    Going,
    /// The client has to be asked about the host key.
    HostKey(HostKeyOffer),
}

/// What was negotiated, for people to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The key exchange method.
    pub kex: KexAlgorithm,
    /// The host key algorithm.
    pub host_key: KeyAlgorithm,
    /// From client to server.
    pub client_to_server: negotiate::Suite,
    /// From server to client.
    pub server_to_client: negotiate::Suite,
    /// Whether strict key exchange is in force.
    pub strict: bool,
}

/// What stays the same over a connection's exchanges.
pub(crate) struct Kex {
    role: Role,
    provider: Arc<CryptoProvider>,
    preferences: Preferences,
    host_keys: Arc<[HostKey]>,
    /// Whether chacha20-poly1305 is taken without strict key exchange (Terrapin, CVE-2023-48795).
    nonstrict_chacha: NonstrictChacha,
    idents: Option<(Vec<u8>, Vec<u8>)>,
    state: State,
    pub(crate) out: VecDeque<Outward>,
    session_id: Option<Digest>,
    first_host_key: Option<Vec<u8>>,
    strict: bool,
    peer_takes_ext_info: bool,
    negotiated: Option<Negotiated>,
    /// Client: a key pair made ahead of the next exchange, if that is by this method.
    prepared: Option<(KexAlgorithm, Box<dyn ActiveKex>)>,
    /// When the last exchange began.
    begun_at: Option<Instant>,
    /// The peer has sent its KEXINIT and not yet its NEWKEYS.
    peer_is_held: bool,
    tokens: Tokens,
}

/// Whether a weakness of old peers is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonstrictChacha {
    /// End the connection: a stranger on the path could cut off the first messages.
    Refused,
    /// Accept it, because an operator asked for it by name.
    Accepted,
}

enum State {
    Idle,
    /// The peer's KEXINIT has come before its time: it is answered then, and nothing is read meanwhile.
    Postponed {
        theirs: Vec<u8>,
        until: Instant,
    },
    /// Our KEXINIT has left, the peer's has not come.
    Begun {
        ours: Vec<u8>,
    },
    /// Server: waiting for `C_INIT`.
    ExpectInit(Exchange),
    /// Client: waiting for `S_REPLY`.
    ExpectReply(Exchange, Box<dyn ActiveKex>),
    /// Client: the owner decides about the host key.
    ExpectVerdict(Box<dyn Seal>, Box<dyn Open>),
    /// Our NEWKEYS is queued; waiting for the peer's.
    ExpectNewKeys(Box<dyn Open>),
}

impl Kex {
    pub(crate) fn new(
        role: Role,
        provider: Arc<CryptoProvider>,
        preferences: Preferences,
        host_keys: Arc<[HostKey]>,
        nonstrict_chacha: NonstrictChacha,
    ) -> Self {
        Self {
            role,
            provider,
            preferences,
            host_keys,
            nonstrict_chacha,
            idents: None,
            state: State::Idle,
            out: VecDeque::new(),
            session_id: None,
            first_host_key: None,
            strict: false,
            peer_takes_ext_info: false,
            negotiated: None,
            prepared: None,
            begun_at: None,
            peer_is_held: false,
            tokens: Tokens::new(),
        }
    }

    /// The identification lines are known: the client's and the server's.
    pub(crate) fn set_idents(&mut self, client: Vec<u8>, server: Vec<u8>) {
        self.idents = Some((client, server));
    }

    /// The first exchange hash, once there is one.
    pub(crate) fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_ref().map(Digest::as_bytes)
    }

    /// The host key (or certificate) of the first exchange.
    pub(crate) const fn first_host_key(&self) -> Option<&Vec<u8>> {
        self.first_host_key.as_ref()
    }

    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// When the exchange began that is not over for both sides.
    pub(crate) fn begun_at(&self) -> Option<Instant> {
        self.begun_at.filter(|_| !self.is_settled())
    }

    pub(crate) const fn awaits_verdict(&self) -> bool {
        matches!(self.state, State::ExpectVerdict(..))
    }

    /// When a key exchange is begun that the peer wants sooner than it may have it.
    pub(crate) const fn postponed_until(&self) -> Option<Instant> {
        match self.state {
            State::Postponed { until, .. } => Some(until),
            State::Idle
            | State::Begun { .. }
            | State::ExpectInit(_)
            | State::ExpectReply(..)
            | State::ExpectVerdict(..)
            | State::ExpectNewKeys(_) => None,
        }
    }

    /// Whether the peer may send nothing but transport and key exchange messages now.
    pub(crate) const fn peer_is_held(&self) -> bool {
        self.peer_is_held
    }

    /// Whether nothing but transport and key exchange messages may leave now: from our KEXINIT
    /// until our NEWKEYS was sealed.
    pub(crate) fn sending_is_held(&self) -> bool {
        let may_send = matches!(
            self.state,
            State::Idle | State::Postponed { .. } | State::ExpectNewKeys(_)
        );
        !self.out.is_empty() || !may_send
    }

    pub(crate) const fn is_strict(&self) -> bool {
        self.strict
    }

    pub(crate) const fn peer_takes_ext_info(&self) -> bool {
        self.peer_takes_ext_info
    }

    pub(crate) const fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated
    }

    /// Server: its keys, without certificates.
    pub(crate) fn plain_host_keys(&self) -> impl Iterator<Item = &HostKey> {
        self.host_keys.iter().filter(|key| !key.is_certified())
    }

    /// As if a first exchange had been made.
    #[cfg(fuzzing)]
    pub(crate) fn have_session(&mut self, session_id: &[u8]) {
        self.session_id = Some(Digest::new(session_id));
        self.first_host_key = Some(b"host key".to_vec());
    }

    /// Who checks signatures.
    pub(crate) fn verifier(&self) -> Arc<dyn crate::provider::Verifier> {
        Arc::clone(&self.provider.verifier)
    }

    /// Whether our KEXINIT has no answer yet.
    pub(crate) const fn awaits_kexinit(&self) -> bool {
        matches!(self.state, State::Begun { .. })
    }

    /// Whether an exchange is over for both sides, so that another would be of use: with our
    /// NEWKEYS still waiting to leave, the keys that are used up are the old ones.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_idle() && self.out.is_empty()
    }

    /// Server: the client is known. dropbear's default build speaks chacha20-poly1305 and nothing
    /// else that we do, so it is offered that where our own default leaves it out.
    pub(crate) fn begin_with(
        &mut self,
        now: Instant,
        client: &Ident,
    ) -> Result<(), ConnectionError> {
        let default = Preferences::server(self.provider.has_fast_aes).cipher;
        let chacha = CipherAlgorithm::ChaCha20Poly1305;
        if client.software().starts_with(b"dropbear")
            && self.preferences.cipher == default
            && !default.contains(&chacha)
        {
            self.preferences.cipher.push(chacha);
        }
        self.begin(now)
    }

    /// Queues our KEXINIT, if no exchange is going on.
    pub(crate) fn begin(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if !self.is_idle() {
            return Ok(());
        }
        let mut cookie = [0; 16];
        self.provider
            .random
            .fill(&mut cookie)
            .map_err(ConnectionError::Crypto)?;
        let occasion = if self.session_id.is_none() {
            Occasion::First
        } else {
            Occasion::Rekey
        };
        let ours = negotiate::build(&self.preferences, self.role, occasion, cookie);
        self.out.push_back(Outward::Message(ours.clone()));
        self.begun_at = Some(now);
        self.state = State::Begun { ours };
        Ok(())
    }

    /// A message of numbers 20 to 49 came. `first_packet` tells whether it was the very first.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        payload: &[u8],
        first_packet: FirstPacket,
    ) -> Result<Progress, ConnectionError> {
        let number = payload.first().copied().unwrap_or_default();
        if number != message::KEXINIT && self.skips_guess(number) {
            return Ok(Progress::Going);
        }
        match (number, std::mem::replace(&mut self.state, State::Idle)) {
            (message::KEXINIT, State::Idle) => {
                if self.session_id.is_some()
                    && let Err(until) = self.tokens.take(now)
                {
                    let theirs = payload.to_vec();
                    self.state = State::Postponed { theirs, until };
                    self.begun_at = Some(now);
                    self.peer_is_held = true;
                    return Ok(Progress::Going);
                }
                self.answer(now, payload, first_packet)
            }
            (message::KEXINIT, State::Begun { ours }) => self.kexinit(payload, ours, first_packet),
            (message::KEX_INIT, State::ExpectInit(exchange)) => self.init(payload, &exchange),
            (message::KEX_REPLY, State::ExpectReply(exchange, active)) => {
                self.reply(payload, &exchange, active)
            }
            _ => Err(Violation::protocol("key exchange message at the wrong time").into()),
        }
    }

    /// Begins the exchange that was postponed until now at the latest.
    pub(crate) fn resume(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if self.postponed_until().is_none_or(|until| now < until) {
            return Ok(());
        }
        let State::Postponed { theirs, .. } = std::mem::replace(&mut self.state, State::Idle)
        else {
            return Err(INTERNAL);
        };
        self.tokens.pay(now);
        self.answer(now, &theirs, FirstPacket::No).map(drop)
    }

    /// The peer begins an exchange.
    fn answer(
        &mut self,
        now: Instant,
        theirs: &[u8],
        first_packet: FirstPacket,
    ) -> Result<Progress, ConnectionError> {
        self.begin(now)?;
        let State::Begun { ours } = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(INTERNAL);
        };
        self.kexinit(theirs, ours, first_packet)
    }

    /// NEWKEYS came: gives the keys for what follows it and how long the exchange took.
    pub(crate) fn new_keys(
        &mut self,
        payload: &[u8],
        now: Instant,
    ) -> Result<(Box<dyn Open>, Sequence, Duration), ConnectionError> {
        let State::ExpectNewKeys(opener) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(Violation::protocol("NEWKEYS at the wrong time").into());
        };
        if payload.len() != 1 {
            return Err(Violation::protocol("NEWKEYS has bytes left over").into());
        }
        self.peer_is_held = false;
        let took = self
            .begun_at
            .map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        Ok((opener, self.sequence(), took))
    }

    /// The owner trusts the host key.
    pub(crate) fn host_is_trusted(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::ExpectVerdict(sealer, opener) => self.send_new_keys(sealer, opener),
            other @ (State::Idle
            | State::Postponed { .. }
            | State::Begun { .. }
            | State::ExpectInit(_)
            | State::ExpectReply(..)
            | State::ExpectNewKeys(_)) => self.state = other,
        }
    }

    const fn sequence(&self) -> Sequence {
        if self.strict {
            Sequence::Restart
        } else {
            Sequence::Continue
        }
    }

    /// So many bytes were moved under the keys that the peer wants to renew.
    pub(crate) fn earn(&mut self, bytes: u64) {
        self.tokens.earn(bytes);
    }

    /// Client: keeps a key pair for the next exchange.
    pub(crate) fn prepare(&mut self, kex: KexAlgorithm, pair: Box<dyn ActiveKex>) {
        self.prepared = Some((kex, pair));
    }

    /// The method of that name, if the provider has it.
    pub(crate) fn method(&self, kex: KexAlgorithm) -> Option<Arc<dyn KexMethod>> {
        self.provider.kex(kex).cloned()
    }

    /// Whether this message is the peer's wrong guess, to be skipped once (RFC 4253 section 7).
    fn skips_guess(&mut self, number: u8) -> bool {
        let exchange = match &mut self.state {
            State::ExpectInit(exchange) | State::ExpectReply(exchange, _) => exchange,
            State::Idle
            | State::Postponed { .. }
            | State::Begun { .. }
            | State::ExpectVerdict(..)
            | State::ExpectNewKeys(_) => return false,
        };
        (30..=49).contains(&number) && std::mem::replace(&mut exchange.chosen.skip_guess, false)
    }
}

impl std::fmt::Debug for Kex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Postponed { .. } => "postponed",
            State::Begun { .. } => "begun",
            State::ExpectInit(_) => "expects C_INIT",
            State::ExpectReply(..) => "expects S_REPLY",
            State::ExpectVerdict(..) => "expects a verdict on the host key",
            State::ExpectNewKeys(_) => "expects NEWKEYS",
        };
        f.debug_struct("Kex")
            .field("role", &self.role)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// Whether a packet was the first that the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstPacket {
    Yes,
    No,
}

const INTERNAL: ConnectionError = ConnectionError::Crypto(CryptoError::Internal);
