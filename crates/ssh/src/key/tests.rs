use proptest::prelude::*;

use super::parts::SMALL_ORDER;
use super::*;

/// Made by ssh-keygen 9.2 on 2026-11-22, with the fingerprints that it prints.
const SAMPLES: [(KeyType, &str, &str); 5] = [
    (
        KeyType::Ed25519,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH8s4TdlmeJcICIfG55w+d0ySE2nf73rIffDUaOhCbGm",
        "SHA256:5o6l9FbRm04ywGloI/wDxOum8CTiiSXTWLhv+6JsPYk",
    ),
    (
        KeyType::EcdsaP256,
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA5AL2ulSEUMiXjPLXdJo5w4Niao3vtYWhhEPTp3Z4LLgA+L9LGfL9mClFbKy1jbR5VDYMiVK73wgVZeA38nX6I=",
        "SHA256:pnbRZMsNdl+oFMjfXLyz8x1NiZhxu+g1Zazo2Kci5z0",
    ),
    (
        KeyType::EcdsaP384,
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBFwxrAMSzLwTPHFZQqcZ3AsJDVdTOuny3YYAxy6koWPn6+L5JIO+TTLPuPq/qxSmOr0/75ZNYOXV6zyD4BVjnLWmMnwIOQE/e2evesoQil43MIwPtQ4jw90lVcGx5R2lpQ==",
        "SHA256:AkBzuReff/1gvRwjL9W+vUsEE0wWzw5+woz+6Hoa+QQ",
    ),
    (
        KeyType::EcdsaP521,
        "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBABMKyNzo9HZo0urYYUXuWlxPVwt25QMhU5erlNn6AoU5dWFP1JdWaDzH8P37cpGCkaMv6ghXJnRx9KykYJqEdU1mgHLQmVxlDgOVJrcLJrGzDzTu29jOq6M05De0EdlVV86MKWSuUC1+0GhCDxalBiwNz8aAnzjMqmmS6u/pbFxraJf2A==",
        "SHA256:Z3sRw/KKcm9ji9Eq/5GqiDFKxT3WahQ1Gvi3QyqZ7hc",
    ),
    (
        KeyType::Rsa,
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDMhfaiye6YFjGM6lrn6ElE/H/ohi1UCj3LMdT1GhhOao+W99ZCVbC8sFyMNPg7iWojfPMTl56EbBvwyB6zS/WJb49mQTgc3gIZ6ke0HYTEOpe/M3VS+fAV5iqzENJovBSN22xNHeXYVT8pwhL6xfYSpVg8ztikEcJpmRMfr+ist9WI0IvccghRoD0/MHeIzi8N+SuWuJN2e1/nKktyXWUa72F5Sk7iKapJX1vpuzaSp1n2UmEuxC9z82+icQ8l+8yrCdFg1yDcBCVnrpFx/6LBYZd9vwc0axfR+95wIhqYmooD5YGMBA4Q3MNgSOKNpSufamZmTbgcULvx6hiKAr4h",
        "SHA256:BtwprutCdFX2lCAkiFoPDuHnjHp9K1dz7bICBuKKZ/E",
    ),
];

fn blob_of(name: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    for field in fields {
        blob.put_string(field);
    }
    blob
}

fn sample(key_type: KeyType) -> PublicKey {
    let (_, text, _) = SAMPLES
        .iter()
        .find(|(known, ..)| *known == key_type)
        .unwrap();
    PublicKey::from_openssh_text(text).unwrap()
}

#[test]
fn keys_and_fingerprints_are_those_of_ssh_keygen() {
    for (key_type, text, fingerprint) in SAMPLES {
        let key = PublicKey::from_openssh_text(text).unwrap();
        assert_eq!(key.key_type(), key_type);
        assert_eq!(key.to_openssh_text(), text);
        assert_eq!(key.fingerprint().to_string(), fingerprint);
        assert_eq!(fingerprint.parse(), Ok(key.fingerprint()));
        assert_eq!(PublicKey::from_blob(key.blob()), Ok(key.clone()));
        assert_eq!(PublicKey::from_parts(key.parts()), Ok(key.clone()));
        assert!(key.trust().is_ok());
        assert!(
            key.signature_algorithms()
                .iter()
                .all(|algorithm| key.supports(*algorithm))
        );
    }
}

