//! Public keys in authorized_keys files (`sshd(8)`): found whatever stands around them, and added once.

use std::fmt;
use std::str::FromStr;

/// A public key as one line has it: its kind, its blob in base64, and a comment that is safe wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    kind: String,
    blob: String,
    comment: String,
}

/// The text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no public key as a .pub file has it: a kind, the key, a comment")]
pub struct KeyLineError;

/// Longest comment that is kept.
const COMMENT: usize = 128;
/// Longest key, in base64: an RSA key of 16,384 bits has 2,800.
const BLOB: usize = 8_192;

impl FromStr for KeyLine {
    type Err = KeyLineError;

    /// One line without options. Of the comment what is printable ASCII is kept (security rule G107).
    fn from_str(text: &str) -> Result<Self, KeyLineError> {
        let mut words = text.lines().next().unwrap_or_default().splitn(3, ' ');
        let (kind, blob) = words.next().zip(words.next()).ok_or(KeyLineError)?;
        let is_kind_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-@.".contains(&byte);
        let is_kind = (1..=64).contains(&kind.len())
            && !kind.starts_with('-')
            && kind.bytes().all(is_kind_part);
        let is_blob_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        // Every blob begins with the length of its kind's name.
        let is_blob = blob.starts_with("AAAA")
            && (16..=BLOB).contains(&blob.len())
            && blob.bytes().all(is_blob_part);
        if !is_kind || !is_blob {
            return Err(KeyLineError);
        }
        let comment = words.next().unwrap_or_default().trim();
        let shown = |it: &char| it.is_ascii_graphic() || *it == ' ';
        Ok(Self {
            kind: kind.to_owned(),
            blob: blob.to_owned(),
            comment: comment.chars().filter(shown).take(COMMENT).collect(),
        })
    }
}

impl KeyLine {
    /// Whether both are the same key, whatever their comments are.
    pub fn is_key_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.blob == other.blob
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.blob)?;
        if !self.comment.is_empty() {
            write!(f, " {}", self.comment)?;
        }
        Ok(())
    }
}

/// The authorized_keys file with that key in a line of its own at its end; `None` if a line has it already, whatever
/// options or comment stand there with it.
pub fn add(file: &[u8], key: &KeyLine) -> Option<Vec<u8>> {
    if file.split(|byte| *byte == b'\n').any(|line| has(line, key)) {
        return None;
    }
    let mut added = file.to_vec();
    if !file.is_empty() && !file.ends_with(b"\n") {
        added.push(b'\n');
    }
    added.extend(key.to_string().bytes());
    added.push(b'\n');
    Some(added)
}

/// Whether a line lets that key in: its kind and its blob, word behind word, outside of quotes.
fn has(line: &[u8], key: &KeyLine) -> bool {
    let line = line.trim_ascii();
    if line.starts_with(b"#") {
        return false;
    }
    let mut words = Words(line);
    let mut before: &[u8] = b"";
    words.any(|word| {
        let is_it = word == key.blob.as_bytes() && before == key.kind.as_bytes();
        before = word;
        is_it
    })
}

/// The words of a line; a blank between quotes parts none, as in options.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0 = self.0.trim_ascii_start();
        if self.0.is_empty() {
            return None;
        }
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = self.0.iter().position(|byte| {
            let is_end = byte.is_ascii_whitespace() && !is_quoted;
            is_quoted ^= *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        });
        let (word, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIN0fe+3YdOHIn1Zu1OCFzTZgVRuPLGqHuAzrDzcVqxgq";

    fn key() -> KeyLine {
        format!("ssh-ed25519 {BLOB} me@here").parse().unwrap()
    }

    #[test]
    fn a_comment_is_made_safe_and_all_else_is_no_key() {
        let hostile = format!("ssh-ed25519 {BLOB} a\u{1b}[2J;$(id)\u{7f}`\r\nssh-rsa AAAA");
        let key: KeyLine = hostile.parse().unwrap();
        assert_eq!(key.to_string(), format!("ssh-ed25519 {BLOB} a[2J;$(id)`"));
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            &format!("command=\"x\" ssh-ed25519 {BLOB}"),
            &format!("ssh-ed25519 {BLOB}$(id)"),
            &format!("ssh-ed25519\t{BLOB}"),
            &format!("ssh-ed25519  {BLOB}"),
            &format!("-n {BLOB}"),
        ] {
            assert_eq!(text.parse::<KeyLine>(), Err(KeyLineError), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_there_is_found_whatever_stands_around_it() {
        for line in [
            format!("ssh-ed25519 {BLOB}"),
            format!("  ssh-ed25519\t{BLOB}\tother comment\r"),
            format!("from=\"10.0.0.0/8\",command=\"a \\\" b\" ssh-ed25519 {BLOB} x"),
            format!("restrict ssh-ed25519 {BLOB}"),
        ] {
            for file in [line.clone(), format!("# x\n{line}\nssh-rsa AAAAB3 y\n")] {
                assert_eq!(add(file.as_bytes(), &key()), None, "{file:?}");
            }
        }
        for line in [
            format!("#ssh-ed25519 {BLOB}"),
            format!("ssh-ed25519 {BLOB}x"),
            format!("command=\"ssh-ed25519 {BLOB} \" ssh-rsa AAAAB3NzaC1yc2E"),
            format!("ssh-rsa AAAAB3NzaC1yc2E {BLOB}"),
        ] {
            assert!(add(line.as_bytes(), &key()).is_some(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_added_once_behind_all_that_was_there(file in vec(any::<u8>(), 0..200)) {
            let once = add(&file, &key()).unwrap();
            prop_assert!(once.starts_with(&file));
            let end = format!("{}\n", key());
            let added = once.strip_prefix(&file[..]).unwrap();
            let with_a_line_end = format!("\n{end}");
            prop_assert!([end.as_bytes(), with_a_line_end.as_bytes()].contains(&added));
            prop_assert!(once.len() == end.len() || once[..once.len() - end.len()].ends_with(b"\n"));
            prop_assert_eq!(add(&once, &key()), None);
        }
    }
}
