//! Attacks on the connection protocol: section 1D of the attack table, by number, and on what comes
//! before a login.

mod support;

use adit_ssh::Event;
use adit_ssh::channel::OpenFailure;
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::limits;
use adit_ssh::message;
use support::channels::{asked, direct, extended, number, request, string, with_channel};
use support::hostile::{Hostile, data, endpoints, numbers, open};
use support::read_all;

#[test]
fn s53_preauth_connection_messages_d2() {
    for number in 80..=255 {
        for mut hostile in [Hostile::client().keyed(), Hostile::server().keyed()] {
            hostile.hear_all();
            hostile.say(&[number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            match number {
                // A pong to nothing is nothing. A ping has more than a length here.
                message::PONG => hostile.goes_on(),
                _ => {
                    hostile.ends_with(2);
                }
            }
        }
    }
}

#[test]
fn s52_server_rejects_client_only_msgs() {
    for number in [message::SERVICE_ACCEPT, 51, 52, 53, 60] {
        let mut hostile = Hostile::client().keyed();
        hostile.hear_all();
        hostile.say(&[number]);
        hostile.ends_with(2);
    }
}

#[test]
fn s54_unsolicited_success_d2() {
    let mut hostile = Hostile::server().keyed();
    hostile.hear_all();
    hostile.say(&[message::USERAUTH_SUCCESS]);
    hostile.ends_with(2);
}

#[test]
fn s55_userauth_after_success_ignored() {
    let mut hostile = Hostile::client().logged_in();
    for _ in 0..100 {
        hostile.say(&support::hostile::userauth_none("someone"));
    }
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    hostile.say_kexinit();
    hostile.say(&support::hostile::userauth_none("someone"));
    hostile.ends_with(2);
}

#[test]
fn s84_window_adjust_overflow_d2() {
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    hostile.say(&numbers(
        message::CHANNEL_WINDOW_ADJUST,
        &[channel, u32::MAX - (1 << 20)],
    ));
    hostile.goes_on();
    hostile.say(&numbers(message::CHANNEL_WINDOW_ADJUST, &[channel, 1]));
    hostile.ends_with(2);
}

#[test]
fn s85_window_violation_d2_maxpacket_violation_d2() {
    let (mut hostile, channel) = with_channel("direct-tcpip", 100_000);
    for _ in 0..3 {
        hostile.say(&data(channel, &vec![1; 32_768]));
    }
    hostile.say(&data(channel, &[1; 100_000 - 3 * 32_768]));
    hostile.goes_on();
    hostile.say(&data(channel, &[1]));
    hostile.ends_with(2);
    let (mut hostile, channel) = with_channel("direct-tcpip", 100_000);
    hostile.say(&data(channel, &vec![1; 32_769]));
    hostile.ends_with(2);
    let (mut hostile, channel) = with_channel("session", 100_000);
    hostile.say(&extended(channel, 1, &vec![1; 32_769]));
    hostile.ends_with(2);
    // What is in flight while the victim closes counts, too.
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    hostile.victim.connection.reset(number(channel));
    hostile.pump();
    hostile.say(&data(channel, &vec![1; 32_768]));
    hostile.say(&data(channel, &vec![1; 32_768]));
    hostile.goes_on();
    hostile.say(&data(channel, &[1]));
    hostile.ends_with(2);
}

#[test]
fn s86_tiny_max_packet() {
    for packet in [0, 1, 255] {
        let mut hostile = Hostile::client().logged_in();
        hostile.hear_all();
        hostile.say(&open("direct-tcpip", 3, 1_000, packet, &endpoints("db", 1)));
        hostile.goes_on();
        assert_eq!(
            hostile.expect_message()[..9],
            numbers(message::CHANNEL_OPEN_FAILURE, &[3, 4])
        );
        assert_eq!(hostile.victim.connection.channels(), 0);
        let mut hostile = Hostile::server().logged_in();
        let channel = hostile
            .victim
            .connection
            .open_channel(&direct(), 65_536)
            .unwrap();
        hostile.pump();
        hostile.say(&numbers(
            message::CHANNEL_OPEN_CONFIRMATION,
            &[channel.number(), 3, 1_000, packet],
        ));
        hostile.ends_with(2);
    }
    // A large one is not believed: nothing over 32 KiB leaves.
    for (packet, most) in [(256, 256), (u32::MAX, 32_768)] {
        let mut hostile = Hostile::client().logged_in();
        hostile.say(&open(
            "direct-tcpip",
            3,
            u32::MAX,
            packet,
            &endpoints("db", 1),
        ));
        hostile.pump();
        let channel = asked(&mut hostile);
        hostile.victim.connection.accept_channel(channel, 65_536);
        for _ in 0..3 {
            let mut block = hostile.pool.take();
            block.set_range(adit_ssh::block::HEADROOM, adit_ssh::block::HEADROOM);
            block.append(&vec![7; 32_768]);
            hostile.victim.connection.write(channel, block);
        }
        hostile.pump();
        let sizes: Vec<usize> = hostile
            .hear_all()
            .iter()
            .filter(|message| message[0] == message::CHANNEL_DATA)
            .map(|message| message.len() - 9)
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), 3 * 32_768);
        assert!(sizes.iter().all(|size| *size == most));
    }
}

