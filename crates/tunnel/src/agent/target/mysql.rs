//! MySQL or MariaDB, which greets.
//!
//! The greeting is the verdict; all else is for taking leave. Whoever goes without having tried to log in
//! makes an error of the host that it came from: after `max_connect_errors` (100) of them the server locks
//! that host out, visitors and all, until somebody flushes hosts. So we log in with no name and no password,
//! are refused, and go. A server whose accounts admit that is told `COM_QUIT` at once.
//!
//! Measured 2026-11-22 with Debian's MariaDB 10.11.19, a check from another host:
//!
//! | Leave | `SUM_CONNECT_ERRORS` | Error log at the default `log_warnings=2` | Status variables |
//! |---|---|---|---|
//! | closed after the greeting, half-closed, or reset | + 1 | one line, `Aborted connection` | `Aborted_connects` + 1, `Aborted_connects_preauth` + 1 |
//! | `COM_QUIT` or an empty packet instead of a login | + 1 | the same | the same |
//! | a request for TLS, then closed | + 1 | the same | the same |
//! | a login without a name, refused | **+ 0** | one line, `Access denied for user ''@'HOST'` | `Aborted_connects` + 1, `Access_denied_errors` + 1 |
//!
//! No way of leaving leaves no line; at `log_warnings=1` none leaves one. Without a name, because then the
//! filter of fail2ban 1.0.2 for MySQL (`mysqld-auth`) does not take the line for an attack, as it does with
//! any name. The host cache knows neither 127.0.0.1 nor Unix sockets, so there only lines and counters
//! differ.
//!
//! Packets: three bytes of length, one of number, then so many bytes (MySQL's Client/Server Protocol,
//! "Protocol Basics", "Connection Phase").

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{HEARD, Reading, more, quote};

/// First byte of a greeting: the version of the protocol, since MySQL 3.21.
const GREETING: u8 = 10;
/// First byte of a packet that says no.
const ERROR: u8 = 0xff;
/// First byte of a packet that says yes.
const OK: u8 = 0;
/// First byte of a packet that asks for another way of authentication.
const SWITCH: u8 = 0xfe;
/// First byte of a packet that belongs to one.
const MORE_DATA: u8 = 1;
/// Most packets of a login that is going to be refused.
const TURNS: usize = 4;

/// A packet, as far as it is whole.
struct Packet<'a> {
    number: u8,
    body: &'a [u8],
    rest: &'a [u8],
}

/// Splits the first packet off; `Ok(None)` when it is not whole yet, `Err` when it never will be.
fn split(bytes: &[u8]) -> Result<Option<Packet<'_>>, Reading> {
    let Some((&[low, middle, high, number], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_le_bytes([low, middle]));
    if high != 0 || length == 0 || length > HEARD.saturating_sub(4) {
        return Err(Reading::Not);
    }
    Ok(rest
        .split_at_checked(length)
        .map(|(body, rest)| Packet { number, body, rest }))
}

/// Reads the greeting, or the refusal instead of one.
pub(super) fn read(heard: &[u8]) -> Reading {
    let packet = match split(heard) {
        Ok(Some(packet)) => packet,
        Ok(None) => return Reading::More,
        Err(not) => return not,
    };
    match (packet.number, packet.body.split_first()) {
        (0, Some((&GREETING, rest))) => {
            let end = rest.iter().position(|byte| *byte == 0);
            match end.and_then(|end| rest.get(..end)) {
                Some(version) => Reading::Well(name(version)),
                None => Reading::Not,
            }
        }
        (0, Some((&ERROR, rest))) => refusal(rest),
        _ => Reading::Not,
    }
}

/// The server by its version: `5.5.5-10.11.19-MariaDB-0+deb12u1` is MariaDB 10.11.19, which puts a version
/// of MySQL's in front for the sake of old replicas.
fn name(version: &[u8]) -> String {
    let text = quote(version);
    if !text.contains("MariaDB") {
        return format!("MySQL {text}");
    }
    let number = text.strip_prefix("5.5.5-").unwrap_or(&text);
    let number = number.split('-').next().unwrap_or_default();
    format!("MariaDB {number}")
}

/// An error's number and words. The five characters of an SQL state between them are left out; before the
/// greeting there are none.
fn refusal(body: &[u8]) -> Reading {
    let Some((&number, words)) = body.split_first_chunk() else {
        return Reading::Not;
    };
    let has_state = words.starts_with(b"#");
    let words = words.get(6..).filter(|_| has_state).unwrap_or(words);
    Reading::Ill(format!("{}: {}", u16::from_le_bytes(number), quote(words)))
}

/// Logs in as nobody, is refused, and so leaves no error of a handshake behind.
pub(super) async fn take_leave<S>(stream: &mut S, mut heard: Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let is_greeted = matches!(read(&heard), Reading::Well(_));
    if is_greeted {
        let mut expected = 1;
        for _ in 0..TURNS {
            heard = match split(&heard) {
                Ok(Some(packet)) if packet.number.wrapping_add(1) == expected => {
                    let Some(answer) = answer(&packet) else {
                        break;
                    };
                    expected = expected.wrapping_add(2);
                    stream.write_all(&answer).await?;
                    packet.rest.to_vec()
                }
                Ok(Some(_)) | Err(_) => break,
                Ok(None) => heard,
            };
            while matches!(split(&heard), Ok(None)) && heard.len() < HEARD {
                if !more(stream, &mut heard).await {
                    return Ok(());
                }
            }
        }
    }
    stream.shutdown().await
}

