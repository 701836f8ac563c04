//! Two ends of a connection in one thread, with a clock that only the test moves.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a part of tests, of which each test program uses some"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientEvent, ClientLogin, Credential, OfferedKey};
use adit_ssh::auth::server::{
    Claim, DelaySecret, KeyVerdict, LoginVerdict, SecurityKeyRules, ServerLogin,
};
use adit_ssh::block::{Block, HEADROOM, Pool};
use adit_ssh::channel::ChannelId;
use adit_ssh::connection::{ClientConfig, ServerConfig, TransportConfig};
use adit_ssh::error::ConnectionError;
use adit_ssh::kex::HostKey;
use adit_ssh::packet::Outgoing;
use adit_ssh::provider::{CryptoProvider, Signer, aws_lc};
use adit_ssh::{Connection, Event};

pub mod channels;
pub mod hostile;
pub mod seeded;

/// One end, with what it said and has not been heard.
pub struct End {
    pub connection: Connection,
    out: Outgoing,
    /// Bytes that have left and not arrived at the other end.
    pub wire: VecDeque<u8>,
    /// Bytes that arrived and were not taken.
    unread: Vec<u8>,
    /// Events that nobody answered by itself.
    pub events: VecDeque<Event>,
    pub error: Option<ConnectionError>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            out: Outgoing::new(),
            wire: VecDeque::new(),
            unread: Vec::new(),
            events: VecDeque::new(),
            error: None,
        }
    }

    /// Lets it say what it has to say, at most `most` bytes at a time.
    pub fn flush(&mut self, now: Instant, most: usize) -> bool {
        let before = self.wire.len();
        loop {
            if let Err(error) = self.connection.transmit(now, &mut self.out, most) {
                self.error.get_or_insert(error);
            }
            if self.out.is_empty() {
                break;
            }
            let bytes: Vec<u8> = self.out.slices().flatten().copied().collect();
            self.out.advance(bytes.len());
            self.wire.extend(bytes);
        }
        self.wire.len() > before
    }

    /// Gives it bytes.
    pub fn hear(&mut self, now: Instant, bytes: impl IntoIterator<Item = u8>) {
        self.unread.extend(bytes);
        match self.connection.receive(now, &self.unread) {
            Ok(taken) => {
                self.unread.drain(..taken);
            }
            Err(error) => {
                self.unread.clear();
                self.error.get_or_insert(error);
            }
        }
    }

    /// Answers what belongs to logging in: trusts, signs and admits. Keeps the other events.
    pub fn answer(&mut self, now: Instant, user_key: &Arc<dyn Signer>) -> bool {
        let mut answered = false;
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::HostKey(_) => {
                    self.connection.trust_host();
                    // What had to wait is heard now.
                    self.hear(now, []);
                }
                Event::Login(ClientEvent::Sign(question)) => {
                    let signature = user_key
                        .sign(question.algorithm.signature(), &question.data)
                        .unwrap();
                    self.connection
                        .answer_signature(question.id, Some(&signature))
                        .unwrap();
                }
                Event::Admission(question) => {
                    // A client that waits for no answer may have ended it all meanwhile.
                    if let Claim::Key(_) = question.claim {
                        let verdict = KeyVerdict::Authorised(SecurityKeyRules::STANDARD);
                        self.connection.answer_key(question.id, verdict, now).ok();
                    } else {
                        let verdict = LoginVerdict::Accept;
                        self.connection.answer_login(question.id, verdict, now).ok();
                    }
                }
                other => {
                    self.events.push_back(other);
                    continue;
                }
            }
            answered = true;
        }
        answered
    }

    pub fn find(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let at = self.events.iter().position(wanted)?;
        self.events.remove(at)
    }
}

/// Where the time of a test begins; from there only the test moves it.
#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` can be had in no other way"
)]
pub fn start() -> Instant {
    Instant::now()
}

/// A client and a server that trust each other.
pub struct Pair {
    pub now: Instant,
    pub client: End,
    pub server: End,
    pub pool: Pool,
    pub user_key: Arc<dyn Signer>,
    pub log: Vec<String>,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub fn with(
        client: impl FnOnce(&mut ClientConfig),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        Self::with_provider(&Arc::new(aws_lc::provider()), client, server)
    }

