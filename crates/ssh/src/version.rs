//! The identification exchange (RFC 4253 section 4.2).
//!
//! Each side sends one line, `SSH-2.0-software comment CR LF`. A server may send other lines before
//! its own, a client may not. Both lines enter the exchange hash exactly as they were sent, without
//! the line end, so nothing is trimmed or tidied here.

use crate::error::{DisconnectCode, Violation};
use crate::limits;
use crate::printable::Printable;

/// Our line, without the line end.
pub const OURS: &str = concat!(
    "SSH-2.0-adit_",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// A peer's identification line, as received, without the line end.
#[derive(Clone, PartialEq, Eq)]
pub struct Ident(Vec<u8>);

impl Ident {
    /// The bytes that enter the exchange hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The software version: what follows `SSH-2.0-`.
    pub fn software(&self) -> &[u8] {
        let mut parts = self.0.splitn(3, |byte| *byte == b'-');
        parts.nth(2).unwrap_or_default()
    }

    /// Whether the peer is one of ours, so that it may have larger windows.
    pub fn is_own(&self) -> bool {
        self.software().starts_with(b"adit_")
    }

    /// The line for a person's eyes.
    pub fn printable(&self) -> Printable {
        Printable::new(&self.0)
    }
}

impl std::fmt::Debug for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.printable().fmt(f)
    }
}

/// Which lines a peer may send before its identification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// A client sends none.
    Refused,
    /// A server may send some.
    Allowed,
}

/// Reads the peer's line from a stream of bytes.
#[derive(Debug)]
pub(crate) struct IdentReader {
    preamble: Preamble,
    line: Vec<u8>,
    bytes: usize,
    lines: usize,
}

impl IdentReader {
    pub(crate) const fn new(preamble: Preamble) -> Self {
        Self {
            preamble,
            line: Vec::new(),
            bytes: 0,
            lines: 0,
        }
    }

    /// Takes bytes up to the end of the identification line. Returns how many it took, and the line
    /// when it is complete.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Ident>), Violation> {
        let mut taken: usize = 0;
        for &byte in input {
            taken = taken.saturating_add(1);
            self.bytes = self.bytes.saturating_add(1);
            if byte != b'\n' {
                if self.line.len() >= limits::IDENT_LINE && !self.may_still_be_preamble() {
                    return Err(bad("identification line is too long"));
                }
                if self.bytes > limits::PRE_IDENT_BYTES {
                    return Err(bad("too much before the identification line"));
                }
                // A long preamble line is counted, not kept: its first bytes tell what it is.
                if self.line.len() < limits::IDENT_LINE {
                    self.line.push(byte);
                }
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.starts_with(b"SSH-") {
                return check(line).map(|ident| (taken, Some(ident)));
            }
            self.lines = self.lines.saturating_add(1);
            if self.preamble == Preamble::Refused || self.lines > limits::PRE_IDENT_LINES {
                return Err(bad("expected an identification line"));
            }
        }
        if self.preamble == Preamble::Refused && !self.line_begins_right() {
            return Err(bad("expected an identification line"));
        }
        Ok((taken, None))
    }

    fn may_still_be_preamble(&self) -> bool {
        self.preamble == Preamble::Allowed && !self.line.starts_with(b"SSH-")
    }

    /// So that a stranger who speaks another protocol is cut off at its first bytes.
    fn line_begins_right(&self) -> bool {
        self.line.iter().zip(b"SSH-").all(|(got, want)| got == want)
    }
}

/// The rules of RFC 4253 section 4.2 for one line that begins with `SSH-`.
fn check(line: Vec<u8>) -> Result<Ident, Violation> {
    if line.len() > limits::IDENT_LINE.saturating_sub(2) {
        return Err(bad("identification line is too long"));
    }
    if !line.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return Err(bad("identification line is not printable ASCII"));
    }
    if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
        return Err(bad("protocol version is not 2.0"));
    }
    Ok(Ident(line))
}

const fn bad(what: &'static str) -> Violation {
    Violation {
        code: DisconnectCode::ProtocolVersionNotSupported,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(preamble: Preamble, input: &[u8]) -> Result<Option<Ident>, Violation> {
        let mut reader = IdentReader::new(preamble);
        // One byte at a time and all at once must agree.
        let mut whole = IdentReader::new(preamble);
        let all = whole.read(input);
        for byte in input {
            match reader.read(&[*byte]) {
                Ok((1, None)) => {}
                Ok((_, ident)) => {
                    assert_eq!(
                        all.as_ref().map(|(_, ident)| ident.clone()),
                        Ok(ident.clone())
                    );
                    return Ok(ident);
                }
                Err(violation) => {
                    assert_eq!(all, Err(violation));
                    return Err(violation);
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn kex_hash_keeps_ident_bytes() {
        for (line, kept) in [
            (
                &b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n"[..],
                &b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6"[..],
            ),
            (b"SSH-2.0-x \n", b"SSH-2.0-x "),
            (b"SSH-1.99-x\r\n", b"SSH-1.99-x"),
        ] {
            let ident = read(Preamble::Refused, line).unwrap().unwrap();
            assert_eq!(ident.as_bytes(), kept);
        }
    }

    #[test]
    fn version_rejects_client_preamble() {
        assert!(read(Preamble::Refused, b"hello\r\nSSH-2.0-x\r\n").is_err());
        assert!(read(Preamble::Refused, b"GET / HTTP/1.1\r\n").is_err());
        assert!(
            read(Preamble::Allowed, b"hello\r\nSSH-2.0-x\r\n")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn version_rejects_controls() {
        for line in [
            &b"SSH-2.0-x\0y\r\n"[..],
            b"SSH-2.0-\x1b[2J\r\n",
            b"SSH-2.0-\xff\r\n",
            b"SSH-2.0-a\rb\r\n",
        ] {
            assert!(read(Preamble::Allowed, line).is_err());
        }
    }

    #[test]
    fn version_rejects_v1() {
        for line in [
            &b"SSH-1.5-x\r\n"[..],
            b"SSH-2.1-x\r\n",
            b"SSH-3.0-x\r\n",
            b"SSH-\r\n",
        ] {
            assert!(read(Preamble::Allowed, line).is_err());
        }
    }

    #[test]
    fn version_endless_banner_is_cut() {
        let mut reader = IdentReader::new(Preamble::Allowed);
        let endless = std::iter::repeat_with(|| reader.read(&[b'a'; 1000]))
            .take(100)
            .find_map(Result::err);
        assert!(endless.is_some());
        let mut reader = IdentReader::new(Preamble::Allowed);
        let lines = std::iter::repeat_with(|| reader.read(b"a\r\n"))
            .take(2000)
            .position(|line| line.is_err());
        assert_eq!(lines, Some(limits::PRE_IDENT_LINES));
        assert!(
            read(
                Preamble::Allowed,
                &[b"SSH-2.0-", &[b'x'; 300][..], b"\r\n"].concat()
            )
            .is_err()
        );
    }
}
