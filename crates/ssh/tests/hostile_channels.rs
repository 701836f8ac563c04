//! Attacks on the connection protocol: section 1D of the attack table, by number, and on what comes
//! before a login.

mod support;

use adit_ssh::Event;
use adit_ssh::channel::{ChannelId, ChannelKind, ChannelRequest, Endpoint, OpenFailure};
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::forward::{Forward, ForwardAnswer};
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::wire::Write;
use support::hostile::{Hostile, data, endpoints, global_request, numbers, open};
use support::read_all;

/// The number that the hostile side gives its channel.
const THEIRS: u32 = 9;

/// A hostile client with one open channel, and the victim's number for it.
fn with_channel(kind: &str, window: u32) -> (Hostile, u32) {
    let mut hostile = Hostile::client().logged_in();
    let channel = open_channel(&mut hostile, kind, window);
    (hostile, channel)
}

fn open_channel(hostile: &mut Hostile, kind: &str, window: u32) -> u32 {
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
    channel.number()
}

fn asked(hostile: &mut Hostile) -> ChannelId {
    match hostile
        .victim
        .find(|event| matches!(event, Event::ChannelAsked { .. }))
    {
        Some(Event::ChannelAsked { channel, .. }) => channel,
        _ => unreachable!("no channel was asked for"),
    }
}

fn extended(channel: u32, kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_EXTENDED_DATA, &[channel, kind]);
    out.put_string(bytes);
    out
}

