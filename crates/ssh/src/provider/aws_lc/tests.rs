use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::algorithm::{CipherAlgorithm, KexAlgorithm, MacAlgorithm};
use crate::provider::{DirectionKeys, Open, Seal};

/// Every cipher with every MAC that it can have.
const PAIRS: [(CipherAlgorithm, Option<MacAlgorithm>); 7] = [
    (CipherAlgorithm::Aes128Gcm, None),
    (CipherAlgorithm::Aes256Gcm, None),
    (CipherAlgorithm::ChaCha20Poly1305, None),
    (
        CipherAlgorithm::Aes128Ctr,
        Some(MacAlgorithm::HmacSha256Etm),
    ),
    (
        CipherAlgorithm::Aes128Ctr,
        Some(MacAlgorithm::HmacSha512Etm),
    ),
    (
        CipherAlgorithm::Aes256Ctr,
        Some(MacAlgorithm::HmacSha256Etm),
    ),
    (
        CipherAlgorithm::Aes256Ctr,
        Some(MacAlgorithm::HmacSha512Etm),
    ),
];

pub(super) fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn counting(from: u8, count: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new((from..).take(count).collect())
}

/// Keys made of counting bytes, and an initial vector whose counter is about to carry.
fn keys(algorithm: CipherAlgorithm, mac: Option<MacAlgorithm>) -> DirectionKeys {
    let sizes = provider().cipher(algorithm).unwrap().key_sizes(mac);
    DirectionKeys {
        key: counting(0, sizes.key),
        iv: Zeroizing::new(match sizes.iv {
            12 => vec![1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0xff],
            size => vec![0xff; size],
        }),
        mac: counting(100, sizes.mac),
    }
}

fn sealer(algorithm: CipherAlgorithm, mac: Option<MacAlgorithm>) -> Box<dyn Seal> {
    let provider = provider();
    let cipher = provider.cipher(algorithm).unwrap();
    cipher.sealer(&keys(algorithm, mac), mac).unwrap()
}

fn opener(algorithm: CipherAlgorithm, mac: Option<MacAlgorithm>) -> Box<dyn Open> {
    let provider = provider();
    let cipher = provider.cipher(algorithm).unwrap();
    cipher.opener(&keys(algorithm, mac), mac).unwrap()
}

/// A sealed packet with that body.
fn seal(half: &mut dyn Seal, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    packet.extend_from_slice(body);
    let mut tag = vec![0; half.layout().tag];
    half.seal(sequence, &mut packet, &mut tag).unwrap();
    packet.extend_from_slice(&tag);
    packet
}

fn open(half: &mut dyn Open, sequence: u32, packet: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let overhead = 4 + half.layout().tag;
    let mut plain = vec![0; packet.len().saturating_sub(overhead)];
    half.open(sequence, packet, &mut plain)?;
    Ok(plain)
}

/// Padding length 5, a payload of ten bytes, five bytes of padding.
const BODY: &[u8; 16] = b"\x05hello SSH\n\xe0\xe1\xe2\xe3\xe4";