#[test]
fn s87_empty_data_flood() {
    let (mut hostile, channel) = with_channel("session", 65_536);
    for message in [data(channel, b""), extended(channel, 1, b"")] {
        for _ in 0..limits::EMPTY_DATA {
            hostile.say(&message);
        }
        hostile.say(&data(channel, b"x"));
        hostile.goes_on();
    }
    for _ in 0..=limits::EMPTY_DATA {
        hostile.say(&data(channel, b""));
    }
    hostile.ends_with(2);
}

#[test]
fn s88_extended_data_credited() {
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    let mut credit = 65_536;
    for round in 0..100 {
        // Of any kind, known or not.
        hostile.say(&extended(channel, round * 40_000_000, &vec![1; 30_000]));
        credit -= 30_000;
        hostile.pump();
        for message in hostile.hear_all() {
            assert_eq!(message[0], message::CHANNEL_WINDOW_ADJUST);
            credit += u32::from_be_bytes(*message[5..].first_chunk().unwrap());
        }
        assert!(credit >= 30_000, "the window is not refilled");
    }
    hostile.goes_on();
    hostile.say(&numbers(message::CHANNEL_EOF, &[channel]));
    hostile.say(&extended(channel, 1, b"late"));
    hostile.ends_with(2);
}

#[test]
fn s89_unknown_id_d2() {
    for message in [
        data(77, b"x"),
        extended(77, 1, b"x"),
        numbers(message::CHANNEL_EOF, &[77]),
        numbers(message::CHANNEL_CLOSE, &[77]),
        numbers(message::CHANNEL_WINDOW_ADJUST, &[77, 1]),
        numbers(message::CHANNEL_SUCCESS, &[77]),
        numbers(message::CHANNEL_OPEN_CONFIRMATION, &[77, 1, 1, 32_768]),
        request(77, "shell", true, b""),
        request(u32::MAX, "shell", false, b""),
    ] {
        let mut hostile = Hostile::client().logged_in();
        hostile.say(&message);
        hostile.ends_with(2);
    }
}

#[test]
fn s91_s104_channel_state_model() {
    // What a peer may say of a channel that it opened itself, in every order of four; the model says
    // when it is wrong.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Say {
        Data,
        Eof,
        Close,
        Adjust,
        Confirm,
        Fail,
        Request,
    }
    const ALL: [Say; 7] = [
        Say::Data,
        Say::Eof,
        Say::Close,
        Say::Adjust,
        Say::Confirm,
        Say::Fail,
        Say::Request,
    ];
    let mut checked = 0;
    for code in 0..ALL.len().pow(3) {
        let said = [code % 7, code / 7 % 7, code / 49 % 7].map(|at| ALL[at]);
        let (mut hostile, channel) = with_channel("session", 65_536);
        let (mut has_eof, mut has_closed) = (false, false);
        let mut is_wrong = false;
        for say in said {
            hostile.say(&match say {
                Say::Data => data(channel, b"x"),
                Say::Eof => numbers(message::CHANNEL_EOF, &[channel]),
                Say::Close => numbers(message::CHANNEL_CLOSE, &[channel]),
                Say::Adjust => numbers(message::CHANNEL_WINDOW_ADJUST, &[channel, 1]),
                Say::Confirm => {
                    numbers(message::CHANNEL_OPEN_CONFIRMATION, &[channel, 1, 1, 32_768])
                }
                Say::Fail => [
                    &numbers(message::CHANNEL_OPEN_FAILURE, &[channel, 1])[..],
                    &[0; 8],
                ]
                .concat(),
                Say::Request => request(channel, "shell", true, b""),
            });
            is_wrong |= match say {
                Say::Data | Say::Eof => has_eof || has_closed,
                Say::Close | Say::Request => has_closed,
                Say::Adjust => false,
                Say::Confirm | Say::Fail => true,
            };
            has_eof |= say == Say::Eof;
            has_closed |= say == Say::Close;
            if is_wrong {
                break;
            }
        }
        if is_wrong {
            hostile.ends_with(2);
        } else {
            hostile.goes_on();
            // CLOSE is answered with CLOSE exactly once.
            let closes = hostile
                .hear_all()
                .iter()
                .filter(|message| message[0] == message::CHANNEL_CLOSE)
                .count();
            assert_eq!(closes, usize::from(has_closed), "{said:?}");
        }
        checked += 1;
    }
    assert_eq!(checked, 343);
    // And before the victim has answered the open at all.
    for message in [
        data(0, b"x"),
        numbers(message::CHANNEL_EOF, &[0]),
        numbers(message::CHANNEL_CLOSE, &[0]),
        request(0, "shell", true, b""),
    ] {
        let mut hostile = Hostile::client().logged_in();
        hostile.say(&open("session", 1, 1, 32_768, b""));
        hostile.say(&message);
        hostile.ends_with(2);
    }
}