#[test]
fn a_blob_cut_or_lengthened_anywhere_is_no_key() {
    for (_, text, _) in SAMPLES {
        let blob = PublicKey::from_openssh_text(text).unwrap().blob().to_vec();
        for size in 0..blob.len() {
            assert!(PublicKey::from_blob(&blob[..size]).is_err());
        }
        assert_eq!(
            PublicKey::from_blob(&[&blob[..], &[0]].concat()),
            Err(KeyError::Malformed(WireError::Trailing))
        );
    }
}

#[test]
fn other_types_are_unknown() {
    for name in [
        "",
        "ssh-dss",
        "ssh-ed448",
        "rsa-sha2-512",
        "SSH-ED25519",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
        "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    ] {
        assert_eq!(
            PublicKey::from_blob(&blob_of(name, &[&[1; 32]])),
            Err(KeyError::UnknownType),
            "{name}"
        );
    }
}

#[test]
fn an_ed25519_key_has_32_bytes() {
    for size in [0, 1, 31, 33, 64] {
        for name in ["ssh-ed25519", "sk-ssh-ed25519@openssh.com"] {
            assert_eq!(
                PublicKey::from_blob(&blob_of(name, &[&vec![3; size], b"ssh:"])),
                Err(KeyError::Point),
                "{name} {size}"
            );
        }
    }
}

#[test]
fn ecdsa_name_curve_and_point_agree() {
    let Parts::Ecdsa(_, point) = sample(KeyType::EcdsaP256).parts().clone() else {
        panic!("not an ECDSA key");
    };
    let of = |name: &str, curve: &str, point: &[u8]| {
        PublicKey::from_blob(&blob_of(name, &[curve.as_bytes(), point]))
    };
    assert!(of("ecdsa-sha2-nistp256", "nistp256", &point).is_ok());
    for (name, curve) in [
        ("ecdsa-sha2-nistp256", "nistp384"),
        ("ecdsa-sha2-nistp384", "nistp256"),
        ("ecdsa-sha2-nistp256", ""),
        ("ecdsa-sha2-nistp256", "NISTP256"),
    ] {
        assert_eq!(of(name, curve, &point), Err(KeyError::TypeMismatch));
    }
    assert_eq!(
        of("ecdsa-sha2-nistp384", "nistp384", &point),
        Err(KeyError::Point)
    );
    let form = |first: u8, size: usize| [&[first][..], &point[1..size]].concat();
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    for bad in [
        vec![],
        vec![0],
        form(2, 33),
        form(3, 33),
        form(2, 65),
        form(6, 65),
        form(7, 65),
        form(5, 65),
        form(4, 64),
        [&point[..], &[0]].concat(),
        off_curve,
        vec![4; 65],
    ] {
        assert_eq!(
            of("ecdsa-sha2-nistp256", "nistp256", &bad),
            Err(KeyError::Point),
            "{bad:02x?}"
        );
    }
}

#[test]
fn rsa_bounds() {
    let of = |e: &[u8], n: &[u8]| {
        let mut blob = Vec::new();
        blob.put_string(b"ssh-rsa");
        blob.put_mpint(e);
        blob.put_mpint(n);
        PublicKey::from_blob(&blob)
    };
    let modulus = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= (8 - bits % 8) % 8;
        n
    };
    let e = [1, 0, 1];
    for bits in [2_048, 2_049, 3_072, 4_096, 8_191, 8_192] {
        assert!(of(&e, &modulus(bits)).is_ok(), "{bits} bits");
    }
    for bits in [1, 1_024, 2_047] {
        assert_eq!(of(&e, &modulus(bits)), Err(KeyError::RsaModulus), "{bits}");
    }
    // Longer than the longest number on the wire already.
    assert!(of(&e, &modulus(8_193)).is_err());
    assert!(of(&e, &modulus(16_384)).is_err());
    let mut even = modulus(2_048);
    *even.last_mut().unwrap() = 0xfe;
    assert_eq!(of(&e, &even), Err(KeyError::RsaModulus));
    assert_eq!(of(&e, &[]), Err(KeyError::RsaModulus));
    for good in [&[3][..], &[5], &e, &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert!(of(good, &modulus(2_048)).is_ok(), "{good:?}");
    }
    for bad in [
        &[][..],
        &[1],
        &[2],
        &[4],
        &[1, 0, 0],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(
            of(bad, &modulus(2_048)),
            Err(KeyError::RsaExponent),
            "{bad:?}"
        );
    }
}

