//! Public keys as SSH writes them. The only file that names the crate `ssh-key`.

/// A public key whose blob was parsed strictly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
}

impl PublicKey {
    /// Takes a blob.
    ///
    /// # Errors
    /// The blob is not a key.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        crate::wire::Reader::new(blob)
            .string()
            .map_err(|_| KeyError)?;
        Ok(Self {
            blob: blob.to_vec(),
        })
    }

    /// The blob.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key")]
pub struct KeyError;
