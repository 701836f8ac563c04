//! PostgreSQL, which answers a question about encryption.
//!
//! The question is a GSSENCRequest, the first thing that `psql` says too where it may use GSSAPI. The answer
//! is one byte, yes or no, and closing then is what the protocol provides for (PostgreSQL's documentation,
//! "Message Flow", "GSSAPI Session Encryption").
//!
//! Measured 2026-11-22 with Debian's PostgreSQL 15.18 at its default settings: no line in its log, with TLS
//! or without. An SSLRequest, which health checks commonly send, leaves `could not accept SSL connection:
//! EOF detected` where TLS is on, as Debian has it; a login leaves a `FATAL`. With `log_connections` any
//! connection leaves a line. Versions before 12, which nobody maintains, do not know the question, say so,
//! and log it.

use super::{Reading, quote};

/// GSSENCRequest: its length and the number 1234.5680.
pub(super) const QUESTION: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// What can be said of one that answers; it tells nobody more before a login.
const ANSWERS: &str = "PostgreSQL";

/// Reads the byte, or the error instead of it.
pub(super) fn read(heard: &[u8]) -> Reading {
    match heard {
        [] => Reading::More,
        [b'G' | b'N'] => Reading::Well(ANSWERS.to_owned()),
        [b'E', rest @ ..] => error(rest),
        [..] => Reading::Not,
    }
}

/// An ErrorResponse: a length and fields, each a letter and a text that ends in a zero byte. A server without
/// memory for that sends a bare text.
fn error(rest: &[u8]) -> Reading {
    let Some((length, fields)) = rest.split_first_chunk() else {
        return Reading::More;
    };
    let length = u32::from_be_bytes(*length);
    let words = match usize::try_from(length)
        .ok()
        .and_then(|all| all.checked_sub(4))
    {
        Some(length) if length <= super::HEARD => {
            let Some(fields) = fields.get(..length) else {
                return Reading::More;
            };
            let message = fields
                .split(|byte| *byte == 0)
                .find_map(|field| field.strip_prefix(b"M"));
            match message {
                Some(words) => words,
                None => return Reading::Not,
            }
        }
        Some(_) | None => match rest.iter().position(|byte| *byte == 0) {
            Some(end) => rest.get(..end).unwrap_or_default(),
            None => return Reading::More,
        },
    };
    if words.starts_with(b"unsupported frontend protocol") {
        return Reading::Well(ANSWERS.to_owned());
    }
    Reading::Ill(quote(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fields: &[u8]) -> Vec<u8> {
        let length = u32::try_from(fields.len() + 4).unwrap();
        [b"E", &length.to_be_bytes()[..], fields].concat()
    }

    #[test]
    fn one_byte_is_an_answer_and_an_error_is_its_message() {
        let well = || Reading::Well(String::from("PostgreSQL"));
        let ill = |text: &str| Reading::Ill(text.to_owned());
        let full = error(b"SFATAL\0C53300\0Msorry, too many clients already\0\0");
        let old = error(b"SFATAL\0C0A000\0Munsupported frontend protocol 1234.5680\0\0");
        let bare = b"Ecould not fork new process for connection: no memory\n\0";
        for (heard, expected) in [
            (&b""[..], Reading::More),
            (b"N", well()),
            (b"G", well()),
            (b"S", Reading::Not),
            (b"NO", Reading::Not),
            (b"SSH-2.0-x\r\n", Reading::Not),
            (b"HTTP/1.1 400 Bad Request\r\n", Reading::Not),
            (&full, ill("sorry, too many clients already")),
            (&full[..20], Reading::More),
            (&old, well()),
            (
                bare,
                ill("could not fork new process for connection: no memory"),
            ),
            (b"ERROR what\r\n", Reading::More),
            (&error(b"\0"), Reading::Not),
        ] {
            assert_eq!(read(heard), expected, "{}", heard.escape_ascii());
        }
    }
}
