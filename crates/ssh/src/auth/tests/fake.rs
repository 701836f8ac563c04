//! Keys, signatures, randomness and owners for the tests of both machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::auth::server::{DelaySecret, ServerAuth, ServerLogin};
use crate::auth::{Method, Outbox};
use crate::key::PublicKey;
use crate::message;
use crate::provider::{CryptoError, SecureRandom, SecurityKeyUse, Verified, Verifier};
use crate::wire::{Reader, Write};

pub(in crate::auth) const SESSION: &[u8] = &[0x5e; 32];
pub(in crate::auth) const HOST_KEY: &[u8] = b"the host key";

/// The beginning of a test's time.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other constructor; all times are relative to this one"
)]
pub(in crate::auth) fn dawn() -> Instant {
    Instant::now()
}

/// An Ed25519 key, one for each number.
pub(in crate::auth) fn ed25519(number: u8) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(b"ssh-ed25519");
    blob.put_string(&[number; 32]);
    blob
}

/// An Ed25519 key on a security key.
pub(in crate::auth) fn security_key() -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(b"sk-ssh-ed25519@openssh.com");
    blob.put_string(&[1; 32]);
    blob.put_string(b"ssh:");
    blob
}

/// A 2,048-bit RSA key, one for each number.
pub(in crate::auth) fn rsa(number: u8) -> Vec<u8> {
    let mut modulus = vec![number; 256];
    modulus[0] = 0x80;
    modulus[255] |= 1;
    let mut blob = Vec::new();
    blob.put_string(b"ssh-rsa");
    blob.put_mpint(&[1, 0, 1]);
    blob.put_mpint(&modulus);
    blob
}

/// A certificate for the key of that number, signed by nobody in particular.
pub(in crate::auth) fn certificate(number: u8) -> Vec<u8> {
    certificate_with(number, &[], &[])
}

/// The same with critical options and extensions.
pub(in crate::auth) fn certificate_with(
    number: u8,
    critical: &[(&str, &[u8])],
    extensions: &[&str],
) -> Vec<u8> {
    let options = |options: &[(&str, &[u8])]| {
        let mut list = Vec::new();
        for (name, data) in options {
            list.put_string(name.as_bytes());
            list.put_string(data);
        }
        list
    };
    let extensions: Vec<(&str, &[u8])> = extensions.iter().map(|name| (*name, &[][..])).collect();
    let mut blob = Vec::new();
    blob.put_string(b"ssh-ed25519-cert-v01@openssh.com");
    blob.put_string(&[0; 32]); // nonce
    blob.put_string(&[number; 32]);
    blob.put_uint64(1); // serial
    blob.put_uint32(1); // a user's
    blob.put_string(b"key id");
    blob.put_string(b"\0\0\0\x04anna");
    blob.put_uint64(0);
    blob.put_uint64(u64::MAX);
    blob.put_string(&options(critical));
    blob.put_string(&options(&extensions));
    blob.put_string(b""); // reserved
    blob.put_string(&ed25519(200));
    let signature = sign(&ed25519(200), SignatureAlgorithm::Ed25519, &blob);
    blob.put_string(&signature);
    blob
}

/// A signature that [`Notary`] takes.
pub(in crate::auth) fn sign(key: &[u8], algorithm: SignatureAlgorithm, data: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(algorithm.name().as_bytes());
    blob.put_string(&digest(key, data));
    if algorithm.name().starts_with("sk-") {
        blob.put_byte(1);
        blob.put_uint32(7);
    }
    blob
}

fn digest(key: &[u8], data: &[u8]) -> [u8; 64] {
    let mut digest = [0; 64];
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for (index, byte) in key.iter().chain(data).enumerate() {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        digest[index % 64] ^= state.to_be_bytes()[0];
    }
    digest
}

/// Takes the signatures of [`sign`] and counts how often it was asked.
#[derive(Debug, Default)]
pub(in crate::auth) struct Notary {
    asked: AtomicUsize,
}

impl Notary {
    pub(in crate::auth) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Verifier for Notary {
    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Verified, CryptoError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if signature != sign(key.blob(), algorithm, message) {
            return Err(CryptoError::Forged);
        }
        Ok(Verified {
            security_key: algorithm
                .name()
                .starts_with("sk-")
                .then_some(SecurityKeyUse {
                    user_present: true,
                    user_verified: false,
                    counter: 7,
                }),
        })
    }
}

/// The same byte for ever.
#[derive(Debug)]
struct Monotone(u8);

impl SecureRandom for Monotone {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(self.0);
        Ok(())
    }
}

pub(in crate::auth) fn delay_secret(number: u8) -> DelaySecret {
    DelaySecret::generate(&Monotone(number)).unwrap()
}

