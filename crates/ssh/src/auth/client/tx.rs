//! What a client says while it logs in.
//!
//! A message that holds a password or an answer is made with all its room at once: growing would
//! leave copies behind that nobody wipes.

use crate::algorithm::KeyAlgorithm;
use crate::message;
use crate::secret::Secret;
use crate::wire::Write;

use super::super::{METHOD_HOSTBOUND, METHOD_NONE, Method, SERVICE_CONNECTION, SERVICE_USERAUTH};

/// SERVICE_REQUEST.
pub(super) fn service_request() -> Vec<u8> {
    let mut request = vec![message::SERVICE_REQUEST];
    request.put_string(SERVICE_USERAUTH);
    request
}

/// The request that asks which methods there are (RFC 4252 section 5.2).
pub(super) fn none(user: &str) -> Vec<u8> {
    request(user, METHOD_NONE, 0)
}

/// Asks whether a key would do. Plain even where the signed request will be bound to the host key,
/// as OpenSSH's client has it: nothing is signed yet.
pub(super) fn query(user: &str, algorithm: KeyAlgorithm, key: &[u8]) -> Vec<u8> {
    with_key(user, Method::PublicKey.name(), false, algorithm, key)
}

/// A publickey request up to its signature (RFC 4252 section 7), bound to `host_key` if there is
/// one (OpenSSH's PROTOCOL, section 1.8).
pub(super) fn unsigned(
    user: &str,
    algorithm: KeyAlgorithm,
    key: &[u8],
    host_key: Option<&[u8]>,
) -> Vec<u8> {
    if let Some(host_key) = host_key {
        let mut request = with_key(user, METHOD_HOSTBOUND, true, algorithm, key);
        request.put_string(host_key);
        request
    } else {
        with_key(user, Method::PublicKey.name(), true, algorithm, key)
    }
}

/// A password (RFC 4252 section 8), not to be changed.
pub(super) fn password(user: &str, password: &Secret<String>) -> Vec<u8> {
    let password = password.expose().as_bytes();
    let more = password.len().saturating_add(5);
    let mut request = request(user, Method::Password.name(), more);
    request.put_boolean(false);
    request.put_string(password);
    request
}

/// The wish to be asked (RFC 4256 section 3.1); language and submethods are the server's choice.
pub(super) fn keyboard(user: &str) -> Vec<u8> {
    let mut request = request(user, Method::KeyboardInteractive.name(), 8);
    request.put_string(b"");
    request.put_string(b"");
    request
}

/// Answers to questions (RFC 4256 section 3.4).
pub(super) fn answers(answers: &[Secret<String>]) -> Vec<u8> {
    let room = answers.iter().fold(5_usize, |sum, answer| {
        sum.saturating_add(answer.expose().len()).saturating_add(4)
    });
    let mut response = Vec::with_capacity(room);
    response.put_byte(message::USERAUTH_INFO_RESPONSE);
    response.put_uint32(u32::try_from(answers.len()).unwrap_or(u32::MAX));
    for answer in answers {
        response.put_string(answer.expose().as_bytes());
    }
    response
}

fn with_key(
    user: &str,
    method: &str,
    is_signed: bool,
    algorithm: KeyAlgorithm,
    key: &[u8],
) -> Vec<u8> {
    let mut request = request(user, method, key.len());
    request.put_boolean(is_signed);
    request.put_string(algorithm.name().as_bytes());
    request.put_string(key);
    request
}

/// The head of a USERAUTH_REQUEST, with room for `more` bytes.
fn request(user: &str, method: &str, more: usize) -> Vec<u8> {
    let room = [user.len(), SERVICE_CONNECTION.len(), method.len(), 13]
        .into_iter()
        .fold(more, usize::saturating_add);
    let mut request = Vec::with_capacity(room);
    request.put_byte(message::USERAUTH_REQUEST);
    request.put_string(user.as_bytes());
    request.put_string(SERVICE_CONNECTION);
    request.put_string(method.as_bytes());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_secrets_never_grow() {
        let secret = || Secret::new("hunter2".repeat(20));
        for (message, length) in [
            (password("anna", &secret()), 1 + 8 + 18 + 12 + 1 + 144),
            (answers(&[secret(), secret()]), 5 + 2 * 144),
        ] {
            assert_eq!(message.len(), length);
            assert_eq!(message.capacity(), length);
        }
    }
}
