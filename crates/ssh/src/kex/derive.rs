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
