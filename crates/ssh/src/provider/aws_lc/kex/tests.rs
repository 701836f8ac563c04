use aws_lc_rs::kem;

use super::*;
use crate::provider::aws_lc::tests::hex;
use crate::wire::Write as _;

/// A client and the bytes that it sends.
fn start(method: &dyn KexMethod) -> (Box<dyn ActiveKex>, Vec<u8>) {
    let client = method.start().unwrap();
    let init = client.client_init().to_vec();
    (client, init)
}

#[test]
fn both_ends_of_every_method_know_the_same_secret() {
    for method in methods() {
        let (client, init) = start(method.as_ref());
        let (reply, server_secret) = method.respond(&init).unwrap();
        let client_secret = client.complete(&reply).unwrap();
        assert_eq!(
            client_secret.encoded(),
            server_secret.encoded(),
            "{method:?}"
        );
        let (other, _) = start(method.as_ref());
        assert_ne!(other.client_init(), init, "{method:?} is not ephemeral");
    }
}

#[test]
fn hybrid_sizes() {
    for (method, init_size, reply_size, secret_size) in [
        (hybrid::MLKEM, 1_184 + 32, 1_088 + 32, 32),
        (hybrid::SNTRUP, 1_158 + 32, 1_039 + 32, 64),
    ] {
        let (client, init) = start(&method);
        assert_eq!(init.len(), init_size);
        let (reply, secret) = method.respond(&init).unwrap();
        assert_eq!(reply.len(), reply_size);
        assert_eq!(secret.encoded().len(), 4 + secret_size);
        drop(client);
    }
}

#[test]
fn a_share_of_another_size_is_refused() {
    for method in methods() {
        let (_, init) = start(method.as_ref());
        let (reply, _) = method.respond(&init).unwrap();
        let (mut longer_init, mut longer_reply) = (init.clone(), reply.clone());
        longer_init.push(0);
        longer_reply.push(0);
        for share in [&[][..], &init[..init.len() - 1], &init[1..], &longer_init] {
            assert_eq!(
                method.respond(share).unwrap_err(),
                CryptoError::BadShare,
                "{method:?}"
            );
        }
        for share in [
            &[][..],
            &reply[..reply.len() - 1],
            &reply[1..],
            &longer_reply,
        ] {
            let (client, _) = start(method.as_ref());
            assert_eq!(
                client.complete(share).unwrap_err(),
                CryptoError::BadShare,
                "{method:?}"
            );
        }
    }
}

#[test]
fn x25519_wrong_len() {
    for size in [0, 1, 31, 33, 64] {
        assert_eq!(
            CURVE25519.respond(&vec![9; size]).unwrap_err(),
            CryptoError::BadShare
        );
    }
}

/// The points of small order and their spellings over p (libsodium's and RFC 7748's lists), with
/// and without the bit that X25519 ignores.
#[test]
fn x25519_low_order_table() {
    let mut table = Vec::new();
    for share in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut share = hex(share);
        table.push(share.clone());
        share[31] |= 0x80;
        table.push(share);
    }
    let tail = |method: &dyn KexMethod, share: &[u8]| {
        // A hybrid's X25519 share stands at the end.
        let (_, mut init) = start(method);
        let at = init.len() - 32;
        init[at..].copy_from_slice(share);
        method.respond(&init).unwrap_err()
    };
    for share in &table {
        for method in [
            &CURVE25519 as &dyn KexMethod,
            &hybrid::MLKEM,
            &hybrid::SNTRUP,
        ] {
            assert_eq!(tail(method, share), CryptoError::BadShare);
        }
        assert_eq!(
            CURVE25519.start().unwrap().complete(share).unwrap_err(),
            CryptoError::BadShare
        );
    }
    assert_eq!(table.len(), 14);
}