/// All methods and algorithms, no banner.
pub(in crate::auth) fn open_login() -> ServerLogin {
    ServerLogin {
        methods: Method::ALL.to_vec(),
        banner: None,
        signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
        anonymous: false,
    }
}

/// A server with the [`Notary`] that it asks.
pub(in crate::auth) fn server(login: ServerLogin) -> (ServerAuth, Arc<Notary>) {
    let notary = Arc::new(Notary::default());
    let verifier: Arc<Notary> = Arc::clone(&notary);
    let server = ServerAuth::new(login, SESSION, HOST_KEY, delay_secret(1), verifier);
    (server, notary)
}

/// What is in an outbox.
pub(in crate::auth) fn sent(out: &mut Outbox) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| out.pop())
        .map(|payload| payload.to_vec())
        .collect()
}

/// SERVICE_REQUEST or SERVICE_ACCEPT.
pub(in crate::auth) fn service(number: u8, name: &str) -> Vec<u8> {
    let mut payload = vec![number];
    payload.put_string(name.as_bytes());
    payload
}

/// A USERAUTH_REQUEST up to its method.
pub(in crate::auth) fn request(user: &str, method: &str) -> Vec<u8> {
    let mut payload = vec![message::USERAUTH_REQUEST];
    payload.put_string(user.as_bytes());
    payload.put_string(b"ssh-connection");
    payload.put_string(method.as_bytes());
    payload
}

pub(in crate::auth) fn password_request(user: &str, password: &[u8]) -> Vec<u8> {
    let mut payload = request(user, "password");
    payload.put_boolean(false);
    payload.put_string(password);
    payload
}

pub(in crate::auth) fn dialog_request(user: &str) -> Vec<u8> {
    let mut payload = request(user, "keyboard-interactive");
    payload.put_string(b"");
    payload.put_string(b"");
    payload
}

/// A publickey request without a signature.
pub(in crate::auth) fn query(user: &str, algorithm: KeyAlgorithm, key: &[u8]) -> Vec<u8> {
    let mut payload = request(user, "publickey");
    payload.put_boolean(false);
    payload.put_string(algorithm.name().as_bytes());
    payload.put_string(key);
    payload
}

/// A publickey request up to its signature.
pub(in crate::auth) fn unsigned(user: &str, algorithm: KeyAlgorithm, key: &[u8]) -> Vec<u8> {
    let mut payload = request(user, "publickey");
    payload.put_boolean(true);
    payload.put_string(algorithm.name().as_bytes());
    payload.put_string(key);
    payload
}

/// The same, bound to a host key.
pub(in crate::auth) fn unsigned_bound(
    user: &str,
    algorithm: KeyAlgorithm,
    key: &[u8],
    host_key: &[u8],
) -> Vec<u8> {
    let mut payload = request(user, "publickey-hostbound-v00@openssh.com");
    payload.put_boolean(true);
    payload.put_string(algorithm.name().as_bytes());
    payload.put_string(key);
    payload.put_string(host_key);
    payload
}

/// Signs a request for a session.
pub(in crate::auth) fn signed(
    mut request: Vec<u8>,
    session: &[u8],
    algorithm: KeyAlgorithm,
    key: &[u8],
) -> Vec<u8> {
    let mut data = Vec::new();
    data.put_string(session);
    data.put_bytes(&request);
    request.put_string(&sign(key, algorithm.signature(), &data));
    request
}

/// INFO_RESPONSE.
pub(in crate::auth) fn answers(count: u32, answers: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![message::USERAUTH_INFO_RESPONSE];
    payload.put_uint32(count);
    for answer in answers {
        payload.put_string(answer);
    }
    payload
}

/// USERAUTH_FAILURE.
pub(in crate::auth) fn failure(methods: &str, is_partial: bool) -> Vec<u8> {
    let mut payload = vec![message::USERAUTH_FAILURE];
    payload.put_string(methods.as_bytes());
    payload.put_boolean(is_partial);
    payload
}

/// INFO_REQUEST with these prompts, of which none may be seen.
pub(in crate::auth) fn info_request(count: u32, prompts: &[&str]) -> Vec<u8> {
    let mut payload = vec![message::USERAUTH_INFO_REQUEST];
    payload.put_string(b"name");
    payload.put_string(b"instruction");
    payload.put_string(b"");
    payload.put_uint32(count);
    for prompt in prompts {
        payload.put_string(prompt.as_bytes());
        payload.put_boolean(false);
    }
    payload
}

/// The method of a USERAUTH_REQUEST.
pub(in crate::auth) fn method_of(payload: &[u8]) -> String {
    let mut reader = Reader::new(payload);
    assert_eq!(reader.byte(), Ok(message::USERAUTH_REQUEST));
    reader.string().unwrap();
    reader.string().unwrap();
    String::from_utf8(reader.string().unwrap().to_vec()).unwrap()
}
