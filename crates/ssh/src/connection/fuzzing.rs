//! Entry points below the cipher, for the fuzz targets. They exist only under `cfg(fuzzing)`, which
//! no build of the product sets: nothing here checks a tag or a login.

use std::time::Instant;

use super::{Auth, ClientConfig, Connection, Running, ServerConfig, Stage};
use crate::auth::client::ClientAuth;
use crate::auth::server::ServerAuth;
use crate::block::Pool;
use crate::error::ConnectionError;
use crate::forward::requests::GlobalRequests;
use crate::negotiate::{KexInit, Preferences, Role};
use crate::packet::{Packet, PacketReader};
use crate::version::{IdentReader, Preamble};

/// What the fuzz targets take for a session id.
const SESSION_ID: [u8; 32] = [7; 32];

impl Connection {
    /// A client that is logged in, under no keys.
    pub fn client_without_keys(config: ClientConfig, now: Instant) -> Self {
        let auth = ClientAuth::new(config.login.clone(), &SESSION_ID, b"host key");
        Self::client(config, now).logged_in(Auth::Client(Box::new(auth)))
    }

    /// A server with a client that is logged in, under no keys.
    pub fn server_without_keys(config: &ServerConfig, now: Instant) -> Self {
        let auth = ServerAuth::new(
            config.login.clone(),
            &SESSION_ID,
            b"host key",
            config.delay_secret.clone(),
            verifier(config),
        );
        Self::server(config, now).logged_in(Auth::Server(Box::new(auth)))
    }

    fn logged_in(mut self, auth: Auth) -> Self {
        self.ident = None;
        let mut reader = IdentReader::new(Preamble::Allowed);
        self.peer = reader
            .read(b"SSH-2.0-fuzz\r\n")
            .ok()
            .and_then(|(_, ident)| ident);
        let ident = b"SSH-2.0-fuzz".to_vec();
        self.kex.set_idents(ident.clone(), ident);
        self.kex.have_session(&SESSION_ID);
        self.allowance = 64 << 20;
        let (channels, requests) = (self.new_channels(), GlobalRequests::new(self.forward_cap));
        self.stage = Stage::Running(Box::new(Running {
            channels,
            requests,
            auth,
        }));
        self
    }

    /// A payload comes, as if its packet had been opened. Empty ones do not.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_payload(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ConnectionError> {
        if let Some(error) = self.error() {
            return Err(error.clone());
        }
        if bytes.is_empty() || !self.wants_read() {
            return Ok(());
        }
        let mut payload = self.pool.take();
        payload.append(bytes);
        let packet = Packet {
            taken: bytes.len(),
            sequence: 9,
            payload,
        };
        self.packet(now, packet).map_err(|error| self.fail(error))
    }
}

fn verifier(config: &ServerConfig) -> std::sync::Arc<dyn crate::provider::Verifier> {
    std::sync::Arc::clone(&config.transport.provider.verifier)
}

/// All packets in some bytes, in plain; says how many there were. Whether the bytes come at once or
/// one by one is the same.
pub fn packets(bytes: &[u8]) -> usize {
    let pool = Pool::new(4);
    let read = |steps: usize| {
        let mut reader = PacketReader::new();
        let (mut at, mut payloads) = (0, Vec::new());
        let mut end = steps.min(bytes.len());
        loop {
            match reader.next(bytes.get(at..end).unwrap_or_default(), &pool) {
                Ok(Some(packet)) => {
                    at = at.saturating_add(packet.taken);
                    payloads.push(packet.payload.as_slice().to_vec());
                    reader.done_with(packet.payload);
                }
                Ok(None) if end < bytes.len() => {
                    end = end.saturating_add(steps).min(bytes.len());
                }
                Ok(None) => return (payloads, None),
                Err(error) => return (payloads, Some(error)),
            }
        }
    };
    let whole = read(bytes.len());
    assert_eq!(whole, read(1), "fragments make a difference");
    whole.0.len()
}

/// A KEXINIT, as both roles; says whether both would agree on something.
pub fn kexinit(payload: &[u8]) -> bool {
    let Ok(theirs) = KexInit::parse(payload) else {
        return false;
    };
    let choose = |role| {
        let preferences = match role {
            Role::Client => Preferences::client(true),
            Role::Server => Preferences::server(false),
        };
        theirs.choose(&preferences, role).is_ok()
    };
    choose(Role::Client) | choose(Role::Server)
}
