//! What names that are given and proofs of domains are made with: a secret of this gateway, so that nobody tells from
//! outside which name somebody gets, or what proves a domain to be somebody else's (security rules G62, G63).

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use adit_model::host::Name;
use adit_model::id::PrincipalId;
use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;

/// Bytes of it: as many as the hash has.
const LENGTH: usize = 32;
/// Characters of a name that is given: 59 bits, where 8 characters are asked for (security rule G62).
const NAME_LENGTH: usize = 12;
/// Names that one wish may come to: where the first is somebody's, the next is taken.
const NAMES: u8 = 16;
/// Bytes of a proof: 128 bits.
const PROOF_LENGTH: usize = 16;
/// What a name is made of: nothing that looks like something else.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Of these, its first: a name begins with a letter, so that it is never a number.
const FIRSTS: usize = 16;

/// The secret.
#[derive(Debug)]
pub(crate) struct Secret(hmac::Key);

impl Secret {
    /// The one of that file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be read or made, or is none.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        ensure!(
            bytes.len() == LENGTH,
            "{shown} has {} bytes in place of {LENGTH}: without it names that were given and proofs of domains are \
             others; take it from a backup, or remove it",
            bytes.len()
        );
        Ok(Self(hmac::Key::new(HMAC_SHA256, &bytes)))
    }

    /// The names of somebody who asks for none, the first first.
    pub(crate) fn names(&self, principal: PrincipalId, mark: &[u8]) -> Vec<Name> {
        let name = |number: u8| {
            let tag = self.tag(&[b"name", &principal.get().to_be_bytes(), &[number], mark]);
            let letters = tag.as_ref().iter().take(NAME_LENGTH).enumerate();
            let letters = letters.filter_map(|(place, byte)| {
                let of = if place == 0 { FIRSTS } else { LETTERS.len() };
                let letter = usize::from(*byte).checked_rem(of)?;
                LETTERS.get(letter).copied().map(char::from)
            });
            letters.collect::<String>().parse().ok()
        };
        (0..NAMES).filter_map(name).collect()
    }

    /// What proves a domain to be that principal's, as a TXT record has it.
    pub(crate) fn proof(&self, principal: PrincipalId, domain: &Name) -> String {
        let tag = self.tag(&[
            b"proof",
            &principal.get().to_be_bytes(),
            domain.as_str().as_bytes(),
        ]);
        let bytes = tag.as_ref().iter().take(PROOF_LENGTH);
        bytes.fold(String::from("adit="), |mut text, byte| {
            // A text takes whatever is written to it.
            write!(text, "{byte:02x}").ok();
            text
        })
    }

    /// Each part with its length, so that no two lists of parts are one text.
    fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

/// Where the proof of a domain stands in the DNS.
pub(crate) fn place(domain: &Name) -> String {
    format!("_adit.{domain}")
}

fn make(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = vec![0; LENGTH];
    rand::fill(&mut bytes)
        .ok()
        .context("the system has no randomness")?;
    // Under another name first: half of it is never taken for all.
    let next = path.with_extension("next");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&next).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&next, path))
        .with_context(|| format!("cannot make {shown}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt as _;

    use adit_model::name::NameRules;

    use super::*;

    #[test]
    fn random_names_unpredictable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.key");
        let secret = Secret::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        let (one, other) = (PrincipalId::new(1), PrincipalId::new(2));
        let names = secret.names(one, b"key");
        assert_eq!(names.len(), usize::from(NAMES));
        // The same after a restart.
        assert_eq!(Secret::open(&path).unwrap().names(one, b"key"), names);
        // Nobody else's, no other gateway's, each once.
        let elsewhere = Secret::open(&folder.path().join("other.key")).unwrap();
        let all = [
            names,
            secret.names(other, b"key"),
            secret.names(one, b"other"),
            elsewhere.names(one, b"key"),
        ]
        .concat();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let rules = NameRules::new("gw.test", []);
        for name in all {
            assert_eq!(name.as_str().len(), NAME_LENGTH);
            rules.judge(&name).unwrap();
        }
    }

    #[test]
    fn txt_proof_binds_principal() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::open(&folder.path().join("names.key")).unwrap();
        let domain = |text: &str| text.parse().unwrap();
        let (one, other) = (PrincipalId::new(1), PrincipalId::new(2));
        let proof = secret.proof(one, &domain("blog.example.org"));
        assert_eq!(proof, secret.proof(one, &domain("blog.example.org")));
        assert_ne!(proof, secret.proof(other, &domain("blog.example.org")));
        assert_ne!(proof, secret.proof(one, &domain("example.org")));
        assert_eq!(proof.len(), "adit=".len() + 2 * PROOF_LENGTH);
        assert_eq!(place(&domain("blog.example.org")), "_adit.blog.example.org");
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.key");
        fs::write(&path, b"short").unwrap();
        let error = Secret::open(&path).unwrap_err().to_string();
        assert!(error.contains("backup"), "{error}");
    }
}
