//! A peer that speaks SSH well enough to get anywhere and then does what it should not.
//!
//! It is built from packet ciphers, testkit's X25519 and the wire types alone, so that a mistake of
//! the engine's packet layer or key exchange is not made on both sides. Every byte that it sends is
//! its caller's choice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_ssh::algorithm::CipherAlgorithm;
use adit_ssh::block::Pool;
use adit_ssh::connection::{ClientConfig, ServerConfig};
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::negotiate::Role;
use adit_ssh::provider::{CryptoProvider, Open, Seal, Signer, aws_lc};
use adit_ssh::wire::Write;

use super::{End, Pair};

mod exchange;
mod packet;
mod payload;

pub use self::exchange::{KexReply, Offer};
pub use self::payload::{data, endpoints, global_request, numbers, open, userauth_none};

/// The peer, and the end of ours that it torments.
pub struct Hostile {
    pub now: Instant,
    pub victim: End,
    pub pool: Pool,
    /// Who the hostile peer is.
    pub role: Role,
    provider: CryptoProvider,
    pub user_key: Arc<dyn Signer>,
    pub host_key: Arc<dyn Signer>,
    pub offer: Offer,
    /// What the victim said unasked right after the login.
    pub announced: Vec<Vec<u8>>,
    /// Keep-alives of the victim that were not answered.
    pub keep_alives: usize,
    /// Whether the victim's owner leaves questions about logging in open.
    pub holds_verdict: bool,
    seal: Option<Box<dyn Seal>>,
    open: Option<Box<dyn Open>>,
    pub send_sequence: u32,
    pub receive_sequence: u32,
    /// Bytes from the victim that were not looked at.
    inbox: VecDeque<u8>,
    /// Bytes to the victim that have not left.
    outbox: Vec<u8>,
    their_ident: Vec<u8>,
    pub ident: Vec<u8>,
    our_kexinit: Vec<u8>,
    their_kexinit: Vec<u8>,
    pub session_id: Option<Vec<u8>>,
    /// Keys for what goes behind our NEWKEYS.
    pending_seal: Option<Box<dyn Seal>>,
    /// Keys for what comes behind the victim's NEWKEYS.
    pending_open: Option<Box<dyn Open>>,
    secret: Option<[u8; 32]>,
    exchanges: u8,
    is_strict: bool,
}

impl Hostile {
    /// A hostile client of our server, which admits everybody.
    pub fn client() -> Self {
        Self::client_with(|_| {})
    }

    pub fn client_with(config: impl FnOnce(&mut ServerConfig)) -> Self {
        let pair = Pair::with(
            |_| {},
            |server| {
                server.login.anonymous = true;
                // So that every cipher can be had.
                server.transport.preferences.cipher = CipherAlgorithm::ALL.to_vec();
                config(server);
            },
        );
        Self::new(
            Role::Client,
            pair.server,
            pair.now,
            pair.pool,
            pair.user_key,
        )
    }

    /// A hostile server of our client, which trusts it.
    pub fn server() -> Self {
        Self::server_with(|_| {})
    }

    pub fn server_with(config: impl FnOnce(&mut ClientConfig)) -> Self {
        let pair = Pair::with(config, |_| {});
        Self::new(
            Role::Server,
            pair.client,
            pair.now,
            pair.pool,
            pair.user_key,
        )
    }

    fn new(role: Role, victim: End, now: Instant, pool: Pool, user_key: Arc<dyn Signer>) -> Self {
        Self {
            now,
            victim,
            pool,
            role,
            provider: aws_lc::provider(),
            user_key,
            host_key: aws_lc::sign::ed25519(&[9; 32]).unwrap(),
            offer: Offer::new(role),
            announced: Vec::new(),
            keep_alives: 0,
            holds_verdict: false,
            seal: None,
            open: None,
            send_sequence: 0,
            receive_sequence: 0,
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            their_ident: Vec::new(),
            ident: b"SSH-2.0-hostile_1.0".to_vec(),
            our_kexinit: Vec::new(),
            their_kexinit: Vec::new(),
            session_id: None,
            pending_seal: None,
            pending_open: None,
            secret: None,
            exchanges: 0,
            is_strict: false,
        }
    }

    /// Exchanges identifications and KEXINITs; nothing of the key exchange itself has been said.
    pub fn met(mut self) -> Self {
        self.say_ident();
        self.pump();
        self.read_ident();
        self.say_kexinit();
        self.pump();
        self.read_kexinit();
        self
    }

    /// New keys are in use both ways.
    pub fn keyed(mut self) -> Self {
        self = self.met();
        self.exchange();
        self
    }

    /// Logged in.
    pub fn logged_in(mut self) -> Self {
        self = self.keyed();
        self.log_in();
        self
    }

