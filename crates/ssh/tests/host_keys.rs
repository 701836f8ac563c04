//! Host keys that are announced and proved, pings, and sessions given up: what OpenSSH added.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "this is a test"
)]

mod support;

use std::sync::Arc;

use adit_ssh::Event;
use adit_ssh::channel::ChannelKind;
use adit_ssh::kex::HostKey;
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::wire::{Reader, Write};
use support::Pair;
use support::hostile::{Hostile, global_request};

fn key(seed: u8) -> Arc<dyn Signer> {
    aws_lc::sign::ed25519(&[seed; 32]).unwrap()
}

fn blob(seed: u8) -> Vec<u8> {
    key(seed).public_key().blob().to_vec()
}

fn strings(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for string in strings {
        out.put_string(string);
    }
    out
}

/// What is signed to prove a host key.
fn proof(session_id: &[u8], blob: &[u8]) -> Vec<u8> {
    strings(&[
        b"hostkeys-prove-00@openssh.com".to_vec(),
        session_id.to_vec(),
        blob.to_vec(),
    ])
}

fn announced(events: impl IntoIterator<Item = Event>) -> Vec<Vec<Vec<u8>>> {
    let blobs = |event| match event {
        Event::HostKeys(blobs) => Some(blobs),
        _ => None,
    };
    events.into_iter().filter_map(blobs).collect()
}

fn proved(events: impl IntoIterator<Item = Event>) -> Vec<Vec<Vec<u8>>> {
    let blobs = |event| match event {
        Event::HostKeysProved(blobs) => Some(blobs),
        _ => None,
    };
    events.into_iter().filter_map(blobs).collect()
}

#[test]
fn a_client_learns_the_other_keys_of_its_server() {
    let mut pair = Pair::with(
        |_| {},
        |server| server.host_keys = Arc::new([HostKey::plain(key(9)), HostKey::plain(key(10))]),
    );
    pair.run();
    assert_eq!(
        announced(pair.client.events.drain(..)),
        [[blob(9), blob(10)]]
    );
    let wanted = [blob(10), blob(11)];
    // One that the server has not: nothing is proved.
    pair.client.connection.prove_host_keys(&wanted);
    pair.run();
    assert_eq!(proved(pair.client.events.drain(..)), [[[0; 0]; 0]]);
    pair.client.connection.prove_host_keys(&wanted[..1]);
    pair.run();
    assert_eq!(proved(pair.client.events.drain(..)), [[blob(10)]]);
    assert!(pair.client.error.is_none() && pair.server.error.is_none());
}

#[test]
fn s100_prove_once_per_key_prove_foreign_key_fails() {
    let mut hostile = Hostile::client_with(|server| {
        server.host_keys = (20..40).map(|seed| HostKey::plain(key(seed))).collect();
    })
    .logged_in();
    let ask = |hostile: &mut Hostile, body: &[u8]| {
        hostile.say(&global_request("hostkeys-prove-00@openssh.com", true, body));
        hostile.goes_on();
        hostile.expect_message()
    };
    let refused = [message::REQUEST_FAILURE];
    assert_eq!(ask(&mut hostile, b""), refused);
    assert_eq!(ask(&mut hostile, &strings(&[blob(1)])), refused);
    assert_eq!(ask(&mut hostile, &strings(&[b"hello".to_vec()])), refused);
    assert_eq!(ask(&mut hostile, &strings(&[blob(20), blob(20)])), refused);
    // A refused question has used nothing up.
    let answer = ask(&mut hostile, &strings(&[blob(20), blob(21)]));
    let mut reader = Reader::new(&answer);
    assert_eq!(reader.byte().unwrap(), message::REQUEST_SUCCESS);
    let session_id = hostile.session_id.clone().unwrap();
    for seed in [20, 21] {
        let signer = key(seed);
        let algorithm = signer.algorithms()[0];
        let wanted = signer
            .sign(algorithm, &proof(&session_id, &blob(seed)))
            .unwrap();
        assert_eq!(reader.string().unwrap(), wanted);
    }
    reader.finish().unwrap();
    assert_eq!(ask(&mut hostile, &strings(&[blob(21)])), refused);
    for seed in 22..28 {
        assert_eq!(
            ask(&mut hostile, &strings(&[blob(seed)]))[0],
            message::REQUEST_SUCCESS
        );
    }
    // Over eight there is none.
    assert_eq!(ask(&mut hostile, &strings(&[blob(28)])), refused);
    // It was announced no more than can be proved, and once.
    let count = Reader::new(&hostile.announced[0]).rest().len();
    assert!(hostile.announced.len() == 1 && count < 9 * blob(20).len() + 60);
    // Without the wish for an answer there is none, and a broken frame is one.
    let request = global_request(
        "hostkeys-prove-00@openssh.com",
        false,
        &strings(&[blob(29)]),
    );
    hostile.say(&request);
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    hostile.say(&global_request(
        "hostkeys-prove-00@openssh.com",
        true,
        &[0, 0, 1],
    ));
    hostile.ends_with(2);
}

#[test]
fn s101_hostkeys_are_announced_once_and_never_to_those_that_break() {
    for (ident, is_told) in [
        ("OpenSSH_9.2p1", true),
        ("PuTTY_Release_0.83", true),
        ("Cisco-1.25", false),
        ("TTSSH/2.72 Win32", false),
        ("TTSSH/2.9 Win32", false),
        ("TTSSH/1.5.4", false),
        ("TTSSH/2.73 Win32", true),
        ("TTSSH/3.1 Win32", true),
    ] {
        let mut hostile = Hostile::client();
        hostile.ident = format!("SSH-2.0-{ident}").into_bytes();
        let mut hostile = hostile.logged_in();
        assert_eq!(hostile.announced.len(), usize::from(is_told), "{ident}");
        hostile.rekey();
        hostile.goes_on();
        assert_eq!(hostile.hear(), None);
    }
}

