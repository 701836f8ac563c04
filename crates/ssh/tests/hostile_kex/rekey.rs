//! Exchanges after the first, and how long and how much any of them may take.

use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::wire::Write;

use crate::support::Pair;
use crate::support::channels::open_channel;
use crate::support::hostile::{Hostile, data, global_request, numbers};

#[test]
fn s39_rekey_hostkey_change_d9() {
    let mut hostile = Hostile::server().logged_in();
    hostile.say_kexinit();
    hostile.pump();
    hostile.read_kexinit();
    // Only the algorithm of the first exchange is asked for.
    hostile.host_key = adit_ssh::provider::aws_lc::sign::ed25519(&[77; 32]).unwrap();
    hostile.say_kex_reply(|_| {});
    let error = hostile.ends_with(9);
    let ConnectionError::HostKeyChanged { first, now } = error else {
        panic!("{error}")
    };
    assert!(first.starts_with("SHA256:") && now.starts_with("SHA256:") && first != now);
}

#[test]
fn s41_session_id_is_first_h() {
    let mut hostile = Hostile::client().logged_in();
    let first = hostile.session_id.clone();
    hostile.rekey();
    hostile.goes_on();
    assert_eq!(hostile.victim.connection.session_id(), first.as_deref());
    assert_eq!(hostile.session_id, first);
}

#[test]
fn s43_non_kex_after_peer_kexinit_d2_inflight_data_before_peer_kexinit_ok() {
    for number in (5..=19).chain(50..=255) {
        let mut hostile = Hostile::client().logged_in();
        hostile.say_kexinit();
        hostile.say(&[number, 0, 0, 0, 0, 0, 0, 0, 0]);
        hostile.ends_with(2);
    }
    let mut hostile = Hostile::client().logged_in();
    let channel = open_channel(&mut hostile, "direct-tcpip", 1 << 20);
    hostile.victim.connection.rekey(hostile.now).unwrap();
    hostile.say(&data(channel, &[5; 1_000]));
    hostile.say(&global_request("x", true, &[]));
    hostile.goes_on();
    assert!(
        hostile
            .victim
            .find(|event| matches!(event, Event::Readable { .. }))
            .is_some()
    );
    // The reply waits until the exchange is over.
    hostile.read_kexinit();
    assert_eq!(hostile.hear(), None);
    hostile.say_kexinit();
    hostile.exchange();
    assert_eq!(hostile.hear(), Some(vec![message::REQUEST_FAILURE]));
}

#[test]
fn s44_rekey_unanswered_deadline_and_bytes() {
    let mut hostile = Hostile::client().logged_in();
    hostile.victim.connection.rekey(hostile.now).unwrap();
    hostile.wait(limits::REKEY_DEADLINE - Duration::from_millis(1));
    hostile.goes_on();
    hostile.wait(Duration::from_millis(1));
    assert_eq!(hostile.ends_with(3), ConnectionError::TimedOut(Wait::Rekey));

    // What costs no window.
    for payload in [
        global_request("x", true, &[0; 100]),
        global_request("x", false, &[0; 100]),
        vec![message::IGNORE, 0, 0, 0, 0],
        vec![200],
    ] {
        let mut hostile = Hostile::client().logged_in();
        hostile.victim.connection.rekey(hostile.now).unwrap();
        hostile.pump();
        let mut said = 0;
        while hostile.victim.error.is_none() {
            assert!(hostile.victim.connection.wants_read());
            let packet = hostile.packet(&payload);
            hostile.victim.hear(hostile.now, packet);
            said += payload.len();
            assert!(said <= 2 * limits::CONTROL_QUEUE_BYTES);
        }
        hostile.hear_until(message::KEXINIT);
        hostile.ends_with(3);
    }

    // What does: far more may be in flight, up to the window and not a byte over it.
    for kind in [message::CHANNEL_DATA, message::CHANNEL_EXTENDED_DATA] {
        let data = |channel: u32, bytes: &[u8]| {
            let mut out = numbers(kind, &[channel]);
            if kind == message::CHANNEL_EXTENDED_DATA {
                out.put_uint32(1);
            }
            out.put_string(bytes);
            out
        };
        let mut hostile = Hostile::client().logged_in();
        let window = 4 * u32::try_from(limits::CONTROL_QUEUE_BYTES).unwrap();
        let channel = open_channel(&mut hostile, "direct-tcpip", window);
        hostile.victim.connection.rekey(hostile.now).unwrap();
        for _ in 0..window / 16_384 {
            hostile.say(&data(channel, &[1; 16_384]));
        }
        hostile.goes_on();
        hostile.say(&data(channel, &[1; 1]));
        hostile.read_kexinit();
        hostile.ends_with(2);
    }
}