    pub fn log_in(&mut self) {
        match self.role {
            Role::Client => {
                let mut service = vec![message::SERVICE_REQUEST];
                service.put_string(b"ssh-userauth");
                self.say(&service);
                self.say(&userauth_none("someone"));
                self.pump();
                self.hear_until(message::USERAUTH_SUCCESS);
                self.announced = self.hear_all();
            }
            Role::Server => {
                self.pump();
                let mut accept = vec![message::SERVICE_ACCEPT];
                accept.put_string(b"ssh-userauth");
                self.say(&accept);
                self.say(&[message::USERAUTH_SUCCESS]);
                self.pump();
                while self.hear().is_some() {}
            }
        }
        assert_eq!(self.victim.error, None);
        self.victim.events.clear();
        self.victim.connection.set_allowance(64 << 20);
    }

    /// Carries what both have to say, and lets the victim answer what belongs to logging in.
    pub fn pump(&mut self) {
        let user_key = Arc::clone(&self.user_key);
        loop {
            let bytes = std::mem::take(&mut self.outbox);
            let mut moved = !bytes.is_empty();
            self.victim.hear(self.now, bytes);
            if !self.holds_verdict {
                moved |= self.victim.answer(self.now, &user_key);
            }
            moved |= self.victim.flush(self.now, 262_144);
            self.inbox.extend(self.victim.wire.drain(..));
            if !moved {
                break;
            }
        }
    }

    /// The victim's clock goes on, and it does what is due.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        let due = self.victim.connection.next_deadline();
        if due.is_some_and(|due| due <= self.now)
            && let Err(error) = self.victim.connection.handle_timeout(self.now)
        {
            self.victim.error.get_or_insert(error);
        }
        self.pump();
    }

    /// The victim's identification, after which a goodbye may be read.
    pub fn read_victims_ident(&mut self) {
        self.pump();
        self.read_ident();
    }

    /// As [`met`](Self::met), for an offer that ends it all: the victim's KEXINIT is read and its
    /// goodbye is not.
    pub fn met_unheard(mut self) -> Self {
        self.say_ident();
        self.pump();
        self.read_ident();
        self.say_kexinit();
        self.pump();
        if self.hear_kexinit() {
            return self;
        }
        panic!("the victim sends a KEXINIT")
    }

    fn hear_kexinit(&mut self) -> bool {
        self.hear()
            .is_some_and(|first| first[0] == message::KEXINIT)
    }

    /// Says the same message again and again while the victim's replies are not taken, as far as it
    /// listens. What it then owes is near its limit and not over it, each reply being `reply` bytes;
    /// when they are not taken for long enough, it ends.
    #[track_caller]
    pub fn floods(&mut self, payload: &[u8], reply: usize) {
        self.pump();
        self.hear_all();
        let mut said = 0_usize;
        while self.victim.connection.wants_read() && self.victim.error.is_none() {
            let packet = self.packet(payload);
            self.victim.hear(self.now, packet);
            said += 1;
            assert!(said <= 400_000, "the victim listens for ever");
        }
        assert_eq!(self.victim.error, None);
        assert!(
            said * reply <= limits::CONTROL_QUEUE_BYTES + 64 * 1_024,
            "{said} replies"
        );
        // More waits in the socket.
        for _ in 0..100 {
            let packet = self.packet(payload);
            self.victim.hear(self.now, packet);
        }
        assert!(!self.victim.connection.wants_read());
        self.now += limits::CONTROL_QUEUE_STALL;
        let due = self.victim.connection.next_deadline().unwrap();
        assert!(due <= self.now);
        let error = self.victim.connection.handle_timeout(self.now).unwrap_err();
        assert_eq!(error, ConnectionError::TimedOut(Wait::Replies));
        self.victim.error = Some(error);
        self.ends_with(11);
    }

    /// Answers the keep-alives that have come so far.
    pub fn answer_keep_alives(&mut self) {
        self.hear_all();
        for _ in 0..std::mem::take(&mut self.keep_alives) {
            self.say(&[message::REQUEST_FAILURE]);
        }
        self.pump();
    }

    /// The connection has ended, and the peer was told this code.
    #[track_caller]
    pub fn ends_with(&mut self, code: u32) -> ConnectionError {
        self.ends_after(code).0
    }

    /// And so many messages were said since the last that was heard.
    #[track_caller]
    pub fn ends_after(&mut self, code: u32) -> (ConnectionError, usize) {
        self.pump();
        let error = self.victim.error.clone().expect("the connection ends");
        assert_eq!(self.victim.connection.error(), Some(&error));
        let messages = self.hear_all();
        let last = messages.last().expect("the peer is told");
        assert_eq!(last[0], message::DISCONNECT, "{error}");
        let told = u32::from_be_bytes(*last[1..].first_chunk().unwrap());
        assert_eq!(told, code, "{error}");
        // Nothing follows, whatever comes.
        self.say(&[message::IGNORE, 0, 0, 0, 0]);
        self.pump();
        assert!(self.hear().is_none() && !self.victim.connection.wants_write());
        assert!(self.victim.connection.next_deadline().is_none());
        (error, messages.len())
    }

    /// The connection goes on.
    #[track_caller]
    pub fn goes_on(&mut self) {
        self.pump();
        assert_eq!(self.victim.error, None);
    }
}