/// Made on 2026-11-22 with Python's `cryptography` 48.0.0 from its AES-GCM, ChaCha20, Poly1305,
/// AES-CTR and HMAC, put together as RFC 5647, PROTOCOL.chacha20poly1305 and RFC 4344 say.
const VECTORS: [(usize, u32, &str); 14] = [
    (
        0,
        3,
        "000000107eef15ec88e48761e0c565b3effbfd4dea7110c055a4c949c299fd965be28924",
    ),
    (
        0,
        4,
        "00000010df35a810dba582cdf5dc15806d5179b95255d3a203ee581134cf8eefaf124655",
    ),
    (
        1,
        3,
        "000000103e6af4cf5b59058d121424a9ae9a552e0e145c8f14af31c0fa15fd4e1a16e2b7",
    ),
    (
        1,
        4,
        "00000010113bf51254b11dfdadb1d8445629b6567f0377a95115b3ce2ec4edfecf912879",
    ),
    (
        2,
        7,
        "a39afcba2d2e702f22ec0a0d3f25b110366d30c84cdfc20f5023672232d7c43781052282",
    ),
    (
        2,
        u32::MAX,
        "b90ee4a00cfa69f7c26bf4b1c57ea1529364e14aba12ef36454c4c49c2ed9f34a375c133",
    ),
    (
        3,
        3,
        "00000010392c7a5ea268a270379fa879efb258f7306fc1295a59636b98d8ae21f9823bc079a48f6db8932d42a2c6b8967bd5d69c",
    ),
    (
        3,
        4,
        "00000010c3c95e5bebe07bd13c078b82402a3b9de0d622677555a989fcc0c6222448e94fe818c584db38dee1e5a29237a586c949",
    ),
    (
        4,
        3,
        "00000010392c7a5ea268a270379fa879efb258f7a656a07c8db718bea89212f4111150a93acc687ab7fcbba35f40841e208963eac592e57041144e0cee1ca8685b3ceeec427ee3ea0b2345d460e86873717ce396",
    ),
    (
        4,
        4,
        "00000010c3c95e5bebe07bd13c078b82402a3b9d7898f71847d21c53b6a966420bf747ebd6785927d0f7bac709ae2515f2e61eb14b478e957137efe333b6cf5181517f36f143e628b9b81024bbc38357f79a1962",
    ),
    (
        5,
        3,
        "00000010ecf1817120c8508900cf1b9bbc6db40aa02d08afe61299377e05b24cd753134d72893ce1d2dca5ce231fc4fa8ca32783",
    ),
    (
        5,
        4,
        "00000010f7f865da4626bf83fabb908a3ccc94646753a2a914611417d1948f288b221504fa55ceed17ede3d249aa947f3f084b20",
    ),
    (
        6,
        3,
        "00000010ecf1817120c8508900cf1b9bbc6db40ab262ac301d775a4fb379489aed3381536bd632c2d8e209deac08062f7df88e49dbdd7ab4ba963c8e2a992384c8d25c02b2bd4d35cf71ef10a4d905a0f7352296",
    ),
    (
        6,
        4,
        "00000010f7f865da4626bf83fabb908a3ccc9464f1d036fac839960b3678797c1a7856ad5497135f08095bae3c2c8aa5d7bd65e883d9be7be7f59372f22504e29a10c6b11abfcfa68737da9f466d32bcdcc1ff49",
    ),
];

