use std::time::Duration;

use super::*;
use crate::block::{Block, HEADROOM, Pool};
use crate::channel::{ChannelKind, OpenFailure};
use crate::message;
use crate::wire::Write;

const NOW: fn() -> Instant = crate::test_clock;

/// A table with room for anything, and where its events go.
fn table() -> (Channels, Events, Pool) {
    let mut channels = Channels::new(Caps {
        channels: 16,
        peer: Peer::Stock,
    });
    channels.set_allowance(u64::MAX);
    (channels, Events::default(), Pool::new(0))
}

/// A message of numbers alone.
fn message(number: u8, numbers: &[u32]) -> Vec<u8> {
    let mut out = vec![number];
    for number in numbers {
        out.put_uint32(*number);
    }
    out
}

fn data(pool: &Pool, local: u32, bytes: &[u8]) -> Block {
    let mut payload = message(message::CHANNEL_DATA, &[local]);
    payload.put_string(bytes);
    let mut block = pool.take();
    block.append(&payload);
    block
}

/// A channel of ours that the peer has opened at its end.
fn open(channels: &mut Channels, events: &mut Events, window: u32) -> u32 {
    let kind = ChannelKind::DirectStreamlocal {
        path: "/run/x".to_owned(),
    };
    let (channel, _) = channels.open(&kind, window).unwrap();
    let confirmation = message(
        message::CHANNEL_OPEN_CONFIRMATION,
        &[channel.0, 70, 1 << 20, 32_768],
    );
    channels.confirmed(&confirmation, events).unwrap();
    channel.0
}

fn sent(channels: &mut Channels, pool: &Pool) -> Vec<u8> {
    std::iter::from_fn(|| channels.next(pool, NOW()))
        .map(|next| match next {
            Next::Message(message) => message[0],
            Next::Data { .. } => message::CHANNEL_DATA,
        })
        .collect()
}

#[test]
fn data_that_crosses_our_close_is_dropped_and_leaks_nothing() {
    for sealed in [false, true] {
        let (mut channels, mut events, pool) = table();
        let local = open(&mut channels, &mut events, 1 << 20);
        channels.reset(ChannelId(local));
        if sealed {
            assert_eq!(sent(&mut channels, &pool), [message::CHANNEL_CLOSE]);
        }
        assert!(
            channels
                .data(data(&pool, local, &[1; 5_000]), &mut events)
                .unwrap()
                .is_some()
        );
        let mut extended = message(message::CHANNEL_EXTENDED_DATA, &[local, 1]);
        extended.put_string(b"error");
        channels.extended_data(&extended, NOW()).unwrap();
        assert_eq!(channels.promised(), 0);
        assert!(channels.take_chunk(ChannelId(local)).is_none());
        sent(&mut channels, &pool);
        channels
            .closed(
                &message(message::CHANNEL_CLOSE, &[local]),
                NOW(),
                &mut events,
            )
            .unwrap();
        assert_eq!((channels.len(), channels.promised()), (0, 0));
    }
}

#[test]
fn what_was_written_before_the_answer_leaves_after_it() {
    let (mut channels, mut events, pool) = table();
    let kind = ChannelKind::DirectStreamlocal {
        path: "/run/x".to_owned(),
    };
    let (channel, _) = channels.open(&kind, 1 << 20).unwrap();
    let mut block = pool.take();
    block.set_range(HEADROOM, HEADROOM);
    block.append(b"early");
    channels.write(channel, block);
    channels.finish(channel);
    assert_eq!(sent(&mut channels, &pool), []);
    let confirmation = message(
        message::CHANNEL_OPEN_CONFIRMATION,
        &[channel.0, 7, 1 << 20, 32_768],
    );
    channels.confirmed(&confirmation, &mut events).unwrap();
    assert_eq!(
        sent(&mut channels, &pool),
        [message::CHANNEL_DATA, message::CHANNEL_EOF]
    );
}

#[test]
fn late_adjust_never_credits_new_channel() {
    let (mut channels, mut events, pool) = table();
    channels.next = limits::CHANNEL_NUMBER;
    let last = open(&mut channels, &mut events, 1 << 20);
    assert_eq!(last, limits::CHANNEL_NUMBER);
    channels.reset(ChannelId(last));
    sent(&mut channels, &pool);
    channels
        .closed(
            &message(message::CHANNEL_CLOSE, &[last]),
            NOW(),
            &mut events,
        )
        .unwrap();
    let first = open(&mut channels, &mut events, 1 << 20);
    assert_eq!(first, 0);
    // A number in use is passed over.
    channels.next = 0;
    assert_eq!(open(&mut channels, &mut events, 1 << 20), 1);
    // The late one hits nobody, and is forgiven.
    let adjust = message(message::CHANNEL_WINDOW_ADJUST, &[last, u32::MAX]);
    channels.window_adjusted(&adjust).unwrap();
    // What never was a number of ours is not.
    let adjust = message(message::CHANNEL_WINDOW_ADJUST, &[1 << 31, 1]);
    assert!(channels.window_adjusted(&adjust).is_err());
}