    pub fn with_provider(
        provider: &Arc<CryptoProvider>,
        client: impl FnOnce(&mut ClientConfig),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let pool = Pool::new(64);
        let now = start();
        let user_key: Arc<dyn Signer> = aws_lc::sign::ed25519(&[7; 32]).unwrap();
        let host_key: Arc<dyn Signer> = aws_lc::sign::ed25519(&[9; 32]).unwrap();
        let offered = OfferedKey::new(user_key.public_key().blob().to_vec()).unwrap();
        let mut client_config = ClientConfig {
            transport: TransportConfig::client(Arc::clone(provider), pool.clone()),
            login: ClientLogin {
                user: "someone".to_owned(),
                credentials: vec![Credential::Key(offered)],
            },
        };
        client(&mut client_config);
        let mut server_config = ServerConfig {
            transport: TransportConfig::server(Arc::clone(provider), pool.clone()),
            host_keys: Arc::new([HostKey::plain(host_key)]),
            login: ServerLogin {
                methods: vec![Method::PublicKey],
                banner: None,
                signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
                anonymous: false,
            },
            delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
        };
        server(&mut server_config);
        Self {
            now,
            client: End::new(Connection::client(client_config, now)),
            server: End::new(Connection::server(&server_config, now)),
            pool,
            user_key,
            log: Vec::new(),
        }
    }

    /// A pair whose client is logged in, with plenty of allowance on both ends.
    pub fn connected() -> Self {
        let mut pair = Self::new();
        pair.log_in();
        pair
    }

    pub fn log_in(&mut self) {
        self.run();
        assert!(
            self.client
                .find(|event| matches!(event, Event::Authenticated))
                .is_some(),
            "{:?} {:?}",
            self.client.error,
            self.server.error
        );
        assert!(
            self.server
                .find(|event| matches!(event, Event::Authenticated))
                .is_some()
        );
        self.client.events.clear();
        self.client.connection.set_allowance(64 << 20);
        self.server.connection.set_allowance(64 << 20);
    }

    /// Carries bytes until neither end has anything to say.
    pub fn run(&mut self) {
        while self.step(usize::MAX) {}
    }

    /// What the client has said arrives.
    pub fn carry_up(&mut self) {
        let bytes: Vec<u8> = self.client.wire.drain(..).collect();
        self.server.hear(self.now, bytes);
    }

    /// What the server has said arrives.
    pub fn carry_down(&mut self) {
        let bytes: Vec<u8> = self.server.wire.drain(..).collect();
        self.client.hear(self.now, bytes);
    }

    /// One round: both ends speak, and hear at most `most` bytes. Says whether anything happened.
    pub fn step(&mut self, most: usize) -> bool {
        let mut moved = self.client.flush(self.now, 262_144);
        moved |= self.server.flush(self.now, 262_144);
        let count = self.client.wire.len().min(most);
        let bytes: Vec<u8> = self.client.wire.drain(..count).collect();
        moved |= !bytes.is_empty();
        self.server.hear(self.now, bytes);
        let count = self.server.wire.len().min(most);
        let bytes: Vec<u8> = self.server.wire.drain(..count).collect();
        moved |= !bytes.is_empty();
        self.client.hear(self.now, bytes);
        moved | self.answer()
    }

    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        for end in [&mut self.client, &mut self.server] {
            if end
                .connection
                .next_deadline()
                .is_some_and(|deadline| deadline <= self.now)
                && let Err(error) = end.connection.handle_timeout(self.now)
            {
                end.error.get_or_insert(error);
            }
        }
    }

    /// Answers what belongs to logging in; keeps the other events for the test.
    fn answer(&mut self) -> bool {
        let client = self.client.answer(self.now, &self.user_key);
        self.server.answer(self.now, &self.user_key) | client
    }

    /// A block with those bytes, to be written.
    pub fn block(&self, bytes: &[u8]) -> Block {
        let mut block = self.pool.take();
        block.set_range(HEADROOM, HEADROOM);
        assert_eq!(block.append(bytes), bytes.len());
        block
    }
}

/// Takes everything that waits on a channel, and says that it was taken.
pub fn read_all(end: &mut End, channel: ChannelId, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = end.connection.take_chunk(channel) {
        bytes.extend_from_slice(chunk.as_slice());
        end.connection.consumed(channel, chunk.len(), now);
    }
    bytes
}
