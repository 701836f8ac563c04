//! Whatever comes: arbitrary bytes on the socket, arbitrary payloads under good keys, and good
//! payloads with something changed. Nothing panics, nothing grows, and what ends says so.

#![expect(clippy::wildcard_enum_match_arm, reason = "this is a test")]

mod support;

use adit_ssh::channel::ChannelRequest;
use adit_ssh::forward::ForwardAnswer;
use adit_ssh::wire::Write;
use adit_ssh::{Event, limits, message};
use proptest::prelude::*;
use support::hostile::{Hostile, data, endpoints, global_request, numbers, open, userauth_none};
use support::{Pair, read_all};

/// Payloads of every kind that a peer of either role sends, to be changed.
fn samples() -> Vec<Vec<u8>> {
    let string = |text: &str| {
        let mut out = Vec::new();
        out.put_string(text.as_bytes());
        out
    };
    let request = |name: &str, body: &[u8]| {
        [
            &numbers(message::CHANNEL_REQUEST, &[0])[..],
            &string(name),
            &[1],
            body,
        ]
        .concat()
    };
    let mut samples = vec![
        userauth_none("someone"),
        open("session", 1, 1 << 20, 32_768, b""),
        open("direct-tcpip", 2, 1 << 20, 32_768, &endpoints("db", 80)),
        open("forwarded-tcpip", 3, 1 << 20, 32_768, &endpoints("", 8_080)),
        open(
            "direct-streamlocal@openssh.com",
            4,
            9,
            256,
            &[&string("/x")[..], &[0; 8]].concat(),
        ),
        open(
            "forwarded-streamlocal@openssh.com",
            5,
            9,
            256,
            &[&string("/x")[..], &[0; 4]].concat(),
        ),
        numbers(message::CHANNEL_OPEN_CONFIRMATION, &[0, 7, 1 << 20, 32_768]),
        [
            &numbers(message::CHANNEL_OPEN_FAILURE, &[0, 2])[..],
            &string("no"),
            &string(""),
        ]
        .concat(),
        numbers(message::CHANNEL_WINDOW_ADJUST, &[0, 1_000]),
        data(0, b"some bytes"),
        [
            &numbers(message::CHANNEL_EXTENDED_DATA, &[0, 1])[..],
            &string("error"),
        ]
        .concat(),
        numbers(message::CHANNEL_EOF, &[0]),
        numbers(message::CHANNEL_CLOSE, &[0]),
        request("shell", b""),
        request("exec", &string("uptime")),
        request(
            "pty-req",
            &[&string("xterm")[..], &[0; 16], &string("modes")].concat(),
        ),
        request("exit-status", &[0, 0, 0, 1]),
        request(
            "exit-signal",
            &[&string("TERM")[..], &[0], &string(""), &string("")].concat(),
        ),
        request("signal", &string("INT")),
        numbers(message::CHANNEL_SUCCESS, &[0]),
        numbers(message::CHANNEL_FAILURE, &[0]),
        global_request(
            "tcpip-forward",
            true,
            &[&string("")[..], &[0, 0, 0, 80]].concat(),
        ),
        global_request(
            "cancel-tcpip-forward",
            true,
            &[&string("")[..], &[0, 0, 0, 80]].concat(),
        ),
        global_request("streamlocal-forward@openssh.com", true, &string("/run/x")),
        global_request("keepalive@openssh.com", true, b""),
        global_request("hostkeys-00@openssh.com", false, &string("blob")),
        global_request("hostkeys-prove-00@openssh.com", true, &string("blob")),
        numbers(message::REQUEST_SUCCESS, &[8_080]),
        vec![message::REQUEST_FAILURE],
        [&[message::PING][..], &string("ping")].concat(),
        [
            &numbers(message::EXT_INFO, &[1])[..],
            &string("server-sig-algs"),
            &string("x"),
        ]
        .concat(),
        [
            &numbers(message::DISCONNECT, &[11])[..],
            &string("bye"),
            &string(""),
        ]
        .concat(),
    ];
    let hostile = Hostile::client();
    samples.push(hostile.offer.build());
    samples
}