#[test]
fn packets_of_every_cipher_are_those_of_an_independent_program() {
    let mut before = None;
    let mut halves = None;
    for (pair, sequence, expected) in VECTORS {
        if before != Some(pair) {
            let (algorithm, mac) = PAIRS[pair];
            halves = Some((sealer(algorithm, mac), opener(algorithm, mac)));
            before = Some(pair);
        }
        let (sealer, opener) = halves.as_mut().unwrap();
        let packet = seal(sealer.as_mut(), sequence, BODY);
        assert_eq!(packet, hex(expected), "{:?}", PAIRS[pair]);
        let first = *packet.first_chunk().unwrap();
        assert_eq!(opener.packet_length(sequence, first), 16);
        assert_eq!(open(opener.as_mut(), sequence, &packet).unwrap(), BODY);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_sealed_opens_again(
        pair in 0..PAIRS.len(),
        sizes in proptest::collection::vec(0_usize..2_250, 1..6),
        sequence in any::<u32>(),
        fill in any::<u8>(),
    ) {
        let (algorithm, mac) = PAIRS[pair];
        let (mut sealer, mut opener) = (sealer(algorithm, mac), opener(algorithm, mac));
        let block = sealer.layout().block;
        prop_assert_eq!(sealer.layout(), opener.layout());
        for (index, size) in sizes.into_iter().enumerate() {
            let body = vec![fill; block * (1 + size)];
            let sequence = sequence.wrapping_add(u32::try_from(index).unwrap());
            let packet = seal(sealer.as_mut(), sequence, &body);
            prop_assert_eq!(
                opener.packet_length(sequence, *packet.first_chunk().unwrap()),
                u32::try_from(body.len()).unwrap()
            );
            prop_assert_eq!(open(opener.as_mut(), sequence, &packet).unwrap(), body);
        }
    }
}

#[test]
fn bit_flip_every_byte_same_end() {
    for (algorithm, mac) in PAIRS {
        let packet = seal(sealer(algorithm, mac).as_mut(), 9, &[0x5a; 64]);
        for at in 0..packet.len() {
            for bit in 0..8 {
                let mut forged = packet.clone();
                forged[at] ^= 1 << bit;
                assert_eq!(
                    open(opener(algorithm, mac).as_mut(), 9, &forged),
                    Err(CryptoError::Forged),
                    "{algorithm} byte {at} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_packet_out_of_its_place_never_opens() {
    for (algorithm, mac) in PAIRS {
        let mut sealer = sealer(algorithm, mac);
        let first = seal(sealer.as_mut(), 0, &[1; 32]);
        let second = seal(sealer.as_mut(), 1, &[1; 32]);
        let mut skipped = opener(algorithm, mac);
        assert_eq!(
            open(skipped.as_mut(), 0, &second),
            Err(CryptoError::Forged),
            "{algorithm} skipped"
        );
        let mut replayed = opener(algorithm, mac);
        open(replayed.as_mut(), 0, &first).unwrap();
        assert_eq!(
            open(replayed.as_mut(), 1, &first),
            Err(CryptoError::Forged),
            "{algorithm} replayed"
        );
    }
}

#[test]
fn gcm_short_tag_never_opens() {
    for (algorithm, mac) in PAIRS {
        let packet = seal(sealer(algorithm, mac).as_mut(), 0, &[7; 16]);
        for size in 0..packet.len() {
            assert_eq!(
                open(opener(algorithm, mac).as_mut(), 0, &packet[..size]),
                Err(CryptoError::Forged),
                "{algorithm} cut to {size}"
            );
        }
    }
}

#[test]
fn a_place_of_another_size_is_our_own_fault() {
    for (algorithm, mac) in PAIRS {
        let packet = seal(sealer(algorithm, mac).as_mut(), 0, &[7; 16]);
        for size in [0, 15, 17] {
            assert_eq!(
                opener(algorithm, mac).open(0, &packet, &mut vec![0; size]),
                Err(CryptoError::Internal),
            );
        }
        let mut sealer = sealer(algorithm, mac);
        let tag = sealer.layout().tag;
        for size in [0, tag - 1, tag + 1] {
            assert_eq!(
                sealer.seal(0, &mut [0; 20], &mut vec![0; size]),
                Err(CryptoError::Internal),
            );
        }
        assert_eq!(
            sealer.seal(0, &mut [0; 3], &mut vec![0; tag]),
            Err(CryptoError::Internal)
        );
    }
}

#[test]
fn keys_of_another_size_make_no_cipher() {
    let provider = provider();
    for (algorithm, mac) in PAIRS {
        let cipher = provider.cipher(algorithm).unwrap();
        let wrong_mac = match mac {
            Some(_) => None,
            None => Some(MacAlgorithm::HmacSha256Etm),
        };
        assert!(cipher.sealer(&keys(algorithm, mac), wrong_mac).is_err());
        let mut short = keys(algorithm, mac);
        short.key.pop();
        assert!(cipher.opener(&short, mac).is_err(), "{algorithm} key");
        if !keys(algorithm, mac).iv.is_empty() {
            let mut short = keys(algorithm, mac);
            short.iv.pop();
            assert!(cipher.opener(&short, mac).is_err(), "{algorithm} iv");
        }
        if mac.is_some() {
            let mut short = keys(algorithm, mac);
            short.mac.pop();
            assert!(cipher.opener(&short, mac).is_err(), "{algorithm} mac key");
        }
    }
}

#[test]
fn the_provider_has_every_algorithm() {
    let provider = provider();
    for known in KexAlgorithm::ALL {
        assert!(provider.kex(*known).is_some(), "{known}");
    }
    for known in CipherAlgorithm::ALL {
        assert!(provider.cipher(*known).is_some(), "{known}");
    }
}

#[test]
fn the_speed_of_aes_can_be_masked() {
    assert!(!provider_with(AesSpeed::Slow).has_fast_aes);
    assert!(provider_with(AesSpeed::Fast).has_fast_aes);
}

#[test]
fn random_bytes_are_not_the_same_twice() {
    let provider = provider();
    let (mut first, mut second) = ([0; 32], [0; 32]);
    provider.random.fill(&mut first).unwrap();
    provider.random.fill(&mut second).unwrap();
    assert_ne!(first, second);
    assert_ne!(first, [0; 32]);
}
