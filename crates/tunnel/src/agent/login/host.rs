//! Whether a host is who it should be: its plain key, or the certificate that it came in.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_ssh::certificate::{Certificate, Question, Wanted};
use adit_ssh::key::PublicKey;
use adit_ssh::provider::Verifier;
use tracing::warn;

use super::known_hosts::{HostAddress, HostKeys, HostVerdict};

/// Judges what a host showed: `key`, out of `blob` if that is a certificate. Blocks on the file
/// system.
///
/// A certificate that is not good in itself (signature, time, name) is worth what its key is worth
/// alone, as in OpenSSH; whether its authority is trusted for this host, known_hosts says.
pub(crate) fn judge(
    host_keys: &HostKeys,
    host: &HostAddress,
    key: &PublicKey,
    blob: &[u8],
    verifier: &dyn Verifier,
) -> HostVerdict {
    let certificate = Certificate::from_blob(blob).ok();
    let good = certificate.filter(|certificate| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let question = Question {
            authorities: std::slice::from_ref(certificate.authority()),
            is_revoked: &|_| false,
            wanted: Wanted::Host { name: host.name() },
            now: since.map_or(0, |since| since.as_secs()),
        };
        let checked = certificate.check(verifier, &question);
        if let Err(refusal) = &checked {
            warn!(%refusal, "host certificate is not good; its key is judged alone");
        }
        checked.is_ok()
    });
    match good {
        Some(certificate) => host_keys.verify_certificate(host, key, certificate.authority()),
        None => host_keys.verify(host, key),
    }
}