fn request(channel: u32, name: &str, want_reply: bool, body: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::CHANNEL_REQUEST, &[channel]);
    out.put_string(name.as_bytes());
    out.put_boolean(want_reply);
    out.put_bytes(body);
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_string(bytes);
    out
}

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
fn s85_window_and_maxpacket_violation_d2() {
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

/// The victim's channel of that number, which it made itself.
fn number(channel: u32) -> ChannelId {
    ChannelId::from_number(channel)
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

fn direct() -> ChannelKind {
    ChannelKind::DirectTcpip {
        target: Endpoint::new("db", 5_432),
        origin: Endpoint::new("", 0),
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
fn s95_forwarded_after_cancel_refused() {
    let visitor = |port| open("forwarded-tcpip", 5, 1 << 20, 32_768, &endpoints("", port));
    let mut hostile = Hostile::server().logged_in();
    let is_refused = |hostile: &mut Hostile, port| {
        hostile.hear_all();
        hostile.say(&visitor(port));
        hostile.goes_on();
        hostile
            .hear()
            .is_some_and(|answer| answer[..9] == numbers(message::CHANNEL_OPEN_FAILURE, &[5, 1]))
    };
    // Asked for and not granted.
    let forward = Forward::Tcp(Endpoint::new("", 0));
    hostile.victim.connection.request_forward(forward).unwrap();
    hostile.pump();
    assert!(is_refused(&mut hostile, 0) && is_refused(&mut hostile, 40_001));
    // Granted: that port and no other, that host word for word.
    hostile.say(&numbers(message::REQUEST_SUCCESS, &[40_001]));
    assert!(is_refused(&mut hostile, 40_002));
    hostile.say(&open(
        "forwarded-tcpip",
        5,
        1,
        32_768,
        &endpoints("localhost", 40_001),
    ));
    hostile.goes_on();
    assert_eq!(hostile.expect_message()[0], message::CHANNEL_OPEN_FAILURE);
    assert!(!is_refused(&mut hostile, 40_001));
    hostile.answer_keep_alives();
    // Cancelled: from then on.
    let forward = Forward::Tcp(Endpoint::new("", 40_001));
    hostile.victim.connection.cancel_forward(&forward);
    hostile.pump();
    assert!(is_refused(&mut hostile, 40_001));
    // A grant that crosses the cancel is none.
    let again = Forward::Tcp(Endpoint::new("", 40_001));
    hostile.victim.connection.request_forward(again).unwrap();
    hostile.victim.connection.cancel_forward(&forward);
    for _ in 0..3 {
        hostile.say(&[message::REQUEST_SUCCESS]);
    }
    hostile.pump();
    assert!(is_refused(&mut hostile, 40_001));
}

#[test]
fn s96_unsolicited_replies_ignored() {
    let (mut hostile, channel) = with_channel("session", 65_536);
    hostile.answer_keep_alives();
    hostile.victim.events.clear();
    for _ in 0..limits::STRAY_REPLIES / 2 {
        hostile.say(&[message::REQUEST_SUCCESS]);
        hostile.say(&[message::REQUEST_FAILURE]);
        hostile.say(&numbers(message::CHANNEL_SUCCESS, &[channel]));
        hostile.say(&numbers(message::CHANNEL_FAILURE, &[channel]));
    }
    hostile.goes_on();
    assert!(hostile.victim.events.is_empty());
    hostile.say(&[message::REQUEST_FAILURE]);
    hostile.ends_with(2);
}

#[test]
fn s97_reply_order_typed() {
    let mut hostile = Hostile::server().logged_in();
    let ask = |hostile: &mut Hostile, port| {
        let forward = Forward::Tcp(Endpoint::new("", port));
        hostile.victim.connection.request_forward(forward).unwrap()
    };
    let now = hostile.now;
    let first = ask(&mut hostile, 0);
    hostile.victim.connection.ask_alive(now);
    let second = ask(&mut hostile, 9_000);
    hostile.say(&numbers(message::REQUEST_SUCCESS, &[40_000]));
    hostile.say(&[message::REQUEST_FAILURE]);
    hostile.say(&[message::REQUEST_FAILURE]);
    hostile.goes_on();
    let events: Vec<Event> = hostile.victim.events.drain(..).collect();
    assert!(
        matches!(
            events[..],
            [
                Event::ForwardAnswered { id: one, answer: ForwardAnswer::Granted { port: 40_000 } },
                Event::Alive { .. },
                Event::ForwardAnswered { id: two, answer: ForwardAnswer::Refused },
            ] if one == first && two == second
        ),
        "{events:?}"
    );
    // Success for port 0 names a port; what follows is an error.
    for (port, reply) in [
        (0, vec![message::REQUEST_SUCCESS]),
        (0, numbers(message::REQUEST_SUCCESS, &[0])),
        (0, numbers(message::REQUEST_SUCCESS, &[65_536])),
        (0, numbers(message::REQUEST_SUCCESS, &[1, 2])),
        (80, vec![message::REQUEST_SUCCESS, 1]),
        (80, numbers(message::REQUEST_SUCCESS, &[80, 80])),
    ] {
        let mut hostile = Hostile::server().logged_in();
        ask(&mut hostile, port);
        hostile.say(&reply);
        hostile.ends_with(2);
    }
    // gliderlabs/ssh names the port in any case.
    let mut hostile = Hostile::server().logged_in();
    ask(&mut hostile, 80);
    hostile.say(&numbers(message::REQUEST_SUCCESS, &[80]));
    hostile.goes_on();
}

#[test]
fn s98_global_request_flood_bounded() {
    // Those that the engine answers by itself, without the peer's reading.
    Hostile::client()
        .logged_in()
        .floods(&global_request("keepalive@openssh.com", true, b""), 1);
    Hostile::server()
        .logged_in()
        .floods(&global_request("hostkeys-00@openssh.com", true, b""), 1);
    Hostile::client()
        .logged_in()
        .floods(&open("session", 1, 1, 0, b""), 60);
    // Those that wait for the owner.
    let mut hostile = Hostile::client_with(|server| server.transport.forwards = usize::MAX);
    hostile = hostile.logged_in();
    let bind = |port| [string(b"localhost"), numbers(0, &[port])[1..].to_vec()].concat();
    for port in 1..=u32::try_from(limits::GLOBAL_REQUESTS_PENDING).unwrap() {
        hostile.say(&global_request("tcpip-forward", true, &bind(port)));
    }
    hostile.goes_on();
    hostile.say(&global_request("tcpip-forward", true, &bind(5_000)));
    hostile.ends_with(2);
}

#[test]
fn a_queue_that_has_drained_ends_nothing() {
    let mut hostile = Hostile::client().logged_in();
    hostile.hear_all();
    let keep_alive = global_request("keepalive@openssh.com", true, b"");
    while hostile.victim.connection.wants_read() {
        let packet = hostile.packet(&keep_alive);
        hostile.victim.hear(hostile.now, packet);
    }
    hostile.pump();
    assert!(hostile.victim.connection.wants_read());
    for _ in 0..10 {
        hostile.wait(limits::CONTROL_QUEUE_STALL);
        hostile.goes_on();
    }
    let error = hostile.victim.connection.error();
    assert!(!matches!(
        error,
        Some(ConnectionError::TimedOut(Wait::Replies))
    ));
}

#[test]
fn s99_forward_request_table() {
    let tcp = |host: &[u8], port| [string(host), numbers(0, &[port])[1..].to_vec()].concat();
    let (tcpip, unix) = ("tcpip-forward", "streamlocal-forward@openssh.com");
    // None: the owner is asked. Otherwise the answer.
    let failure = Some(vec![message::REQUEST_FAILURE]);
    for (name, want_reply, body, answer) in [
        (tcpip, true, tcp(b"", 0), None),
        (tcpip, true, tcp(b"*", 65_535), None),
        (tcpip, true, tcp(b"", 65_536), failure.clone()),
        (tcpip, true, tcp(b"", u32::MAX), failure.clone()),
        (tcpip, true, tcp(b"a\0b", 80), failure.clone()),
        (tcpip, true, tcp(b"a\x1b[2J", 80), failure.clone()),
        (tcpip, true, tcp(&[b'a'; 256], 80), failure.clone()),
        (tcpip, true, tcp(b"\xff", 80), failure.clone()),
        (unix, true, string(b"/run/x"), None),
        (unix, true, string(&[b'a'; 108]), failure.clone()),
        ("cancel-tcpip-forward", true, tcp(b"", 80), failure),
    ] {
        let mut hostile = Hostile::client().logged_in();
        hostile.hear_all();
        hostile.say(&global_request(name, want_reply, &body));
        hostile.goes_on();
        assert_eq!(hostile.hear(), answer, "{name} {body:?}");
        let was_asked = hostile
            .victim
            .find(|e| matches!(e, Event::ForwardAsked { .. }));
        assert_eq!(was_asked.is_some(), answer.is_none());
    }
    // A port that nobody would be told.
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&global_request(tcpip, false, &tcp(b"", 0)));
    hostile.goes_on();
    assert!(hostile.victim.events.is_empty());
    // More than it may have, counting those that are not answered.
    let mut hostile = Hostile::client_with(|server| server.transport.forwards = 3).logged_in();
    for port in 1..10 {
        hostile.say(&global_request(tcpip, true, &tcp(b"", port)));
    }
    hostile.goes_on();
    assert_eq!(hostile.victim.events.len(), 3);
    // The frame itself.
    for body in [
        &tcp(b"", 80)[..6],
        &[&tcp(b"", 80)[..], &[0]].concat(),
        &[0xff; 8],
    ] {
        let mut hostile = Hostile::client().logged_in();
        hostile.say(&global_request(tcpip, true, body));
        hostile.ends_with(2);
    }
}

#[test]
fn s102_no_more_sessions() {
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&global_request("no-more-sessions@openssh.com", false, b""));
    hostile.say(&open("direct-tcpip", 1, 1, 32_768, &endpoints("db", 1)));
    hostile.goes_on();
    hostile.say(&open("session", 1, 1, 32_768, b""));
    hostile.ends_with(2);
}

#[test]
fn s103_channel_request_table() {
    let pty = |modes: usize| [string(b"xterm"), vec![0; 16], string(&vec![0; modes])].concat();
    // Whether the owner is asked, or it is refused.
    for (name, body, is_asked) in [
        ("shell", vec![], true),
        ("exec", string(b"uptime\n\0"), true),
        ("subsystem", string(b"sftp"), true),
        ("pty-req", pty(1_024), true),
        ("env", [string(b"A"), string(b"b")].concat(), false),
        ("x11-req", vec![1; 40], false),
        ("auth-agent-req@openssh.com", vec![], false),
        ("exit-status", vec![0, 0, 0, 1], false),
        ("nothing@example.com", vec![0xff; 200], false),
    ] {
        let (mut hostile, channel) = with_channel("session", 65_536);
        hostile.say(&request(channel, name, true, &body));
        hostile.goes_on();
        let refusal = numbers(message::CHANNEL_FAILURE, &[THEIRS]);
        assert_eq!(hostile.hear(), (!is_asked).then_some(refusal), "{name}");
        assert_eq!(hostile.victim.events.is_empty(), !is_asked, "{name}");
        // A forwarded channel has none of that.
        let (mut hostile, channel) = with_channel("direct-tcpip", 65_536);
        hostile.say(&request(channel, name, true, &body));
        hostile.goes_on();
        assert_eq!(hostile.expect_message()[0], message::CHANNEL_FAILURE);
    }
    for (name, body) in [
        ("exec", vec![0xff, 0xff, 0xff, 0xff]),
        ("pty-req", pty(1_025)),
        ("exit-status", vec![0, 0]),
        ("exit-signal", vec![0, 0, 0, 9]),
        ("subsystem", string(&[0xff])),
        ("shell", vec![0]),
    ] {
        let (mut hostile, channel) = with_channel("session", 65_536);
        hostile.say(&request(channel, name, true, &body));
        hostile.ends_with(2);
    }
    // Floods.
    let (mut hostile, channel) = with_channel("session", 65_536);
    for _ in 0..limits::ENVIRONMENT_REQUESTS {
        hostile.say(&request(channel, "env", false, b""));
    }
    hostile.goes_on();
    hostile.say(&request(channel, "env", false, b""));
    hostile.ends_with(2);
    let (mut hostile, channel) = with_channel("session", 65_536);
    for _ in 0..17 {
        hostile.say(&request(channel, "shell", true, b""));
    }
    hostile.ends_with(2);
}

#[test]
fn a_server_may_tell_how_a_session_ended_and_ask_nothing_there() {
    let mut hostile = Hostile::server().logged_in();
    let channel = hostile
        .victim
        .connection
        .open_channel(&ChannelKind::Session, 65_536)
        .unwrap();
    hostile.say(&numbers(
        message::CHANNEL_OPEN_CONFIRMATION,
        &[channel.number(), THEIRS, 1_000, 32_768],
    ));
    hostile.say(&request(
        channel.number(),
        "exit-status",
        false,
        &[0, 0, 0, 3],
    ));
    hostile.goes_on();
    let told = hostile
        .victim
        .find(|event| matches!(event, Event::ChannelRequest { .. }));
    assert!(matches!(
        told,
        Some(Event::ChannelRequest {
            request: ChannelRequest::Exit(_),
            ..
        })
    ));
    hostile.hear_all();
    hostile.say(&request(
        channel.number(),
        "exec",
        true,
        &string(b"rm -rf /"),
    ));
    hostile.goes_on();
    assert_eq!(
        hostile.hear(),
        Some(numbers(message::CHANNEL_FAILURE, &[THEIRS]))
    );
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
        adjusts += hostile.hear_all().len();
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
