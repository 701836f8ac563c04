//! What is agreed on, and the shares, keys and signatures of the exchange itself.

use adit_ssh::Event;
use adit_ssh::error::ConnectionError;
use adit_ssh::limits;
use adit_ssh::message;
use adit_ssh::wire::Write;

use crate::support::Pair;
use crate::support::hostile::{Hostile, KexReply};
use crate::{CHACHA, STRICT, contains};

/// What is wrong with an S_REPLY.
type Bend = Box<dyn Fn(&mut KexReply)>;

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
    let mut pair = Pair::new();
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
