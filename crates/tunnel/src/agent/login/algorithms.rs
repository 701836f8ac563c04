//! Lists of algorithms as ssh_config writes them: `Ciphers`, `KexAlgorithms`.
//!
//! Names and patterns parted by commas replace the default; after a `+` they are added to its end,
//! after a `^` put at its head, after a `-` taken out. A name that the engine does not know is an
//! error: what is weak has no name there and cannot be asked for.

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm};

use crate::pattern::matches_pattern;

/// What is offered in the key exchange, where it is not the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlgorithmLists {
    /// Ciphers.
    pub ciphers: Edit<CipherAlgorithm>,
    /// Key exchange methods.
    pub kex: Edit<KexAlgorithm>,
}

/// A change of a default list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit<T> {
    how: How,
    algorithms: Vec<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Replace,
    Append,
    Prepend,
    Remove,
}

/// An algorithm that has a name.
pub trait Named: Copy + PartialEq + 'static {
    /// All of its kind.
    const ALL: &'static [Self];

    /// Its name on the wire.
    fn name(self) -> &'static str;
}

impl Named for CipherAlgorithm {
    const ALL: &'static [Self] = Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Named for KexAlgorithm {
    const ALL: &'static [Self] = Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

/// Why a list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlgorithmListError {
    /// A name or pattern stands for nothing.
    #[error("{name:?} is none of {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The list leaves nothing to offer.
    #[error("list of algorithms is empty")]
    Empty,
}

impl<T> Default for Edit<T> {
    /// The default list as it is.
    fn default() -> Self {
        Self {
            how: How::Append,
            algorithms: Vec::new(),
        }
    }
}

impl<T: Named> Edit<T> {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self, AlgorithmListError> {
        let (how, list) = if let Some(list) = text.strip_prefix('+') {
            (How::Append, list)
        } else if let Some(list) = text.strip_prefix('^') {
            (How::Prepend, list)
        } else if let Some(list) = text.strip_prefix('-') {
            (How::Remove, list)
        } else {
            (How::Replace, text)
        };
        let mut algorithms = Vec::new();
        for pattern in list.split(',') {
            let before = algorithms.len();
            for algorithm in T::ALL {
                let is_meant = matches_pattern(algorithm.name().as_bytes(), pattern.as_bytes());
                if is_meant && !algorithms.contains(algorithm) {
                    algorithms.push(*algorithm);
                }
            }
            let is_known = T::ALL
                .iter()
                .any(|known| matches_pattern(known.name().as_bytes(), pattern.as_bytes()));
            // What is taken out need not be there: a list may be written for other programs too.
            if algorithms.len() == before && !is_known && how != How::Remove {
                return Err(AlgorithmListError::Unknown {
                    name: pattern.to_owned(),
                    known: T::ALL.map_names(),
                });
            }
        }
        Ok(Self { how, algorithms })
    }

    /// The list to offer in place of `default`.
    ///
    /// # Errors
    ///
    /// Nothing is left.
    pub fn apply(&self, default: &[T]) -> Result<Vec<T>, AlgorithmListError> {
        let is_named = |algorithm: &T| self.algorithms.contains(algorithm);
        let others = default.iter().copied().filter(|one| !is_named(one));
        let list: Vec<T> = match self.how {
            How::Replace => self.algorithms.clone(),
            // What the default has already keeps its place.
            How::Append => {
                let new = self.algorithms.iter().filter(|one| !default.contains(one));
                default.iter().chain(new).copied().collect()
            }
            How::Prepend => self.algorithms.iter().copied().chain(others).collect(),
            How::Remove => others.collect(),
        };
        if list.is_empty() {
            return Err(AlgorithmListError::Empty);
        }
        Ok(list)
    }
}

/// Names for a person to choose from.
trait MapNames {
    fn map_names(&self) -> String;
}

impl<T: Named> MapNames for [T] {
    fn map_names(&self) -> String {
        let names: Vec<&str> = self.iter().map(|algorithm| algorithm.name()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: [CipherAlgorithm; 3] = [
        CipherAlgorithm::Aes128Gcm,
        CipherAlgorithm::ChaCha20Poly1305,
        CipherAlgorithm::Aes128Ctr,
    ];

    fn apply(text: &str) -> Result<Vec<&'static str>, AlgorithmListError> {
        let list = Edit::<CipherAlgorithm>::parse(text)?.apply(&DEFAULT)?;
        Ok(list.into_iter().map(CipherAlgorithm::name).collect())
    }

    const AES: &str = "aes128-gcm@openssh.com";
    const AES_256: &str = "aes256-gcm@openssh.com";
    const CHACHA: &str = "chacha20-poly1305@openssh.com";
    const CTR: &str = "aes128-ctr";

    #[test]
    fn lists_change_the_default_as_in_ssh_config() {
        for (text, expected) in [
            (CTR, vec![CTR]),
            ("aes128-ctr,aes256-gcm@openssh.com", vec![CTR, AES_256]),
            ("aes128-ctr,aes128-ctr", vec![CTR]),
            ("+aes256-gcm@openssh.com", vec![AES, CHACHA, CTR, AES_256]),
            ("+aes128-gcm@openssh.com", vec![AES, CHACHA, CTR]),
            ("^chacha20-poly1305@openssh.com", vec![CHACHA, AES, CTR]),
            ("-aes*", vec![CHACHA]),
            ("-3des-cbc,aes128-ctr", vec![AES, CHACHA]),
            ("*-gcm@openssh.com", vec![AES, AES_256]),
        ] {
            assert_eq!(apply(text).as_deref(), Ok(&expected[..]), "{text}");
        }
        let untouched = Edit::default().apply(&DEFAULT).unwrap();
        assert_eq!(untouched, DEFAULT);
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_that_names_those_that_are() {
        for text in [
            "3des-cbc",
            "aes128-gcm",
            "aes128-ctr,",
            "",
            "+",
            "^none",
            "AES128-CBC",
        ] {
            let Err(AlgorithmListError::Unknown { known, .. }) = apply(text) else {
                panic!("{text} was taken");
            };
            assert!(known.contains(CHACHA) && known.contains(CTR));
        }
        assert_eq!(apply("-*"), Err(AlgorithmListError::Empty));
    }
}
