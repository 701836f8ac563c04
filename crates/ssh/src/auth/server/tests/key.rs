//! Keys and signatures.

use super::*;
use crate::provider::aws_lc;

#[test]
fn a_key_may_log_in_once_it_has_signed() {
    let key = fake::ed25519(1);
    let mut bench = Bench::open();
    bench
        .take(&query("anna", KeyAlgorithm::Ed25519, &key))
        .unwrap();
    bench.key(AUTHORISED).unwrap();
    let mut pk_ok = vec![60];
    pk_ok.put_string(b"ssh-ed25519");
    pk_ok.put_string(&key);
    assert_eq!(sent(&mut bench.out), [pk_ok]);
    assert_eq!(bench.notary.asked(), 0);

    let login = unsigned("anna", KeyAlgorithm::Ed25519, &key);
    bench
        .take(&signed(login, SESSION, KeyAlgorithm::Ed25519, &key))
        .unwrap();
    bench.key(AUTHORISED).unwrap();
    let question = bench.question();
    assert!(matches!(&question.claim, Claim::ProvedKey { key: proved, .. } if proved.blob == key));
    let (now, out) = (bench.now, &mut bench.out);
    bench
        .server
        .answer_login(question.id, LoginVerdict::Accept, now, out)
        .unwrap();
    assert_eq!(sent(&mut bench.out), [vec![52]]);
}

#[test]
fn query_a_sign_b_gives_b_only() {
    let (a, b) = (fake::ed25519(1), fake::ed25519(2));
    let mut bench = Bench::open();
    bench
        .take(&query("anna", KeyAlgorithm::Ed25519, &a))
        .unwrap();
    bench.key(AUTHORISED).unwrap();
    sent(&mut bench.out);
    let login = unsigned("anna", KeyAlgorithm::Ed25519, &b);
    bench
        .take(&signed(login, SESSION, KeyAlgorithm::Ed25519, &b))
        .unwrap();
    let question = bench.question();
    assert!(matches!(&question.claim, Claim::Key(key) if key.blob == b));
    let (now, out) = (bench.now, &mut bench.out);
    bench
        .server
        .answer_key(question.id, KeyVerdict::Refused, now, out)
        .unwrap();
    bench.expect_refusal();
    assert_eq!(bench.notary.asked(), 0);
}

#[test]
fn preauth_big_rsa_costs_no_cpu() {
    let key = fake::rsa(3);
    let algorithm = KeyAlgorithm::RsaSha512;
    let mut bench = Bench::open();
    for _ in 1..limits::AUTH_FAILURES {
        let login = unsigned("anna", algorithm, &key);
        bench
            .take(&signed(login, SESSION, algorithm, &key))
            .unwrap();
        bench.key(KeyVerdict::Refused).unwrap();
        bench.expect_refusal();
    }
    assert_eq!(bench.notary.asked(), 0);

    let mut login = open_login();
    login.signature_algorithms = vec![SignatureAlgorithm::Ed25519];
    let mut bench = Bench::new(login);
    let login = unsigned("anna", algorithm, &key);
    bench
        .take(&signed(login, SESSION, algorithm, &key))
        .unwrap();
    bench.expect_refusal();
    assert_eq!(bench.notary.asked(), 0);
}

/// A signed request, and whether its signature is even looked at by the verifier.
fn signature_table() -> Vec<(&'static str, Vec<u8>, bool)> {
    let algorithm = KeyAlgorithm::RsaSha512;
    let key = fake::rsa(3);
    let with = |signature: &[u8]| {
        let mut login = unsigned("anna", algorithm, &key);
        login.put_string(signature);
        login
    };
    let blob = |name: &str, tail: &[u8]| {
        let mut blob = Vec::new();
        blob.put_string(name.as_bytes());
        blob.put_string(&[1; 256]);
        blob.put_bytes(tail);
        blob
    };
    let bound = unsigned_bound("anna", algorithm, &key, HOST_KEY);
    vec![
        ("forged", with(&blob("rsa-sha2-512", &[])), true),
        ("trailing byte", with(&blob("rsa-sha2-512", &[0])), false),
        ("SHA-1 inside", with(&blob("ssh-rsa", &[])), false),
        ("other hash inside", with(&blob("rsa-sha2-256", &[])), false),
        ("empty", with(&[]), false),
        (
            "of another session",
            signed(unsigned("anna", algorithm, &key), &[1; 32], algorithm, &key),
            true,
        ),
        (
            "of another user",
            {
                let theirs = signed(unsigned("otto", algorithm, &key), SESSION, algorithm, &key);
                let mut login = unsigned("anna", algorithm, &key);
                let length = unsigned("otto", algorithm, &key).len();
                login.put_bytes(&theirs[length..]);
                login
            },
            true,
        ),
        (
            "of another key",
            signed(
                unsigned("anna", algorithm, &key),
                SESSION,
                algorithm,
                &fake::rsa(4),
            ),
            true,
        ),
        (
            "of the unbound method",
            {
                let plain = signed(unsigned("anna", algorithm, &key), SESSION, algorithm, &key);
                let length = unsigned("anna", algorithm, &key).len();
                let mut login = bound;
                login.put_bytes(&plain[length..]);
                login
            },
            true,
        ),
    ]
}

