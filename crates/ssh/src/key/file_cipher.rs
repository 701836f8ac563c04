//! The ciphers of private key files, and the one place where the crate `ssh-key` is named.

/// A cipher of private key files, by way of `ssh-key`: the ciphers of OpenSSH's own format, and the
/// one of PuTTY's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileCipher(ssh_key::Cipher);

impl FileCipher {
    /// PuTTY's only cipher.
    pub(crate) const AES_256_CBC: Self = Self(ssh_key::Cipher::Aes256Cbc);

    /// The cipher of that name in OpenSSH's format; `none` is no cipher.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        ssh_key::Cipher::new(name)
            .ok()
            .filter(|cipher| cipher.key_and_iv_size().is_some())
            .map(Self)
    }

    /// Bytes of tag that follow the ciphertext.
    pub(crate) fn tag_size(self) -> usize {
        if self.0.has_tag() { 16 } else { 0 }
    }

    /// Decrypts in place with a key from bcrypt-pbkdf. `false` if the ciphertext is malformed, a
    /// tag does not fit, or the cipher cannot be had.
    pub(crate) fn decrypt_with_bcrypt(
        self,
        passphrase: &[u8],
        salt: &[u8],
        rounds: u32,
        buffer: &mut [u8],
        tag: &[u8],
    ) -> bool {
        let kdf = ssh_key::Kdf::Bcrypt {
            salt: salt.to_vec(),
            rounds,
        };
        kdf.derive_key_and_iv(self.0, passphrase)
            .is_ok_and(|(key, iv)| self.decrypt(&key, &iv, buffer, tag))
    }

    /// Decrypts in place.
    pub(crate) fn decrypt(self, key: &[u8], iv: &[u8], buffer: &mut [u8], tag: &[u8]) -> bool {
        let tag = if tag.is_empty() {
            None
        } else if let Ok(tag) = tag.try_into() {
            Some(tag)
        } else {
            return false;
        };
        self.0.decrypt(key, iv, buffer, tag).is_ok()
    }
}
