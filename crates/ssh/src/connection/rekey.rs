//! When keys have done enough, and what is made ready for that moment.

use std::time::Instant;

use super::{Connection, Stage};
use crate::algorithm::{CipherAlgorithm, KexAlgorithm};
use crate::error::{ConnectionError, Violation};
use crate::event::Event;
use crate::limits;
use crate::negotiate::{Role, Suite};
use crate::provider::ActiveKex;

/// What is known about the next key exchange before it begins.
#[derive(Debug, Default)]
pub(super) struct Coming {
    /// Whether the owner was asked for a key pair since the keys were made.
    is_asked: bool,
    /// Bytes that were sent and received under the keys before these: the peer's limit may be below
    /// ours.
    sent: Option<u64>,
    received: Option<u64>,
}

impl Coming {
    /// We send under new keys; so many bytes were sent under the ones before.
    pub(super) const fn sends_anew(&mut self, bytes: u64) {
        self.sent = Some(bytes);
    }

    /// The peer sends under new keys; so many bytes came under the ones before. The exchange is over.
    pub(super) const fn receives_anew(&mut self, bytes: u64) {
        self.is_asked = false;
        self.received = Some(bytes);
    }
}

/// What may be in flight when keys are to be renewed: every window of a connection.
const IN_FLIGHT: u64 = 1 << 30;

impl Connection {
    /// Client: the answer to [`Event::WantsKeyPair`]. It is used in the next key exchange if that
    /// is by the same method; without it the pair is made there, while everything else waits.
    pub fn give_key_pair(&mut self, kex: KexAlgorithm, pair: Box<dyn ActiveKex>) {
        self.kex.prepare(kex, pair);
    }

    /// The most bytes under one key of that suite.
    fn rekey_bytes(&self, suite: Suite) -> u64 {
        let own = match suite.cipher {
            CipherAlgorithm::ChaCha20Poly1305 => limits::REKEY_BYTES_CHACHA,
            CipherAlgorithm::Aes128Gcm
            | CipherAlgorithm::Aes256Gcm
            | CipherAlgorithm::Aes128Ctr
            | CipherAlgorithm::Aes256Ctr => limits::REKEY_BYTES_AES,
        };
        self.rekey.bytes.map_or(own, |bytes| bytes.min(own))
    }

    /// Starts a key exchange when the keys have done enough.
    pub(super) fn rekey_if_due(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if !matches!(self.stage, Stage::Running(_)) {
            return Ok(());
        }
        let Some(negotiated) = self.kex.negotiated() else {
            return Ok(());
        };
        let (sending, receiving) = match self.role {
            Role::Client => (negotiated.client_to_server, negotiated.server_to_client),
            Role::Server => (negotiated.server_to_client, negotiated.client_to_server),
        };
        let (sent, received) = (self.writer.volume, self.reader.volume);
        let (sending, receiving) = (self.rekey_bytes(sending), self.rekey_bytes(receiving));
        // While a key exchange hangs, what is in flight still comes; far more than that does not.
        let most = receiving.saturating_mul(2).max(IN_FLIGHT);
        if received.bytes > most {
            return Err(Violation::kex("keys are used up").into());
        }
        if !self.kex.is_settled() {
            return Ok(());
        }
        let (packets, age) = (
            sent.packets.max(received.packets),
            now.saturating_duration_since(self.timers.keys),
        );
        let is_due = sent.bytes >= sending
            || received.bytes >= receiving
            || packets >= limits::REKEY_PACKETS
            || self.rekey.age.is_some_and(|most| age >= most);
        if is_due {
            return self.kex.begin(now);
        }
        if self.role == Role::Client && !self.coming.is_asked {
            let nears = |used: u64, most: u64, before: Option<u64>| {
                let most = before.map_or(most, |before| most.min(before));
                used >= most.saturating_sub(most >> 2)
            };
            let is_near = nears(sent.bytes, sending, self.coming.sent)
                || nears(received.bytes, receiving, self.coming.received)
                || nears(packets, limits::REKEY_PACKETS, None);
            if is_near && let Some(method) = self.kex.method(negotiated.kex) {
                self.coming.is_asked = true;
                self.events.push(Event::WantsKeyPair {
                    kex: negotiated.kex,
                    method,
                });
            }
        }
        Ok(())
    }
}