/// RFC 7748 section 6.1, from Bob's side.
#[test]
fn x25519_gives_the_secret_of_rfc_7748() {
    let secret = PrivateKey::from_private_key(
        &agreement::X25519,
        &hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
    )
    .unwrap();
    let half = Half::of(CURVE25519, secret).unwrap();
    assert_eq!(
        half.share,
        hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let alice = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_eq!(
        *half.agree(&alice).unwrap(),
        hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    );
}

/// The generator of each curve as a share, so that the secret is the x of a scalar's own point.
const GENERATORS: [(Curve, &str); 4] = [
    (
        CURVE25519,
        "0900000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        P256,
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
    (
        P384,
        "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
         3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    ),
    (
        P521,
        "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66\
         011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    ),
];

/// RFC 4251's mpint, written a second time and by another way: count in bits.
fn mpint(big_endian: &[u8]) -> Vec<u8> {
    let bits: Vec<bool> = big_endian
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .skip_while(|bit| !bit)
        .collect();
    let size = if bits.is_empty() {
        0
    } else {
        bits.len() / 8 + 1
    };
    let mut out = vec![0; size];
    for (at, _) in bits.iter().rev().enumerate().filter(|(_, bit)| **bit) {
        out[size - 1 - at / 8] |= 1 << (at % 8);
    }
    let mut encoded = u32::try_from(size).unwrap().to_be_bytes().to_vec();
    encoded.extend_from_slice(&out);
    encoded
}

#[test]
fn k_encoding_vectors() {
    for (curve, generator) in GENERATORS {
        let (mut led_by_zero, mut top_bit, mut plain) = (0, 0, 0);
        for number in 0..1_500_u32 {
            let scalar = hash(&digest::SHA512, &[&number.to_be_bytes()]);
            let size = if curve.agreement == &agreement::X25519 {
                32
            } else {
                curve.share_size / 2
            };
            let mut scalar = scalar.as_bytes()[..size.min(64)].to_vec();
            scalar.resize(size, 1);
            scalar[0] &= 0x01;
            let secret = PrivateKey::from_private_key(curve.agreement, &scalar).unwrap();
            let raw = Half::of(curve, secret)
                .unwrap()
                .agree(&hex(generator))
                .unwrap();
            assert_eq!(raw.len(), size);
            let encoded = SharedSecret::from_integer(&raw);
            assert_eq!(encoded.encoded(), mpint(&raw));
            match raw[0] {
                0 => led_by_zero += 1,
                0x80.. => top_bit += 1,
                _ => plain += 1,
            }
        }
        assert!(led_by_zero > 0, "{curve:?} never led by a zero");
        assert!(
            top_bit > 0 || curve.share_size == P521.share_size,
            "{curve:?} never negative"
        );
        assert!(plain > 0, "{curve:?} never plain");
    }
    // A hybrid's K keeps its leading zeros and gets no sign byte.
    for (method, size) in [(hybrid::MLKEM, 32), (hybrid::SNTRUP, 64)] {
        let (mut led_by_zero, mut top_bit) = (0, 0);
        for number in 0..1_500_u32 {
            let parts: [&[u8]; 2] = [&[1; 32], &number.to_be_bytes()];
            let shared = method.shared(parts[0], parts[1]);
            let hashed = method.hash(&parts);
            let mut expected = Vec::new();
            expected.put_string(hashed.as_bytes());
            assert_eq!(shared.encoded(), expected);
            assert_eq!(shared.encoded().len(), 4 + size);
            led_by_zero += u32::from(hashed.as_bytes()[0] == 0);
            top_bit += u32::from(hashed.as_bytes()[0] >= 0x80);
        }
        assert!(led_by_zero > 0 && top_bit > 0);
    }
}

#[test]
fn ecdh_point_forms() {
    for (curve, generator) in &GENERATORS[1..] {
        let point = hex(generator);
        let size = curve.share_size / 2;
        let form = |first: u8, count: usize| {
            let mut form = point[..count].to_vec();
            form[0] = first;
            form
        };
        let mut off_curve = point.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        let mut spki = hex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
        spki.extend_from_slice(&point);
        let refused = [
            vec![0],
            form(0, point.len()),
            form(2, 1 + size),
            form(3, 1 + size),
            form(2, point.len()),
            form(6, point.len()),
            form(7, point.len()),
            form(4, 1 + size),
            vec![4; point.len()],
            off_curve,
            spki,
        ];
        for share in &refused {
            assert_eq!(
                curve.respond(share).unwrap_err(),
                CryptoError::BadShare,
                "{curve:?} {share:02x?}"
            );
            assert_eq!(
                curve.start().unwrap().complete(share).unwrap_err(),
                CryptoError::BadShare
            );
        }
        curve.respond(&point).unwrap();
    }
}

#[test]
fn mlkem_bad_modulus_d3() {
    let (_, mut init) = start(&hybrid::MLKEM);
    // Two coefficients of 12 bits each stand in the first three bytes; q is 3329.
    for coefficients in [[0xff; 3], [0x01, 0x0d, 0], [0, 0x10, 0xd0]] {
        init[..3].copy_from_slice(&coefficients);
        assert_eq!(
            hybrid::MLKEM.respond(&init).unwrap_err(),
            CryptoError::BadShare,
            "{coefficients:02x?}"
        );
    }
    init[..3].copy_from_slice(&[0x00, 0x0d, 0xd0]);
    hybrid::MLKEM.respond(&init).unwrap();
}

#[test]
fn a_tampered_ciphertext_gives_another_secret_and_no_error() {
    for method in [hybrid::MLKEM, hybrid::SNTRUP] {
        let (client, init) = start(&method);
        let (mut reply, server_secret) = method.respond(&init).unwrap();
        reply[700] ^= 4;
        let client_secret = client.complete(&reply).unwrap();
        assert_ne!(client_secret.encoded(), server_secret.encoded());
    }
}

#[test]
fn mlkem_key_shares_start_with_the_kems_own_key() {
    // The order of the parts is the protocol: KEM first, X25519 last.
    let (_, init) = start(&hybrid::MLKEM);
    let key = kem::EncapsulationKey::new(&kem::ML_KEM_768, &init[..1_184]).unwrap();
    assert!(key.encapsulate().is_ok());
}
