//! CONNECT of SOCKS5 (RFC 1928), with a user and a password for a login (RFC 1929).

use std::net::IpAddr;

use adit_ssh::printable::Printable;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::{CREDENTIAL, Credentials, ProxyFailure};

const VERSION: u8 = 5;
/// No login (RFC 1928 section 3).
const NO_LOGIN: u8 = 0;
/// Login by user and password.
const PASSWORD: u8 = 2;
/// None of the methods that were offered.
const NO_METHOD: u8 = 0xff;
/// Version of the login's own messages (RFC 1929 section 2).
const LOGIN_VERSION: u8 = 1;
/// The command CONNECT (RFC 1928 section 4).
const CONNECT: u8 = 1;
/// Kinds of addresses (RFC 1928 section 5).
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;

/// Asks for a connection to `host`. Takes no byte behind the answer.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyFailure> {
    let methods: &[u8] = match credentials {
        None => &[VERSION, 1, NO_LOGIN],
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
    };
    send(socket, methods).await?;
    let [version, method] = read(socket).await?;
    if version != VERSION {
        return Err(ProxyFailure::Protocol("SOCKS5"));
    }
    match (method, credentials) {
        (NO_LOGIN, _) => {}
        (PASSWORD, Some(credentials)) => log_in(socket, credentials).await?,
        (PASSWORD | NO_METHOD, None) => return Err(ProxyFailure::CredentialsWanted),
        (NO_METHOD, Some(_)) => {
            let words = b"it takes neither user and password nor no login";
            return Err(ProxyFailure::Login(Printable::new(words)));
        }
        // It chose what was not offered.
        _ => return Err(ProxyFailure::Protocol("SOCKS5")),
    }
    send(socket, &request(host, port)?).await?;
    let [version, reply, _, kind] = read(socket).await?;
    if version != VERSION {
        return Err(ProxyFailure::Protocol("SOCKS5"));
    }
    if reply != 0 {
        // What follows a refusal is of no use, and some proxies leave it out.
        return Err(ProxyFailure::Refused(Printable::new(
            words(reply).as_bytes(),
        )));
    }
    // The address from which it dialled, and the port.
    match kind {
        V4 => drop(read::<6, S>(socket).await?),
        V6 => drop(read::<18, S>(socket).await?),
        NAME => {
            let [length] = read(socket).await?;
            let mut rest = [0; 257];
            let length = usize::from(length).saturating_add(2);
            let rest = rest.get_mut(..length).unwrap_or_default();
            let got = socket.read_exact(rest).await;
            got.map_err(ProxyFailure::Ended)?;
        }
        _ => return Err(ProxyFailure::Protocol("SOCKS5")),
    }
    Ok(())
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    credentials: &Credentials,
) -> Result<(), ProxyFailure> {
    // As large as it can become, so that no half of it is left behind by a larger one.
    let mut message = Zeroizing::new(Vec::with_capacity(CREDENTIAL * 2 + 3));
    message.push(LOGIN_VERSION);
    for part in [&credentials.user, &credentials.password] {
        let part = part.expose();
        // Longer ones are refused when the URL is read.
        message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        message.extend_from_slice(part);
    }
    send(socket, &message).await?;
    drop(message);
    // Some proxies answer with the other version.
    let [_, status] = read(socket).await?;
    if status != 0 {
        return Err(ProxyFailure::CredentialsRefused);
    }
    Ok(())
}

/// A request for that host. A name is sent as it is.
fn request(host: &str, port: u16) -> Result<Vec<u8>, ProxyFailure> {
    let mut message = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(addr)) => {
            message.push(V4);
            message.extend_from_slice(&addr.octets());
        }
        Ok(IpAddr::V6(addr)) => {
            message.push(V6);
            message.extend_from_slice(&addr.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len());
            let too_long = |_| ProxyFailure::Refused(Printable::new(b"name is too long"));
            message.push(NAME);
            message.push(length.map_err(too_long)?);
            message.extend_from_slice(host.as_bytes());
        }
    }
    message.extend_from_slice(&port.to_be_bytes());
    Ok(message)
}

/// What a reply means (RFC 1928 section 6).
fn words(reply: u8) -> String {
    let words = match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        other => return format!("reply {other}"),
    };
    words.to_owned()
}

async fn send<S: AsyncWrite + Unpin>(socket: &mut S, bytes: &[u8]) -> Result<(), ProxyFailure> {
    socket.write_all(bytes).await.map_err(ProxyFailure::Ended)?;
    socket.flush().await.map_err(ProxyFailure::Ended)
}

async fn read<const N: usize, S: AsyncRead + Unpin>(
    socket: &mut S,
) -> Result<[u8; N], ProxyFailure> {
    let mut bytes = [0; N];
    let got = socket.read_exact(&mut bytes).await;
    got.map_err(ProxyFailure::Ended)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_sent_as_one_and_a_name_as_a_name() {
        for (host, expected) in [
            ("192.0.2.1", &[5, 1, 0, 1, 192, 0, 2, 1, 0, 22][..]),
            ("ab.c", &[5, 1, 0, 3, 4, b'a', b'b', b'.', b'c', 0, 22]),
            (
                "::1",
                &[
                    5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 22,
                ],
            ),
        ] {
            assert_eq!(request(host, 22).unwrap(), expected, "{host}");
        }
        assert!(request(&"a".repeat(256), 22).is_err());
    }
}
