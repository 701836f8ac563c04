//! Our client and our server against each other, in one thread.

use adit_ssh::Event;
use adit_ssh::algorithm::KexAlgorithm;
use adit_ssh::channel::{ChannelKind, Endpoint};
use adit_ssh::error::ConnectionError;
use adit_ssh::forward::{Forward, ForwardAnswer};

mod support;

use support::channels::between;
use support::{Pair, read_all};

#[test]
fn a_client_logs_in_and_both_agree_on_the_session() {
    let pair = Pair::connected();
    assert_eq!(
        pair.client.connection.session_id(),
        pair.server.connection.session_id()
    );
    assert!(pair.client.connection.negotiated().unwrap().strict);
}

#[test]
fn a_forward_carries_bytes_both_ways_and_ends_in_halves() {
    let mut pair = Pair::connected();
    let bind = Endpoint::new("localhost", 0);
    pair.client
        .connection
        .request_forward(Forward::Tcp(bind))
        .unwrap();
    pair.run();
    let Some(Event::ForwardAsked { id, forward, .. }) = pair.server.find(|_| true) else {
        panic!()
    };
    assert_eq!(forward, Forward::Tcp(Endpoint::new("localhost", 0)));
    pair.server
        .connection
        .answer_forward(id, ForwardAnswer::Granted { port: 40_122 });
    pair.run();
    let Some(Event::ForwardAnswered { answer, .. }) = pair.client.find(|_| true) else {
        panic!()
    };
    assert_eq!(answer, ForwardAnswer::Granted { port: 40_122 });

    let kind = ChannelKind::ForwardedTcpip {
        bind: Endpoint::new("localhost", 40_122),
        origin: Endpoint::new("192.0.2.1", 5_000),
    };
    let up = pair.server.connection.open_channel(&kind, 1 << 20).unwrap();
    pair.run();
    let Some(Event::ChannelAsked {
        channel: down,
        kind: asked,
    }) = pair.client.find(|_| true)
    else {
        panic!()
    };
    assert_eq!(asked, kind);
    assert!(pair.client.connection.accept_channel(down, 1 << 20));
    pair.run();
    assert!(
        pair.server
            .find(|event| matches!(event, Event::ChannelOpened { .. }))
            .is_some()
    );

    let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for part in sent.chunks(30_000) {
        let block = pair.block(part);
        pair.server.connection.write(up, block);
    }
    let block = pair.block(b"and back");
    pair.client.connection.write(down, block);
    pair.server.connection.finish(up);
    pair.run();
    let now = pair.now;
    assert_eq!(read_all(&mut pair.client, down, now), sent);
    assert!(
        pair.client
            .find(|event| matches!(event, Event::Ended { .. }))
            .is_some()
    );
    pair.client.connection.finish(down);
    pair.run();
    assert_eq!(read_all(&mut pair.server, up, now), b"and back");
    pair.run();
    assert_eq!(pair.client.connection.channels(), 0);
    assert_eq!(pair.server.connection.channels(), 0);
    assert_eq!(pair.client.connection.promised(), 0);
    assert_eq!(pair.server.connection.promised(), 0);
}

#[test]
fn a_client_without_a_common_algorithm_learns_what_there_would_have_been() {
    let mut pair = Pair::with(
        |client| client.transport.preferences.kex = vec![KexAlgorithm::Curve25519],
        |server| {
            let preferences = &mut server.transport.preferences;
            *preferences = preferences.clone().pq_only();
        },
    );
    // It has said everything before the server says its first word.
    pair.client.flush(pair.now, usize::MAX);
    let wire = std::mem::take(&mut pair.client.wire);
    pair.server.hear(pair.now, wire);
    pair.run();
    for (end, theirs) in [
        (&pair.client, "mlkem768x25519-sha256,"),
        (&pair.server, "curve25519-sha256,"),
    ] {
        match &end.error {
            Some(ConnectionError::NoCommonAlgorithm { theirs: list, .. }) => {
                assert!(list.as_str().starts_with(theirs), "{list}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_came_with_the_goodbye_can_still_be_taken() {
    let mut pair = Pair::connected();
    let (up, down) = between(&mut pair, 1 << 20);
    let block = pair.block(b"last words");
    pair.client.connection.write(up, block);
    pair.client.connection.finish(up);
    pair.client.flush(pair.now, usize::MAX);
    pair.client.connection.close();
    pair.client.flush(pair.now, usize::MAX);
    pair.run();
    assert!(pair.server.error.is_some());
    let now = pair.now;
    assert_eq!(read_all(&mut pair.server, down, now), b"last words");
    assert!(
        pair.server
            .find(|event| matches!(event, Event::Ended { .. }))
            .is_some()
    );
}

#[test]
fn keys_are_renewed_in_the_middle_of_traffic() {
    let mut pair = Pair::connected();
    let (up, down) = between(&mut pair, 1 << 20);
    let mut got = Vec::new();
    let mut sent = Vec::new();
    for round in 0..100_u8 {
        let bytes = vec![round; 10_000];
        let block = pair.block(&bytes);
        sent.extend(bytes);
        pair.client.connection.write(up, block);
        if round % 10 == 5 {
            pair.client.connection.rekey(pair.now).unwrap();
        }
        if round % 7 == 3 {
            pair.server.connection.rekey(pair.now).unwrap();
        }
        pair.step(1_000);
        let now = pair.now;
        got.extend(read_all(&mut pair.server, down, now));
    }
    pair.run();
    let now = pair.now;
    got.extend(read_all(&mut pair.server, down, now));
    assert!(got == sent);
    assert!(pair.client.error.is_none() && pair.server.error.is_none());
    assert!(
        pair.client
            .find(|event| matches!(event, Event::Rekeyed { .. }))
            .is_some()
    );
}
