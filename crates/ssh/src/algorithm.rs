//! The algorithms this engine knows. There are no other names in the code: a name that is not in
//! these tables cannot be negotiated, whatever a configuration says.

/// Makes an enum whose values have one SSH name each.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type { $($(#[$doc])* $variant,)+ }

        impl $type {
            /// All of them, in the order of this table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The algorithm of that whole name; names are compared byte by byte.
            pub fn from_name(name: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name().as_bytes() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// A key exchange method.
    KexAlgorithm {
        /// ML-KEM-768 with X25519 (draft-ietf-sshm-mlkem-hybrid-kex).
        MlKem768X25519 = "mlkem768x25519-sha256",
        /// Streamlined NTRU Prime 761 with X25519 (RFC 9941).
        Sntrup761X25519 = "sntrup761x25519-sha512",
        /// The same under the name that OpenSSH 8.5 to 9.8 use.
        Sntrup761X25519OpenSsh = "sntrup761x25519-sha512@openssh.com",
        /// X25519 alone (RFC 8731).
        Curve25519 = "curve25519-sha256",
        /// The same under its older name.
        Curve25519LibSsh = "curve25519-sha256@libssh.org",
        /// ECDH on P-256 (RFC 5656); only when a configuration names it.
        EcdhP256 = "ecdh-sha2-nistp256",
        /// ECDH on P-384 (RFC 5656); only when a configuration names it.
        EcdhP384 = "ecdh-sha2-nistp384",
        /// ECDH on P-521 (RFC 5656); only when a configuration names it.
        EcdhP521 = "ecdh-sha2-nistp521",
    }
}

impl KexAlgorithm {
    /// Whether a recorded exchange stays closed to a quantum computer.
    pub const fn is_post_quantum(self) -> bool {
        matches!(
            self,
            Self::MlKem768X25519 | Self::Sntrup761X25519 | Self::Sntrup761X25519OpenSsh
        )
    }
}

names! {
    /// How packets are encrypted.
    CipherAlgorithm {
        /// AES-128 in Galois/counter mode (RFC 5647, as OpenSSH negotiates it).
        Aes128Gcm = "aes128-gcm@openssh.com",
        /// AES-256 in Galois/counter mode.
        Aes256Gcm = "aes256-gcm@openssh.com",
        /// ChaCha20 with Poly1305 (OpenSSH's PROTOCOL.chacha20poly1305).
        ChaCha20Poly1305 = "chacha20-poly1305@openssh.com",
        /// AES-128 in counter mode (RFC 4344), with a MAC of [`MacAlgorithm`].
        Aes128Ctr = "aes128-ctr",
        /// AES-256 in counter mode.
        Aes256Ctr = "aes256-ctr",
    }
}

impl CipherAlgorithm {
    /// Whether it authenticates by itself, so that no MAC is negotiated.
    pub const fn is_aead(self) -> bool {
        matches!(
            self,
            Self::Aes128Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305
        )
    }
}

names! {
    /// How packets of a cipher in counter mode are authenticated: always encrypt-then-MAC.
    MacAlgorithm {
        /// HMAC with SHA-256 over the ciphertext.
        HmacSha256Etm = "hmac-sha2-256-etm@openssh.com",
        /// HMAC with SHA-512 over the ciphertext.
        HmacSha512Etm = "hmac-sha2-512-etm@openssh.com",
    }
}

names! {
    /// What a signature is made with. Its name stands inside every signature blob.
    SignatureAlgorithm {
        /// Ed25519 (RFC 8709).
        Ed25519 = "ssh-ed25519",
        /// ECDSA on P-256 (RFC 5656).
        EcdsaP256 = "ecdsa-sha2-nistp256",
        /// ECDSA on P-384.
        EcdsaP384 = "ecdsa-sha2-nistp384",
        /// ECDSA on P-521.
        EcdsaP521 = "ecdsa-sha2-nistp521",
        /// Ed25519 on a security key (OpenSSH's PROTOCOL.u2f).
        SkEd25519 = "sk-ssh-ed25519@openssh.com",
        /// ECDSA on P-256 on a security key.
        SkEcdsaP256 = "sk-ecdsa-sha2-nistp256@openssh.com",
        /// RSA with SHA-512 (RFC 8332).
        RsaSha512 = "rsa-sha2-512",
        /// RSA with SHA-256 (RFC 8332).
        RsaSha256 = "rsa-sha2-256",
    }
}

names! {
    /// A host key or user key algorithm as negotiated: a signature algorithm, plain or with a
    /// certificate.
    KeyAlgorithm {
        /// Ed25519.
        Ed25519 = "ssh-ed25519",
        /// Ed25519 with a certificate.
        Ed25519Cert = "ssh-ed25519-cert-v01@openssh.com",
        /// ECDSA on P-256.
        EcdsaP256 = "ecdsa-sha2-nistp256",
        /// ECDSA on P-256 with a certificate.
        EcdsaP256Cert = "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        /// ECDSA on P-384.
        EcdsaP384 = "ecdsa-sha2-nistp384",
        /// ECDSA on P-384 with a certificate.
        EcdsaP384Cert = "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        /// ECDSA on P-521.
        EcdsaP521 = "ecdsa-sha2-nistp521",
        /// ECDSA on P-521 with a certificate.
        EcdsaP521Cert = "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        /// Ed25519 on a security key.
        SkEd25519 = "sk-ssh-ed25519@openssh.com",
        /// Ed25519 on a security key with a certificate.
        SkEd25519Cert = "sk-ssh-ed25519-cert-v01@openssh.com",
        /// ECDSA on P-256 on a security key.
        SkEcdsaP256 = "sk-ecdsa-sha2-nistp256@openssh.com",
        /// ECDSA on P-256 on a security key with a certificate.
        SkEcdsaP256Cert = "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        /// RSA with SHA-512.
        RsaSha512 = "rsa-sha2-512",
        /// RSA with SHA-512 with a certificate.
        RsaSha512Cert = "rsa-sha2-512-cert-v01@openssh.com",
        /// RSA with SHA-256.
        RsaSha256 = "rsa-sha2-256",
        /// RSA with SHA-256 with a certificate.
        RsaSha256Cert = "rsa-sha2-256-cert-v01@openssh.com",
    }
}

impl KeyAlgorithm {
    /// The name that must stand in a signature made under this algorithm.
    pub const fn signature(self) -> SignatureAlgorithm {
        match self {
            Self::Ed25519 | Self::Ed25519Cert => SignatureAlgorithm::Ed25519,
            Self::EcdsaP256 | Self::EcdsaP256Cert => SignatureAlgorithm::EcdsaP256,
            Self::EcdsaP384 | Self::EcdsaP384Cert => SignatureAlgorithm::EcdsaP384,
            Self::EcdsaP521 | Self::EcdsaP521Cert => SignatureAlgorithm::EcdsaP521,
            Self::SkEd25519 | Self::SkEd25519Cert => SignatureAlgorithm::SkEd25519,
            Self::SkEcdsaP256 | Self::SkEcdsaP256Cert => SignatureAlgorithm::SkEcdsaP256,
            Self::RsaSha512 | Self::RsaSha512Cert => SignatureAlgorithm::RsaSha512,
            Self::RsaSha256 | Self::RsaSha256Cert => SignatureAlgorithm::RsaSha256,
        }
    }

    /// The type name that stands first in a key blob of this algorithm. For RSA it is `ssh-rsa`
    /// whatever the hash (RFC 8332 section 3).
    pub const fn blob_type(self) -> &'static str {
        if matches!(self, Self::RsaSha512 | Self::RsaSha256) {
            "ssh-rsa"
        } else if matches!(self, Self::RsaSha512Cert | Self::RsaSha256Cert) {
            "ssh-rsa-cert-v01@openssh.com"
        } else {
            self.name()
        }
    }

    /// Whether the key comes in a certificate.
    pub const fn is_certificate(self) -> bool {
        matches!(
            self,
            Self::Ed25519Cert
                | Self::EcdsaP256Cert
                | Self::EcdsaP384Cert
                | Self::EcdsaP521Cert
                | Self::SkEd25519Cert
                | Self::SkEcdsaP256Cert
                | Self::RsaSha512Cert
                | Self::RsaSha256Cert
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_names_do_not_exist() {
        let names = KexAlgorithm::ALL
            .iter()
            .map(|known| known.name())
            .chain(CipherAlgorithm::ALL.iter().map(|known| known.name()))
            .chain(MacAlgorithm::ALL.iter().map(|known| known.name()))
            .chain(SignatureAlgorithm::ALL.iter().map(|known| known.name()))
            .chain(KeyAlgorithm::ALL.iter().map(|known| known.name()));
        let mut seen = 0;
        for name in names {
            seen += 1;
            for weak in [
                "cbc",
                "arcfour",
                "3des",
                "sha1",
                "md5",
                "umac",
                "none",
                "dss",
                "diffie-hellman",
                "zlib",
            ] {
                assert!(!name.contains(weak), "{name} is weak");
            }
            assert_ne!(name, "ssh-rsa");
            assert!(
                !name.starts_with("hmac") || name.contains("-etm@"),
                "{name} is not encrypt-then-MAC"
            );
        }
        assert_eq!(seen, 8 + 5 + 2 + 8 + 16);
    }

    #[test]
    fn names_match_whole_and_exactly() {
        assert_eq!(
            KexAlgorithm::from_name(b"curve25519-sha256"),
            Some(KexAlgorithm::Curve25519)
        );
        for name in [
            "curve25519-sha25",
            "curve25519-sha2566",
            "Curve25519-sha256",
            "ext-info-c",
            "kex-strict-s-v00@openssh.com",
            "",
        ] {
            assert_eq!(KexAlgorithm::from_name(name.as_bytes()), None);
        }
    }
}
