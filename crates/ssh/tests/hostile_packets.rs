//! Attacks on the version exchange and on packets: section 1A of the attack table, by number.

mod support;

use adit_ssh::error::{ConnectionError, Violation, Wait};
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::negotiate::Role;
use support::hostile::{Hostile, Offer, numbers};

const CIPHERS: [&str; 5] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
];

/// A logged-in hostile client that uses that cipher.
fn with_cipher(cipher: &str) -> Hostile {
    let mut hostile = Hostile::client();
    cipher.clone_into(&mut hostile.offer.cipher);
    hostile.logged_in()
}

#[test]
fn s01_version_endless_banner_is_cut() {
    let mut hostile = Hostile::server();
    for _ in 0..=limits::PRE_IDENT_LINES {
        hostile.say_raw(b"please wait\r\n");
    }
    hostile.read_victims_ident();
    hostile.ends_with(8);
    let mut hostile = Hostile::server();
    hostile.say_raw(&vec![b'x'; limits::PRE_IDENT_BYTES + 1]);
    hostile.read_victims_ident();
    hostile.ends_with(8);
}

#[test]
fn s02_version_rejects_client_preamble_controls_and_v1() {
    for line in [
        &b"hello\r\n"[..],
        b"SSH-2.0-a\0b\r\n",
        b"SSH-2.0-a\x1b[2Jb\r\n",
        b"SSH-1.5-old\r\n",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut hostile = Hostile::client();
        hostile.say_raw(line);
        hostile.read_victims_ident();
        hostile.ends_with(8);
    }
    let mut hostile = Hostile::client();
    hostile.ident = b"SSH-1.99-both".to_vec();
    hostile.logged_in().goes_on();
}

#[test]
fn s03_peer_text_is_sanitised() {
    let mut hostile = Hostile::client().logged_in();
    let mut goodbye = numbers(message::DISCONNECT, &[11]);
    adit_ssh::wire::Write::put_string(&mut goodbye, b"\x1b]0;owned\x07\xc2\x9b2J\r\n");
    adit_ssh::wire::Write::put_string(&mut goodbye, b"");
    hostile.say(&goodbye);
    hostile.pump();
    let error = hostile.victim.error.clone().unwrap();
    assert!(matches!(
        error,
        ConnectionError::Disconnected { code: 11, .. }
    ));
    assert!(!error.to_string().chars().any(char::is_control), "{error}");
    // A goodbye is not answered.
    assert_eq!(hostile.hear(), None);
}

#[test]
fn s05_packet_length_4g_allocates_nothing() {
    for cipher in CIPHERS {
        let mut hostile = with_cipher(cipher);
        hostile.pump();
        let blocks = hostile.pool.free();
        let packet = hostile.sealed(u32::MAX, &[0; 64]);
        hostile.say_raw(&packet);
        hostile.ends_with(5);
        assert!(hostile.pool.free() <= blocks + 1, "{cipher}");
    }
    let mut hostile = Hostile::client();
    hostile.say_ident();
    hostile.say_raw(&[0xff; 16]);
    hostile.read_victims_ident();
    hostile.ends_with(2);
}

#[test]
fn s06_packet_length_bounds() {
    for length in [0, 1, 4, 5, 11, 13, limits::PACKET_LENGTH + 1, u32::MAX] {
        let mut hostile = Hostile::client();
        hostile.say_ident();
        hostile.say_raw(&length.to_be_bytes());
        hostile.say_raw(&[0; 40]);
        hostile.read_victims_ident();
        hostile.ends_with(2);
    }
    for cipher in CIPHERS {
        let block: u32 = if cipher.starts_with("chacha") { 8 } else { 16 };
        for length in [0, 5, block - 1, block + 1, 35_001, u32::MAX] {
            let mut hostile = with_cipher(cipher);
            let packet = hostile.sealed(length, &[4; 64]);
            hostile.say_raw(&packet);
            hostile.ends_with(5);
        }
        // The largest legal packet passes, the next does not, before it is all there.
        let largest = limits::PACKET_LENGTH / block * block;
        let mut hostile = with_cipher(cipher);
        let mut body = vec![0; usize::try_from(largest).unwrap()];
        (body[0], body[1]) = (4, message::IGNORE);
        let packet = hostile.sealed(largest, &body);
        hostile.say_raw(&packet);
        hostile.goes_on();
        let packet = hostile.sealed(largest + block, &[4; 64]);
        hostile.say_raw(&packet);
        hostile.ends_with(5);
    }
}

