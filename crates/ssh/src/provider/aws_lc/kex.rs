//! Key exchange methods: X25519 and ECDH on the NIST curves. The hybrids are in [`hybrid`].
//!
//! In every method the client sends a share, the server answers with its own, and both know K. A
//! share is checked for its exact size, and a point for its form, before the library sees it: the
//! library would also take compressed and hybrid points and DER. Secrets are ephemeral: a half of an
//! exchange is consumed when it completes.

use std::sync::Arc;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::hash;
use crate::algorithm::KexAlgorithm;
use crate::provider::{ActiveKex, CryptoError, Digest, KexMethod, SharedSecret};

mod hybrid;

/// Bytes of an X25519 share and of its secret.
const X25519_SIZE: usize = 32;

/// All methods.
pub(super) fn methods() -> Vec<Arc<dyn KexMethod>> {
    vec![
        Arc::new(hybrid::MLKEM),
        Arc::new(hybrid::SNTRUP),
        Arc::new(CURVE25519),
        Arc::new(P256),
        Arc::new(P384),
        Arc::new(P521),
    ]
}

/// curve25519-sha256 (RFC 8731)
const CURVE25519: Curve = Curve {
    algorithms: &[KexAlgorithm::Curve25519, KexAlgorithm::Curve25519LibSsh],
    agreement: &agreement::X25519,
    hash: &digest::SHA256,
    share_size: X25519_SIZE,
    form: ShareForm::Raw,
};

/// ecdh-sha2-nistp256 (RFC 5656)
const P256: Curve = Curve {
    algorithms: &[KexAlgorithm::EcdhP256],
    agreement: &agreement::ECDH_P256,
    hash: &digest::SHA256,
    share_size: 65,
    form: ShareForm::UncompressedPoint,
};

/// ecdh-sha2-nistp384 (RFC 5656)
const P384: Curve = Curve {
    algorithms: &[KexAlgorithm::EcdhP384],
    agreement: &agreement::ECDH_P384,
    hash: &digest::SHA384,
    share_size: 97,
    form: ShareForm::UncompressedPoint,
};

/// ecdh-sha2-nistp521 (RFC 5656)
const P521: Curve = Curve {
    algorithms: &[KexAlgorithm::EcdhP521],
    agreement: &agreement::ECDH_P521,
    hash: &digest::SHA512,
    share_size: 133,
    form: ShareForm::UncompressedPoint,
};

/// One curve with its hash.
#[derive(Debug, Clone, Copy)]
struct Curve {
    algorithms: &'static [KexAlgorithm],
    agreement: &'static agreement::Algorithm,
    hash: &'static digest::Algorithm,
    /// Exact size of a share, in bytes.
    share_size: usize,
    form: ShareForm,
}

/// How a share is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShareForm {
    /// As X25519 writes it: any bytes are a share.
    Raw,
    /// SEC 1 section 2.3.3: 04, x, y. The only form SSH knows (RFC 5656 section 4).
    UncompressedPoint,
}

impl KexMethod for Curve {
    fn algorithms(&self) -> &[KexAlgorithm] {
        self.algorithms
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        Ok(Box::new(Half::generate(*self)?))
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        let half = Half::generate(*self)?;
        let share = half.share.clone();
        Ok((share, SharedSecret::from_integer(&half.agree(client_init)?)))
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        hash(self.hash, parts)
    }
}

/// One end's ephemeral secret and its share. The library wipes the secret when it is dropped.
struct Half {
    curve: Curve,
    secret: PrivateKey,
    share: Vec<u8>,
}

impl Half {
    fn generate(curve: Curve) -> Result<Self, CryptoError> {
        let secret = PrivateKey::generate(curve.agreement).map_err(|_| CryptoError::Internal)?;
        Self::of(curve, secret)
    }

    fn of(curve: Curve, secret: PrivateKey) -> Result<Self, CryptoError> {
        let share = secret
            .compute_public_key()
            .map_err(|_| CryptoError::Internal)?
            .as_ref()
            .to_vec();
        Ok(Self {
            curve,
            secret,
            share,
        })
    }

    /// The raw shared secret with the other end's share: X25519's 32 bytes, or the x coordinate at
    /// the curve's full size.
    fn agree(self, share: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let is_point = self.curve.form == ShareForm::UncompressedPoint;
        if share.len() != self.curve.share_size || (is_point && share.first() != Some(&4)) {
            return Err(CryptoError::BadShare);
        }
        agreement::agree(
            &self.secret,
            UnparsedPublicKey::new(self.curve.agreement, share),
            CryptoError::BadShare,
            |secret| {
                // RFC 8731 section 3. The library refuses shares of small order itself; this
                // does not depend on it.
                if secret.iter().fold(0, |all, byte| all | byte) == 0 {
                    return Err(CryptoError::BadShare);
                }
                Ok(Zeroizing::new(secret.to_vec()))
            },
        )
    }
}

impl ActiveKex for Half {
    fn client_init(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, server_reply: &[u8]) -> Result<SharedSecret, CryptoError> {
        Ok(SharedSecret::from_integer(&self.agree(server_reply)?))
    }
}

#[cfg(test)]
mod tests;
