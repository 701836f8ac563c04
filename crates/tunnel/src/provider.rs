//! The cryptography of this process: aws-lc-rs, and chacha20 first where AES is slow.

use adit_ssh::provider::CryptoProvider;
use adit_ssh::provider::aws_lc::{self, AesSpeed, FEATURE_MASK};

/// The provider for both ends on this machine.
///
/// The processor decides the order of ciphers. An environment variable that masks its instructions
/// for AES (`OPENSSL_ia32cap`, on ARM `OPENSSL_armcap`) is obeyed by aws-lc, so it counts here too.
pub fn of_this_machine() -> CryptoProvider {
    let mask = FEATURE_MASK.and_then(|variable| std::env::var(variable).ok());
    let aes = mask.map_or(AesSpeed::Detect, |mask| AesSpeed::under_mask(&mask));
    aws_lc::provider_with(aes)
}
