//! Enrolment: what a code is made of, and how it is written.
//!
//! A code lets one machine become a device of one gateway. It is 40 bytes (security rule G40): a version (1), an
//! id (5) by which the gateway finds it, a secret (16), the first 16 bytes of the SHA-256 of the gateway's host key,
//! and a check (2), which are the first bytes of the SHA-256 of all before. It is written as `adit-` and 64 letters
//! and digits of Crockford's base 32, in groups of eight. Who types it may leave the groups out, write capitals, and
//! take `o` for `0` and `i` or `l` for `1`.
//!
//! The machine checks the host key before it sends anything. Then it logs in as [`USER`] with its new key by
//! `publickey`, and gives the code in the same login by `keyboard-interactive`: the signature over the session's id
//! binds the one to the other (security rule G42).

use std::fmt;
use std::str::FromStr;

use adit_ssh::key::{Fingerprint, PublicKey};
use adit_ssh::secret::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

/// The user name by which a machine logs in that wants to be enrolled.
pub const USER: &str = "adit-join";
/// What a code begins with.
pub const PREFIX: &str = "adit-";
/// The one version of codes.
const VERSION: u8 = 1;
/// Letters and digits behind the prefix.
const LETTERS: usize = 64;
/// Letters of a group.
const GROUP: usize = 8;
/// Most bytes of a text that is looked at as a code.
const TEXT: usize = 256;
/// Crockford's letters: none is taken for another when it is read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Hexadecimal digits of a hash.
const HASH: usize = 64;

/// Bytes of each part, in their order.
const ID: usize = 5;
const SECRET: usize = 16;
const HOST: usize = 16;
const CHECK: usize = 2;
const BYTES: usize = 1 + ID + SECRET + HOST + CHECK;

/// The gateway's name of a code: a number of 40 bits, which is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeId(u64);

/// The gateway that a code is of: half of the SHA-256 of its host key, so that nobody finds another key to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostHash([u8; HOST]);

/// A code. Wiped when dropped; it shows its id and no more.
pub struct Code {
    id: CodeId,
    secret: Secret<[u8; SECRET]>,
    host: HostHash,
}

/// Why a text is no code. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It does not begin as one, or is too short or too long.
    #[error(
        "that is no enrolment code: wanted {PREFIX} and {LETTERS} letters and digits, as adit invite add prints it"
    )]
    Shape,
    /// A character that none has.
    #[error("that is no enrolment code: it has a character that is in none")]
    Character,
    /// The check is wrong.
    #[error("that enrolment code is mistyped: its last letters do not fit the others")]
    Check,
    /// It is of a later version.
    #[error("that enrolment code is of a newer adit (version {0})")]
    Version(u8),
}

/// A text that is no [`CodeId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wanted the number of a code: 8 letters and digits, as adit invite list shows it")]
pub struct CodeIdError;

impl Code {
    /// One of that gateway, of 21 random bytes.
    pub fn new(random: &[u8; ID + SECRET], host: HostHash) -> Self {
        let (id, secret) = random.split_at(ID);
        let mut kept = [0; SECRET];
        kept.copy_from_slice(secret);
        Self {
            id: CodeId(id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))),
            secret: Secret::new(kept),
            host,
        }
    }

    /// One of the gateway that is known by that host key.
    pub fn of_host_key(random: &[u8; ID + SECRET], key: &PublicKey) -> Self {
        Self::new(random, HostHash::of(key))
    }

    /// How the gateway finds it.
    pub const fn id(&self) -> CodeId {
        self.id
    }

    /// Whose it is.
    pub const fn host(&self) -> HostHash {
        self.host
    }

    /// What a gateway keeps of it: the SHA-256 of its id and its secret, as hexadecimal digits. The secret has 128
    /// random bits, so that nobody finds it by trying.
    pub fn hash(&self) -> String {
        let mut bytes = Zeroizing::new([0; ID + SECRET]);
        let (id, secret) = bytes.split_at_mut(ID);
        id.copy_from_slice(&self.id.bytes());
        secret.copy_from_slice(self.secret.expose());
        let hash = digest(&SHA256, bytes.as_slice());
        let mut text = String::with_capacity(HASH);
        for byte in hash.as_ref() {
            for half in [byte >> 4, byte & 0xf] {
                text.extend(char::from_digit(half.into(), 16));
            }
        }
        text
    }

    /// Its text. Never log it.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let parts: [&[u8]; 4] = [
            &[VERSION],
            &self.id.bytes(),
            self.secret.expose(),
            &self.host.0,
        ];
        let all = parts.into_iter().flatten();
        for (place, byte) in bytes.iter_mut().zip(all) {
            *place = *byte;
        }
        let check = check(&bytes);
        for (place, byte) in bytes.iter_mut().rev().zip(check.iter().rev()) {
            *place = *byte;
        }
        // All of it fits, so that no reallocation leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(TEXT));
        text.push_str(PREFIX);
        for (number, group) in bytes.chunks(GROUP * 5 / 8).enumerate() {
            if number > 0 {
                text.push('-');
            }
            let word = group
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            push(&mut text, word);
        }
        text
    }
}

