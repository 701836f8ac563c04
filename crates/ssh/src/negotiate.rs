//! KEXINIT and the choice of algorithms (RFC 4253 section 7.1).
//!
//! The client's list decides: the first of its names that the server has too. The chosen value is
//! an enum from [`crate::algorithm`], so a name that is not in those tables cannot be chosen. The
//! markers `ext-info-*` (RFC 8308) and `kex-strict-*` (OpenSSH's PROTOCOL, section 1.10) travel in the
//! same list and are never algorithms; they count in the first KEXINIT of a connection alone.

use crate::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm, MacAlgorithm};
use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::printable::Printable;
use crate::wire::{Reader, Write};

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that dialled and logs in.
    Client,
    /// The end that accepted and asks for a login.
    Server,
}

/// What one end is willing to use, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Key exchange methods.
    pub kex: Vec<KexAlgorithm>,
    /// Host key algorithms. A server narrows them to the keys it has.
    pub host_key: Vec<KeyAlgorithm>,
    /// Ciphers, the same for both directions.
    pub cipher: Vec<CipherAlgorithm>,
    /// MACs for ciphers that need one.
    pub mac: Vec<MacAlgorithm>,
}

impl Preferences {
    /// The default of a client. Without fast AES chacha20 comes first, since the client's list
    /// decides and it is the faster one there.
    pub fn client(has_fast_aes: bool) -> Self {
        Self {
            kex: DEFAULT_KEX.to_vec(),
            host_key: vec![
                KeyAlgorithm::Ed25519Cert,
                KeyAlgorithm::EcdsaP256Cert,
                KeyAlgorithm::EcdsaP384Cert,
                KeyAlgorithm::EcdsaP521Cert,
                KeyAlgorithm::RsaSha512Cert,
                KeyAlgorithm::RsaSha256Cert,
                KeyAlgorithm::Ed25519,
                KeyAlgorithm::EcdsaP256,
                KeyAlgorithm::EcdsaP384,
                KeyAlgorithm::EcdsaP521,
                KeyAlgorithm::RsaSha512,
                KeyAlgorithm::RsaSha256,
            ],
            cipher: if has_fast_aes {
                AES_FIRST.to_vec()
            } else {
                CHACHA_FIRST.to_vec()
            },
            mac: MacAlgorithm::ALL.to_vec(),
        }
    }

    /// The default of a server. With fast AES it does not offer chacha20 at all, so that stock
    /// clients, which list chacha20 first, come out at AES-GCM (three times the speed).
    pub fn server(has_fast_aes: bool) -> Self {
        let mut preferences = Self::client(has_fast_aes);
        preferences.host_key = vec![
            KeyAlgorithm::Ed25519,
            KeyAlgorithm::RsaSha512,
            KeyAlgorithm::RsaSha256,
        ];
        if has_fast_aes {
            preferences
                .cipher
                .retain(|cipher| *cipher != CipherAlgorithm::ChaCha20Poly1305);
        }
        preferences
    }

    /// Nothing that a recorded connection could be opened by when there are quantum computers: the
    /// hybrids alone, of a client's or a server's list, and no RSA host key, whose 3,072 bits are the
    /// first that falls. Stock clients older than OpenSSH 8.5 and most libraries cannot connect then.
    /// Signatures are not post-quantum: nobody has those in SSH yet, and forging one needs such a
    /// computer while the connection is made.
    #[must_use]
    pub fn pq_only(mut self) -> Self {
        self.kex.retain(|kex| kex.is_post_quantum());
        self.host_key
            .retain(|key| !key.blob_type().starts_with("ssh-rsa"));
        self
    }
}

