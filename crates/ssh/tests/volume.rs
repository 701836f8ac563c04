//! What only shows after much: gigabytes, growing windows, the order of control and data.

#![expect(clippy::wildcard_enum_match_arm, reason = "this is a test")]

mod support;

use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::block::HEADROOM;
use adit_ssh::channel::ChannelId;
use adit_ssh::message;
use support::channels::{asked, between};
use support::hostile::{Hostile, data, endpoints, numbers, open};
use support::{Pair, read_all};

/// A channel of the hostile client that takes `window` bytes at first, and gives as many as 64 KiB.
fn hostile_channel(hostile: &mut Hostile, window: u32) -> ChannelId {
    let body = endpoints("db", 1);
    hostile.say(&open("direct-tcpip", 3, window, 32_768, &body));
    hostile.pump();
    let channel = asked(hostile);
    hostile.victim.connection.accept_channel(channel, 65_536);
    hostile.pump();
    channel
}

#[test]
fn s86_a_window_is_used_to_its_last_byte_and_as_large_as_the_wire_has_it() {
    let mut hostile = Hostile::client().logged_in();
    let channel = hostile_channel(&mut hostile, 0);
    hostile.hear_all();
    let mut sent = 0_u64;
    for _ in 0..300 {
        let mut block = hostile.pool.take();
        block.set_range(HEADROOM, HEADROOM);
        block.append(&vec![1; 32_768]);
        hostile.victim.connection.write(channel, block);
        // One byte first, then the rest: a packet ends where the window does.
        for grant in [1, 32_767] {
            hostile.say(&numbers(
                message::CHANNEL_WINDOW_ADJUST,
                &[channel.number(), grant],
            ));
            hostile.pump();
            let bytes: usize = hostile
                .hear_all()
                .iter()
                .filter(|message| message[0] == message::CHANNEL_DATA)
                .map(|message| message.len() - 9)
                .sum();
            assert_eq!(bytes, usize::try_from(grant).unwrap());
            sent += u64::try_from(bytes).unwrap();
        }
    }
    assert_eq!(sent, 300 * 32_768);
    hostile.say(&numbers(
        message::CHANNEL_WINDOW_ADJUST,
        &[channel.number(), u32::MAX],
    ));
    hostile.goes_on();
    assert_eq!(
        hostile.victim.connection.windows(channel).unwrap().may_send,
        u32::MAX
    );
}

#[test]
fn a_near_peer_has_little_in_flight_and_one_that_gives_no_credit_its_window() {
    let mut hostile = Hostile::client().logged_in();
    let channel = hostile_channel(&mut hostile, 2 << 20);
    hostile.wait(Duration::from_micros(50));
    hostile.answer_keep_alives();
    let may_send = |hostile: &Hostile| hostile.victim.connection.windows(channel).unwrap().may_send;
    for _ in 0..128 {
        let mut block = hostile.pool.take();
        block.set_range(HEADROOM, HEADROOM);
        block.append(&vec![1; 32_768]);
        hostile.victim.connection.write(channel, block);
    }
    // Nothing is known of its credit yet.
    hostile.pump();
    assert_eq!(may_send(&hostile), 0);
    // It has taken all and will give credit for as little as this again: 256 KiB are in flight.
    let credit = |hostile: &mut Hostile, bytes| {
        hostile.say(&numbers(
            message::CHANNEL_WINDOW_ADJUST,
            &[channel.number(), bytes],
        ));
        hostile.pump();
    };
    credit(&mut hostile, 98_304);
    credit(&mut hostile, (2 << 20) - 98_304);
    assert_eq!(may_send(&hostile), (2 << 20) - 262_144);
    // It is silent: the whole window counts, after a while that has a deadline.
    let due = hostile.victim.connection.next_deadline().unwrap();
    assert_eq!(due - hostile.now, Duration::from_millis(50));
    hostile.wait(Duration::from_millis(50));
    assert_eq!(may_send(&hostile), 0);
    assert_eq!(hostile.victim.connection.queued(channel), 0);
}

#[test]
fn s107_a_window_grows_only_for_a_reader_that_needs_it() {
    let mut hostile = Hostile::client().logged_in();
    let channel = hostile_channel(&mut hostile, 0);
    // The peer says that the round trip is ten minutes, and fills its window as fast as it may.
    hostile.wait(Duration::from_secs(600));
    hostile.answer_keep_alives();
    assert_eq!(
        hostile.victim.connection.round_trip(),
        Some(Duration::from_secs(600))
    );
    let limit = |hostile: &Hostile| hostile.victim.connection.windows(channel).unwrap().limit;
    for _ in 0..100 {
        let may = hostile.victim.connection.windows(channel).unwrap().may_come;
        let size = usize::try_from(may.min(32_768)).unwrap();
        hostile.say(&data(channel.number(), &vec![1; size]));
        hostile.pump();
    }
    // Nobody reads: it stays what it was.
    assert_eq!(limit(&hostile), 65_536);
    // Somebody reads all: it grows, to its cap and within the allowance.
    hostile.victim.connection.set_allowance(1 << 20);
    for _ in 0..3_000 {
        let now = hostile.now;
        read_all(&mut hostile.victim, channel, now);
        hostile.pump();
        hostile.hear_all();
        let may = hostile.victim.connection.windows(channel).unwrap().may_come;
        let size = usize::try_from(may.min(32_768)).unwrap();
        hostile.say(&data(channel.number(), &vec![1; size]));
        hostile.pump();
        assert!(hostile.victim.connection.promised() <= 1 << 20);
    }
    assert_eq!(limit(&hostile), 1 << 20);
    assert!(
        hostile
            .victim
            .find(|e| matches!(e, Event::WantsAllowance { .. }))
            .is_some()
    );
}

#[test]
fn replies_leave_before_data_and_data_by_turns() {
    let mut pair = Pair::connected();
    let (one, _) = between(&mut pair, 1 << 20);
    let (other, _) = between(&mut pair, 1 << 20);
    for _ in 0..20 {
        for channel in [one, other] {
            let block = pair.block(&vec![5; 32_768]);
            pair.client.connection.write(channel, block);
        }
    }
    pair.client.connection.ask_alive(pair.now);
    let mut out = adit_ssh::packet::Outgoing::new();
    pair.client
        .connection
        .transmit(pair.now, &mut out, 200_000)
        .unwrap();
    let sealed: Vec<(ChannelId, usize)> =
        std::iter::from_fn(|| pair.client.connection.poll_event())
            .filter_map(|event| match event {
                Event::Sealed { channel, bytes } => Some((channel, bytes)),
                _ => None,
            })
            .collect();
    // Two quanta each before the other's third.
    for channel in [one, other] {
        let bytes: usize = sealed
            .iter()
            .filter(|(id, _)| *id == channel)
            .map(|(_, n)| n)
            .sum();
        assert!((65_536..=131_072).contains(&bytes), "{sealed:?}");
    }
    // The keep-alive is the first packet, small as it is.
    let first = out.slices().next().unwrap().len();
    assert!(first < 1_000, "{first}");
}