#[test]
fn s101_hostile_announcements_are_cut_to_size() {
    let mut hostile = Hostile::server().logged_in();
    let mut certificate = Vec::new();
    certificate.put_string(b"ssh-ed25519-cert-v01@openssh.com");
    certificate.put_bytes(&[1; 100]);
    let mut blobs = vec![certificate, b"junk".to_vec(), blob(1), blob(1)];
    blobs.extend((2..60).map(blob));
    for _ in 0..3 {
        hostile.say(&global_request(
            "hostkeys-00@openssh.com",
            false,
            &strings(&blobs),
        ));
    }
    hostile.goes_on();
    let told = announced(hostile.victim.events.drain(..));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0], (1..17).map(blob).collect::<Vec<_>>());
    for body in [&[0, 0, 1][..], &strings(&[vec![1; limits::KEY_BLOB + 1]])] {
        let mut hostile = Hostile::server().logged_in();
        hostile.say(&global_request("hostkeys-00@openssh.com", false, body));
        hostile.ends_with(2);
    }
}

#[test]
fn a_proof_that_is_none_proves_nothing() {
    let wanted = [blob(1), blob(2)];
    let good = |session_id: &[u8], seed: u8| {
        let signer = key(seed);
        signer
            .sign(signer.algorithms()[0], &proof(session_id, &blob(seed)))
            .unwrap()
    };
    let answer =
        |signatures: &[Vec<u8>]| [&[message::REQUEST_SUCCESS][..], &strings(signatures)].concat();
    let asked = || {
        let mut hostile = Hostile::server().logged_in();
        hostile.victim.connection.prove_host_keys(&wanted);
        hostile.pump();
        assert_eq!(hostile.expect_message()[0], message::GLOBAL_REQUEST);
        let session_id = hostile.session_id.clone().unwrap();
        (hostile, session_id)
    };
    // One is good, the other was made by the first key.
    let (mut hostile, session_id) = asked();
    let (one, other) = (good(&session_id, 1), good(&session_id, 1));
    hostile.say(&answer(&[one, other]));
    hostile.goes_on();
    assert_eq!(proved(hostile.victim.events.drain(..)), [[blob(1)]]);
    // Of another connection.
    let (mut hostile, session_id) = asked();
    let stale = good(&session_id[1..], 2);
    hostile.say(&answer(&[good(&session_id, 1), stale]));
    hostile.goes_on();
    assert_eq!(proved(hostile.victim.events.drain(..)), [[blob(1)]]);
    // Too few, too many.
    for signatures in [1, 3] {
        let (mut hostile, session_id) = asked();
        hostile.say(&answer(&vec![good(&session_id, 1); signatures]));
        hostile.ends_with(2);
    }
}

#[test]
fn a_ping_is_sent_where_it_is_announced_and_outside_of_key_exchanges() {
    let mut pair = Pair::connected();
    assert!(pair.client.connection.ping(b"hello"));
    pair.run();
    assert!(
        pair.client
            .find(|event| matches!(event, Event::Pong))
            .is_some()
    );
    pair.client.connection.rekey(pair.now).unwrap();
    assert!(!pair.client.connection.ping(b"hello"));
    pair.run();
    assert!(pair.client.connection.ping(&[7; 5_000]));
    pair.run();
    assert!(
        pair.client
            .find(|event| matches!(event, Event::Pong))
            .is_some()
    );
    assert_eq!(pair.server.error, None);
    // A client announces none, and a stock server without EXT_INFO neither.
    assert!(!pair.server.connection.ping(b"hello"));
    let mut hostile = Hostile::server().logged_in();
    assert!(!hostile.victim.connection.ping(b"hello"));
    // Pongs that nobody asked for are nothing.
    hostile.say(&[message::PONG, 0, 0, 0, 0]);
    hostile.goes_on();
    assert!(hostile.victim.events.is_empty());
}

#[test]
fn s19_ping_lost_in_rekey_is_not_death() {
    let mut hostile = Hostile::server_with(|client| {
        client.transport.keep_alive = Some(adit_ssh::connection::KeepAlive {
            interval: std::time::Duration::from_secs(10),
            misses: 3,
        });
    })
    .keyed();
    let mut ext_info = vec![message::EXT_INFO, 0, 0, 0, 1];
    ext_info.put_string(b"ping@openssh.com");
    ext_info.put_string(b"0");
    hostile.say(&ext_info);
    hostile.log_in();
    assert!(hostile.victim.connection.ping(b"one"));
    hostile.pump();
    assert_eq!(hostile.expect_message()[0], message::PING);
    // As OpenSSH 9.9p2 does: the key exchange swallows it.
    hostile.rekey();
    hostile.wait(std::time::Duration::from_secs(5));
    hostile.goes_on();
    // A late pong is for nobody; one that is due is for the next.
    hostile.say(&[message::PONG, 0, 0, 0, 0]);
    hostile.goes_on();
    assert!(
        hostile
            .victim
            .find(|event| matches!(event, Event::Pong))
            .is_none()
    );
    assert!(hostile.victim.connection.ping(b"two"));
    hostile.say(&[message::PONG, 0, 0, 0, 0]);
    hostile.goes_on();
    assert!(
        hostile
            .victim
            .find(|event| matches!(event, Event::Pong))
            .is_some()
    );
}

#[test]
fn a_client_that_gave_sessions_up_cannot_open_one() {
    let mut pair = Pair::connected();
    pair.client.connection.send_no_more_sessions();
    pair.run();
    pair.client
        .connection
        .open_channel(&ChannelKind::Session, 65_536)
        .unwrap();
    pair.run();
    assert!(pair.server.error.is_some());
}
