//! An SSH server, which says its version.
//!
//! We say ours first, and close once its line is there. Measured 2026-11-22 with Debian's OpenSSH 9.2p1 at
//! its default `LogLevel INFO`: one line a check, `Connection closed by ADDRESS port PORT [preauth]`. One
//! who closes without a word leaves two, the first of them an error (`kex_exchange_identification:
//! Connection closed by remote host`); a polite SSH_MSG_DISCONNECT leaves two as well. fail2ban 1.0.2 passes
//! the line over, and in its mode `aggressive` counts it: two in its ten minutes, and five are too many.
//! OpenSSH 9.8 and later hold it against an address that it did not try to log in, for 1 s each time, and
//! act on 15 s in sum (sshd_config(5), `PerSourcePenalties`: `noauth`, `min`): far more often than any
//! schedule here asks.

use super::{Reading, quote};

/// Our side's version (RFC 4253 section 4.2).
pub(super) const IDENTIFICATION: &[u8] = b"SSH-2.0-adit_check\r\n";

/// Words of an sshd that has no place for us: before its version, and instead of it.
const FULL: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

/// Reads up to the line that begins with `SSH-`; others may come before it (RFC 4253 section 4.2).
pub(super) fn read(heard: &[u8]) -> Reading {
    let mut rest = heard;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        if line.starts_with(b"SSH-") {
            return Reading::Well(quote(line));
        }
        if let Some(words) = FULL.iter().find(|words| line.starts_with(words.as_bytes())) {
            return Reading::Ill((*words).to_owned());
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Reading::More
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_behind_other_lines() {
        let well = |text: &str| Reading::Well(text.to_owned());
        let ill = |text: &str| Reading::Ill(text.to_owned());
        for (heard, expected) in [
            ("", Reading::More),
            ("SSH-2.0-OpenSSH_9.2p1", Reading::More),
            (
                "SSH-2.0-OpenSSH_9.2p1\r\nmore",
                well("SSH-2.0-OpenSSH_9.2p1"),
            ),
            ("SSH-2.0-old\n", well("SSH-2.0-old")),
            ("Welcome\r\n\r\nSSH-2.0-x y\r\n", well("SSH-2.0-x y")),
            ("Exceeded MaxStartups\r\n", ill("Exceeded MaxStartups")),
            ("HTTP/1.1 400 Bad Request\r\n", Reading::More),
        ] {
            assert_eq!(read(heard.as_bytes()), expected, "{heard}");
        }
        let cursed = read(b"SSH-2.0-\x1b[2J\r\n");
        assert_eq!(cursed, well("SSH-2.0-\\u{1b}[2J"));
    }
}
