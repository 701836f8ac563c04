//! The exchange hash and the keys made from it (RFC 4253 sections 7.2 and 8).

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::negotiate::Chosen;
use crate::provider::{Digest, DirectionKeys, KexMethod, KeySizes, SharedSecret};
use crate::wire::Write;

/// One exchange, after both KEXINITs.
pub(super) struct Exchange {
    pub(super) chosen: Chosen,
    pub(super) method: Arc<dyn KexMethod>,
    pub(super) client_kexinit: Vec<u8>,
    pub(super) server_kexinit: Vec<u8>,
}

impl Exchange {
    /// H = HASH(V_C || V_S || I_C || I_S || K_S || C_INIT || S_REPLY || K), all but K as strings, K
    /// as its method encodes it.
    pub(super) fn hash(
        &self,
        idents: [&[u8]; 2],
        host_key: &[u8],
        client_init: &[u8],
        server_reply: &[u8],
        secret: &SharedSecret,
    ) -> Digest {
        let [client, server] = idents;
        let mut public = Vec::new();
        for string in [
            client,
            server,
            &self.client_kexinit,
            &self.server_kexinit,
            host_key,
            client_init,
            server_reply,
        ] {
            public.put_string(string);
        }
        // K is hashed where it lies: no second copy to wipe.
        self.method.hash(&[&public, secret.encoded()])
    }
}

/// Keys of one direction; `letters` are those of initial vector, key and MAC key.
pub(super) fn derive(
    method: &dyn KexMethod,
    secret: &SharedSecret,
    hash: &Digest,
    session_id: &Digest,
    letters: [u8; 3],
    sizes: KeySizes,
) -> DirectionKeys {
    let expand = |letter: u8, size: usize| expand(method, secret, hash, session_id, letter, size);
    let [iv, key, mac] = letters;
    DirectionKeys {
        key: expand(key, sizes.key),
        iv: expand(iv, sizes.iv),
        mac: expand(mac, sizes.mac),
    }
}

/// `size` bytes of HASH(K || H || X || session_id) || HASH(K || H || K1) || ...
fn expand(
    method: &dyn KexMethod,
    secret: &SharedSecret,
    hash: &Digest,
    session_id: &Digest,
    letter: u8,
    size: usize,
) -> Zeroizing<Vec<u8>> {
    // Room for the last, whole hash, so that no unwiped copy stays behind in a reallocation.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(64)));
    while bytes.len() < size {
        let next = if bytes.is_empty() {
            method.hash(&[
                secret.encoded(),
                hash.as_bytes(),
                &[letter],
                session_id.as_bytes(),
            ])
        } else {
            method.hash(&[secret.encoded(), hash.as_bytes(), &bytes])
        };
        bytes.extend_from_slice(next.as_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::KexAlgorithm;
    use crate::provider::aws_lc;

    /// Made with Python's hashlib from the text of RFC 4253 section 7.2: K as it stands in the
    /// exchange hash, with its length; the letters; a second block for chacha20's 64 bytes.
    #[test]
    fn kdf_vectors_64_bytes() {
        let integer: Vec<u8> = (0x80..0xa0).collect();
        let string: Vec<u8> = (0..32).collect();
        let (hash, session_id): (Vec<u8>, Vec<u8>) = ((100..132).collect(), (200..232).collect());
        let provider = aws_lc::provider();
        for (algorithm, secret, vectors) in [
            (
                KexAlgorithm::Curve25519,
                SharedSecret::from_integer(&integer),
                [
                    "65858be6dca680df42a56a57d5bf4919f23bad5782b6571a256f267840b5fbf3f044b93ef812e13144f5dadce8b2881f71dfc8aef8db5d8a1e160e662532520f",
                    "7daa684bd145bc105789e8caa1b2b0ccffe57869bab6b1ea732908c363427d754f875be80b5d109245dd965654c2097518342e0674fee89f920a58d36d634f6a",
                    "051c5bdea28c9c4dd29d94eeeefe7d943e605d1bed1b3dc1013f962ec8a5939da0cd43170ce4a1e201fd12c74a2a19e35ed6f95c24bc26e9ba84177a6a84f9ff",
                ],
            ),
            (
                KexAlgorithm::MlKem768X25519,
                SharedSecret::from_hash(&string),
                [
                    "fdb5f55275223d6ad66ac5e55245e4573f0c3fe903bde4b016483b11a33524132e8a8d4559243b2404324a7c46ff76e61a36f236f03b660bfa31d4090aba1ef3",
                    "4cad90ea2283f0c4432142bea1b72eedd820aca94ff852cf9baabc7eab53575d655e708126c893581073f47a711565f0ba0910fac4cd7b5471e8e8d9202d3244",
                    "5c2cedd60405031fac94d89fd7c33f60b5e8ce53f184b336bf1ea1de0c18b174e5c43e0d8978ab8ef47bf9d3b27237c6ceb840ef5d3a365115e18631a32c343c",
                ],
            ),
        ] {
            let method = provider.kex(algorithm).unwrap();
            let sizes = KeySizes {
                key: 64,
                iv: 64,
                mac: 64,
            };
            let keys = derive(
                method.as_ref(),
                &secret,
                &Digest::new(&hash),
                &Digest::new(&session_id),
                *b"ACE",
                sizes,
            );
            assert_eq!(
                [hex(&keys.iv), hex(&keys.key), hex(&keys.mac)],
                vectors.map(str::to_owned)
            );
            // A shorter key is the beginning of a longer one.
            let short = expand(
                method.as_ref(),
                &secret,
                &Digest::new(&hash),
                &Digest::new(&session_id),
                b'A',
                12,
            );
            assert_eq!(&*short, &keys.iv[..12]);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}
