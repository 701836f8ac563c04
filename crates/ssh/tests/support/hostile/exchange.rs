//! The hostile peer's side of identifications and key exchanges.

use std::sync::Arc;

use adit_ssh::algorithm::{CipherAlgorithm, MacAlgorithm};
use adit_ssh::message;
use adit_ssh::negotiate::Role;
use adit_ssh::provider::DirectionKeys;
use adit_ssh::wire::{Reader, Write};
use adit_testkit::seeded;
use aws_lc_rs::digest;

use super::Hostile;

/// What the peer puts into its KEXINIT.
#[derive(Clone)]
pub struct Offer {
    pub kex: String,
    pub host_key: String,
    pub cipher: String,
    pub mac: String,
    pub compression: String,
    /// Whether it says that a guessed packet follows.
    pub guesses: bool,
}

impl Offer {
    /// Everything right, with strict key exchange and EXT_INFO.
    pub fn new(role: Role) -> Self {
        let side = match role {
            Role::Client => "c",
            Role::Server => "s",
        };
        Self {
            kex: format!("curve25519-sha256,ext-info-{side},kex-strict-{side}-v00@openssh.com"),
            host_key: "ssh-ed25519".to_owned(),
            cipher: "aes128-gcm@openssh.com".to_owned(),
            mac: "hmac-sha2-256-etm@openssh.com".to_owned(),
            compression: "none".to_owned(),
            guesses: false,
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![message::KEXINIT];
        out.put_bytes(&[7; 16]);
        for list in [
            &self.kex,
            &self.host_key,
            &self.cipher,
            &self.cipher,
            &self.mac,
            &self.mac,
            &self.compression,
            &self.compression,
        ] {
            out.put_string(list.as_bytes());
        }
        out.put_string(b"");
        out.put_string(b"");
        out.put_boolean(self.guesses);
        out.put_uint32(0);
        out
    }
}

/// S_REPLY in its parts.
pub struct KexReply {
    pub host_key: Vec<u8>,
    pub share: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Hostile {
    /// From the KEXINITs, which both have been sent, to new keys in both directions.
    pub fn exchange(&mut self) {
        match self.role {
            Role::Client => {
                self.say_kex_init();
                self.pump();
                self.read_kex_reply();
            }
            Role::Server => {
                self.pump();
                self.say_kex_reply(|_| {});
            }
        }
        self.say_new_keys();
        self.pump();
        self.read_new_keys();
    }

    /// A whole key exchange that this peer starts.
    pub fn rekey(&mut self) {
        self.say_kexinit();
        self.pump();
        self.read_kexinit();
        self.exchange();
    }

    pub fn say_ident(&mut self) {
        let line = [&self.ident[..], b"\r\n"].concat();
        self.say_raw(&line);
    }

    pub fn read_ident(&mut self) {
        let end = self.inbox.iter().position(|byte| *byte == b'\n').unwrap();
        let mut line: Vec<u8> = self.inbox.drain(..=end).collect();
        line.truncate(line.len() - 2);
        self.their_ident = line;
    }

    pub fn say_kexinit(&mut self) {
        self.our_kexinit = self.offer.build();
        let kexinit = self.our_kexinit.clone();
        self.say(&kexinit);
    }

    pub fn read_kexinit(&mut self) {
        self.their_kexinit = self.expect_message();
        assert_eq!(self.their_kexinit[0], message::KEXINIT);
        if self.session_id.is_none() {
            let has = |kexinit: &[u8], marker: &[u8]| {
                kexinit.windows(marker.len()).any(|part| part == marker)
            };
            let is_strict = |kexinit: &[u8]| {
                has(kexinit, b"kex-strict-c-v00") || has(kexinit, b"kex-strict-s-v00")
            };
            self.is_strict = is_strict(&self.our_kexinit) && is_strict(&self.their_kexinit);
        }
    }

    /// C_INIT as it should be, to be sent or to be bent.
    pub fn kex_init(&mut self) -> Vec<u8> {
        let secret = self.secret();
        let mut init = vec![message::KEX_INIT];
        init.put_string(&seeded::x25519_public_key(&secret));
        self.secret = Some(secret);
        init
    }

    /// An ephemeral secret, as secret as a test's.
    fn secret(&mut self) -> [u8; 32] {
        self.exchanges += 1;
        [self.exchanges; 32]
    }

    pub fn say_kex_init(&mut self) {
        let init = self.kex_init();
        self.say(&init);
    }

    pub fn read_kex_reply(&mut self) {
        let reply = self.expect_message();
        let mut reader = Reader::new(&reply);
        assert_eq!(reader.byte().unwrap(), message::KEX_REPLY);
        let host_key = reader.string().unwrap();
        let server_reply = reader.string().unwrap();
        let secret = self.secret.take().unwrap();
        let init = seeded::x25519_public_key(&secret);
        let shared = seeded::x25519_agree(&secret, server_reply.try_into().unwrap()).unwrap();
        self.derive(host_key, &init, server_reply, &shared);
    }

    /// S_REPLY, which `bend` may change before it leaves.
    pub fn say_kex_reply(&mut self, bend: impl FnOnce(&mut KexReply)) {
        let init = self.expect_message();
        assert_eq!(init[0], message::KEX_INIT);
        let client_init = Reader::new(&init[1..]).string().unwrap().to_vec();
        let secret = self.secret();
        let server_reply = seeded::x25519_public_key(&secret).to_vec();
        let shared = seeded::x25519_agree(&secret, client_init[..].try_into().unwrap()).unwrap();
        let host_key = self.host_key.public_key().blob().to_vec();
        let hash = self.derive(&host_key, &client_init, &server_reply, &shared);
        let algorithm = self.host_key.algorithms()[0];
        let mut reply = KexReply {
            signature: self.host_key.sign(algorithm, &hash).unwrap(),
            host_key,
            share: server_reply,
        };
        bend(&mut reply);
        let mut out = vec![message::KEX_REPLY];
        out.put_string(&reply.host_key);
        out.put_string(&reply.share);
        out.put_string(&reply.signature);
        self.say(&out);
    }

    fn derive(
        &mut self,
        host_key: &[u8],
        client_init: &[u8],
        server_reply: &[u8],
        shared: &[u8],
    ) -> Vec<u8> {
        // K of a classic method is an integer (RFC 8731 section 3.1).
        let mut secret = Vec::new();
        secret.put_mpint(shared);
        let (client, server) = match self.role {
            Role::Client => (
                [&self.ident, &self.our_kexinit],
                [&self.their_ident, &self.their_kexinit],
            ),
            Role::Server => (
                [&self.their_ident, &self.their_kexinit],
                [&self.ident, &self.our_kexinit],
            ),
        };
        let mut public = Vec::new();
        for part in [client[0], server[0], client[1], server[1]] {
            public.put_string(part);
        }
        public.put_string(host_key);
        public.put_string(client_init);
        public.put_string(server_reply);
        let hash = sha256(&[&public, &secret]);
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        let cipher = CipherAlgorithm::from_name(self.offer.cipher.as_bytes()).unwrap();
        let mac = (!cipher.is_aead())
            .then(|| MacAlgorithm::from_name(self.offer.mac.as_bytes()).unwrap());
        let cipher = Arc::clone(self.provider.cipher(cipher).unwrap());
        let sizes = cipher.key_sizes(mac);
        let expand = |letter: u8, size: usize| {
            let mut bytes = sha256(&[&secret, &hash, &[letter], &session_id]);
            while bytes.len() < size {
                let more = sha256(&[&secret, &hash, &bytes]);
                bytes.extend(more);
            }
            bytes.truncate(size);
            bytes.into()
        };
        let keys = |letters: [u8; 3]| DirectionKeys {
            iv: expand(letters[0], sizes.iv),
            key: expand(letters[1], sizes.key),
            mac: expand(letters[2], sizes.mac),
        };
        let (up, down) = (keys(*b"ACE"), keys(*b"BDF"));
        let (ours, theirs) = match self.role {
            Role::Client => (up, down),
            Role::Server => (down, up),
        };
        self.pending_seal = Some(cipher.sealer(&ours, mac).unwrap());
        self.pending_open = Some(cipher.opener(&theirs, mac).unwrap());
        hash
    }

    /// NEWKEYS, and the keys behind it.
    pub fn say_new_keys(&mut self) {
        self.say(&[message::NEWKEYS]);
        self.seal = self.pending_seal.take();
        if self.is_strict {
            self.send_sequence = 0;
        }
    }

    pub fn read_new_keys(&mut self) {
        while self.expect_message()[0] != message::NEWKEYS {}
        self.open = self.pending_open.take();
        if self.is_strict {
            self.receive_sequence = 0;
        }
    }
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}
