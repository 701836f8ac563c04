//! Attacks on the key exchange: section 1B of the attack table, by number.

mod support;

use std::time::Duration;

use adit_ssh::Event;
use adit_ssh::error::{ConnectionError, Wait};
use adit_ssh::kex::NonstrictChacha;
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::wire::Write;
use support::hostile::{Hostile, data, endpoints, global_request, numbers, open};

const STRICT: &str = "kex-strict-c-v00@openssh.com";
const CHACHA: &str = "chacha20-poly1305@openssh.com";

/// A hostile client that does not know strict key exchange, with that cipher.
fn nonstrict(cipher: &str, accepts: NonstrictChacha) -> Hostile {
    let mut hostile = Hostile::client_with(|server| server.transport.nonstrict_chacha = accepts);
    "curve25519-sha256,ext-info-c".clone_into(&mut hostile.offer.kex);
    cipher.clone_into(&mut hostile.offer.cipher);
    hostile
}

#[test]
fn s23_nonstrict_chacha_d3_nonstrict_gcm_ok_terrapin_chacha_extinfo_drop() {
    let mut hostile = nonstrict(CHACHA, NonstrictChacha::Refused).met_unheard();
    hostile.ends_with(3);
    nonstrict(CHACHA, NonstrictChacha::Accepted)
        .logged_in()
        .goes_on();
    for cipher in ["aes128-gcm@openssh.com", "aes256-ctr"] {
        nonstrict(cipher, NonstrictChacha::Refused)
            .logged_in()
            .goes_on();
    }
    // Terrapin itself: a message smuggled in before the keys and one cut off behind them.
    let mut hostile = Hostile::client();
    CHACHA.clone_into(&mut hostile.offer.cipher);
    let mut hostile = hostile.met();
    hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
    hostile.ends_with(2);
    // And where strictness is what only one side asks for, nothing is reset.
    let mut hostile = nonstrict(CHACHA, NonstrictChacha::Accepted).met();
    hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
    hostile.exchange();
    let dropped = hostile.packet(&[message::EXT_INFO, 0, 0, 0, 0]);
    drop(dropped);
    hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
    hostile.ends_with(5);
}

#[test]
fn s24_strict_inject_every_msg_at_every_state() {
    for number in 0..=255_u8 {
        for state in 0..4 {
            let mut hostile = Hostile::client();
            let expected = match state {
                // Before KEXINIT: whether it was strict is found out only then.
                0 => {
                    hostile.say_ident();
                    hostile.read_victims_ident();
                    message::KEXINIT
                }
                1 => {
                    hostile = hostile.met();
                    message::KEX_INIT
                }
                2 => {
                    hostile = hostile.met();
                    hostile.say_kex_init();
                    hostile.pump();
                    hostile.read_kex_reply();
                    hostile.read_new_keys();
                    message::NEWKEYS
                }
                // In a rekey, too, but for what is harmless.
                _ => {
                    hostile = hostile.logged_in();
                    hostile.say_kexinit();
                    hostile.pump();
                    message::KEX_INIT
                }
            };
            if number == expected || number == message::DISCONNECT {
                continue;
            }
            hostile.say(&[number, 0, 0, 0, 0, 0, 0, 0, 0]);
            if state == 3 && (2..=4).contains(&number) {
                hostile.goes_on();
                continue;
            }
            if state == 0 && hostile.victim.error.is_none() {
                hostile.pump();
                if (2..=4).contains(&number) {
                    hostile.goes_on();
                    hostile.say_kexinit();
                }
            }
            hostile.ends_with(2);
        }
    }
}