/// Pushes the letters of 40 bits.
fn push(text: &mut String, word: u64) {
    for shift in [35, 30, 25, 20, 15, 10, 5, 0] {
        let five = usize::try_from((word >> shift) & 0x1f).unwrap_or(0);
        text.extend(ALPHABET.get(five).map(|letter| char::from(*letter)));
    }
}

/// What the last bytes have to be.
fn check(bytes: &[u8; BYTES]) -> [u8; CHECK] {
    let before = bytes.get(..BYTES - CHECK).unwrap_or_default();
    let hash = digest(&SHA256, before);
    let mut check = [0; CHECK];
    for (place, byte) in check.iter_mut().zip(hash.as_ref()) {
        *place = *byte;
    }
    check
}

/// What a letter stands for.
fn value(letter: char) -> Option<u64> {
    let letter = match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        letter => letter,
    };
    let place = ALPHABET
        .iter()
        .position(|known| char::from(*known) == letter)?;
    u64::try_from(place).ok()
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        let start = text.get(..PREFIX.len()).filter(|_| text.len() <= TEXT);
        let is_code = start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        let letters = text.get(PREFIX.len()..).filter(|_| is_code);
        let letters = letters.ok_or(CodeError::Shape)?;
        let letters = letters.chars().filter(|it| !matches!(it, '-' | ' '));
        let mut bytes = Zeroizing::new([0; BYTES]);
        let mut places = bytes.iter_mut();
        let (mut word, mut count) = (0_u64, 0_usize);
        for letter in letters {
            word = word << 5 | value(letter).ok_or(CodeError::Character)?;
            count = count.saturating_add(1);
            if count.is_multiple_of(GROUP) {
                for byte in word.to_be_bytes().into_iter().skip(8 - GROUP * 5 / 8) {
                    *places.next().ok_or(CodeError::Shape)? = byte;
                }
                word = 0;
            }
        }
        if count != LETTERS {
            return Err(CodeError::Shape);
        }
        let (version, rest) = bytes.split_first().ok_or(CodeError::Shape)?;
        let found = rest.get(BYTES - CHECK - 1..).unwrap_or_default();
        if verify_slices_are_equal(found, &check(&bytes)).is_err() {
            return Err(CodeError::Check);
        }
        if *version != VERSION {
            return Err(CodeError::Version(*version));
        }
        let (random, rest) = rest.split_first_chunk().ok_or(CodeError::Shape)?;
        let host = rest.first_chunk().ok_or(CodeError::Shape)?;
        Ok(Self::new(random, HostHash(*host)))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl CodeId {
    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// That number, if it is one of 40 bits.
    pub const fn new(number: u64) -> Option<Self> {
        if number >> (8 * ID) == 0 {
            Some(Self(number))
        } else {
            None
        }
    }

    fn bytes(self) -> [u8; ID] {
        let mut bytes = [0; ID];
        let all = self.0.to_be_bytes();
        for (place, byte) in bytes.iter_mut().rev().zip(all.iter().rev()) {
            *place = *byte;
        }
        bytes
    }
}

impl fmt::Display for CodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(GROUP);
        push(&mut text, self.0);
        f.write_str(&text)
    }
}

impl FromStr for CodeId {
    type Err = CodeIdError;

    fn from_str(text: &str) -> Result<Self, CodeIdError> {
        if text.chars().count() != GROUP {
            return Err(CodeIdError);
        }
        let number = text
            .chars()
            .try_fold(0, |number, letter| Some(number << 5 | value(letter)?));
        number.and_then(Self::new).ok_or(CodeIdError)
    }
}

impl HostHash {
    /// Of that host key.
    pub fn of(key: &PublicKey) -> Self {
        Self::of_fingerprint(&key.fingerprint())
    }