#[test]
fn s07_packet_padding_games() {
    for cipher in CIPHERS {
        for (padding, good) in [
            (0, false),
            (3, false),
            (4, true),
            (14, true),
            (15, false),
            (16, false),
            (255, false),
        ] {
            let mut hostile = with_cipher(cipher);
            let mut body = vec![0; 16];
            (body[0], body[1]) = (padding, message::IGNORE);
            let packet = hostile.sealed(16, &body);
            hostile.say_raw(&packet);
            if good {
                hostile.goes_on();
            } else {
                hostile.ends_with(2);
            }
        }
    }
}

#[test]
fn s08_gcm_short_tag_never_opens() {
    let mut hostile = with_cipher(CIPHERS[0]);
    let packet = hostile.packet(&[message::IGNORE, 0, 0, 0, 0]);
    hostile.say_raw(&packet[..packet.len() - 4]);
    hostile.goes_on();
    hostile.say_raw(&packet[..4]);
    hostile.ends_with(5);
}

#[test]
fn s09_bit_flip_every_byte_same_end() {
    for cipher in CIPHERS {
        let mut ends = Vec::new();
        let mut at = 0;
        loop {
            let mut hostile = with_cipher(cipher);
            let mut packet = hostile.packet(&[message::IGNORE, 0, 0, 0, 0]);
            let Some(byte) = packet.get_mut(at) else {
                break;
            };
            *byte ^= 1 << (at % 8);
            hostile.say_raw(&packet);
            // A length that grew is waited for.
            hostile.pump();
            while hostile.victim.error.is_none() {
                hostile.say_raw(&[0; 8_192]);
                hostile.pump();
            }
            ends.push(hostile.ends_with(5));
            at += 1;
        }
        assert!(ends.len() > 30);
        assert!(ends.iter().all(|end| *end == ends[0]), "{cipher}: {ends:?}");
    }
}

#[test]
fn s14_padding_never_leaks_pool() {
    let mut hostile = Hostile::client().logged_in();
    // Whatever was in a block before: what a bad pool would show is 0xa5 in a debug build.
    for round in 0..500_u32 {
        hostile.say(&support::hostile::global_request(
            "x",
            true,
            &round.to_be_bytes(),
        ));
    }
    hostile.pump();
    let mut paddings = 0;
    while let Some((_, padding)) = hostile.hear_with_padding() {
        assert!((4..=255).contains(&padding.len()));
        assert!(!padding.starts_with(&[0xa5; 4]) && !padding.starts_with(&[0; 4]));
        paddings += 1;
    }
    assert!(paddings >= 500);
}