/// Default key exchange methods: post-quantum hybrids first, no NIST curves.
const DEFAULT_KEX: &[KexAlgorithm] = &[
    KexAlgorithm::MlKem768X25519,
    KexAlgorithm::Sntrup761X25519,
    KexAlgorithm::Sntrup761X25519OpenSsh,
    KexAlgorithm::Curve25519,
    KexAlgorithm::Curve25519LibSsh,
];
const AES_FIRST: &[CipherAlgorithm] = &[
    CipherAlgorithm::Aes128Gcm,
    CipherAlgorithm::Aes256Gcm,
    CipherAlgorithm::ChaCha20Poly1305,
    CipherAlgorithm::Aes128Ctr,
    CipherAlgorithm::Aes256Ctr,
];
const CHACHA_FIRST: &[CipherAlgorithm] = &[
    CipherAlgorithm::ChaCha20Poly1305,
    CipherAlgorithm::Aes128Gcm,
    CipherAlgorithm::Aes256Gcm,
    CipherAlgorithm::Aes128Ctr,
    CipherAlgorithm::Aes256Ctr,
];

/// Whether a KEXINIT opens the connection or renews its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    First,
    Rekey,
}

/// Our KEXINIT as a payload.
pub(crate) fn build(
    preferences: &Preferences,
    role: Role,
    occasion: Occasion,
    cookie: [u8; 16],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.put_byte(message::KEXINIT);
    out.put_bytes(&cookie);
    let markers: &[&str] = match (occasion, role) {
        (Occasion::Rekey, _) => &[],
        (Occasion::First, Role::Client) => &["ext-info-c", "kex-strict-c-v00@openssh.com"],
        (Occasion::First, Role::Server) => &["ext-info-s", "kex-strict-s-v00@openssh.com"],
    };
    out.put_name_list(
        preferences
            .kex
            .iter()
            .map(|kex| kex.name())
            .chain(markers.iter().copied()),
    );
    out.put_name_list(preferences.host_key.iter().map(|key| key.name()));
    for _direction in 0..2 {
        out.put_name_list(preferences.cipher.iter().map(|cipher| cipher.name()));
    }
    for _direction in 0..2 {
        out.put_name_list(preferences.mac.iter().map(|mac| mac.name()));
    }
    for _direction in 0..2 {
        out.put_name_list(["none"]);
    }
    for _direction in 0..2 {
        out.put_name_list([]);
    }
    out.put_boolean(false);
    out.put_uint32(0);
    out
}

/// A peer's KEXINIT, checked and borrowed from its payload.
#[derive(Debug)]
pub(crate) struct KexInit<'a> {
    kex: NameList<'a>,
    host_key: NameList<'a>,
    cipher: [NameList<'a>; 2],
    mac: [NameList<'a>; 2],
    compression: [NameList<'a>; 2],
    first_kex_packet_follows: bool,
}

impl<'a> KexInit<'a> {
    /// Parses a payload that begins with the message number.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Violation> {
        if payload.len() > limits::KEXINIT_BYTES {
            return Err(Violation::protocol("KEXINIT is too large"));
        }
        let mut reader = Reader::new(payload);
        reader.byte()?;
        reader.array::<16>()?;
        let parsed = Self {
            kex: NameList::read(&mut reader)?,
            host_key: NameList::read(&mut reader)?,
            cipher: [NameList::read(&mut reader)?, NameList::read(&mut reader)?],
            mac: [NameList::read(&mut reader)?, NameList::read(&mut reader)?],
            compression: [NameList::read(&mut reader)?, NameList::read(&mut reader)?],
            first_kex_packet_follows: {
                NameList::read(&mut reader)?;
                NameList::read(&mut reader)?;
                reader.boolean()?
            },
        };
        // Reserved; RFC 4253 section 7.1 gives its value no meaning.
        reader.uint32()?;
        reader.finish()?;
        Ok(parsed)
    }

    /// Whether the peer, of the other role than `role`, asks for strict key exchange.
    pub(crate) fn is_strict(&self, role: Role) -> bool {
        self.kex.contains(match role {
            Role::Client => b"kex-strict-s-v00@openssh.com",
            Role::Server => b"kex-strict-c-v00@openssh.com",
        })
    }

    /// Whether the peer takes EXT_INFO.
    pub(crate) fn takes_ext_info(&self, role: Role) -> bool {
        self.kex.contains(match role {
            Role::Client => b"ext-info-s",
            Role::Server => b"ext-info-c",
        })
    }

    /// Chooses, as `role`. Also says whether the peer's guessed packet, if it announced one, must
    /// be skipped: it follows and its guess was wrong (RFC 4253 section 7: the first kex and host
    /// key names of both lists have to be the same).
    pub(crate) fn choose(&self, ours: &Preferences, role: Role) -> Result<Chosen, NothingInCommon> {
        let kex = pick(
            role,
            &ours.kex,
            &self.kex,
            "key exchange method",
            KexAlgorithm::name,
        )?;
        let host_key = pick(
            role,
            &ours.host_key,
            &self.host_key,
            "host key algorithm",
            KeyAlgorithm::name,
        )?;
        let direction = |cipher: &NameList<'_>, mac: &NameList<'_>, compression: &NameList<'_>| {
            let cipher = pick(role, &ours.cipher, cipher, "cipher", CipherAlgorithm::name)?;
            let mac = if cipher.is_aead() {
                None
            } else {
                Some(pick(role, &ours.mac, mac, "MAC", MacAlgorithm::name)?)
            };
            if !compression.contains(b"none") {
                return Err(NothingInCommon {
                    what: "compression method",
                    theirs: Printable::new(compression.0),
                });
            }
            Ok(Suite { cipher, mac })
        };
        let [cipher_up, cipher_down] = &self.cipher;
        let [mac_up, mac_down] = &self.mac;
        let [compression_up, compression_down] = &self.compression;
        let client_to_server = direction(cipher_up, mac_up, compression_up)?;
        let server_to_client = direction(cipher_down, mac_down, compression_down)?;
        let guessed_right = self.kex.first() == ours.kex.first().map(|kex| kex.name().as_bytes())
            && self.host_key.first() == ours.host_key.first().map(|key| key.name().as_bytes());
        Ok(Chosen {
            kex,
            host_key,
            client_to_server,
            server_to_client,
            skip_guess: self.first_kex_packet_follows && !guessed_right,
        })
    }
}