#[test]
fn sig_blob_table_at_the_server() {
    for (name, payload, is_verified) in signature_table() {
        let mut bench = Bench::open();
        bench.take(&payload).unwrap();
        if is_verified {
            bench.key(AUTHORISED).unwrap();
        }
        bench.expect_refusal();
        assert_eq!(bench.notary.asked(), usize::from(is_verified), "{name}");
    }
}

/// A good request, of which another field is then said to have been signed.
#[test]
fn sig_replay_other_session_other_user_other_request() {
    let algorithm = KeyAlgorithm::Ed25519;
    let key = fake::ed25519(1);
    let signature = |session: &[u8], request: &[u8]| {
        let mut data = Vec::new();
        data.put_string(session);
        data.put_bytes(request);
        fake::sign(&key, algorithm.signature(), &data)
    };
    let wanted = unsigned("anna", algorithm, &key);
    let bound = unsigned_bound("anna", algorithm, &key, HOST_KEY);
    let mut query = wanted.clone();
    // Where it says that a signature follows.
    assert_eq!(std::mem::replace(&mut query[40], 0), 1);
    let mut other_service = wanted.clone();
    other_service[13..27].copy_from_slice(b"ssh-userauth..");
    for (signed_for, is_good) in [
        (signature(SESSION, &wanted), true),
        (signature(&[0x5f; 32], &wanted), false),
        (signature(&SESSION[1..], &wanted), false),
        (signature(b"", &wanted), false),
        (
            signature(SESSION, &unsigned("otto", algorithm, &key)),
            false,
        ),
        (
            signature(SESSION, &unsigned("anna\0", algorithm, &key)),
            false,
        ),
        (signature(SESSION, &other_service), false),
        (signature(SESSION, &query), false),
        // With the host key and without it are two requests.
        (signature(SESSION, &bound), false),
        (
            signature(SESSION, &unsigned("anna", algorithm, &fake::ed25519(2))),
            false,
        ),
        (
            signature(SESSION, &unsigned("anna", KeyAlgorithm::Ed25519Cert, &key)),
            false,
        ),
    ] {
        let mut payload = wanted.clone();
        payload.put_string(&signed_for);
        let mut bench = Bench::open();
        bench.take(&payload).unwrap();
        bench.key(AUTHORISED).unwrap();
        if is_good {
            assert!(matches!(bench.question().claim, Claim::ProvedKey { .. }));
        } else {
            bench.expect_refusal();
        }
    }
}

#[test]
fn sig_replay_hostbound_wrong_key_d2() {
    let algorithm = KeyAlgorithm::Ed25519;
    let key = fake::ed25519(1);
    let login = unsigned_bound("anna", algorithm, &key, b"another host key");
    let mut bench = Bench::open();
    assert_eq!(
        code(bench.take(&signed(login, SESSION, algorithm, &key))),
        Some(D2)
    );

    let login = unsigned_bound("anna", algorithm, &key, HOST_KEY);
    let mut bench = Bench::open();
    bench
        .take(&signed(login, SESSION, algorithm, &key))
        .unwrap();
    bench.key(AUTHORISED).unwrap();
    assert!(matches!(bench.question().claim, Claim::ProvedKey { .. }));
}

#[test]
fn real_signatures_are_checked() {
    let signer = aws_lc::sign::ed25519(&[7; 32]).unwrap();
    let algorithm = KeyAlgorithm::Ed25519;
    let key = signer.public_key().blob();
    for (request, is_flipped) in [
        (unsigned("anna", algorithm, key), false),
        (unsigned("anna", algorithm, key), true),
        (unsigned_bound("anna", algorithm, key, HOST_KEY), false),
        (unsigned_bound("anna", algorithm, key, HOST_KEY), true),
    ] {
        let mut bench = Bench::open();
        let verifier = aws_lc::provider().verifier;
        let secret = fake::delay_secret(1);
        bench.server = ServerAuth::new(open_login(), SESSION, HOST_KEY, secret, verifier);
        bench.take(&service(5, "ssh-userauth")).unwrap();
        sent(&mut bench.out);
        let mut data = Vec::new();
        data.put_string(SESSION);
        data.put_bytes(&request);
        let mut signature = signer.sign(algorithm.signature(), &data).unwrap();
        if is_flipped {
            *signature.last_mut().unwrap() ^= 1;
        }
        let mut payload = request;
        payload.put_string(&signature);
        bench.take(&payload).unwrap();
        bench.key(AUTHORISED).unwrap();
        if is_flipped {
            bench.expect_refusal();
        } else {
            assert!(matches!(bench.question().claim, Claim::ProvedKey { .. }));
        }
    }
}

