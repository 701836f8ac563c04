//! Certificates and plain keys.
#![no_main]

use adit_ssh::certificate::Certificate;
use adit_ssh::key::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(certificate) = Certificate::from_blob(input) {
        // What was read is what was received.
        assert_eq!(certificate.blob(), input);
        assert!(!certificate.principals().is_empty() || certificate.principals().len() < 257);
    }
    if let Ok(key) = PublicKey::from_blob(input) {
        assert_eq!(key.blob(), input);
        key.trust().ok();
    }
    if let Ok(text) = str::from_utf8(input) {
        Certificate::from_openssh_text(text).ok();
        PublicKey::from_openssh_text(text).ok();
    }
});
