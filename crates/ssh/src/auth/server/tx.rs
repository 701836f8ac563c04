//! What a server says while somebody logs in.

use crate::algorithm::KeyAlgorithm;
use crate::limits;
use crate::message;
use crate::wire::Write;

use super::super::{Method, SERVICE_USERAUTH};
use super::ServerPrompts;

/// SERVICE_ACCEPT.
pub(super) fn service_accept() -> Vec<u8> {
    let mut reply = vec![message::SERVICE_ACCEPT];
    reply.put_string(SERVICE_USERAUTH);
    reply
}

/// USERAUTH_BANNER, without a language.
pub(super) fn banner(text: &str) -> Vec<u8> {
    let mut banner = vec![message::USERAUTH_BANNER];
    banner.put_string(text.as_bytes());
    banner.put_string(b"");
    banner
}

/// USERAUTH_FAILURE with the methods that can go on.
pub(super) fn failure(methods: &[Method], is_partial: bool) -> Vec<u8> {
    let mut reply = vec![message::USERAUTH_FAILURE];
    reply.put_name_list(methods.iter().map(|method| method.name()));
    reply.put_boolean(is_partial);
    reply
}

/// USERAUTH_SUCCESS.
pub(super) fn success() -> Vec<u8> {
    vec![message::USERAUTH_SUCCESS]
}

/// USERAUTH_PK_OK (RFC 4252 section 7): a signature by this key would be looked at.
pub(super) fn pk_ok(algorithm: KeyAlgorithm, key: &[u8]) -> Vec<u8> {
    let mut reply = vec![message::USERAUTH_PK_OK];
    reply.put_string(algorithm.name().as_bytes());
    reply.put_string(key);
    reply
}

/// USERAUTH_INFO_REQUEST (RFC 4256 section 3.2), without a language; `None` if something is over
/// its limit.
pub(super) fn info_request(prompts: &ServerPrompts) -> Option<Vec<u8>> {
    let fits = |text: &str| text.len() <= limits::KBDINT_TEXT;
    let count = u32::try_from(prompts.prompts.len()).ok()?;
    if count > limits::KBDINT_PROMPTS
        || !fits(&prompts.name)
        || !fits(&prompts.instruction)
        || !prompts.prompts.iter().all(|prompt| fits(&prompt.text))
    {
        return None;
    }
    let mut request = vec![message::USERAUTH_INFO_REQUEST];
    request.put_string(prompts.name.as_bytes());
    request.put_string(prompts.instruction.as_bytes());
    request.put_string(b"");
    request.put_uint32(count);
    for prompt in &prompts.prompts {
        request.put_string(prompt.text.as_bytes());
        request.put_boolean(prompt.echo);
    }
    Some(request)
}