#[test]
fn s25_strict_seq_reset_each_direction_nonstrict_seq_continues_strict_rekey_first_packet_not_checked()
 {
    // The numbers are in chacha20's nonces: a wrong one is a forged packet.
    for (strict, accepts) in [
        (true, NonstrictChacha::Refused),
        (false, NonstrictChacha::Accepted),
    ] {
        let mut hostile = nonstrict(CHACHA, accepts);
        if strict {
            hostile.offer.kex = format!("curve25519-sha256,{STRICT}");
        }
        let mut hostile = hostile.logged_in();
        for _ in 0..3 {
            hostile.rekey();
            hostile.say(&global_request("x", true, &[]));
            hostile.goes_on();
            assert_eq!(hostile.hear(), Some(vec![message::REQUEST_FAILURE]));
        }
        assert_eq!(hostile.send_sequence < 3, strict);
        assert_eq!(hostile.receive_sequence < 3, strict);
        // One that does it wrong is not understood.
        hostile.send_sequence += 1;
        hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
        hostile.ends_with(5);
    }
}

#[test]
fn s26_markers_only_in_first_kexinit_and_pseudo_names_not_selectable() {
    // Asked for too late: not in force.
    let mut hostile = nonstrict(CHACHA, NonstrictChacha::Accepted).logged_in();
    hostile.offer.kex = format!("curve25519-sha256,{STRICT}");
    hostile.rekey();
    hostile.rekey();
    assert!(hostile.send_sequence > 10);
    hostile.goes_on();
    // The victim's own later KEXINITs have none.
    let mut hostile = Hostile::client().logged_in();
    hostile.say_kexinit();
    hostile.pump();
    let kexinit = hostile.hear_until(message::KEXINIT);
    assert!(!contains(&kexinit, b"kex-strict") && !contains(&kexinit, b"ext-info"));
    // Markers alone are no algorithm.
    for list in [
        "ext-info-c",
        STRICT,
        "ext-info-s,kex-strict-s-v00@openssh.com",
    ] {
        let mut hostile = Hostile::client();
        list.clone_into(&mut hostile.offer.kex);
        hostile.met_unheard().ends_with(3);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn ext_info(entries: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = numbers(message::EXT_INFO, &[entries]);
    for _ in 0..entries.min(100) {
        out.put_string(name);
        out.put_string(value);
    }
    out
}

#[test]
fn s27_extinfo_before_newkeys_d2_twice_huge_after_auth() {
    let good = ext_info(1, b"server-sig-algs", b"ssh-ed25519");
    // Before NEWKEYS.
    let mut hostile = Hostile::client().met();
    hostile.say(&good);
    hostile.ends_with(2);
    // As a client: once, in the first place.
    let mut hostile = Hostile::client().keyed();
    hostile.say(&good);
    hostile.goes_on();
    hostile.say(&good);
    hostile.ends_with(2);
    let mut hostile = Hostile::client().keyed();
    hostile.say(&[message::IGNORE, 0, 0, 0, 0]);
    hostile.say(&good);
    hostile.ends_with(2);
    // As a server: there, and once more until the login is done.
    let mut hostile = Hostile::server().keyed();
    hostile.say(&good);
    hostile.say(&good);
    hostile.goes_on();
    hostile.say(&good);
    hostile.ends_with(2);
    let mut hostile = Hostile::server().logged_in();
    hostile.say(&good);
    hostile.ends_with(2);
    // Over its limits.
    for bad in [
        ext_info(65, b"a", b"b"),
        ext_info(u32::MAX, b"a", b"b"),
        ext_info(3, b"a", &[b'x'; 6_000]),
        ext_info(1, b"a", b"b\0c"),
        [&good[..], b"more"].concat(),
    ] {
        let mut hostile = Hostile::server().keyed();
        hostile.say(&bad);
        hostile.ends_with(2);
    }
    // Unknown names are nobody's business.
    let mut hostile = Hostile::server().keyed();
    hostile.say(&ext_info(64, b"elevation", b"n"));
    hostile.goes_on();
}

#[test]
fn s29_second_kexinit_d2_and_messages_of_the_other_role() {
    let mut hostile = Hostile::client().met();
    hostile.say_kexinit();
    hostile.ends_with(2);
    let mut hostile = Hostile::server().met();
    hostile.say_kexinit();
    hostile.pump();
    hostile.ends_with(2);
    // NEWKEYS without an exchange, and with something in it.
    let mut hostile = Hostile::client().logged_in();
    hostile.say(&[message::NEWKEYS]);
    hostile.ends_with(2);
    let mut hostile = Hostile::client().met();
    hostile.say_kex_init();
    hostile.pump();
    hostile.read_kex_reply();
    hostile.read_new_keys();
    hostile.say(&[message::NEWKEYS, 0]);
    hostile.ends_with(2);
    // C_INIT from a server.
    let mut hostile = Hostile::server().met();
    let init = hostile.kex_init();
    hostile.say(&init);
    hostile.ends_with(2);
}

#[test]
fn s30_first_kex_follows_four_cases() {
    // The guess is right when the first names of both lists are the victim's own.
    for (kex, is_right) in [
        ("mlkem768x25519-sha256,curve25519-sha256", true),
        ("curve25519-sha256", false),
    ] {
        for guesses in [false, true] {
            let mut hostile = Hostile::client_with(|server| {
                server.transport.preferences.kex.retain(|kex| {
                    kex.name() == "mlkem768x25519-sha256" || kex.name() == "curve25519-sha256"
                });
                if is_right {
                    server.transport.preferences.kex.reverse();
                }
            });
            // The raw peer speaks X25519 alone: the right guess is that.
            let first = if is_right { "curve25519-sha256" } else { kex };
            hostile.offer.kex = format!("{first},{STRICT}");
            hostile.offer.guesses = guesses;
            let mut hostile = hostile.met();
            if guesses && !is_right {
                // A wrong guess, which says nothing that could be understood.
                hostile.say(&[message::KEX_INIT, 1, 2, 3]);
            }
            hostile.exchange();
            hostile.log_in();
            hostile.goes_on();
        }
    }
    // One message is skipped, not two.
    let mut hostile = Hostile::client();
    hostile.offer.guesses = true;
    let mut hostile = hostile.met();
    hostile.say(&[message::KEX_INIT, 1]);
    hostile.say(&[message::KEX_INIT, 1]);
    hostile.ends_with(2);
}

#[test]
fn s31_kexinit_hostile_lists() {
    let long_name = "a".repeat(65);
    let many = vec!["a"; 257].join(",");
    for list in [
        long_name.as_str(),
        &many,
        "curve25519-sha256,,x",
        ",curve25519-sha256",
        "curve25519-sha256,",
        "curve25519-sha256,a b",
        "curve25519-sha256,\u{7f}",
        "curve25519-sha256,\0",
        "curve25519-sha256,é",
    ] {
        let mut hostile = Hostile::client();
        list.clone_into(&mut hostile.offer.kex);
        hostile.met_unheard().ends_with(2);
        let mut hostile = Hostile::client();
        list.clone_into(&mut hostile.offer.mac);
        hostile.met_unheard().ends_with(2);
    }
    // Just within.
    let mut hostile = Hostile::client();
    hostile.offer.kex = format!("{}curve25519-sha256,{STRICT}", "a,".repeat(254));
    hostile.logged_in().goes_on();
    // As a whole: cut at every byte, longer by one, too long.
    let whole = Hostile::client().offer.build();
    for cut in 1..whole.len() {
        let mut hostile = Hostile::client();
        hostile.say_ident();
        hostile.say(&whole[..cut]);
        hostile.read_victims_ident();
        hostile.ends_with(2);
    }
    for more in [1, limits::KEXINIT_BYTES] {
        let mut hostile = Hostile::client();
        hostile.say_ident();
        hostile.say(&[&whole[..], &vec![0; more][..]].concat());
        hostile.read_victims_ident();
        hostile.ends_with(2);
    }
}

#[test]
fn s32_nothing_in_common_is_said() {
    let mut offers = vec![Hostile::client().offer; 4];
    "diffie-hellman-group14-sha256".clone_into(&mut offers[0].kex);
    "ssh-rsa".clone_into(&mut offers[1].host_key);
    "aes128-cbc,3des-cbc,arcfour,none".clone_into(&mut offers[2].cipher);
    "aes128-ctr".clone_into(&mut offers[3].cipher);
    "hmac-sha1,hmac-sha2-256,umac-64@openssh.com,none".clone_into(&mut offers[3].mac);
    for offer in offers {
        let mut hostile = Hostile::client();
        hostile.offer = offer;
        let error = hostile.met_unheard().ends_with(3);
        assert!(matches!(error, ConnectionError::NoCommonAlgorithm { .. }));
    }
}

#[test]
fn s33_x25519_low_order_and_wrong_length() {
    let mut low_orders = [[0; 32], [0; 32]];
    low_orders[1][0] = 1;
    for share in low_orders.iter().map(|share| share.to_vec()).chain([
        vec![],
        vec![9; 31],
        vec![9; 33],
        vec![9; 1_000],
    ]) {
        let mut hostile = Hostile::client().met();
        let mut init = vec![message::KEX_INIT];
        init.put_string(&share);
        hostile.say(&init);
        hostile.ends_with(3);
        let mut hostile = Hostile::server();
        "curve25519-sha256".clone_into(&mut hostile.offer.kex);
        let mut hostile = hostile.met();
        hostile.say_kex_reply(|reply| reply.share = share);
        hostile.ends_with(3);
    }
    // Cut short, and with more behind it.
    for init in [&[message::KEX_INIT][..], &[message::KEX_INIT, 0, 0, 0, 9]] {
        let mut hostile = Hostile::client().met();
        hostile.say(init);
        hostile.ends_with(2);
    }
    let mut hostile = Hostile::client().met();
    let mut init = hostile.kex_init();
    init.push(0);
    hostile.say(&init);
    hostile.ends_with(2);
}

#[test]
fn s34_s35_hybrid_and_nist_shares_of_any_shape() {
    for kex in [
        "mlkem768x25519-sha256",
        "sntrup761x25519-sha512",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
    ] {
        for size in [0, 32, 64, 65, 97, 133, 1_190, 1_216, 1_217] {
            // Coefficients over the modulus; a point of a form that SSH has not.
            for byte in [0xff, 2, 6] {
                let mut hostile = Hostile::client_with(|server| {
                    server.transport.preferences.kex =
                        adit_ssh::algorithm::KexAlgorithm::ALL.to_vec();
                });
                hostile.offer.kex = format!("{kex},{STRICT}");
                let mut hostile = hostile.met();
                let mut init = vec![message::KEX_INIT];
                init.put_string(&vec![byte; size]);
                hostile.say(&init);
                // Small enough coefficients are a key, and sntrup761 takes any bytes for one.
                let is_key = match kex {
                    "mlkem768x25519-sha256" => size == 1_216 && byte != 0xff,
                    "sntrup761x25519-sha512" => size == 1_190,
                    _ => false,
                };
                if is_key {
                    hostile.goes_on();
                } else {
                    hostile.ends_with(3);
                }
            }
        }
    }
}

#[test]
fn s35_kem_tampered_ct_fails_at_signature() {
    // A stranger on the path changes the server's ciphertext. Decapsulation does not say so, by
    // design; what was signed does.
    let mut pair = support::Pair::new();
    pair.client.flush(pair.now, 262_144);
    pair.carry_up();
    pair.server.flush(pair.now, 262_144);
    pair.carry_down();
    pair.client.flush(pair.now, 262_144);
    pair.carry_up();
    pair.server.flush(pair.now, 262_144);
    assert!(pair.server.wire.len() > 1_200);
    // Behind length, padding length, number and host key lies the share: the ciphertext first.
    pair.server.wire[4 + 2 + 4 + 51 + 4 + 100] ^= 1;
    pair.carry_down();
    let error = pair.client.error.clone();
    let not_good = adit_ssh::error::Violation::kex("host key signature is not good");
    assert_eq!(error, Some(ConnectionError::Violation(not_good)));
    let kex = pair.server.connection.negotiated().unwrap().kex;
    assert_eq!(kex, adit_ssh::algorithm::KexAlgorithm::MlKem768X25519);
}

#[test]
fn s37_hostkey_sig_alg_and_blob_mismatch_d3() {
    let blob = |name: &[u8], parts: &[&[u8]]| {
        let mut out = Vec::new();
        out.put_string(name);
        for part in parts {
            out.put_string(part);
        }
        out
    };
    let bends: Vec<Bend> = vec![
        // A signature over something else.
        Box::new(|reply| {
            let last = reply.signature.len() - 1;
            reply.signature[last] ^= 1;
        }),
        // The name of another algorithm.
        Box::new(move |reply| {
            let raw = reply.signature[reply.signature.len() - 64..].to_vec();
            reply.signature = blob(b"rsa-sha2-512", &[&raw]);
        }),
        // More behind it.
        Box::new(|reply| reply.signature.push(0)),
        Box::new(|reply| reply.signature.clear()),
        // A key of another kind.
        Box::new(move |reply| reply.host_key = blob(b"ssh-rsa", &[&[1, 0, 1], &[0x7f; 256]])),
        Box::new(|reply| reply.host_key.push(0)),
        Box::new(|reply| reply.host_key.clear()),
        // A share that is not what was signed.
        Box::new(|reply| reply.share[0] ^= 1),
    ];
    for bend in bends {
        let mut hostile = Hostile::server().met();
        hostile.say_kex_reply(|reply| bend(reply));
        // Neither NEWKEYS leaves nor is anybody asked.
        hostile.pump();
        assert!(
            hostile
                .victim
                .find(|event| matches!(event, Event::HostKey(_)))
                .is_none()
        );
        assert_eq!(hostile.ends_after(3).1, 1);
    }
}

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
    let channel = open_channel(&mut hostile, 1 << 20);
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

/// What is wrong with an S_REPLY.
type Bend = Box<dyn Fn(&mut support::hostile::KexReply)>;

/// A channel that the hostile client has opened; the victim's number for it.
fn open_channel(hostile: &mut Hostile, window: u32) -> u32 {
    hostile.say(&open(
        "direct-tcpip",
        9,
        1 << 20,
        32_768,
        &endpoints("db", 1),
    ));
    hostile.pump();
    let asked = hostile
        .victim
        .find(|event| matches!(event, Event::ChannelAsked { .. }));
    let Some(Event::ChannelAsked { channel, .. }) = asked else {
        unreachable!("no channel was asked for")
    };
    assert!(hostile.victim.connection.accept_channel(channel, window));
    hostile.pump();
    hostile.hear_all();
    channel.number()
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
        let channel = open_channel(&mut hostile, window);
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
    let mut pair = support::Pair::connected();
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
fn dropbear_is_offered_chacha_and_others_are_not() {
    for (ident, offered) in [
        (&b"SSH-2.0-dropbear_2022.83"[..], true),
        (b"SSH-2.0-OpenSSH_9.2p1", false),
    ] {
        let mut hostile = Hostile::client_with(|server| {
            server.transport.preferences.cipher =
                adit_ssh::negotiate::Preferences::server(true).cipher;
            let mut provider = (*server.transport.provider).clone();
            provider.has_fast_aes = true;
            server.transport.provider = std::sync::Arc::new(provider);
        });
        hostile.ident = ident.to_vec();
        hostile.say_ident();
        hostile.read_victims_ident();
        let kexinit = hostile.expect_message();
        assert_eq!(contains(&kexinit, CHACHA.as_bytes()), offered);
    }
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
