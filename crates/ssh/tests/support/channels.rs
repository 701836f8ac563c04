//! Steps that attacks on channels and requests share.

use adit_ssh::Event;
use adit_ssh::channel::{ChannelId, ChannelKind, Endpoint};
use adit_ssh::message;
use adit_ssh::wire::Write;

use super::Pair;
use super::hostile::{Hostile, endpoints, numbers, open};

/// The number that the hostile side gives its channel.
pub const THEIRS: u32 = 9;

/// A hostile client with one open channel, and the victim's number for it.
pub fn with_channel(kind: &str, window: u32) -> (Hostile, u32) {
    let mut hostile = Hostile::client().logged_in();
    let channel = open_channel(&mut hostile, kind, window);
    (hostile, channel)
}

pub fn open_channel(hostile: &mut Hostile, kind: &str, window: u32) -> u32 {
    let body = match kind {
        "session" => Vec::new(),
        _ => endpoints("db", 5_432),
    };
    hostile.say(&open(kind, THEIRS, 1 << 20, 32_768, &body));
    hostile.pump();
    let channel = asked(hostile);
    assert!(hostile.victim.connection.accept_channel(channel, window));
    hostile.pump();
    let confirmation = hostile.hear_until(message::CHANNEL_OPEN_CONFIRMATION);
    assert_eq!(
        confirmation.get(..9).unwrap_or_default(),
        numbers(
            message::CHANNEL_OPEN_CONFIRMATION,
            &[THEIRS, channel.number()]
        )
    );
    // The round trip is measured with the first channel. It gets no answer here.
    drop(hostile.hear_all());
    channel.number()
}

pub fn asked(hostile: &mut Hostile) -> ChannelId {
    match hostile
        .victim
        .find(|event| matches!(event, Event::ChannelAsked { .. }))
    {
        Some(Event::ChannelAsked { channel, .. }) => channel,
        _ => unreachable!("no channel was asked for"),
    }
}

/// A channel from client to server, open at both ends.
pub fn between(pair: &mut Pair, window: u32) -> (ChannelId, ChannelId) {
    let up = pair
        .client
        .connection
        .open_channel(&direct(), window)
        .unwrap();
    pair.run();
    let asked = pair
        .server
        .find(|event| matches!(event, Event::ChannelAsked { .. }));
    let Some(Event::ChannelAsked { channel: down, .. }) = asked else {
        unreachable!("no channel was asked for")
    };
    assert!(pair.server.connection.accept_channel(down, window));
    pair.run();
    (up, down)
}

pub fn extended(channel: u32, kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_EXTENDED_DATA, &[channel, kind]);
    out.put_string(bytes);
    out
}

pub fn request(channel: u32, name: &str, want_reply: bool, body: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_REQUEST, &[channel]);
    out.put_string(name.as_bytes());
    out.put_boolean(want_reply);
    out.put_bytes(body);
    out
}

pub fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(bytes);
    out
}

/// The victim's channel of that number, which it made itself.
pub fn number(channel: u32) -> ChannelId {
    ChannelId::from_number(channel)
}

pub fn direct() -> ChannelKind {
    ChannelKind::DirectTcpip {
        target: Endpoint::new("db", 5_432),
        origin: Endpoint::new("", 0),
    }
}
