use super::*;
use proptest::prelude::*;

fn identities(count: u32, keys: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut message = vec![IDENTITIES_ANSWER];
    message.put_uint32(count);
    for (blob, comment) in keys {
        message.put_string(blob);
        message.put_string(comment);
    }
    message
}

fn signed(name: &str, tail: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    blob.put_string(&[7; 64]);
    let mut message = vec![SIGN_RESPONSE];
    message.put_string(&blob);
    message.put_bytes(tail);
    message
}

#[test]
fn requests_are_those_of_rfc_9987() {
    assert_eq!(Request::List.encode(), [0, 0, 0, 1, 11]);
    for (algorithm, flags) in [
        (KeyAlgorithm::Ed25519, 0),
        (KeyAlgorithm::Ed25519Cert, 0),
        (KeyAlgorithm::RsaSha256, 2),
        (KeyAlgorithm::RsaSha256Cert, 2),
        (KeyAlgorithm::RsaSha512, 4),
        (KeyAlgorithm::RsaSha512Cert, 4),
    ] {
        let request = Request::Sign {
            key: b"key",
            data: b"data",
            algorithm,
        };
        let mut wanted = b"\0\0\0\x14\x0d\0\0\0\x03key\0\0\0\x04data\0\0\0".to_vec();
        wanted.push(flags);
        assert_eq!(request.encode(), wanted, "{algorithm}");
    }
    let bind = Request::Bind(SessionBind {
        host_key: b"K",
        session_id: b"H",
        signature: b"S",
    });
    assert_eq!(
        bind.encode(),
        b"\0\0\0\x2d\x1b\0\0\0\x18session-bind@openssh.com\0\0\0\x01K\0\0\0\x01H\0\0\0\x01S\0"
    );
}

#[test]
fn frames_come_out_whole_however_they_came_in() {
    let bytes = [0, 0, 0, 2, 5, 9, 0, 0, 0, 1, 6];
    for step in 1..=bytes.len() {
        let mut frames = Frames::new();
        let mut messages = Vec::new();
        for chunk in bytes.chunks(step) {
            frames.receive(chunk).unwrap();
            while let Some(message) = frames.next_message().unwrap() {
                messages.push(message);
            }
        }
        assert_eq!(messages, [vec![5, 9], vec![6]], "in steps of {step}");
    }
}

#[test]
fn agent_hostile_replies() {
    let mut frames = Frames::new();
    frames.receive(&[0xff, 0xff, 0xff, 0xff, 12]).unwrap();
    assert_eq!(frames.next_message(), Err(AgentError::Long));
    assert!(frames.buffer.capacity() < 100);

    let mut frames = Frames::new();
    frames.receive(&[0, 0, 0, 0]).unwrap();
    assert!(frames.next_message().is_err());

    let mut frames = Frames::new();
    frames.receive(&[0, 4, 0, 0]).unwrap();
    assert_eq!(frames.next_message(), Ok(None), "256 KiB are allowed");
    frames.receive(&vec![1; limits::AGENT_FRAME]).unwrap();
    assert_eq!(frames.receive(&[1]), Err(AgentError::Long));

    let key: (&[u8], &[u8]) = (b"blob", b"\x1b[2Jcomment");
    let big = vec![0; limits::KEY_BLOB + 1];
    let mut trailing = identities(1, &[key]);
    trailing.push(0);
    for (message, error) in [
        (vec![], AgentError::Malformed(WireError::Short)),
        (vec![SUCCESS], AgentError::Unexpected),
        (vec![FAILURE], AgentError::Refused),
        (vec![FAILURE, 0], AgentError::Malformed(WireError::Trailing)),
        (signed("ssh-ed25519", &[]), AgentError::Unexpected),
        (
            identities(2, &[key]),
            AgentError::Malformed(WireError::Short),
        ),
        (identities(2_049, &[key]), AgentError::TooManyKeys),
        (identities(u32::MAX, &[]), AgentError::TooManyKeys),
        (identities(1, &[(&big, b"")]), AgentError::Long),
        (trailing, AgentError::Malformed(WireError::Trailing)),
    ] {
        assert_eq!(parse_identities(&message), Err(error), "{message:?}");
    }
    let good = parse_identities(&identities(1, &[key])).unwrap();
    assert_eq!(good[0].blob, b"blob");
    assert_eq!(good[0].comment.as_str(), "\\u{1b}[2Jcomment");
}

#[test]
fn a_signature_must_be_of_the_algorithm_asked_for() {
    use KeyAlgorithm::{Ed25519, Ed25519Cert, RsaSha256Cert, RsaSha512};
    for (asked, message, answer) in [
        (Ed25519, signed("ssh-ed25519", &[]), None),
        (Ed25519Cert, signed("ssh-ed25519", &[]), None),
        (RsaSha512, signed("rsa-sha2-512", &[]), None),
        (
            RsaSha512,
            signed("ssh-rsa", &[]),
            Some(AgentError::WrongSignature),
        ),
        (
            RsaSha512,
            signed("rsa-sha2-256", &[]),
            Some(AgentError::WrongSignature),
        ),
        (RsaSha256Cert, signed("rsa-sha2-256", &[]), None),
        (
            Ed25519Cert,
            signed("ssh-ed25519-cert-v01@openssh.com", &[]),
            Some(AgentError::WrongSignature),
        ),
        (
            Ed25519,
            signed("ssh-ed25519", &[0]),
            Some(AgentError::Malformed(WireError::Trailing)),
        ),
        (Ed25519, vec![SUCCESS], Some(AgentError::Unexpected)),
        (Ed25519, vec![FAILURE], Some(AgentError::Refused)),
        (
            Ed25519,
            vec![SIGN_RESPONSE],
            Some(AgentError::Malformed(WireError::Short)),
        ),
    ] {
        assert_eq!(parse_signature(&message, asked).err(), answer, "{asked}");
    }
}

#[test]
fn an_ssh_agent_that_cannot_bind_is_no_error() {
    assert_eq!(parse_binding(&[SUCCESS]), Ok(Binding::Bound));
    assert_eq!(parse_binding(&[FAILURE]), Ok(Binding::Refused));
    assert_eq!(parse_binding(&[EXTENSION_FAILURE]), Ok(Binding::Refused));
    assert_eq!(
        parse_binding(&[IDENTITIES_ANSWER]),
        Err(AgentError::Unexpected)
    );
    assert!(parse_binding(&[SUCCESS, 0]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_of_an_ssh_agent_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kind in prop_oneof![Just(IDENTITIES_ANSWER), Just(SIGN_RESPONSE), any::<u8>()],
    ) {
        let mut message = vec![kind];
        message.extend_from_slice(&bytes);
        for message in [&message, &bytes] {
            if message.is_empty() {
                continue;
            }
            let listed = parse_identities(message).map_or(0, |listed| listed.len());
            prop_assert!(listed <= message.len());
            let signed = parse_signature(message, KeyAlgorithm::Ed25519);
            prop_assert!(signed.is_err() || message[0] == SIGN_RESPONSE);
            let bound = parse_binding(message);
            prop_assert!(bound.is_err() || message.len() == 1);
        }
        let mut frames = Frames::new();
        frames.receive(&bytes).unwrap();
        while let Ok(Some(message)) = frames.next_message() {
            prop_assert!(!message.is_empty());
        }
    }
}
