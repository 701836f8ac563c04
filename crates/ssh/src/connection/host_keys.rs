//! Host keys beyond the one of the key exchange (OpenSSH's PROTOCOL section 2.5): a server announces
//! all it has, a client that wants to learn some has them proved.
//!
//! A proof is a signature over the session id, so it is of no use elsewhere; still each key signs
//! once in a connection and no more, since signing is work that a peer asks for.

use super::{Connection, Stage};
use crate::algorithm::SignatureAlgorithm;
use crate::error::{ConnectionError, Violation};
use crate::event::Event;
use crate::key::PublicKey;
use crate::limits;
use crate::message;
use crate::version::Ident;
use crate::wire::{Reader, Write};

/// The name of the request, which is also signed.
const PROVE: &[u8] = b"hostkeys-prove-00@openssh.com";

impl Connection {
    /// Server: tells a client that has just logged in which host keys there are. Once: OpenSSH ends
    /// a connection that does so twice.
    pub(super) fn announce_host_keys(&mut self) {
        if !self.peer.as_ref().is_some_and(may_have_host_keys) {
            return;
        }
        let mut out = vec![message::GLOBAL_REQUEST];
        out.put_string(b"hostkeys-00@openssh.com");
        out.put_boolean(false);
        for key in self.kex.plain_host_keys().take(limits::HOSTKEYS_PROVE) {
            out.put_string(key.blob());
        }
        self.push_control(out);
    }

    /// Server: answers a client that wants keys proved. Anything that is not one of our keys, or
    /// was proved before, refuses all.
    pub(super) fn prove(&mut self, body: &[u8]) -> Result<Vec<u8>, ConnectionError> {
        let session_id = self.kex.session_id().unwrap_or_default();
        let negotiated = self.kex.negotiated().map(|all| all.host_key.signature());
        let mut reader = Reader::new(body);
        let mut reply = vec![message::REQUEST_SUCCESS];
        let mut proved = self.proved_host_keys.clone();
        let refusal = Ok(vec![message::REQUEST_FAILURE]);
        while !reader.is_empty() {
            let blob = reader
                .string_up_to(limits::KEY_BLOB)
                .map_err(Violation::from)?;
            let mut keys = self.kex.plain_host_keys().take(limits::HOSTKEYS_PROVE);
            let Some(key) = keys.find(|key| key.blob() == blob) else {
                return refusal;
            };
            if proved.iter().any(|proved| proved == blob) {
                return refusal;
            }
            proved.push(blob.to_vec());
            // An RSA key signs as it was agreed for the key exchange, if it can.
            let own = key.signer().algorithms();
            let agreed = negotiated.filter(|algorithm| own.contains(algorithm));
            let Some(algorithm) = agreed.or_else(|| own.first().copied()) else {
                return refusal;
            };
            let signature = key
                .signer()
                .sign(algorithm, &proof_of(session_id, blob))
                .map_err(ConnectionError::Crypto)?;
            reply.put_string(&signature);
        }
        if reply.len() == 1 {
            return refusal;
        }
        self.proved_host_keys = proved;
        Ok(reply)
    }

    /// Client: asks the server to prove that it holds these keys, which it has announced
    /// ([`Event::HostKeys`]). At most [`limits::HOSTKEYS_PROVE`] of them are asked for.
    /// [`Event::HostKeysProved`] tells of its answer. Learn keys only from that, and only when the
    /// key of this connection came from where they are to be kept.
    pub fn prove_host_keys(&mut self, blobs: &[Vec<u8>]) {
        let blobs: Vec<Vec<u8>> = blobs.iter().take(limits::HOSTKEYS_PROVE).cloned().collect();
        if blobs.is_empty() || self.role != crate::negotiate::Role::Client {
            return;
        }
        let mut out = vec![message::GLOBAL_REQUEST];
        out.put_string(PROVE);
        out.put_boolean(true);
        for blob in &blobs {
            out.put_string(blob);
        }
        let is_asked = self
            .running_mut()
            .is_some_and(|running| running.requests.ask_proof(blobs));
        if is_asked {
            self.push_control(out);
        }
    }

    /// Client: the server has answered; tells which keys it holds.
    pub(super) fn proofs_came(
        &mut self,
        blobs: Vec<Vec<u8>>,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let mut reader = Reader::new(payload);
        let mut proved = Vec::new();
        if reader.byte()? == message::REQUEST_SUCCESS {
            let session_id = self.kex.session_id().unwrap_or_default();
            let verifier = self.kex.verifier();
            for blob in blobs {
                let signature = reader.string_up_to(limits::KEY_BLOB)?;
                let name = Reader::new(signature).string().unwrap_or_default();
                let is_good = SignatureAlgorithm::from_name(name)
                    .zip(PublicKey::from_blob(&blob).ok())
                    .filter(|(algorithm, key)| key.supports(*algorithm))
                    .is_some_and(|(algorithm, key)| {
                        let proof = proof_of(session_id, &blob);
                        verifier.verify(&key, algorithm, &proof, signature).is_ok()
                    });
                if is_good {
                    proved.push(blob);
                }
            }
            reader.finish()?;
        }
        if matches!(self.stage, Stage::Running(_)) {
            self.events.push(Event::HostKeysProved(proved));
        }
        Ok(())
    }
}

/// What a proof is a signature over.
fn proof_of(session_id: &[u8], blob: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    data.put_string(PROVE);
    data.put_string(session_id);
    data.put_string(blob);
    data
}

/// Whether a client may be told of host keys: some end the connection over it (OpenSSH's
/// `SSH_BUG_HOSTKEYS`).
fn may_have_host_keys(client: &Ident) -> bool {
    let software = client.software();
    if software.starts_with(b"Cisco-1.") {
        return false;
    }
    let Some(version) = software.strip_prefix(b"TTSSH/") else {
        return true;
    };
    let mut numbers = version.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0_u32, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u32::from(digit.saturating_sub(b'0')))
        })
    });
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version > (2, 72)
}
