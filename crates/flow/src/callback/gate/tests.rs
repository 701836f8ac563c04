use std::fmt::Write as _;

use adit_text::SecretSource;
use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"It's a Secret to Everybody";
const NOW: u64 = 1_800_000_000;

fn gate(proof: Option<Proof>, allow: &[&str]) -> Gate {
    let guard = Guard {
        proof,
        allow: allow
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
        body_limit: 1 << 20,
    };
    Gate::new(&guard, Some(SECRET)).unwrap()
}

fn source() -> SecretSource {
    SecretSource::Environment("SECRET".to_owned())
}

fn token(at: TokenPlace) -> Gate {
    let proof = Proof::Token {
        secret: source(),
        at,
    };
    gate(Some(proof), &[])
}

fn signed(form: HmacForm) -> Gate {
    let proof = Proof::Hmac {
        secret: source(),
        header: "X-Signature".to_owned(),
        form,
    };
    gate(Some(proof), &[])
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn signature(secret: &[u8], parts: &[&[u8]]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hex(hmac::sign(&key, &parts.concat()).as_ref())
}

fn stamped(seconds: u64, body: &[u8]) -> String {
    let text = seconds.to_string();
    let tag = signature(SECRET, &[text.as_bytes(), b".", body]);
    format!("t={seconds},v1={tag}")
}

fn shown<'r>(header: Option<&'r str>, body: &'r [u8]) -> Shown<'r> {
    Shown {
        header: header.map(str::as_bytes),
        segment: None,
        body,
    }
}

#[test]
fn a_visitor_comes_from_where_it_may() {
    let anywhere = gate(None, &[]);
    let some = gate(None, &["10.0.0.0/8", "2001:db8::/32"]);
    for (addr, is_in) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("127.0.0.1", false),
        ("2001:db9::1", false),
    ] {
        let addr = addr.parse().unwrap();
        assert_eq!(anywhere.admit(addr), Ok(()));
        assert_eq!(some.admit(addr).is_ok(), is_in, "{addr}");
    }
    let refused = some.admit("127.0.0.1".parse().unwrap());
    assert_eq!(refused.map_err(Refusal::status), Err(403));
}

#[test]
fn a_gate_without_proof_wants_nothing() {
    let gate = gate(None, &[]);
    let nothing = shown(None, b"");
    assert_eq!(
        gate.verify(&nothing, &mut Replays::new(), NOW),
        Ok(Proven::New)
    );
    assert_eq!((gate.header(), gate.needs_body()), (None, false));
    assert!(!gate.is_token_in_path());
}

#[test]
fn a_gate_with_a_proof_needs_a_secret() {
    let guard = Guard {
        proof: Some(Proof::Token {
            secret: source(),
            at: TokenPlace::Path,
        }),
        allow: Vec::new(),
        body_limit: 0,
    };
    for secret in [None, Some(b"".as_slice())] {
        assert_eq!(
            Gate::new(&guard, secret).err(),
            Some(GateError::EmptySecret)
        );
    }
}

#[test]
fn a_token_is_the_whole_of_its_header() {
    let telegram = token(TokenPlace::Header(
        "X-Telegram-Bot-Api-Secret-Token".to_owned(),
    ));
    let usual = token(TokenPlace::Header("Authorization".to_owned()));
    assert_eq!(usual.header(), Some("Authorization"));
    assert!(!usual.needs_body());
    let right = "It's a Secret to Everybody";
    for (gate, header, answer) in [
        (&telegram, Some(right.to_owned()), Ok(Proven::New)),
        (
            &telegram,
            Some(format!("Bearer {right}")),
            Err(Refusal::Wrong),
        ),
        (&telegram, Some(format!("{right}!")), Err(Refusal::Wrong)),
        (&telegram, Some(String::new()), Err(Refusal::Wrong)),
        (&telegram, None, Err(Refusal::Missing)),
        (&usual, Some(right.to_owned()), Ok(Proven::New)),
        (&usual, Some(format!("Bearer {right}")), Ok(Proven::New)),
        (&usual, Some(format!("bearer  {right}")), Ok(Proven::New)),
        (&usual, Some(format!("Basic {right}")), Err(Refusal::Wrong)),
        (&usual, Some("Bearer ".to_owned()), Err(Refusal::Wrong)),
        (&usual, Some("é".repeat(9)), Err(Refusal::Wrong)),
    ] {
        let shown = shown(header.as_deref(), b"");
        let said = gate.verify(&shown, &mut Replays::new(), NOW);
        assert_eq!(said, answer, "{header:?}");
    }
}