#[test]
fn s92_open_flood_is_refused_and_leaves_nothing() {
    let mut hostile = Hostile::client().logged_in();
    let mut refused = 0;
    for number in 0..5_000 {
        hostile.say(&open(
            "direct-tcpip",
            number,
            1,
            32_768,
            &endpoints("db", 1),
        ));
        hostile.pump();
        refused += hostile
            .hear_all()
            .iter()
            .filter(|message| message[0] == message::CHANNEL_OPEN_FAILURE)
            .count();
    }
    assert_eq!(hostile.victim.connection.channels(), limits::OPENS_PENDING);
    assert_eq!(refused, 5_000 - limits::OPENS_PENDING);
    for _ in 0..limits::OPENS_PENDING {
        let channel = asked(&mut hostile);
        let connection = &mut hostile.victim.connection;
        connection.refuse_channel(channel, OpenFailure::Prohibited, "no");
    }
    hostile.goes_on();
    assert_eq!(hostile.victim.connection.channels(), 0);
    assert_eq!(hostile.victim.connection.promised(), 0);
    // Sessions have a limit of their own, and so have channels that are open.
    let mut opened = 0;
    for number in 0..20 {
        hostile.say(&open("session", number, 1, 32_768, b""));
        hostile.pump();
        if hostile
            .victim
            .find(|event| matches!(event, Event::ChannelAsked { .. }))
            .is_some()
        {
            opened += 1;
        }
    }
    assert_eq!(opened, limits::SESSIONS);
}

#[test]
fn s94_hostile_server_cannot_open_channels() {
    let bodies = [
        ("session", Vec::new(), 1),
        ("direct-tcpip", endpoints("192.168.0.1", 22), 1),
        ("forwarded-tcpip", endpoints("", 8_080), 1),
        ("x11", endpoints("localhost", 6_000), 1),
        ("auth-agent@openssh.com", Vec::new(), 1),
        ("tun@openssh.com", numbers(0, &[1, 2])[1..].to_vec(), 1),
        (
            "direct-streamlocal@openssh.com",
            [string(b"/run/docker.sock"), vec![0; 8]].concat(),
            1,
        ),
        (
            "forwarded-streamlocal@openssh.com",
            [string(b"/run/x"), vec![0; 4]].concat(),
            1,
        ),
        ("something@example.com", vec![1, 2, 3], 3),
    ];
    for (kind, body, code) in bodies {
        let mut hostile = Hostile::server().logged_in();
        hostile.say(&open(kind, 5, 1 << 20, 32_768, &body));
        hostile.goes_on();
        let answer = hostile.expect_message();
        assert_eq!(
            answer[..9],
            numbers(message::CHANNEL_OPEN_FAILURE, &[5, code]),
            "{kind}"
        );
        assert_eq!(hostile.victim.connection.channels(), 0);
        assert!(hostile.victim.events.is_empty());
    }
}

