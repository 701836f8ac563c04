//! Strict key exchange, and what may be said when.

use adit_ssh::kex::NonstrictChacha;
use adit_ssh::message;
use adit_ssh::wire::Write;

use crate::support::hostile::{Hostile, global_request, numbers};
use crate::{CHACHA, STRICT, contains};

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
