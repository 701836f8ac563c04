//! Dialogs byte for byte, and in any pieces.

use proptest::prelude::*;

use super::*;

/// What came of a dialog: every answer that was sent, and where it led.
type Outcome = (Vec<u8>, Result<Option<Found>, SocksError>);
/// Host and port, and the first bytes for there.
type Found = (String, u16, Vec<u8>);

/// Plays a dialog in which bytes come in these pieces.
fn play<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut dialog = Dialog::new();
    let mut sent = Vec::new();
    let mut wish = None;
    for piece in pieces {
        dialog.hear(piece);
        while wish.is_none() {
            match dialog.step() {
                Ok(Some(Step::Answer(answer))) => sent.extend_from_slice(answer),
                Ok(Some(Step::Wanted(wanted))) => wish = Some(wanted),
                Ok(None) => {
                    assert!(dialog.heard.len() <= 520, "{} bytes", dialog.heard.len());
                    break;
                }
                Err(error) => return (sent, Err(error)),
            }
        }
    }
    let outcome = wish.map(|wish| (wish.host, wish.port, dialog.into_rest()));
    (sent, Ok(outcome))
}

fn five(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, 5, 1, 0, kind], address, &port.to_be_bytes()].concat()
}

fn found(host: &str, port: u16, rest: &[u8]) -> Found {
    (host.to_owned(), port, rest.to_owned())
}

#[test]
fn every_version_says_where_it_wants_to_go() {
    for (said, answered, expected) in [
        (
            five(1, &[192, 0, 2, 7], 80),
            &[5, 0][..],
            found("192.0.2.7", 80, b""),
        ),
        (
            five(3, b"\x0bexample.org", 443),
            &[5, 0],
            found("example.org", 443, b""),
        ),
        (
            five(4, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 22),
            &[5, 0],
            found("::1", 22, b""),
        ),
        (
            [&five(1, &[10, 0, 0, 1], 80)[..], b"GET /"].concat(),
            &[5, 0],
            found("10.0.0.1", 80, b"GET /"),
        ),
        (
            b"\x04\x01\x00\x50\xc0\x00\x02\x07me\x00rest".to_vec(),
            &[],
            found("192.0.2.7", 80, b"rest"),
        ),
        (
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00example.org\x00".to_vec(),
            &[],
            found("example.org", 80, b""),
        ),
        // Version 4 and not 4a: an address, if a strange one.
        (
            b"\x04\x01\x00\x50\x00\x00\x00\x00\x00".to_vec(),
            &[],
            found("0.0.0.0", 80, b""),
        ),
    ] {
        let expected = (answered.to_vec(), Ok(Some(expected)));
        assert_eq!(play([&said[..]]), expected, "{said:?}");
    }
}

#[test]
fn what_leads_nowhere_is_answered_in_its_own_version() {
    let (four, version_5) = (Version::Four, Version::Five);
    let command = |command, version| SocksError::Command { command, version };
    let long = [&b"\x04\x01\x00\x50\x01\x02\x03\x04"[..], &[b'a'; 256]].concat();
    for (said, expected, answer) in [
        (&b"GET / HTTP/1.1"[..], SocksError::Version(b'G'), None),
        (b"\x05\x01\x02", SocksError::Method, Some(vec![5, 0xff])),
        (b"\x05\x00", SocksError::Method, Some(vec![5, 0xff])),
        (
            b"\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50",
            command(2, version_5),
            Some(vec![5, 7, 0, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x02",
            SocksError::AddressKind(2),
            Some(vec![5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (b"\x05\x01\x00\x04\x01", SocksError::Version(4), None),
        (
            b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50",
            SocksError::Host(version_5),
            Some(vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x03\x03a\x00b\x00\x50",
            SocksError::Host(version_5),
            Some(vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x00",
            SocksError::Host(version_5),
            Some(vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            b"\x04\x02\x00\x50\x01\x02\x03\x04\x00",
            command(2, four),
            Some(vec![0, 91, 0, 0, 0, 0, 0, 0]),
        ),
        (
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00",
            SocksError::Host(four),
            Some(vec![0, 91, 0, 0, 0, 0, 0, 0]),
        ),
        (&long, SocksError::TooLong, None),
    ] {
        assert_eq!(play([said]).1, Err(expected), "{said:?}");
        assert_eq!(expected.answer(), answer, "{expected}");
    }
}

#[test]
fn a_peers_refusal_is_told_in_the_words_of_socks() {
    let refused = |code, reason: &str| OpenError::Refused {
        code,
        reason: reason.to_owned(),
    };
    let wanted = Wanted {
        host: String::from("a"),
        port: 1,
        version: Version::Five,
    };
    for (error, code) in [
        (refused(RefusalCode::Prohibited, "open failed"), 2),
        (
            refused(RefusalCode::ConnectFailed, "Network is unreachable"),
            3,
        ),
        (refused(RefusalCode::ConnectFailed, "No route to host"), 4),
        (
            refused(RefusalCode::ConnectFailed, "Connection timed out"),
            4,
        ),
        (refused(RefusalCode::ConnectFailed, "Connection refused"), 5),
        (refused(RefusalCode::Shortage, ""), 1),
        (OpenError::Closed, 1),
    ] {
        let answer = wanted.refused(Refusal::from(&error));
        assert_eq!(answer, [5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{error}");
    }
    assert_eq!(wanted.granted(), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

/// Dialogs that are nearly right, so that every branch is entered.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop_oneof![0..=5_u8, any::<u8>()];
    let name = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        proptest::collection::vec(byte(), 0..600),
        (byte(), byte(), name(), any::<u16>()).prop_map(|(command, kind, name, port)| {
            let length = u8::try_from(name.len()).unwrap_or(255);
            let head = [5, 1, 0, 5, command, 0, kind, length];
            [&head[..], &name, &port.to_be_bytes(), b"rest"].concat()
        }),
        (byte(), any::<u16>(), byte(), name(), name()).prop_map(
            |(command, port, last, user, name)| {
                let [high, low] = port.to_be_bytes();
                let head = [4, command, high, low, 0, 0, 0, last];
                [&head[..], &user, &[0], &name, &[0], b"rest"].concat()
            }
        ),
    ]
}

proptest! {
    /// And never panics, and never holds more than a message.
    #[test]
    fn pieces_say_the_same_as_the_whole(said in said(), cuts in proptest::collection::vec(1..40_usize, 1..20)) {
        let whole = play([&said[..]]);
        let mut pieces = Vec::new();
        let (mut rest, mut cuts) = (&said[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&play(pieces), &whole);
        prop_assert_eq!(&play(said.chunks(1)), &whole);
    }
}