#[test]
fn s105_a_close_without_eof_is_told_and_delivers_what_came() {
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    hostile.say(&data(channel, &vec![5; 60_000 / 2]));
    hostile.say(&data(channel, &vec![5; 60_000 / 2]));
    hostile.say(&numbers(message::CHANNEL_CLOSE, &[channel]));
    hostile.goes_on();
    let closed = hostile
        .victim
        .find(|event| matches!(event, Event::Closed { .. }));
    assert!(matches!(closed, Some(Event::Closed { was_cut: true, .. })));
    let now = hostile.now;
    assert_eq!(
        read_all(&mut hostile.victim, number(channel), now).len(),
        60_000
    );
    assert_eq!(hostile.victim.connection.channels(), 0);
    // No window is granted on the way.
    assert!(
        !hostile
            .hear_all()
            .iter()
            .any(|m| m[0] == message::CHANNEL_WINDOW_ADJUST)
    );
    // A reader that does not come loses it, and is told.
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    hostile.say(&data(channel, &vec![5; 30_000]));
    hostile.say(&numbers(message::CHANNEL_EOF, &[channel]));
    hostile.say(&numbers(message::CHANNEL_CLOSE, &[channel]));
    hostile.pump();
    assert_eq!(hostile.victim.connection.promised(), 30_000);
    hostile.wait(limits::CLOSE_LINGER);
    hostile.goes_on();
    assert!(
        hostile
            .victim
            .find(|event| matches!(event, Event::Lost { .. }))
            .is_some()
    );
    assert_eq!(hostile.victim.connection.promised(), 0);
    assert!(
        hostile
            .victim
            .connection
            .take_chunk(number(channel))
            .is_none()
    );
}

#[test]
fn s106_granted_windows_never_exceed_budget() {
    let mut hostile = Hostile::client().logged_in();
    hostile.victim.connection.set_allowance(1 << 20);
    let mut open_channels = 0;
    for theirs in 0..40 {
        hostile.say(&open(
            "direct-tcpip",
            theirs,
            1,
            32_768,
            &endpoints("db", 1),
        ));
        hostile.pump();
        let channel = asked(&mut hostile);
        open_channels += u32::from(hostile.victim.connection.accept_channel(channel, 65_536));
        assert!(hostile.victim.connection.promised() <= 1 << 20);
    }
    assert_eq!(open_channels, 16);
    hostile.pump();
    let refusals = hostile.hear_all();
    let refusals = refusals
        .iter()
        .filter(|m| m[0] == message::CHANNEL_OPEN_FAILURE);
    assert!(refusals.clone().all(|m| m[5..9] == [0, 0, 0, 4]));
    assert_eq!(refusals.count(), 24);
}

#[test]
fn s108_tiny_packets_cost_no_adjusts() {
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    let now = hostile.now;
    let mut adjusts = 0;
    for _ in 0..65_536 {
        let packet = hostile.packet(&data(channel, b"x"));
        hostile.victim.hear(now, packet);
        read_all(&mut hostile.victim, number(channel), now);
        hostile.pump();
        let heard = hostile.hear_all();
        let is_adjust =
            |payload: &&Vec<u8>| payload.first() == Some(&message::CHANNEL_WINDOW_ADJUST);
        adjusts += heard.iter().filter(is_adjust).count();
    }
    assert!(adjusts <= 2, "{adjusts} adjusts");
}

#[test]
fn a_kept_chunk_is_a_small_one() {
    // One byte a packet fills blocks, not one block each.
    let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
    let before = hostile.pool.free();
    for _ in 0..30_000 {
        hostile.say(&data(channel, b"x"));
    }
    hostile.goes_on();
    let now = hostile.now;
    assert_eq!(
        read_all(&mut hostile.victim, number(channel), now).len(),
        30_000
    );
    assert!(hostile.pool.free() <= before + 3);
}

#[test]
fn s19_keep_alives_wait_for_a_key_exchange_and_are_no_sign_of_death() {
    // What could not be sent cannot be missed.
    let mut hostile = Hostile::client_with(|server| {
        server.transport.keep_alive = Some(adit_ssh::connection::KeepAlive {
            interval: std::time::Duration::from_secs(5),
            misses: 3,
        });
    })
    .logged_in();
    hostile.victim.connection.rekey(hostile.now).unwrap();
    hostile.pump();
    hostile.wait(std::time::Duration::from_secs(50));
    hostile.goes_on();
    hostile.read_kexinit();
    hostile.say_kexinit();
    hostile.exchange();
    hostile.wait(std::time::Duration::from_secs(5));
    hostile.goes_on();
    hostile.wait(std::time::Duration::from_secs(10));
    let error = hostile.victim.error.clone();
    assert_eq!(error, Some(ConnectionError::TimedOut(Wait::Life)));
}
