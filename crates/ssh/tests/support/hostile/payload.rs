//! Payloads of messages, right or wrong as their caller wants them.

use adit_ssh::message;
use adit_ssh::wire::Write;

/// A request for the method `none`.
pub fn userauth_none(user: &str) -> Vec<u8> {
    let mut out = vec![message::USERAUTH_REQUEST];
    out.put_string(user.as_bytes());
    out.put_string(b"ssh-connection");
    out.put_string(b"none");
    out
}

/// A message of a type and numbers.
pub fn numbers(number: u8, numbers: &[u32]) -> Vec<u8> {
    let mut out = vec![number];
    for number in numbers {
        out.put_uint32(*number);
    }
    out
}

/// CHANNEL_DATA.
pub fn data(channel: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_DATA, &[channel]);
    out.put_string(bytes);
    out
}

/// A global request; `body` follows the name and the wish for a reply.
pub fn global_request(name: &str, want_reply: bool, body: &[u8]) -> Vec<u8> {
    let mut out = vec![message::GLOBAL_REQUEST];
    out.put_string(name.as_bytes());
    out.put_boolean(want_reply);
    out.put_bytes(body);
    out
}

/// CHANNEL_OPEN; `body` follows the fixed part.
pub fn open(kind: &str, number: u32, window: u32, packet: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_OPEN];
    out.put_string(kind.as_bytes());
    for number in [number, window, packet] {
        out.put_uint32(number);
    }
    out.put_bytes(body);
    out
}

/// The two endpoints of a direct-tcpip or forwarded-tcpip channel.
pub fn endpoints(host: &str, port: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(host.as_bytes());
    out.put_uint32(port);
    out.put_string(b"192.0.2.7");
    out.put_uint32(40_000);
    out
}
