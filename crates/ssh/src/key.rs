//! Public keys as SSH writes them. The only file that names the crate `ssh-key`.

/// A public key whose blob was parsed strictly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
}
