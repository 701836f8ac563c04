//! What the fuzz targets share: an owner that answers whatever a connection asks, and how an input
//! is cut into steps.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey};
use adit_ssh::auth::server::{DelaySecret, ServerLogin};
use adit_ssh::block::{HEADROOM, Pool};
use adit_ssh::channel::{ChannelId, ChannelKind, Endpoint, OpenFailure};
use adit_ssh::connection::{ClientConfig, ServerConfig, TransportConfig};
use adit_ssh::forward::{Forward, ForwardAnswer};
use adit_ssh::kex::HostKey;
use adit_ssh::packet::Outgoing;
use adit_ssh::provider::{CryptoProvider, Signer, aws_lc};
use adit_ssh::{Connection, Event};

/// Cuts an input into steps: a byte that says what to do, a byte of length, and that many bytes, or
/// what is left.
pub fn steps(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[action, length], rest) = input.split_first_chunk::<2>()?;
        let length = usize::from(length).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        input = rest;
        Some((action, payload))
    })
}

fn signer(seed: u8) -> Arc<dyn Signer> {
    aws_lc::sign::ed25519(&[seed; 32]).expect("a seed is a key")
}

/// A client's configuration, with something to try of every kind.
pub fn client(provider: &Arc<CryptoProvider>, pool: &Pool) -> ClientConfig {
    let key = OfferedKey::new(signer(7).public_key().blob().to_vec()).expect("a key");
    ClientConfig {
        transport: TransportConfig::client(Arc::clone(provider), pool.clone()),
        login: ClientLogin {
            user: "someone".to_owned(),
            credentials: vec![
                Credential::Key(key),
                Credential::KeyboardInteractive,
                Credential::Password,
            ],
        },
    }
}

/// A server's configuration, with every method.
pub fn server(provider: &Arc<CryptoProvider>, pool: &Pool) -> ServerConfig {
    ServerConfig {
        transport: TransportConfig::server(Arc::clone(provider), pool.clone()),
        host_keys: Arc::new([HostKey::plain(signer(9))]),
        login: ServerLogin {
            methods: Method::ALL.to_vec(),
            banner: Some("hello".to_owned()),
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: true,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).expect("random bytes"),
    }
}

/// An owner of a connection that is logged in.
pub struct Owner {
    pub connection: Connection,
    pool: Pool,
    channels: Vec<ChannelId>,
}

impl Owner {
    pub fn new(connection: Connection, pool: Pool) -> Self {
        Self {
            connection,
            pool,
            channels: Vec::new(),
        }
    }

    /// Does something of its own accord.
    pub fn act(&mut self, action: u8, now: Instant) {
        let channel = self.channels.get(usize::from(action >> 4)).copied();
        let connection = &mut self.connection;
        match (action & 15, channel) {
            (0, _) => {
                let kind = ChannelKind::DirectTcpip {
                    target: Endpoint::new("db", 1),
                    origin: Endpoint::new("", 0),
                };
                self.channels
                    .extend(connection.open_channel(&kind, 65_536).ok());
            }
            (1, _) => {
                let opened = connection.open_channel(&ChannelKind::Session, 1_000);
                self.channels.extend(opened.ok());
            }
            (2, _) => {
                connection.request_forward(Forward::Tcp(Endpoint::new("", 0)));
            }
            (3, _) => connection.cancel_forward(&Forward::Tcp(Endpoint::new("", 80))),
            (4, _) => connection.ask_alive(now),
            (5, _) => {
                connection.rekey(now).ok();
            }
            (6, Some(channel)) => {
                let mut block = self.pool.take();
                block.set_range(HEADROOM, HEADROOM);
                block.append(&[7; 5_000]);
                connection.write(channel, block);
            }
            (7, Some(channel)) => connection.finish(channel),
            (8, Some(channel)) => connection.reset(channel),
            (9, Some(channel)) => connection.close_channel(channel),
            (10, Some(channel)) => connection.answer_channel_request(channel, true),
            (11, Some(channel)) => {
                while let Some(chunk) = connection.take_chunk(channel) {
                    connection.consumed(channel, chunk.len(), now);
                }
            }
            (12, _) => {
                connection.prove_host_keys(&[signer(9).public_key().blob().to_vec()]);
            }
            _ => {}
        }
    }

    /// Answers what was asked, and lets the connection speak.
    pub fn answer(&mut self, action: u8, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::ChannelAsked { channel, .. } if action & 1 == 0 => {
                    if self.connection.accept_channel(channel, 65_536) {
                        self.channels.push(channel);
                    }
                }
                Event::ChannelAsked { channel, .. } => {
                    let failure = OpenFailure::Prohibited;
                    self.connection.refuse_channel(channel, failure, "no");
                }
                Event::ForwardAsked { id, .. } if action & 2 == 0 => {
                    let answer = ForwardAnswer::Granted { port: 80 };
                    self.connection.answer_forward(id, answer);
                }
                _ => {}
            }
        }
        let mut out = Outgoing::new();
        self.connection.transmit(now, &mut out, 1 << 20).ok();
        assert!(self.connection.promised() <= 64 << 20);
        assert!(self.connection.channels() <= adit_ssh::limits::CHANNELS);
    }
}

/// Where the time of a run begins.
pub fn start() -> Instant {
    Instant::now()
}