#[test]
fn s16_ignore_flood_costs_nothing() {
    // Before the login every packet counts.
    let mut hostile = Hostile::client().keyed();
    for _ in 0..=limits::PREAUTH_PACKETS {
        hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
    }
    hostile.ends_with(2);
    // In a strict first key exchange there is no room for any.
    for number in [message::IGNORE, message::DEBUG, message::UNIMPLEMENTED] {
        let mut hostile = Hostile::client().met();
        hostile.say(&numbers(number, &[0]));
        hostile.ends_with(2);
    }
    // After it they are free, and nothing comes back.
    let mut hostile = Hostile::client().logged_in();
    let blocks = hostile.pool.free();
    for _ in 0..20_000 {
        hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
        hostile.say(&[message::DEBUG, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    assert!(hostile.pool.free() <= blocks + 1);
}

#[test]
fn s17_unimplemented_no_loop_and_is_bounded() {
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&numbers(message::UNIMPLEMENTED, &[0]));
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    let sequence = hostile.send_sequence;
    hostile.say(&[0]);
    hostile.say(&[200, 1, 2, 3]);
    hostile.say(&[127]);
    hostile.goes_on();
    for more in 0..3 {
        assert_eq!(
            hostile.hear(),
            Some(numbers(message::UNIMPLEMENTED, &[sequence + more]))
        );
    }
    hostile.floods(&[255], 5);
}

#[test]
fn s18_ping_preauth_silent_ping_in_kex_silent_ping_flood_bounded() {
    let ping = |size: usize| {
        let mut ping = vec![message::PING];
        adit_ssh::wire::Write::put_string(&mut ping, &vec![7; size]);
        ping
    };
    let mut hostile = Hostile::client().keyed();
    hostile.hear_all();
    hostile.say(&ping(8));
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    let mut hostile = Hostile::client().logged_in();
    hostile.hear_all();
    hostile.say(&ping(1_024));
    hostile.goes_on();
    assert_eq!(hostile.expect_message()[0], message::PONG);
    // The victim has begun a key exchange and the peer has not heard of it.
    hostile.victim.connection.rekey(hostile.now).unwrap();
    hostile.say(&ping(8));
    hostile.goes_on();
    hostile.read_kexinit();
    hostile.say_kexinit();
    hostile.exchange();
    hostile.goes_on();
    assert_eq!(hostile.hear(), None);
    hostile.floods(&ping(1_024), 1_029);
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&ping(1_025));
    hostile.ends_with(2);
}

#[test]
fn s20_truncate_at_every_byte() {
    // All that a good client says until it is logged in, cut off everywhere.
    let mut whole = support::Pair::new();
    let mut said = 0;
    while whole
        .server
        .find(|event| matches!(event, adit_ssh::Event::Authenticated))
        .is_none()
    {
        let client = whole.client.flush(whole.now, 262_144);
        said += whole.client.wire.len();
        assert!(whole.step(usize::MAX) || client);
    }
    assert!(said > 1_000);
    for cut in 0..said {
        let mut pair = support::Pair::new();
        let mut left = cut;
        loop {
            let before = pair.client.wire.len();
            pair.client.flush(pair.now, 262_144);
            let new = pair.client.wire.len() - before;
            if new > left {
                pair.client.wire.truncate(before + left);
                left = 0;
            } else {
                left -= new;
            }
            if !pair.step(usize::MAX) || left == 0 {
                break;
            }
        }
        pair.step(usize::MAX);
        let error = pair.server.connection.end_of_input();
        assert_eq!(error, ConnectionError::Truncated);
        assert!(pair.server.connection.poll_event().is_none());
        assert_eq!(
            pair.server.connection.receive(pair.now, b"more"),
            Err(error)
        );
    }
}

#[test]
fn s21_drip_feed_hits_deadline() {
    // A byte a second, for as long as it takes.
    let mut hostile = Hostile::client();
    let line = b"SSH-2.0-slow_and_steady_does_not_win_this_race_at_all\r\n";
    for byte in line {
        hostile.say_raw(&[*byte]);
        hostile.wait(std::time::Duration::from_secs(1));
        if hostile.victim.error.is_some() {
            break;
        }
    }
    hostile.read_victims_ident();
    let error = hostile.ends_with(11);
    assert_eq!(error, ConnectionError::TimedOut(Wait::KeyExchange));
    // And before the login.
    let mut hostile = Hostile::client().keyed();
    let mut seconds = 0;
    while hostile.victim.error.is_none() {
        hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
        hostile.wait(std::time::Duration::from_secs(1));
        seconds += 1;
    }
    assert_eq!(seconds, limits::LOGIN_DEADLINE.as_secs());
    assert_eq!(
        hostile.ends_with(11),
        ConnectionError::TimedOut(Wait::Login)
    );
}

#[test]
fn s22_zlib_is_never_chosen() {
    for compression in ["zlib", "zlib@openssh.com", "zlib,zlib@openssh.com"] {
        for mut hostile in [Hostile::client(), Hostile::server()] {
            compression.clone_into(&mut hostile.offer.compression);
            let mut hostile = hostile.met_unheard();
            hostile.ends_with(3);
        }
    }
    // Beside none it is passed over.
    let mut hostile = Hostile::client();
    "zlib@openssh.com,zlib,none".clone_into(&mut hostile.offer.compression);
    hostile.logged_in().goes_on();
}

#[test]
fn violations_say_what_and_never_what_came() {
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&[message::CHANNEL_DATA, 1, 2, 3]);
    let error = hostile.ends_with(2);
    assert_eq!(
        error,
        ConnectionError::Violation(Violation::protocol("message is cut short"))
    );
    assert_eq!(Offer::new(Role::Client).host_key, "ssh-ed25519");
}
