//! Attacks by global requests and channel requests: section 1D of the attack table, by number.

mod support;

use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::channel::{ChannelKind, ChannelRequest, Endpoint};
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::forward::{Forward, ForwardAnswer};
use adit_ssh::limits;
use adit_ssh::message;
use support::channels::{THEIRS, asked, request, string, with_channel};
use support::hostile::{Hostile, endpoints, global_request, numbers, open};

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
    hostile.say(&[message::REQUEST_SUCCESS]);
    hostile.pump();
    assert!(is_refused(&mut hostile, 40_001));
    // Asked for again behind the cancel, it is granted by its own answer.
    for _ in 0..2 {
        let again = forward.clone();
        hostile.victim.connection.request_forward(again).unwrap();
        hostile.victim.connection.cancel_forward(&forward);
    }
    let again = forward.clone();
    hostile.victim.connection.request_forward(again).unwrap();
    for is_last in [false, false, true] {
        hostile.say(&[message::REQUEST_SUCCESS]);
        hostile.goes_on();
        assert_eq!(is_refused(&mut hostile, 40_001), !is_last);
    }
}

#[test]
fn a_port_granted_after_its_forward_was_cancelled_is_given_back() {
    let mut hostile = Hostile::server().logged_in();
    hostile.answer_keep_alives();
    let forward = Forward::Tcp(Endpoint::new("", 0));
    let again = forward.clone();
    hostile.victim.connection.request_forward(again).unwrap();
    hostile.victim.connection.cancel_forward(&forward);
    hostile.pump();
    hostile.hear_all();
    hostile.say(&numbers(message::REQUEST_SUCCESS, &[40_001]));
    hostile.pump();
    let mut cancel = global_request("cancel-tcpip-forward", false, &string(b""));
    cancel.extend(40_001_u32.to_be_bytes());
    assert_eq!(hostile.hear_all(), [cancel]);
}

#[test]
fn cancels_never_outnumber_the_forwards_that_there_may_be() {
    let mut hostile = Hostile::server().logged_in();
    hostile.answer_keep_alives();
    let forward = |port| Forward::Tcp(Endpoint::new("", port));
    let most = u16::try_from(limits::GLOBAL_REQUESTS_PENDING).unwrap();
    let mut asked = 0;
    while let Some(_id) = (hostile.victim.connection).request_forward(forward(asked + 1)) {
        asked += 1;
    }
    assert!((1..=most).contains(&asked), "{asked} wait for an answer");
    // One that was never asked for among them, and each of them twice.
    for port in (1..=asked + 1).chain(1..=asked + 1) {
        hostile.victim.connection.cancel_forward(&forward(port));
    }
    hostile.goes_on();
    let mut cancels = 0;
    while let Some(heard) = hostile.hear() {
        if heard[0] == message::GLOBAL_REQUEST
            && heard[1..].starts_with(&string(b"cancel-tcpip-forward"))
        {
            let wants_reply = heard[1 + 4 + "cancel-tcpip-forward".len()];
            assert_eq!(wants_reply, 0, "no reply waits");
            cancels += 1;
        }
    }
    assert_eq!(cancels, asked);
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
        // By its name alone: it may want to say why not.
        ("x11-req", vec![1; 40], true),
        ("auth-agent-req@openssh.com", vec![], true),
        ("exit-status", vec![0, 0, 0, 1], false),
        ("nothing@example.com", vec![0xff; 200], true),
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
fn a_server_complains_on_standard_error_of_a_session_within_the_window_and_nowhere_else() {
    let extended = |text: &[u8]| {
        let mut out = numbers(message::CHANNEL_EXTENDED_DATA, &[THEIRS, 1]);
        out.extend(string(text));
        out
    };
    let say = |window: u32, kind: &str, text: &[u8]| {
        let mut hostile = Hostile::client().logged_in();
        let body = match kind {
            "session" => Vec::new(),
            _ => endpoints("db", 5_432),
        };
        hostile.say(&open(kind, THEIRS, window, 32_768, &body));
        hostile.pump();
        let channel = asked(&mut hostile);
        assert!(hostile.victim.connection.accept_channel(channel, 65_536));
        hostile.pump();
        drop(hostile.hear_all());
        (hostile.victim.connection).write_standard_error(channel, text);
        hostile.pump();
        hostile.hear()
    };
    assert_eq!(say(65_536, "session", b"no"), Some(extended(b"no")));
    assert_eq!(say(1, "session", b"no"), Some(extended(b"n")));
    assert_eq!(say(0, "session", b"no"), None);
    assert_eq!(say(65_536, "session", b""), None);
    assert_eq!(say(65_536, "direct-tcpip", b"no"), None);
}

#[test]
fn a_goodbye_has_its_owners_words_cut_to_what_ssh_takes() {
    for (text, told) in [
        (String::from("why"), String::from("why")),
        ("\u{e4}".repeat(200), "\u{e4}".repeat(127)),
    ] {
        let (mut hostile, _) = with_channel("session", 65_536);
        hostile.victim.connection.close_saying(&text);
        // What is said later changes nothing.
        hostile.victim.connection.close_saying("again");
        hostile.pump();
        let mut goodbye = numbers(message::DISCONNECT, &[11]);
        goodbye.extend(string(told.as_bytes()));
        goodbye.extend(string(b""));
        assert_eq!(hostile.hear(), Some(goodbye));
    }
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
fn a_peer_in_doubt_is_gone_when_it_stays_silent_and_not_when_it_answers() {
    let patience = Duration::from_secs(2);
    let almost = patience - Duration::from_millis(1);
    let mut hostile = Hostile::server().logged_in();
    let doubt = |hostile: &mut Hostile| {
        let now = hostile.now;
        hostile.victim.connection.ask_alive_within(now, patience);
        hostile.goes_on();
    };
    // Without keep-alives there is nothing to wait for.
    hostile.answer_keep_alives();
    doubt(&mut hostile);
    hostile.wait(almost);
    hostile.answer_keep_alives();
    hostile.wait(Duration::from_secs(60));
    hostile.goes_on();
    // What it says before its answer is a sign of life, but no end of the doubt.
    doubt(&mut hostile);
    for _ in 0..3 {
        hostile.wait(almost);
        hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
        hostile.goes_on();
    }
    // Nor does asking again give it more time.
    hostile.wait(almost);
    doubt(&mut hostile);
    hostile.hear_all();
    assert_eq!(hostile.keep_alives, 1, "it was asked once");
    hostile.wait(Duration::from_millis(1));
    let error = hostile.victim.error.clone();
    assert_eq!(error, Some(ConnectionError::TimedOut(Wait::Life)));
}

#[test]
fn an_answer_to_an_earlier_keep_alive_does_not_end_a_doubt() {
    let patience = Duration::from_secs(2);
    let mut hostile = Hostile::server().logged_in();
    hostile.answer_keep_alives();
    let now = hostile.now;
    hostile.victim.connection.ask_alive(now);
    hostile.wait(Duration::from_millis(1));
    let now = hostile.now;
    hostile.victim.connection.ask_alive_within(now, patience);
    hostile.hear_all();
    hostile.say(&[message::REQUEST_FAILURE]);
    hostile.goes_on();
    hostile.wait(patience);
    let error = hostile.victim.error.clone();
    assert_eq!(error, Some(ConnectionError::TimedOut(Wait::Life)));
}