#[test]
fn s44_new_keys_that_cannot_leave_have_a_deadline() {
    let mut pair = Pair::connected();
    pair.client.connection.rekey(pair.now).unwrap();
    pair.client.flush(pair.now, 262_144);
    pair.carry_up();
    pair.server.flush(pair.now, 262_144);
    pair.carry_down();
    pair.client.flush(pair.now, 262_144);
    pair.carry_up();
    pair.server.flush(pair.now, 262_144);
    // The server's NEWKEYS comes; the client's stays where it is, for its socket takes nothing.
    pair.carry_down();
    let due = pair.client.connection.next_deadline().unwrap();
    assert_eq!(due, pair.now + limits::REKEY_DEADLINE);
    pair.advance(limits::REKEY_DEADLINE);
    assert_eq!(
        pair.client.error,
        Some(ConnectionError::TimedOut(Wait::Rekey))
    );
}

#[test]
fn s45_kex_flood_preauth_and_postauth() {
    let mut hostile = Hostile::client().keyed();
    hostile.hear_all();
    hostile.say_kexinit();
    hostile.ends_with(2);

    let mut hostile = Hostile::client().logged_in();
    for _ in 0..limits::REKEY_BURST {
        hostile.rekey();
        hostile.goes_on();
    }
    // What is more than that gets its answer when its time has come. Nothing is read before.
    for _ in 0..limits::REKEY_BURST {
        hostile.say_kexinit();
        hostile.goes_on();
        if hostile.victim.connection.wants_read() {
            // The exchanges themselves have moved enough to pay for one.
            hostile.read_kexinit();
            hostile.exchange();
            continue;
        }
        assert!(hostile.hear_all().is_empty());
        let due = hostile.victim.connection.next_deadline().unwrap() - hostile.now;
        assert!(due > limits::REKEY_REFILL / 2 && due <= limits::REKEY_REFILL);
        hostile.wait(due / 2);
        assert!(hostile.hear_all().is_empty());
        hostile.wait(due - due / 2);
        hostile.read_kexinit();
        hostile.exchange();
        hostile.goes_on();
    }
    // A second one in a row is what it always was.
    hostile.say_kexinit();
    hostile.wait(limits::REKEY_REFILL);
    hostile.read_kexinit();
    hostile.say_kexinit();
    hostile.ends_with(2);

    let mut hostile = Hostile::client().logged_in();
    for _ in 0..2 * limits::REKEY_BURST {
        hostile.rekey();
        hostile.wait(limits::REKEY_REFILL);
        hostile.goes_on();
    }
}

#[test]
fn s45_keys_renewed_before_every_packet_delay_and_end_nothing() {
    let mut hostile = Hostile::client().logged_in();
    let channel = open_channel(&mut hostile, "direct-tcpip", 1 << 23);
    let began = hostile.now;
    let rounds = 3 * limits::REKEY_BURST;
    for _ in 0..rounds {
        let mut data = numbers(message::CHANNEL_DATA, &[channel]);
        data.put_string(&[1; 16_384]);
        hostile.say(&data);
        hostile.say_kexinit();
        hostile.pump();
        if !hostile.victim.connection.wants_read() {
            let due = hostile.victim.connection.next_deadline().unwrap();
            hostile.wait(due - hostile.now);
        }
        hostile.read_kexinit();
        hostile.exchange();
        hostile.goes_on();
    }
    // An eighth of each is paid for by what was moved.
    let most = limits::REKEY_REFILL * rounds;
    assert!(hostile.now - began < most, "{:?}", hostile.now - began);
    assert!(hostile.now - began > most / 2);
}

#[test]
fn s46_crossing_kexinits_are_one_exchange() {
    for mut hostile in [Hostile::client().logged_in(), Hostile::server().logged_in()] {
        for _ in 0..100 {
            // More often than a peer alone may: each was the victim's wish, too.
            hostile.victim.connection.rekey(hostile.now).unwrap();
            hostile.say_kexinit();
            hostile.pump();
            hostile.read_kexinit();
            hostile.exchange();
            hostile.goes_on();
            assert!(
                hostile
                    .victim
                    .find(|e| matches!(e, Event::Rekeyed { .. }))
                    .is_some()
            );
        }
    }
}

#[test]
fn s47_preauth_volume_cut() {
    let mut hostile = Hostile::client().keyed();
    let mut ignore = vec![message::IGNORE];
    ignore.put_string(&[0; 16_000]);
    let mut said = 0;
    while hostile.victim.error.is_none() {
        hostile.say(&ignore);
        hostile.pump();
        said += 16_000;
        assert!(said < 600_000);
    }
    assert!(said > 500_000);
    hostile.ends_with(2);
    // Nor does the victim renew its keys before.
    assert!(!hostile.hear_all().iter().any(|m| m[0] == message::KEXINIT));
}

#[test]
fn a_person_may_take_longer_over_a_host_key_than_a_key_exchange() {
    let mut hostile = Hostile::server().met();
    hostile.holds_verdict = true;
    hostile.pump();
    hostile.say_kex_reply(|_| {});
    hostile.pump();
    hostile.wait(limits::LOGIN_DEADLINE - Duration::from_secs(1));
    assert!(!hostile.victim.connection.wants_read());
    hostile.goes_on();
    hostile.wait(Duration::from_secs(1));
    assert_eq!(
        hostile.ends_with(11),
        ConnectionError::TimedOut(Wait::KeyExchange)
    );
}