/// The outcome of a negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) kex: KexAlgorithm,
    pub(crate) host_key: KeyAlgorithm,
    pub(crate) client_to_server: Suite,
    pub(crate) server_to_client: Suite,
    /// The next key exchange packet is a wrong guess and must be skipped.
    pub(crate) skip_guess: bool,
}

/// Cipher and MAC of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// The cipher.
    pub cipher: CipherAlgorithm,
    /// The MAC, for a cipher that needs one.
    pub mac: Option<MacAlgorithm>,
}

/// Two lists that do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NothingInCommon {
    pub(crate) what: &'static str,
    pub(crate) theirs: Printable,
}

/// The client's first name that the server has too.
fn pick<T: Copy>(
    role: Role,
    ours: &[T],
    theirs: &NameList<'_>,
    what: &'static str,
    name: impl Fn(T) -> &'static str,
) -> Result<T, NothingInCommon> {
    let of_ours = |wanted: &[u8]| {
        ours.iter()
            .copied()
            .find(|known| name(*known).as_bytes() == wanted)
    };
    let found = match role {
        Role::Client => ours
            .iter()
            .copied()
            .find(|known| theirs.contains(name(*known).as_bytes())),
        Role::Server => theirs.names().find_map(of_ours),
    };
    found.ok_or_else(|| NothingInCommon {
        what,
        theirs: Printable::new(theirs.0),
    })
}

/// A checked name-list, still in the packet.
#[derive(Debug, Clone, Copy)]
struct NameList<'a>(&'a [u8]);

impl<'a> NameList<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Violation> {
        let list = Self(reader.string()?);
        if list.0.is_empty() {
            return Ok(list);
        }
        let mut count: usize = 0;
        for name in list.names() {
            count = count.saturating_add(1);
            if name.is_empty() || name.len() > limits::NAME || count > limits::KEXINIT_NAMES {
                return Err(Violation::protocol("KEXINIT has a list over its limits"));
            }
            if !name.iter().all(u8::is_ascii_graphic) {
                return Err(Violation::protocol(
                    "KEXINIT has a name that is not printable ASCII",
                ));
            }
        }
        Ok(list)
    }

    fn names(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| *byte == b',')
    }

    fn first(self) -> Option<&'a [u8]> {
        self.names().next()
    }

    fn contains(self, wanted: &[u8]) -> bool {
        self.names().any(|name| name == wanted)
    }
}

#[cfg(test)]
mod tests;