/// The owner of the victim: says yes to everything, and reads.
fn own(hostile: &mut Hostile) {
    let now = hostile.now;
    while let Some(event) = hostile.victim.events.pop_front() {
        let connection = &mut hostile.victim.connection;
        match event {
            Event::ChannelAsked { channel, .. } => {
                connection.accept_channel(channel, 65_536);
            }
            Event::Readable { channel } => {
                read_all(&mut hostile.victim, channel, now);
            }
            Event::ForwardAsked { id, .. } => {
                connection.answer_forward(id, ForwardAnswer::Granted { port: 8_080 });
            }
            Event::ChannelRequest {
                channel,
                request,
                want_reply,
            } if want_reply => {
                let is_shell = request == ChannelRequest::Shell;
                connection.answer_channel_request(channel, is_shell);
            }
            _ => {}
        }
    }
}

/// What holds of a victim at any time.
fn check(hostile: &mut Hostile) {
    own(hostile);
    hostile.pump();
    let connection = &hostile.victim.connection;
    assert!(connection.promised() <= 64 << 20);
    assert!(connection.channels() <= limits::CHANNELS);
    assert_eq!(hostile.victim.error.as_ref(), connection.error());
    assert!(hostile.pool.free() < 3_000);
}

/// A peer of either role, as far as it says: met, keyed or logged in.
fn hostile(stage: u8, is_server: bool) -> Hostile {
    let hostile = if is_server {
        Hostile::server()
    } else {
        Hostile::client()
    };
    match stage {
        0 => hostile.met(),
        1 => hostile.keyed(),
        _ => hostile.logged_in(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..3_000),
        is_server: bool,
        has_ident: bool,
    ) {
        let mut hostile = if is_server { Hostile::server() } else { Hostile::client() };
        if has_ident {
            hostile.say_ident();
        }
        hostile.say_raw(&bytes);
        check(&mut hostile);
    }

    #[test]
    fn arbitrary_payloads_never_panic(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..20),
        stage in 0_u8..3,
        is_server: bool,
    ) {
        let mut hostile = hostile(stage, is_server);
        for payload in payloads {
            hostile.say(&payload);
            check(&mut hostile);
        }
    }

    #[test]
    fn changed_messages_never_panic(
        picks in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_u8..6, any::<prop::sample::Index>(), any::<u8>()),
            1..40,
        ),
        stage in 0_u8..8,
        is_server: bool,
    ) {
        let samples = samples();
        let mut hostile = hostile(stage, is_server);
        if is_server && stage > 1 {
            // Something to be answered.
            let connection = &mut hostile.victim.connection;
            connection
                .open_channel(&adit_ssh::channel::ChannelKind::Session, 65_536)
                .unwrap();
            let bind = adit_ssh::channel::Endpoint::new("", 8_080);
            connection.request_forward(adit_ssh::forward::Forward::Tcp(bind));
        }
        for (sample, change, at, byte) in picks {
            let mut payload = sample.get(&samples).clone();
            let at = at.index(payload.len());
            match change {
                0 => payload[at] = byte,
                1 => payload[at] ^= 1 << (byte % 8),
                2 => payload.truncate(at.max(1)),
                3 => payload.insert(at, byte),
                4 => payload.extend(vec![byte; at]),
                // As it is.
                _ => {}
            }
            hostile.say(&payload);
            check(&mut hostile);
        }
    }

    #[test]
    fn a_pair_with_a_changed_byte_never_panics_and_never_goes_on_wrong(
        at in 0_usize..6_000,
        bit in 0_u8..8,
    ) {
        // A stranger on the path changes one bit of what the client says.
        let mut pair = Pair::new();
        let mut said = 0;
        let mut was_changed = false;
        loop {
            let before = pair.client.wire.len();
            pair.client.flush(pair.now, 262_144);
            let new = pair.client.wire.len() - before;
            if let Some(here) = at.checked_sub(said).filter(|here| *here < new) {
                pair.client.wire[before + here] ^= 1 << bit;
                was_changed = true;
            }
            said += new;
            if !pair.step(usize::MAX) {
                break;
            }
        }
        let is_in = pair.server.find(|event| matches!(event, Event::Authenticated)).is_some();
        // Padding that is not encrypted is nobody's business; all else is in the exchange hash.
        if was_changed && is_in && pair.server.error.is_none() {
            prop_assert_eq!(
                pair.client.connection.session_id(),
                pair.server.connection.session_id()
            );
        }
    }
}