/// What nobody says to a packet, or nothing where it was the last.
fn answer(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let number = packet.number.wrapping_add(1);
    match packet.body.first() {
        Some(&GREETING) if packet.number == 0 => Some(framed(number, &login())),
        // An empty answer says that there is no password, in every way of authentication.
        Some(&(SWITCH | MORE_DATA)) => Some(framed(number, &[])),
        Some(&OK) => Some(framed(0, &[COM_QUIT])),
        Some(_) | None => None,
    }
}

/// The command that ends a connection.
const COM_QUIT: u8 = 1;

/// A login without a name, a password or a database (`HandshakeResponse41`).
fn login() -> Vec<u8> {
    /// `CLIENT_LONG_PASSWORD`, `CLIENT_PROTOCOL_41`, `CLIENT_SECURE_CONNECTION` and
    /// `CLIENT_PLUGIN_AUTH`.
    const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000;
    /// The longest packet that we would take.
    const LONGEST: u32 = 1 << 24;
    /// `utf8mb4_general_ci`.
    const CHARACTERS: u8 = 45;
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&CAPABILITIES.to_le_bytes());
    body.extend_from_slice(&LONGEST.to_le_bytes());
    body.push(CHARACTERS);
    body.extend_from_slice(&[0; 23]);
    // No name, and no bytes of a password.
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(b"mysql_native_password\0");
    body
}

/// A packet of few bytes.
fn framed(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let mut packet = vec![length, 0, 0, number];
    packet.extend(body.iter().take(usize::from(length)));
    packet
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    /// As MariaDB 10.11.19 of Debian greets.
    fn greeting() -> Vec<u8> {
        framed(
            0,
            b"\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0v\0\0\0$jnf8#Ep\0\xfe\xf7",
        )
    }

    fn error(number: u8, body: &[u8]) -> Vec<u8> {
        framed(number, &[b"\xff", body].concat())
    }

    #[test]
    fn a_greeting_is_read_and_so_is_a_refusal_instead_of_it() {
        let well = |text: &str| Reading::Well(text.to_owned());
        let ill = |text: &str| Reading::Ill(text.to_owned());
        let greeting = greeting();
        for (heard, expected) in [
            (&b""[..], Reading::More),
            (&greeting[..30], Reading::More),
            (&greeting, well("MariaDB 10.11.19")),
            (&framed(0, b"\x0a8.0.36\0rest"), well("MySQL 8.0.36")),
            (
                &framed(0, b"\x0a8.4.0-Source (ProxySQL)\0"),
                well("MySQL 8.4.0-Source (ProxySQL)"),
            ),
            (&framed(0, b"\x0ano end"), Reading::Not),
            (&framed(1, b"\x0a8.0.36\0rest"), Reading::Not),
            (&framed(0, b"\x098.0.36\0"), Reading::Not),
            (
                &error(0, b"\x10\x04Too many connections"),
                ill("1040: Too many connections"),
            ),
            (&error(0, b"\x10\x04#08004Too many"), ill("1040: Too many")),
            (&error(0, b"\x10"), Reading::Not),
            (b"\0\0\0\0", Reading::Not),
            (b"SSH-2.0-x\r\n", Reading::Not),
            (b"HTTP/1.1 400 Bad Request\r\n", Reading::Not),
        ] {
            assert_eq!(read(heard), expected, "{}", heard.escape_ascii());
        }
    }

    /// What we say while a server says these packets, one after each of ours.
    async fn said(packets: &[Vec<u8>]) -> Vec<u8> {
        let (mut ours, mut theirs) = duplex(64 * 1024);
        for packet in packets {
            theirs.write_all(packet).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
        drop(take_leave(&mut ours, greeting()).await);
        drop(ours);
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.unwrap();
        said
    }

    #[tokio::test]
    async fn a_leave_is_a_login_that_is_refused() {
        let login = framed(1, &login());
        let refused = error(2, b"\x15\x04#28000Access denied");
        assert_eq!(said(&[refused]).await, login);
        let switched = [
            framed(2, b"\xfecaching_sha2_password\0salt\0"),
            framed(4, b"\x01\x04"),
            error(6, b"\x15\x04#28000Access denied"),
        ];
        let expected = [login.clone(), framed(3, &[]), framed(5, &[])].concat();
        assert_eq!(said(&switched).await, expected);
        let admitted = [framed(2, b"\0\0\0\x02\0\0\0")];
        let expected = [login.clone(), framed(0, &[COM_QUIT])].concat();
        assert_eq!(said(&admitted).await, expected);
        let endless: Vec<_> = (0..9).map(|turn| framed(2 * turn + 2, b"\x01")).collect();
        assert_eq!(said(&endless).await.len(), login.len() + 3 * 4);
        assert_eq!(said(&[framed(9, b"\x01")]).await, login);
        assert_eq!(said(&[]).await, login);
    }
}