#[test]
fn a_certificate_logs_in_by_the_key_that_it_certifies() {
    let (key, certificate) = (fake::ed25519(1), fake::certificate(1));
    let algorithm = KeyAlgorithm::Ed25519Cert;
    for (signer, is_good) in [
        (&key, true),
        (&fake::ed25519(2), false),
        (&certificate, false),
    ] {
        let mut bench = Bench::open();
        let login = unsigned("anna", algorithm, &certificate);
        bench
            .take(&signed(login, SESSION, algorithm, signer))
            .unwrap();
        let question = bench.question();
        let Claim::Key(shown) = question.claim else {
            panic!("a key is shown");
        };
        assert_eq!((&shown.blob, shown.key.blob()), (&certificate, &key[..]));
        assert_eq!(shown.certificate.unwrap().principals(), ["anna"]);
        let (now, out) = (bench.now, &mut bench.out);
        bench
            .server
            .answer_key(question.id, AUTHORISED, now, out)
            .unwrap();
        if is_good {
            assert!(matches!(bench.question().claim, Claim::ProvedKey { .. }));
        } else {
            bench.expect_refusal();
        }
    }
}

#[test]
fn keys_and_certificates_are_not_taken_for_each_other() {
    use KeyAlgorithm::{Ed25519, Ed25519Cert, RsaSha512, RsaSha512Cert};
    let mut cut = fake::certificate(1);
    cut.pop();
    for (algorithm, blob) in [
        (Ed25519, fake::certificate(1)),
        (Ed25519Cert, fake::ed25519(1)),
        (RsaSha512, fake::certificate(1)),
        (RsaSha512Cert, fake::certificate(1)),
        (RsaSha512Cert, fake::rsa(1)),
        (Ed25519Cert, cut),
    ] {
        let mut bench = Bench::open();
        bench.take(&query("anna", algorithm, &blob)).unwrap();
        bench.expect_refusal();
    }
    let mut bench = Bench::open();
    bench
        .take(&query("anna", Ed25519, &fake::ed25519(1)))
        .unwrap();
    assert!(matches!(bench.question().claim, Claim::Key(key) if key.certificate.is_none()));
}

#[test]
fn a_security_key_logs_in_by_the_rules_of_its_owner() {
    // The signature says that the key was touched, and no more.
    let key = fake::security_key();
    let algorithm = KeyAlgorithm::SkEd25519;
    for (touch_required, verify_required, is_good) in [
        (true, false, true),
        (false, false, true),
        (true, true, false),
        (false, true, false),
    ] {
        let mut bench = Bench::open();
        let login = unsigned("anna", algorithm, &key);
        bench
            .take(&signed(login, SESSION, algorithm, &key))
            .unwrap();
        let rules = SecurityKeyRules {
            touch_required,
            verify_required,
        };
        bench.key(KeyVerdict::Authorised(rules)).unwrap();
        if is_good {
            let Claim::ProvedKey { verified, .. } = bench.question().claim else {
                panic!("the key is proved");
            };
            assert!(verified.security_key.is_some_and(|used| used.user_present));
        } else {
            bench.expect_refusal();
        }
    }
}

#[test]
fn sk_flags_matrix() {
    let verified = |touched, proved| Verified {
        security_key: Some(SecurityKeyUse {
            user_present: touched,
            user_verified: proved,
            counter: 1,
        }),
    };
    let rules = |touch_required, verify_required| SecurityKeyRules {
        touch_required,
        verify_required,
    };
    let sk = KeyAlgorithm::SkEd25519Cert;
    for (required_touch, touched) in [(false, false), (false, true), (true, false), (true, true)] {
        for (required_proof, proved) in [(false, false), (false, true), (true, false), (true, true)]
        {
            assert_eq!(
                rules(required_touch, required_proof).are_met(sk, verified(touched, proved)),
                (touched || !required_touch) && (proved || !required_proof)
            );
        }
    }
    let lax = rules(false, false);
    assert!(!lax.are_met(sk, Verified::default()), "flags must be there");
    assert!(!lax.are_met(KeyAlgorithm::Ed25519, verified(true, true)));
    assert!(rules(true, true).are_met(KeyAlgorithm::Ed25519, Verified::default()));
}

#[test]
fn bad_key_blob_is_one_failure() {
    let good = fake::ed25519(1);
    let huge = {
        let mut blob = fake::ed25519(1);
        blob.resize(limits::KEY_BLOB + 1, 0);
        blob
    };
    for (algorithm, blob) in [
        ("ssh-ed25519", &b""[..]),
        ("ssh-ed25519", &[0, 0, 0, 11]),
        ("ssh-ed25519", &[0xff; 51]),
        ("ssh-ed25519", &fake::rsa(1)),
        ("ssh-ed25519", &huge),
        ("rsa-sha2-512", &good),
        ("ssh-rsa", &fake::rsa(1)),
        ("ssh-dss", &good),
        ("no-such-algorithm@example.com", &good),
        ("", &good),
    ] {
        let mut payload = request("anna", "publickey");
        payload.put_boolean(false);
        payload.put_string(algorithm.as_bytes());
        payload.put_string(blob);
        let mut bench = Bench::open();
        bench.take(&payload).unwrap();
        bench.expect_refusal();
        bench
            .take(&query("anna", KeyAlgorithm::Ed25519, &good))
            .unwrap();
        bench.key(AUTHORISED).unwrap();
        assert_eq!(
            sent(&mut bench.out).len(),
            1,
            "{algorithm}: the login goes on"
        );
    }
}
