//! What a TLS client says first: the name that it wants and the protocols that it speaks, read before anything is
//! answered, so that the whole can be passed on as it came. Pure.
//!
//! A `ClientHello` (RFC 8446 section 4.1.2) may lie in several records, and those may come in any pieces. What is read
//! here is the outer one: of a client that encrypts another inside, this is the name it shows the world.

use crate::host;

/// Most bytes of a hello, with what is around it: as long as OpenSSL takes it, and ten times what browsers send with
/// post-quantum keys.
pub const LONGEST: usize = 16 << 10;
/// Most records that a hello may be in: clients cut it once or twice, to get past broken firewalls.
const RECORDS: usize = 16;
/// Longest payload of a record (RFC 8446 section 5.1).
const RECORD: usize = 1 << 14;
/// What a record of a handshake, and a hello in it, begin with.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Extensions (RFC 6066 section 3, RFC 7301 section 3.1).
const SERVER_NAME: u16 = 0;
const PROTOCOLS: u16 = 16;
/// The protocol by which certificates are proved (RFC 8737 section 6.1).
const ACME: &[u8] = b"acme-tls/1";

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name, in its canonical form ([`crate::host`]); nothing where it says none.
    pub name: Option<String>,
    /// Whether it wants to see a certificate proved, and not the site (security rule G64).
    pub is_challenge: bool,
}

/// How far a hello has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is there.
    Whole(Hello),
    /// More has to come.
    Partial,
}

/// Why something is no hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// It does not begin as TLS does.
    #[error("it is no TLS")]
    NotTls,
    /// It has more bytes than anybody needs, or is in more records.
    #[error("its hello is longer than anybody's")]
    Long,
    /// Lengths do not add up, or something is there twice.
    #[error("its hello is malformed")]
    Malformed,
}

/// Reads a hello from all that has come so far.
///
/// # Errors
/// It is none, whatever comes.
pub fn read(bytes: &[u8]) -> Result<Progress, HelloError> {
    let mut message = Vec::new();
    let mut rest = bytes;
    for _ in 0..RECORDS {
        if let Some(hello) = whole(&message)? {
            return Ok(Progress::Whole(hello));
        }
        let Some((payload, behind)) = record(rest)? else {
            return if bytes.len() >= LONGEST {
                Err(HelloError::Long)
            } else {
                Ok(Progress::Partial)
            };
        };
        message.extend_from_slice(payload);
        rest = behind;
    }
    whole(&message)?.map_or(Err(HelloError::Long), |hello| Ok(Progress::Whole(hello)))
}

/// A payload, and what is behind it.
type Cut<'a> = (&'a [u8], &'a [u8]);

/// The first record and what is behind it; nothing while it is not all there.
fn record(bytes: &[u8]) -> Result<Option<Cut<'_>>, HelloError> {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE)
        || bytes.get(1).is_some_and(|major| *major != 3)
    {
        return Err(HelloError::NotTls);
    }
    let Some((&[_, _, _, high, low], rest)) = bytes.split_first_chunk::<5>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > RECORD {
        return Err(HelloError::Malformed);
    }
    Ok(rest.split_at_checked(length))
}

/// The hello of a handshake message, once all of it is there.
fn whole(message: &[u8]) -> Result<Option<Hello>, HelloError> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(HelloError::NotTls);
    }
    let Some((&[_, top, high, low], rest)) = message.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, top, high, low]);
    let length = usize::try_from(length).map_err(|_| HelloError::Long)?;
    if length > LONGEST {
        return Err(HelloError::Long);
    }
    match rest.get(..length) {
        None => Ok(None),
        // A client says nothing behind it before it is answered.
        Some(_) if rest.len() > length => Err(HelloError::Malformed),
        Some(body) => hello(body).map(Some).ok_or(HelloError::Malformed),
    }
}

/// The body of a hello; nothing if it is malformed.
fn hello(body: &[u8]) -> Option<Hello> {
    let mut body = Reader(body);
    // Version and randomness.
    body.take(2 + 32)?;
    let session = body.short()?;
    let suites = body.long()?;
    let compressions = body.short()?;
    let is_well = session.len() <= 32
        && suites.len() >= 2
        && suites.len().is_multiple_of(2)
        && !compressions.is_empty();
    let mut hello = Hello {
        name: None,
        is_challenge: false,
    };
    if !is_well {
        return None;
    }
    // Clients of long ago have none.
    if body.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(body.long()?);
    if !body.0.is_empty() {
        return None;
    }
    let (mut has_name, mut has_protocols) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.long()?;
        let is_twice = match kind {
            SERVER_NAME => std::mem::replace(&mut has_name, true),
            PROTOCOLS => std::mem::replace(&mut has_protocols, true),
            _ => false,
        };
        if is_twice {
            return None;
        }
        match kind {
            SERVER_NAME => hello.name = Some(server_name(content)?),
            PROTOCOLS => hello.is_challenge = is_challenge(content)?,
            _ => {}
        }
    }
    Some(hello)
}

/// The one host name (RFC 6066 section 3: there is no more than one of a kind, and there is one kind).
fn server_name(content: &[u8]) -> Option<String> {
    let mut content = Reader(content);
    let mut list = Reader(content.long()?);
    let kind = list.take(1)?;
    let name = list.long()?;
    let is_alone = kind == [0] && list.0.is_empty() && content.0.is_empty();
    let name = std::str::from_utf8(name).ok().filter(|_| is_alone)?;
    host::name(name)
}

