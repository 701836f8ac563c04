//! What both machines share; and the two against each other.

use super::*;
use crate::wire::Write;

pub(in crate::auth) mod fake;
mod pair;

fn blob(name: &str, signature: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    blob.put_string(signature);
    blob.put_bytes(tail);
    blob
}

#[test]
fn sig_blob_table() {
    use SignatureAlgorithm::{Ed25519, RsaSha256, RsaSha512, SkEd25519};
    let sk = SkEd25519.name();
    for (algorithm, blob, good) in [
        (Ed25519, blob("ssh-ed25519", &[1; 64], &[]), true),
        (Ed25519, blob("ssh-ed25519", &[1; 64], &[0]), false),
        (
            Ed25519,
            blob("ssh-ed25519-cert-v01@openssh.com", &[1; 64], &[]),
            false,
        ),
        (RsaSha512, blob("rsa-sha2-512", &[1; 256], &[]), true),
        (RsaSha512, blob("rsa-sha2-256", &[1; 256], &[]), false),
        (RsaSha512, blob("ssh-rsa", &[1; 256], &[]), false),
        (RsaSha256, blob("rsa-sha2-256", &[1; 256], &[]), true),
        (SkEd25519, blob(sk, &[1; 64], &[1, 0, 0, 0, 9]), true),
        (SkEd25519, blob(sk, &[1; 64], &[]), false),
        (SkEd25519, blob(sk, &[1; 64], &[1, 0, 0, 0, 9, 0]), false),
        (Ed25519, vec![0, 0, 0, 200, 1], false),
        (Ed25519, Vec::new(), false),
    ] {
        assert_eq!(
            is_signature_of(algorithm, &blob),
            good,
            "{algorithm} {blob:?}"
        );
    }
}

#[test]
fn methods_match_whole_names() {
    for method in Method::ALL {
        assert_eq!(Method::from_name(method.name().as_bytes()), Some(*method));
    }
    for name in ["", "none", "publickey ", "hostbased", METHOD_HOSTBOUND] {
        assert_eq!(Method::from_name(name.as_bytes()), None);
    }
}