#[test]
fn a_negative_or_padded_rsa_number_is_refused() {
    let mut n = vec![0xff; 256];
    n[255] = 1;
    for number in [n.clone(), [&[0, 0][..], &n].concat()] {
        assert_eq!(
            PublicKey::from_blob(&blob_of("ssh-rsa", &[&[1, 0, 1], &number])),
            Err(KeyError::Malformed(WireError::Mpint))
        );
    }
}

#[test]
fn a_security_key_says_its_application() {
    let Parts::Ed25519(point) = sample(KeyType::Ed25519).parts().clone() else {
        panic!("not an Ed25519 key");
    };
    let of = |application: &[u8]| {
        PublicKey::from_blob(&blob_of(
            "sk-ssh-ed25519@openssh.com",
            &[&point, application],
        ))
    };
    assert_eq!(of(b"ssh:").unwrap().application(), Some("ssh:"));
    assert_eq!(sample(KeyType::Ed25519).application(), None);
    for bad in [&[0xff][..], b"a\0b", &[b'a'; 256]] {
        assert!(of(bad).is_err());
    }
}

#[test]
fn ed25519_small_order_refused() {
    let mut weak: Vec<[u8; 32]> = SMALL_ORDER.to_vec();
    // The spellings of y at and over p: all 19 of them.
    for low in 0xed..=0xff {
        let mut point = [0xff; 32];
        point[0] = low;
        point[31] = 0x7f;
        weak.push(point);
    }
    for point in weak {
        for sign in [0, 0x80] {
            let mut point = point;
            point[31] |= sign;
            for (name, fields) in [
                ("ssh-ed25519", vec![&point[..]]),
                ("sk-ssh-ed25519@openssh.com", vec![&point[..], b"ssh:"]),
            ] {
                let key = PublicKey::from_blob(&blob_of(name, &fields)).unwrap();
                assert!(key.is_weak_point(), "{point:02x?}");
                assert_eq!(key.trust(), Err(KeyError::WeakPoint));
            }
        }
    }
    let mut largest = [0xff; 32];
    largest[0] = 0xeb;
    largest[31] = 0x7f;
    let key = PublicKey::from_blob(&blob_of("ssh-ed25519", &[&largest])).unwrap();
    assert!(!key.is_weak_point());
}

#[test]
fn text_is_read_strictly() {
    let (_, good, _) = SAMPLES[0];
    let (name, base64) = good.split_once(' ').unwrap();
    assert!(PublicKey::from_openssh_text(good).is_ok());
    assert_eq!(
        PublicKey::from_openssh_text(&format!("ssh-rsa {base64}")),
        Err(KeyError::TypeMismatch)
    );
    for bad in [
        String::new(),
        name.to_owned(),
        format!("{name}  {base64}"),
        format!("{name}\t{base64}"),
        format!("{good} comment"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{name} {}", base64.to_lowercase().replace('a', "-")),
        format!("{name} "),
    ] {
        assert!(PublicKey::from_openssh_text(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_fingerprint_is_read_strictly() {
    let (_, _, good) = SAMPLES[0];
    for bad in [
        "",
        "SHA256:",
        "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
        good.strip_prefix("SHA256:").unwrap(),
        &good.to_lowercase(),
        good.strip_suffix(|_: char| true).unwrap(),
        &format!("{good}="),
        &format!("{good}A"),
        &format!(" {good}"),
    ] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(KeyError::Text), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(key) = PublicKey::from_blob(&bytes) {
            prop_assert_eq!(key.blob(), &bytes[..]);
        }
    }

    #[test]
    fn any_change_of_a_blob_is_an_error_or_another_key(
        at in 0_usize..51,
        bit in 0_u8..8,
    ) {
        let key = sample(KeyType::Ed25519);
        let mut blob = key.blob().to_vec();
        blob[at] ^= 1 << bit;
        if let Ok(changed) = PublicKey::from_blob(&blob) {
            prop_assert_ne!(changed.fingerprint(), key.fingerprint());
        }
    }
}