#[test]
fn a_token_in_the_path_is_its_last_segment() {
    let gate = token(TokenPlace::Path);
    assert!(gate.is_token_in_path());
    assert_eq!(gate.header(), None);
    for (segment, answer) in [
        (Some(SECRET), Ok(Proven::New)),
        (Some(b"other".as_slice()), Err(Refusal::Wrong)),
        (None, Err(Refusal::Missing)),
    ] {
        let shown = Shown {
            header: Some(SECRET),
            segment,
            body: b"",
        };
        assert_eq!(gate.verify(&shown, &mut Replays::new(), NOW), answer);
    }
}

#[test]
fn a_body_is_signed_as_github_does() {
    let gate = signed(HmacForm::GitHub);
    assert!(gate.needs_body());
    // GitHub, "Validating webhook deliveries", testing the signature validation.
    let tag = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut replays = Replays::new();
    for (header, body, answer) in [
        (format!("sha256={tag}"), "Hello, World!", Ok(Proven::New)),
        // Twice is twice: nothing says when it was signed.
        (format!("sha256={tag}"), "Hello, World!", Ok(Proven::New)),
        (
            format!("sha256={}", tag.to_uppercase()),
            "Hello, World!",
            Ok(Proven::New),
        ),
        (
            format!("sha256={tag}"),
            "Hello, World?",
            Err(Refusal::Wrong),
        ),
        (
            format!("sha256={tag}0"),
            "Hello, World!",
            Err(Refusal::Malformed),
        ),
        (
            format!("sha256={}", "é".repeat(32)),
            "",
            Err(Refusal::Malformed),
        ),
        (
            format!("sha256={}", "+1".repeat(32)),
            "",
            Err(Refusal::Malformed),
        ),
        (
            format!("sha1={tag}"),
            "Hello, World!",
            Err(Refusal::Malformed),
        ),
        (tag.to_owned(), "Hello, World!", Err(Refusal::Malformed)),
        (String::new(), "", Err(Refusal::Malformed)),
    ] {
        let shown = shown(Some(&header), body.as_bytes());
        assert_eq!(gate.verify(&shown, &mut replays, NOW), answer, "{header}");
    }
    assert!(replays.is_empty());
    let said = gate.verify(&shown(None, b""), &mut replays, NOW);
    assert_eq!(said, Err(Refusal::Missing));
}

