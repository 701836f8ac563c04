use std::sync::Arc;

use super::*;
use crate::algorithm::CipherAlgorithm;
use crate::block::BLOCK;
use crate::provider::{CryptoProvider, DirectionKeys, aws_lc};
use proptest::prelude::*;
use zeroize::Zeroizing;

/// Both directions of one cipher under the same keys.
fn pair(provider: &CryptoProvider, algorithm: CipherAlgorithm) -> (PacketWriter, PacketReader) {
    let cipher = provider.cipher(algorithm).unwrap();
    let mac = (!algorithm.is_aead()).then_some(crate::algorithm::MacAlgorithm::ALL[0]);
    let sizes = cipher.key_sizes(mac);
    let bytes = |size: usize| Zeroizing::new((1..=255).cycle().take(size).collect::<Vec<u8>>());
    let keys = DirectionKeys {
        key: bytes(sizes.key),
        iv: bytes(sizes.iv),
        mac: bytes(sizes.mac),
    };
    let mut writer = PacketWriter::new(Arc::clone(&provider.random));
    let mut reader = PacketReader::new();
    writer.change_keys(cipher.sealer(&keys, mac).unwrap(), Sequence::Restart);
    reader.change_keys(cipher.opener(&keys, mac).unwrap(), Sequence::Restart);
    (writer, reader)
}

fn bytes(out: &Outgoing) -> Vec<u8> {
    out.slices().flatten().copied().collect()
}

proptest! {
    #[test]
    fn padding_in_range(
        payload in prop::collection::vec(any::<u8>(), 1..3_000),
        cipher in 0_usize..6,
    ) {
        let provider = aws_lc::provider();
        let pool = Pool::new(4);
        let (mut writer, mut reader) = match CipherAlgorithm::ALL.get(cipher) {
            Some(cipher) => pair(&provider, *cipher),
            None => (PacketWriter::new(Arc::clone(&provider.random)), PacketReader::new()),
        };
        let (block, tag, counted) = writer.sealer.as_ref().map_or((8, 0, 0), |sealer| {
            (sealer.layout().block, sealer.layout().tag, 4)
        });
        let (padding, _) = writer.layout(payload.len());
        prop_assert!((4..=255).contains(&padding));
        let mut out = Outgoing::new();
        writer.seal(&[&payload], &mut out, &pool).unwrap();
        let sealed = bytes(&out);
        prop_assert_eq!(sealed.len(), HEADER + payload.len() + padding + tag);
        prop_assert_eq!((sealed.len() - tag - counted) % block, 0);
        prop_assert!(sealed.len() - tag >= PACKET_MIN);
        // A byte less is not a packet; more than one belongs to the next.
        prop_assert!(reader.next(&sealed[..sealed.len() - 1], &pool).unwrap().is_none());
        let packet = reader.next(&[&sealed[..], b"next"].concat(), &pool).unwrap().unwrap();
        prop_assert_eq!(packet.taken, sealed.len());
        prop_assert_eq!(packet.payload.as_slice(), &payload[..]);
    }
}

#[test]
fn chacha_hard_stop_before_wrap() {
    let provider = aws_lc::provider();
    let pool = Pool::new(4);
    for algorithm in CipherAlgorithm::ALL {
        let (mut writer, mut reader) = pair(&provider, *algorithm);
        let mut out = Outgoing::new();
        writer.volume.packets = limits::PACKETS_HARD - 1;
        writer.seal(&[b"last"], &mut out, &pool).unwrap();
        let last = bytes(&out);
        let error = writer.seal(&[b"over"], &mut out, &pool).unwrap_err();
        assert_eq!(error, Violation::kex("keys are used up").into());
        reader.volume.packets = limits::PACKETS_HARD - 1;
        assert!(reader.next(&last, &pool).is_err());
    }
}

#[test]
fn no_plaintext_on_bad_tag() {
    let provider = aws_lc::provider();
    for algorithm in CipherAlgorithm::ALL {
        let pool = Pool::new(4);
        let (mut writer, mut reader) = pair(&provider, *algorithm);
        let mut out = Outgoing::new();
        writer.seal(&[b"secret words"], &mut out, &pool).unwrap();
        let mut sealed = bytes(&out);
        *sealed.last_mut().unwrap() ^= 1;
        let error = reader.next(&sealed, &pool).err().unwrap();
        assert_eq!(error, forged(CryptoError::Forged));
        // No block with it is kept for anybody.
        assert!(reader.opened.is_none());
        assert_eq!(reader.total.packets, 0);
    }
}

#[test]
fn data_that_leaves_no_room_is_an_error_and_not_a_broken_packet() {
    let provider = aws_lc::provider();
    let pool = Pool::new(4);
    let (mut writer, _) = pair(&provider, CipherAlgorithm::Aes128Gcm);
    let mut block = pool.take();
    block.set_range(HEADER, BLOCK - 8);
    assert_eq!(
        writer.seal_block(block, &mut Outgoing::new()),
        Err(INTERNAL)
    );
}