#[test]
fn unknown_id_matrix() {
    let extended = |local| {
        let mut out = message(message::CHANNEL_EXTENDED_DATA, &[local, 1]);
        out.put_string(b"x");
        out
    };
    let request = |local| {
        let mut out = message(message::CHANNEL_REQUEST, &[local]);
        out.put_string(b"shell");
        out.put_boolean(true);
        out
    };
    let refusal = |local| {
        let mut out = message(message::CHANNEL_OPEN_FAILURE, &[local, 2]);
        out.put_string(b"");
        out.put_string(b"");
        out
    };
    // A channel that was, and one that never was.
    for (local, was) in [(0, true), (9, false)] {
        let (mut channels, mut events, pool) = table();
        let closed = open(&mut channels, &mut events, 1 << 20);
        channels.reset(ChannelId(closed));
        sent(&mut channels, &pool);
        channels
            .closed(
                &message(message::CHANNEL_CLOSE, &[closed]),
                NOW(),
                &mut events,
            )
            .unwrap();
        let one = message(0, &[local]);
        let confirmation = message(0, &[local, 1, 1, 32_768]);
        assert!(
            channels
                .data(data(&pool, local, b"x"), &mut events)
                .is_err()
        );
        assert!(channels.extended_data(&extended(local), NOW()).is_err());
        assert!(channels.ended(&one, &mut events).is_err());
        assert!(channels.closed(&one, NOW(), &mut events).is_err());
        assert!(channels.requested(&request(local), &mut events).is_err());
        assert!(channels.confirmed(&confirmation, &mut events).is_err());
        assert!(channels.failed(&refusal(local), &mut events).is_err());
        for _ in 0..(limits::STRAY_CHANNEL_MESSAGES / 3) {
            assert_eq!(
                channels.window_adjusted(&message(0, &[local, 1])).is_ok(),
                was
            );
            assert_eq!(channels.answered(&one, true, &mut events).is_ok(), was);
            assert_eq!(channels.answered(&one, false, &mut events).is_ok(), was);
        }
        channels.window_adjusted(&message(0, &[0, 1])).ok();
        assert!(channels.window_adjusted(&message(0, &[local, 1])).is_err());
    }
}

#[test]
fn close_delivers_all_or_errors() {
    let (mut channels, mut events, pool) = table();
    let local = open(&mut channels, &mut events, 1 << 20);
    let start = NOW();
    for _ in 0..3 {
        channels
            .data(data(&pool, local, &vec![1; 20_000]), &mut events)
            .unwrap();
    }
    let close = message(message::CHANNEL_CLOSE, &[local]);
    channels.closed(&close, start, &mut events).unwrap();
    sent(&mut channels, &pool);
    // A reader that goes on gets its bytes, however long it takes.
    let mut now = start;
    for _ in 0..2 {
        now += limits::CLOSE_LINGER - Duration::from_millis(1);
        channels.handle_timeout(now, &mut events);
        assert_eq!(channels.take_chunk(ChannelId(local)).unwrap().len(), 20_000);
        channels.consumed(ChannelId(local), 20_000, now);
    }
    assert_eq!((channels.len(), channels.promised()), (1, 20_000));
    // One that has stopped loses them, and is told.
    while events.pop().is_some() {}
    for _ in 0..3 {
        now = channels.next_deadline().unwrap();
        channels.handle_timeout(now, &mut events);
        if channels.len() == 0 {
            break;
        }
    }
    assert!(matches!(events.pop(), Some(Event::Lost { channel }) if channel.0 == local));
    assert_eq!((channels.len(), channels.promised()), (0, 0));
    assert_eq!(channels.next_deadline(), None);
}

#[test]
fn a_stalled_channel_holds_twice_its_bytes_and_a_block() {
    for size in [
        1, 100, 4_095, 4_096, 5_000, 9_300, 18_000, 18_431, 18_432, 20_000, 32_768,
    ] {
        let (mut channels, mut events, pool) = table();
        let local = open(&mut channels, &mut events, 2 << 20);
        let mut queued = 0;
        while queued + size <= (1 << 20) / 2 {
            channels
                .data(data(&pool, local, &vec![7; size]), &mut events)
                .unwrap();
            queued += size;
        }
        let mut held = 0;
        let mut bytes = 0;
        while let Some(chunk) = channels.take_chunk(ChannelId(local)) {
            bytes += chunk.len();
            assert!(chunk.as_slice().iter().all(|byte| *byte == 7));
            held += crate::block::BLOCK;
        }
        assert_eq!(bytes, queued);
        assert!(
            held <= 2 * queued + 2 * crate::block::BLOCK,
            "{size}: {held} for {queued}"
        );
    }
}

#[test]
fn rejected_opens_leave_nothing() {
    let (mut channels, mut events, _) = table();
    for round in 0..100_000_u32 {
        let mut open = vec![message::CHANNEL_OPEN];
        open.put_string(if round % 2 == 0 { b"session" } else { b"x11" });
        open.put_uint32(round);
        open.put_uint32(1 << 20);
        open.put_uint32(if round % 3 == 0 { 255 } else { 32_768 });
        if let Some(refusal) = channels.asked(&open, |_| true, &mut events).unwrap() {
            assert_eq!(refusal[0], message::CHANNEL_OPEN_FAILURE);
            continue;
        }
        let Some(Event::ChannelAsked { channel, .. }) = events.pop() else {
            panic!()
        };
        assert!(
            channels
                .refuse(channel, OpenFailure::Prohibited, "no")
                .is_some()
        );
    }
    assert_eq!(
        (channels.len(), channels.half_open, channels.sessions),
        (0, 0, 0)
    );
    assert!(events.pop().is_none());
}