    fn of_fingerprint(fingerprint: &Fingerprint) -> Self {
        let mut half = [0; HOST];
        for (place, byte) in half.iter_mut().zip(fingerprint.as_bytes()) {
            *place = *byte;
        }
        Self(half)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(seed: u8) -> Code {
        let mut random = [seed; ID + SECRET];
        random[0] = 0xff;
        Code::new(&random, HostHash([!seed; HOST]))
    }

    #[test]
    fn a_code_is_read_as_it_was_written_and_as_people_write() {
        let code = code(7);
        let text = code.text().to_string();
        let plain = text.replace('-', "");
        assert_eq!((plain.len(), text.len()), (4 + LETTERS, 5 + LETTERS + 7));
        let sloppy = plain.replacen("adit", "ADIT-", 1).to_uppercase();
        let sloppy = sloppy.replace('0', "O").replace('1', "l");
        let spaced = text.replace('-', " ").replacen("adit ", "adit-", 1);
        for text in [text.clone(), format!(" {text}\r\n"), sloppy, spaced] {
            let read: Code = text.parse().unwrap();
            assert_eq!((read.id(), read.host()), (code.id(), code.host()));
            assert_eq!(read.hash(), code.hash());
        }
        assert_eq!(code.id().to_string().parse(), Ok(code.id()));
    }

    #[test]
    fn what_is_kept_tells_neither_secret_nor_text_and_differs_with_both_parts() {
        let (one, other) = (code(1), code(2));
        assert_ne!(one.hash(), other.hash());
        let mut random = [1; ID + SECRET];
        random[4] = 9;
        assert_ne!(Code::new(&random, one.host()).hash(), one.hash());
        let shown = format!("{one:?}");
        assert!(
            !shown.contains("secret: ") && !shown.contains("host"),
            "{shown}"
        );
        assert_eq!(one.hash().len(), 64);
    }

    #[test]
    fn a_slip_is_told_from_something_else() {
        let text = code(7).text().to_string();
        let slip = text.replacen('w', "x", 1);
        assert_ne!(slip, text);
        for (text, error) in [
            ("", CodeError::Shape),
            ("hunter2", CodeError::Shape),
            ("adit-", CodeError::Shape),
            (text.trim_start_matches("adit-"), CodeError::Shape),
            (text.split_at(text.len() - 1).0, CodeError::Shape),
            (&format!("{text}0"), CodeError::Shape),
            (&format!("{text}00000000"), CodeError::Shape),
            (&text.replacen('0', "u", 1), CodeError::Character),
            (&slip, CodeError::Check),
            (&"adit-\u{e4}".repeat(9), CodeError::Character),
            (&format!("adit-{}", "0".repeat(999)), CodeError::Shape),
        ] {
            let read = text.parse::<Code>().unwrap_err();
            assert_eq!(read, error, "{text}");
            assert!(
                !read
                    .to_string()
                    .contains(text.split_at(text.len().min(9)).0)
                    || text.len() < 6
            );
        }
        let newer = {
            let mut bytes = [0; BYTES];
            bytes[0] = 2;
            let check = check(&bytes);
            bytes[BYTES - CHECK..].copy_from_slice(&check);
            let mut text = String::from(PREFIX);
            for group in bytes.chunks(5) {
                push(
                    &mut text,
                    group
                        .iter()
                        .fold(0, |word, byte| word << 8 | u64::from(*byte)),
                );
            }
            text
        };
        assert_eq!(newer.parse::<Code>().unwrap_err(), CodeError::Version(2));
    }

    #[test]
    fn numbers_of_codes_have_forty_bits() {
        for text in ["", "0000000", "000000000", "0000000u"] {
            assert_eq!(text.parse::<CodeId>(), Err(CodeIdError), "{text}");
        }
        assert_eq!(CodeId::new(1 << 40), None);
        assert_eq!("ZZZZZZZZ".parse(), Ok(CodeId((1 << 40) - 1)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_an_error(text in "(adit-)?[ -~\u{e4}]{0,90}") {
            if let Ok(code) = text.parse::<Code>() {
                prop_assert_eq!(code.text().parse::<Code>().unwrap().hash(), code.hash());
            }
        }

        #[test]
        fn every_code_survives_its_text(random: [u8; ID + SECRET], host: [u8; HOST]) {
            let code = Code::new(&random, HostHash(host));
            let read: Code = code.text().parse().unwrap();
            prop_assert_eq!(read.hash(), code.hash());
            prop_assert_eq!((read.id(), read.host()), (code.id(), code.host()));
        }
    }
}
