//! What a connection's owner decides before it begins.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::client::ClientLogin;
use crate::auth::server::{DelaySecret, ServerLogin};
use crate::block::Pool;
use crate::kex::{HostKey, NonstrictChacha};
use crate::limits;
use crate::negotiate::Preferences;
use crate::provider::CryptoProvider;

/// How a connection behaves, whichever end it is.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// The cryptography.
    pub provider: Arc<CryptoProvider>,
    /// Algorithms, best first.
    pub preferences: Preferences,
    /// Whether chacha20-poly1305 is taken from a peer without strict key exchange.
    pub nonstrict_chacha: NonstrictChacha,
    /// When keys are renewed.
    pub rekey: RekeyLimits,
    /// When a silent peer is asked for a sign of life, and how often before it counts as gone.
    pub keep_alive: Option<KeepAlive>,
    /// Channels at a time; at most [`limits::CHANNELS_HARD`].
    pub channels: usize,
    /// Forwards that a client of this server may have at a time, asked for or granted.
    pub forwards: usize,
    /// Where blocks come from. One pool serves all connections of a process.
    pub pool: Pool,
}

impl TransportConfig {
    /// The defaults of a client: no keep-alive.
    pub fn client(provider: Arc<CryptoProvider>, pool: Pool) -> Self {
        let preferences = Preferences::client(provider.has_fast_aes);
        Self::new(provider, preferences, pool)
    }

    /// The defaults of a server: no keep-alive.
    pub fn server(provider: Arc<CryptoProvider>, pool: Pool) -> Self {
        let preferences = Preferences::server(provider.has_fast_aes);
        Self::new(provider, preferences, pool)
    }

    fn new(provider: Arc<CryptoProvider>, preferences: Preferences, pool: Pool) -> Self {
        Self {
            provider,
            preferences,
            nonstrict_chacha: NonstrictChacha::Refused,
            rekey: RekeyLimits::default(),
            keep_alive: None,
            channels: limits::CHANNELS,
            forwards: limits::FORWARDS,
            pool,
        }
    }
}

/// When we renew keys. The cipher's own limit ([`limits::REKEY_BYTES_CHACHA`],
/// [`limits::REKEY_BYTES_AES`]) holds in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyLimits {
    /// After so many bytes in one direction; at least [`limits::REKEY_BYTES_MIN`].
    pub bytes: Option<u64>,
    /// After that time; `None` for never.
    pub age: Option<Duration>,
}

impl Default for RekeyLimits {
    /// The cipher's limit in bytes, and an hour (RFC 4253 section 9).
    fn default() -> Self {
        Self {
            bytes: None,
            age: Some(limits::REKEY_AGE),
        }
    }
}

/// Asking a silent peer for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// After so long without a byte from it.
    pub interval: Duration,
    /// It counts as gone after so many intervals without a byte.
    pub misses: u32,
}

/// What a client needs besides.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The transport.
    pub transport: TransportConfig,
    /// Who logs in, and how.
    pub login: ClientLogin,
}

/// What a server needs besides. One serves all connections that begin with it; a connection keeps
/// the one it began with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The transport. Its host key algorithms are narrowed to the keys below.
    pub transport: TransportConfig,
    /// The host keys, best first.
    pub host_keys: Arc<[HostKey]>,
    /// How clients may log in.
    pub login: ServerLogin,
    /// What the delay of failed logins is made from; one for the process.
    pub delay_secret: DelaySecret,
}
