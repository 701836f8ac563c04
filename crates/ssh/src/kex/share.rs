//! The shares of both sides, the server's proof, and the keys that come of them.

use std::sync::Arc;

use super::derive::{Exchange, derive};
use super::hostkey::{self, HostKeyOffer};
use super::{INTERNAL, Kex, Outward, Progress, State};
use crate::error::{ConnectionError, Violation};
use crate::message;
use crate::negotiate::{self, Chosen, Role};
use crate::provider::{ActiveKex, CryptoError, Digest, Open, Seal, SharedSecret};
use crate::wire::{Reader, Write};

/// The ciphers of both directions under new keys: ours, then the peer's.
type Keys = (Box<dyn Seal>, Box<dyn Open>);

impl Kex {
    /// Server: `C_INIT` came.
    pub(super) fn init(
        &mut self,
        payload: &[u8],
        exchange: &Exchange,
    ) -> Result<Progress, ConnectionError> {
        let mut reader = Reader::new(payload);
        reader.byte().map_err(Violation::from)?;
        let client_init = reader.string().map_err(Violation::from)?;
        reader.finish().map_err(Violation::from)?;
        let (server_reply, secret) = exchange.method.respond(client_init).map_err(bad_share)?;
        let host_keys = Arc::clone(&self.host_keys);
        let host_key = hostkey::find(&host_keys, exchange.chosen.host_key).ok_or(INTERNAL)?;
        let hash = self.exchange_hash(
            exchange,
            host_key.blob(),
            client_init,
            &server_reply,
            &secret,
        )?;
        let signature = host_key
            .signer()
            .sign(exchange.chosen.host_key.signature(), hash.as_bytes())
            .map_err(ConnectionError::Crypto)?;
        let mut reply = vec![message::KEX_REPLY];
        reply.put_string(host_key.blob());
        reply.put_string(&server_reply);
        reply.put_string(&signature);
        self.out.push_back(Outward::Message(reply));
        if self.first_host_key.is_none() {
            self.first_host_key = Some(host_key.blob().to_vec());
        }
        let (sealer, opener) = self.keys(exchange, &secret, &hash)?;
        self.send_new_keys(sealer, opener);
        Ok(Progress::Going)
    }

    /// Client: `S_REPLY` came. The order of the checks matters: sizes and key, hash, signature, same
    /// key as before; the owner's verdict comes last, and NEWKEYS only after it.
    pub(super) fn reply(
        &mut self,
        payload: &[u8],
        exchange: &Exchange,
        active: Box<dyn ActiveKex>,
    ) -> Result<Progress, ConnectionError> {
        let mut reader = Reader::new(payload);
        reader.byte().map_err(Violation::from)?;
        let host_key = reader
            .string_up_to(crate::limits::KEY_BLOB)
            .map_err(Violation::from)?;
        let server_reply = reader.string().map_err(Violation::from)?;
        let signature = reader
            .string_up_to(crate::limits::KEY_BLOB)
            .map_err(Violation::from)?;
        reader.finish().map_err(Violation::from)?;
        let offer = HostKeyOffer::parse(exchange.chosen.host_key, host_key)?;
        let client_init = active.client_init().to_vec();
        let secret = active.complete(server_reply).map_err(bad_share)?;
        let hash = self.exchange_hash(exchange, host_key, &client_init, server_reply, &secret)?;
        self.provider
            .verifier
            .verify(
                offer.key(),
                exchange.chosen.host_key.signature(),
                hash.as_bytes(),
                signature,
            )
            .map_err(|_| Violation::kex("host key signature is not good"))?;
        let (sealer, opener) = self.keys(exchange, &secret, &hash)?;
        match &self.first_host_key {
            Some(first) if first == host_key => {
                self.send_new_keys(sealer, opener);
                Ok(Progress::Going)
            }
            Some(first) => Err(ConnectionError::HostKeyChanged {
                first: hostkey::fingerprint(first),
                now: hostkey::fingerprint(host_key),
            }),
            None => {
                self.first_host_key = Some(host_key.to_vec());
                // In later exchanges the same key must come, so its algorithm alone is offered.
                self.preferences.host_key = vec![exchange.chosen.host_key];
                self.state = State::ExpectVerdict(sealer, opener);
                Ok(Progress::HostKey(offer.proved(&hash, signature)))
            }
        }
    }

    fn exchange_hash(
        &self,
        exchange: &Exchange,
        host_key: &[u8],
        client_init: &[u8],
        server_reply: &[u8],
        secret: &SharedSecret,
    ) -> Result<Digest, ConnectionError> {
        let (client, server) = self.idents.as_ref().ok_or(INTERNAL)?;
        Ok(exchange.hash(
            [client, server],
            host_key,
            client_init,
            server_reply,
            secret,
        ))
    }

    /// Derives the keys of both directions.
    fn keys(
        &mut self,
        exchange: &Exchange,
        secret: &SharedSecret,
        hash: &Digest,
    ) -> Result<Keys, ConnectionError> {
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        let Chosen {
            client_to_server,
            server_to_client,
            ..
        } = exchange.chosen;
        // RFC 4253 section 7.2: A, C, E from client to server; B, D, F from server to client.
        let upward = (client_to_server, [b'A', b'C', b'E']);
        let downward = (server_to_client, [b'B', b'D', b'F']);
        let (sending, receiving) = match self.role {
            Role::Client => (upward, downward),
            Role::Server => (downward, upward),
        };
        let cipher = |suite: negotiate::Suite, letters: [u8; 3]| {
            let cipher = self
                .provider
                .cipher(suite.cipher)
                .ok_or(CryptoError::Internal)?;
            let keys = derive(
                exchange.method.as_ref(),
                secret,
                hash,
                &session_id,
                letters,
                cipher.key_sizes(suite.mac),
            );
            Ok::<_, CryptoError>((cipher, keys, suite.mac))
        };
        let (seal_with, keys, mac) =
            cipher(sending.0, sending.1).map_err(ConnectionError::Crypto)?;
        let sealer = seal_with
            .sealer(&keys, mac)
            .map_err(ConnectionError::Crypto)?;
        let (open_with, keys, mac) =
            cipher(receiving.0, receiving.1).map_err(ConnectionError::Crypto)?;
        let opener = open_with
            .opener(&keys, mac)
            .map_err(ConnectionError::Crypto)?;
        Ok((sealer, opener))
    }

    pub(super) fn send_new_keys(&mut self, sealer: Box<dyn Seal>, opener: Box<dyn Open>) {
        self.out
            .push_back(Outward::NewKeys(sealer, self.sequence()));
        self.state = State::ExpectNewKeys(opener);
    }
}

fn bad_share(error: CryptoError) -> ConnectionError {
    match error {
        CryptoError::BadShare => Violation::kex("key share is not valid").into(),
        CryptoError::Forged | CryptoError::BadKey | CryptoError::Internal => {
            ConnectionError::Crypto(error)
        }
    }
}
