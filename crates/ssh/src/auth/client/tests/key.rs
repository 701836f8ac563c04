//! Keys and signatures.

use super::*;

#[test]
fn a_key_is_queried_and_then_signs() {
    let blob = fake::ed25519(1);
    let algorithm = KeyAlgorithm::Ed25519;
    for hostbound in [false, true] {
        let mut bench = Bench::told(vec![key(blob.clone())], "publickey");
        bench.client.ext_info(ServerExtensions {
            signature_algorithms: None,
            hostbound,
        });
        assert_eq!(bench.sent(), [query("anna", algorithm, &blob)]);
        bench.take(&pk_ok("ssh-ed25519", &blob)).unwrap();
        let ClientEvent::Sign(question) = bench.event() else {
            panic!("a signature is wanted");
        };
        assert_eq!((question.credential, question.algorithm), (0, algorithm));
        let signature = fake::sign(&blob, algorithm.signature(), &question.data);
        bench
            .client
            .answer_signature(question.id, Some(&signature), &mut bench.out)
            .unwrap();
        let wanted = if hostbound {
            unsigned_bound("anna", algorithm, &blob, HOST_KEY)
        } else {
            unsigned("anna", algorithm, &blob)
        };
        assert_eq!(bench.sent(), [signed(wanted, SESSION, algorithm, &blob)]);
        bench.take(&[52]).unwrap();
        assert!(matches!(bench.event(), ClientEvent::Succeeded));
    }
}

#[test]
fn a_key_that_was_not_offered_cannot_be_accepted() {
    let blob = fake::rsa(1);
    for (algorithm, named, is_good) in [
        ("rsa-sha2-512", blob.clone(), true),
        ("ssh-rsa", blob.clone(), true),
        ("rsa-sha2-256", blob.clone(), false),
        ("ssh-ed25519", blob.clone(), false),
        ("rsa-sha2-512", fake::rsa(2), false),
        ("rsa-sha2-512", Vec::new(), false),
    ] {
        let mut bench = Bench::told(vec![key(blob.clone()), key(fake::rsa(2))], "publickey");
        let result = bench.take(&pk_ok(algorithm, &named));
        assert_eq!(code(result), if is_good { None } else { D2 }, "{algorithm}");
    }
    for (state, mut bench) in every_state() {
        let expected = if state == "a query is out" { None } else { D2 };
        let payload = pk_ok("ssh-ed25519", &fake::ed25519(1));
        assert_eq!(code(bench.take(&payload)), expected, "{state}");
    }
}

#[test]
fn a_signature_of_another_algorithm_is_not_sent() {
    let blob = fake::rsa(1);
    for name in ["ssh-rsa", "rsa-sha2-256", "ssh-ed25519"] {
        let mut bench = Bench::told(vec![key(blob.clone()), Credential::Password], "publickey");
        bench.sent();
        bench.take(&pk_ok("rsa-sha2-512", &blob)).unwrap();
        let ClientEvent::Sign(question) = bench.event() else {
            panic!("a signature is wanted");
        };
        let mut signature = Vec::new();
        signature.put_string(name.as_bytes());
        signature.put_string(&[1; 256]);
        bench
            .client
            .answer_signature(question.id, Some(&signature), &mut bench.out)
            .unwrap();
        assert!(bench.out.is_empty());
        assert_eq!(
            bench.failed().outcomes,
            [Outcome::WrongSignature, Outcome::NotTried]
        );
    }
}

#[test]
fn extinfo_cannot_enable_sha1() {
    use SignatureAlgorithm::{Ed25519, RsaSha256, RsaSha512};
    let blob = fake::rsa(1);
    for (accepted, chosen) in [
        (None, Some("rsa-sha2-512")),
        (Some(vec![RsaSha256, RsaSha512]), Some("rsa-sha2-512")),
        (Some(vec![Ed25519, RsaSha256]), Some("rsa-sha2-256")),
        // A list of nothing but ssh-rsa arrives empty: the name has no value here.
        (Some(vec![]), None),
    ] {
        let mut bench = Bench::new(vec![key(blob.clone())]);
        bench.client.ext_info(ServerExtensions {
            signature_algorithms: accepted,
            hostbound: false,
        });
        bench.take(&failure("publickey", false)).unwrap();
        if let Some(name) = chosen {
            let algorithm = KeyAlgorithm::from_name(name.as_bytes()).unwrap();
            assert_eq!(bench.sent(), [query("anna", algorithm, &blob)]);
        } else {
            let failure = bench.failed();
            assert_eq!(failure.outcomes, [Outcome::NoCommonAlgorithm]);
            assert_eq!(failure.signature_algorithms, Some(vec![]));
        }
    }
}

#[test]
fn a_later_extinfo_holds_for_later_attempts() {
    let blob = fake::rsa(1);
    let mut bench = Bench::told(vec![key(blob.clone()), key(fake::rsa(2))], "publickey");
    assert_eq!(
        bench.sent(),
        [query("anna", KeyAlgorithm::RsaSha512, &blob)]
    );
    bench.client.ext_info(ServerExtensions {
        signature_algorithms: Some(vec![SignatureAlgorithm::RsaSha256]),
        hostbound: false,
    });
    bench.take(&failure("publickey", false)).unwrap();
    let later = query("anna", KeyAlgorithm::RsaSha256, &fake::rsa(2));
    assert_eq!(bench.sent(), [later]);
}

#[test]
fn ed25519_is_offered_even_if_the_list_names_only_rsa() {
    let mut bench = Bench::new(vec![key(fake::ed25519(1))]);
    bench.client.ext_info(ServerExtensions {
        signature_algorithms: Some(vec![SignatureAlgorithm::RsaSha512]),
        hostbound: false,
    });
    bench.take(&failure("publickey", false)).unwrap();
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_key_is_never_offered_with_a_hash_that_its_holder_cannot_make() {
    let rsa = || OfferedKey::new(fake::rsa(1)).unwrap();
    let limited = rsa().limited_to(&[SignatureAlgorithm::RsaSha256]).unwrap();
    assert_eq!(limited.algorithms(), [KeyAlgorithm::RsaSha256]);
    let mut bench = Bench::told(vec![Credential::Key(limited)], "publickey");
    let offered = query("anna", KeyAlgorithm::RsaSha256, &fake::rsa(1));
    assert_eq!(bench.sent(), [offered]);
    assert_eq!(rsa().limited_to(&[SignatureAlgorithm::Ed25519]), None);
}

#[test]
fn keys_of_unknown_types_cannot_be_offered() {
    let mut dss = Vec::new();
    dss.put_string(b"ssh-dss");
    let mut huge = fake::ed25519(1);
    huge.resize(limits::KEY_BLOB + 1, 0);
    for blob in [dss, huge, Vec::new(), vec![0, 0, 0, 9]] {
        assert_eq!(OfferedKey::new(blob), None);
    }
    let mut certificate = Vec::new();
    certificate.put_string(b"ssh-rsa-cert-v01@openssh.com");
    assert_eq!(
        OfferedKey::new(certificate).unwrap().algorithms(),
        [KeyAlgorithm::RsaSha512Cert, KeyAlgorithm::RsaSha256Cert]
    );
}

#[test]
fn a_key_that_was_only_queried_proves_nothing() {
    let mut bench = Bench::told(vec![key(fake::ed25519(1))], "publickey");
    bench.take(&failure("password", true)).unwrap();
    assert_eq!(bench.failed().outcomes, [Outcome::KeyRefused]);
}