fn is_challenge(content: &[u8]) -> Option<bool> {
    let mut content = Reader(content);
    let mut list = Reader(content.long()?);
    let mut is_challenge = false;
    while !list.0.is_empty() {
        let protocol = list.short()?;
        if protocol.is_empty() {
            return None;
        }
        is_challenge |= protocol == ACME;
    }
    content.0.is_empty().then_some(is_challenge)
}

/// Bytes that have not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    /// What has its length before it, in one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first()?;
        self.0 = rest;
        self.take(usize::from(*length))
    }

    /// What has its length before it, in two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![u8::try_from(bytes.len()).unwrap()];
        all.extend_from_slice(bytes);
        all
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        all.extend_from_slice(bytes);
        all
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), long(content)].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &long(&[vec![0], long(name)].concat()))
    }

    fn speaking(protocols: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = protocols.iter().flat_map(|one| short(one)).collect();
        extension(PROTOCOLS, &long(&list))
    }

    fn message(extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
        let mut body = [vec![3; 34], short(&[7; 32]), long(&[0x13, 1]), short(&[0])].concat();
        if let Some(extensions) = extensions {
            body.extend(long(&extensions.concat()));
        }
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [vec![CLIENT_HELLO], length[1..].to_vec(), body].concat()
    }

    /// In records of so many bytes.
    fn records(message: &[u8], each: usize) -> Vec<u8> {
        let record = |piece: &[u8]| [vec![HANDSHAKE, 3, 1], long(piece)].concat();
        message.chunks(each).flat_map(record).collect()
    }

    fn whole(name: Option<&str>, is_challenge: bool) -> Progress {
        Progress::Whole(Hello {
            name: name.map(String::from),
            is_challenge,
        })
    }

    #[test]
    fn a_hello_says_which_name_and_which_protocols_in_however_many_records() {
        let extensions = [
            extension(43, &[2, 3, 4]),
            named(b"App.GW.test"),
            speaking(&[b"h2", b"http/1.1"]),
        ];
        let message = message(Some(&extensions));
        for each in [message.len(), 80, 20] {
            let bytes = records(&message, each);
            assert_eq!(
                read(&bytes),
                Ok(whole(Some("app.gw.test"), false)),
                "{each}"
            );
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Ok(Progress::Partial), "{each} {end}");
            }
        }
        // More of them than anybody needs.
        assert_eq!(read(&records(&message, 1)), Err(HelloError::Long));
    }

    #[test]
    fn acme_challenges_are_told_from_visitors() {
        let with = |extensions: &[Vec<u8>]| read(&records(&message(Some(extensions)), 512));
        let challenge = [named(b"a.example"), speaking(&[b"acme-tls/1"])];
        assert_eq!(with(&challenge), Ok(whole(Some("a.example"), true)));
        let hidden = [speaking(&[b"h2", b"acme-tls/1"]), named(b"a.example.")];
        assert_eq!(with(&hidden), Ok(whole(Some("a.example"), true)));
        assert_eq!(with(&[]), Ok(whole(None, false)));
        assert_eq!(read(&records(&message(None), 512)), Ok(whole(None, false)));
    }

    #[test]
    fn what_is_no_hello_is_none_whatever_comes() {
        for (bytes, error) in [
            (b"GET / HTTP/1.1\r\n".as_slice(), HelloError::NotTls),
            (b"SSH-2.0-x\r\n", HelloError::NotTls),
            (&[21, 3, 1, 0, 2, 1, 0], HelloError::NotTls),
            (&[22, 2], HelloError::NotTls),
            (&[22, 3, 1, 0, 0], HelloError::Malformed),
            (&[22, 3, 1, 0x40, 1], HelloError::Malformed),
            (&[22, 3, 1, 0, 1, 2], HelloError::NotTls),
            (&[22, 3, 1, 0, 4, 1, 1, 0, 0], HelloError::Long),
        ] {
            assert_eq!(read(bytes), Err(error), "{bytes:?}");
        }
        let two_names = long(&[vec![0], long(b"a"), vec![0], long(b"b")].concat());
        let two_names = extension(SERVER_NAME, &two_names);
        for extensions in [
            vec![named(b"a"), named(b"b")],
            vec![two_names],
            vec![named(b"")],
            vec![named(b"a b")],
            vec![named(b"a\0.example")],
            vec![named("\u{e4}.example".as_bytes())],
            vec![speaking(&[b""])],
            vec![extension(SERVER_NAME, &[0, 9, 0])],
            vec![vec![0, 0, 0]],
        ] {
            let bytes = records(&message(Some(&extensions)), 512);
            assert_eq!(read(&bytes), Err(HelloError::Malformed), "{extensions:?}");
        }
        // Something behind it.
        let bytes = records(&[message(None), vec![1]].concat(), 512);
        assert_eq!(read(&bytes), Err(HelloError::Malformed));
    }

    proptest! {
        #[test]
        fn what_comes_in_pieces_is_undecided_until_it_is_decided(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            is_hello in any::<bool>(),
            place in 0_usize..100,
            other in any::<u8>(),
        ) {
            let mut bytes = if is_hello {
                records(&message(Some(&[named(b"app.gw.test")])), 60)
            } else {
                [vec![HANDSHAKE, 3, 1, 0, 100, 1, 0, 0, 90], bytes].concat()
            };
            if let Some(byte) = bytes.get_mut(place) {
                *byte = other;
            }
            let last = read(&bytes);
            for end in 0..bytes.len() {
                match read(&bytes[..end]) {
                    Ok(Progress::Partial) => {}
                    // What is behind a hello in another record is not looked at.
                    decided => prop_assert_eq!(&decided, &last),
                }
            }
        }
    }
}