#[test]
fn a_body_is_signed_with_its_time() {
    let gate = signed(HmacForm::Timestamped);
    let body = br#"{"id": 1}"#;
    let good = stamped(NOW, body);
    let tag = good.split_once("v1=").unwrap().1;
    let old = signature(b"old secret", &[NOW.to_string().as_bytes(), b".", body]);
    let window = limits::WINDOW_SECONDS;
    let padded = signature(SECRET, &[b"01800000000.", body]);
    for (header, answer) in [
        (good.clone(), Ok(Proven::New)),
        (stamped(NOW - window, body), Ok(Proven::New)),
        (stamped(NOW + window, body), Ok(Proven::New)),
        (stamped(NOW - window - 1, body), Err(Refusal::Stale)),
        (stamped(NOW + window + 1, body), Err(Refusal::Stale)),
        (stamped(u64::MAX, body), Err(Refusal::Stale)),
        (stamped(0, body), Err(Refusal::Stale)),
        (
            format!("t={NOW}, v0=x, v1={old}, v1={tag}"),
            Ok(Proven::New),
        ),
        (format!("t=01800000000,v1={padded}"), Ok(Proven::New)),
        (format!("t={NOW},v1={old}"), Err(Refusal::Wrong)),
        (format!("t={},v1={tag}", NOW + 1), Err(Refusal::Wrong)),
        (format!("t=0{NOW},v1={tag}"), Err(Refusal::Wrong)),
        (format!("t=+{NOW},v1={tag}"), Err(Refusal::Malformed)),
        (format!("t={NOW},t={NOW},v1={tag}"), Err(Refusal::Malformed)),
        (format!("t=,v1={tag}"), Err(Refusal::Malformed)),
        (format!("t={}0,v1={tag}", u64::MAX), Err(Refusal::Malformed)),
        (format!("t={NOW}"), Err(Refusal::Malformed)),
        (format!("v1={tag}"), Err(Refusal::Malformed)),
        (
            format!("t={NOW},v1={}", tag.split_at(1).1),
            Err(Refusal::Malformed),
        ),
        (
            format!("t={NOW}{}", format!(",v1={old}").repeat(5)),
            Err(Refusal::Malformed),
        ),
        ("t".to_owned(), Err(Refusal::Malformed)),
        (String::new(), Err(Refusal::Malformed)),
    ] {
        let shown = shown(Some(&header), body);
        let said = gate.verify(&shown, &mut Replays::new(), NOW);
        assert_eq!(said, answer, "{header}");
    }
    let bytes = Shown {
        header: Some(b"t=\xff"),
        segment: None,
        body,
    };
    let said = gate.verify(&bytes, &mut Replays::new(), NOW);
    assert_eq!(said, Err(Refusal::Malformed));
}

#[test]
fn a_signature_is_good_once_whatever_it_looks_like() {
    let gate = signed(HmacForm::Timestamped);
    let mut replays = Replays::new();
    let good = stamped(NOW, b"x");
    let tag = good.split_once("v1=").unwrap().1;
    let upper = format!("v1={},t={NOW}", tag.to_uppercase());
    let mut verify = |header: &str, now| gate.verify(&shown(Some(header), b"x"), &mut replays, now);
    assert_eq!(verify(&good, NOW), Ok(Proven::New));
    assert_eq!(verify(&good, NOW), Ok(Proven::Repeated));
    assert_eq!(verify(&upper, NOW + 300), Ok(Proven::Repeated));
    assert_eq!(verify(&good, NOW + 301), Err(Refusal::Stale));
    // A clock that goes back.
    assert_eq!(verify(&good, NOW), Ok(Proven::Repeated));
}

#[test]
fn debug_shows_no_secret() {
    let gate = token(TokenPlace::Path);
    let shown = format!("{gate:?} {:?}", shown(Some("Secret"), b"Secret"));
    assert!(!shown.contains("Secret"), "{shown}");
}

#[test]
fn every_refusal_has_a_status() {
    for (refusal, status) in [
        (Refusal::Addr, 403),
        (Refusal::Missing, 401),
        (Refusal::Malformed, 401),
        (Refusal::Wrong, 401),
        (Refusal::Stale, 401),
        (Refusal::Busy, 503),
    ] {
        assert_eq!(refusal.status(), status);
    }
}

proptest! {
    #[test]
    fn nobody_without_the_secret_is_let_in(
        header in prop_oneof![
            any::<Vec<u8>>(),
            "(t=[0-9]{0,21},?|v1=[0-9a-f]{64},?|sha256=[0-9a-f]{64}|[ ,=]){0,6}".prop_map(String::into_bytes),
        ],
        body: Vec<u8>,
        now: u64,
    ) {
        let at = TokenPlace::Header("Authorization".to_owned());
        let shown = Shown { header: Some(&header), segment: Some(&body), body: &body };
        for gate in [
            token(at),
            token(TokenPlace::Path),
            signed(HmacForm::GitHub),
            signed(HmacForm::Timestamped),
        ] {
            prop_assert!(gate.verify(&shown, &mut Replays::new(), now).is_err());
        }
    }
}
