//! What is a message and what is none.

use proptest::prelude::*;

use super::*;

fn place() -> Place {
    Place::from(&Bind::Tcp {
        host: String::from("*"),
        port: 8080,
    })
}

fn every_message() -> Vec<ToAgent> {
    vec![
        ToAgent::Welcome { version: 1 },
        ToAgent::Superseded {
            holding: Text::new("port 8080"),
            by: Some(Instance::new(7)),
            from: Text::new("192.0.2.1:5"),
            since: Text::new("2026-11-22T00:00:00Z"),
        },
        ToAgent::Refused {
            forward: place(),
            reason: Text::new("port 8080 is in use"),
        },
        ToAgent::Returned {
            holding: Text::new("port 8080"),
        },
        ToAgent::RetryAfter { seconds: 3 },
        ToAgent::Grant(GrantSummary {
            ports: Text::new("10000-20000"),
            any_port: true,
            reach: Text::new("as asked"),
            forwards: None,
            until: None,
            names: None,
        }),
        ToAgent::Named(Named {
            forward: place(),
            name: Text::new("q4x7"),
            urls: vec![Text::new("http://q4x7.gw.example/")],
        }),
        ToAgent::Identity(Identity {
            name: Text::new("red001"),
            domain: Some(Text::new("gw.example")),
            http: Some(80),
            https: None,
        }),
        ToAgent::Probed {
            forward: place(),
            outcome: Outcome::Nobody {
                reason: Text::new("refused"),
            },
        },
    ]
}

fn framed(json: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

fn heard(json: &str) -> Result<Option<ToGateway>, FrameError> {
    let mut frames = Frames::default();
    frames.push(&framed(json));
    frames.take()
}

#[test]
fn messages_come_out_as_they_went_in_however_they_are_cut() {
    let messages = every_message();
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame(message).unwrap())
        .collect();
    for step in [1, 3, 64, bytes.len()] {
        let mut frames = Frames::default();
        let mut got: Vec<ToAgent> = Vec::new();
        for piece in bytes.chunks(step) {
            frames.push(piece);
            while let Some(message) = frames.take().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, messages);
        assert_eq!(frames.bytes.capacity(), 0);
    }
}

#[test]
fn greetings_are_written_so_in_every_version() {
    let hello = ToGateway::Hello {
        version: 1,
        instance: Instance::new(0xab),
    };
    let text = r#"{"hello":{"version":1,"instance":"000000000000000000000000000000ab"}}"#;
    assert_eq!(frame(&hello).unwrap(), framed(text));
    assert_eq!(heard(text).unwrap(), Some(hello));
    let welcome = frame(&ToAgent::Welcome { version: 1 }).unwrap();
    assert_eq!(welcome, framed(r#"{"welcome":{"version":1}}"#));
}

/// G30: what is not in the list cannot be said, whatever it is called.
#[test]
fn no_message_has_a_gateway_run_read_dial_or_change_anything() {
    for json in [
        r#"{"exec":{"command":"id"}}"#,
        r#"{"open":{"path":"/etc/passwd"}}"#,
        r#"{"dial":{"host":"10.0.0.1","port":22}}"#,
        r#"{"forward":{"tcp":{"host":"*","port":1}}}"#,
        r#"{"config":{}}"#,
        r#"{"welcome":{"version":1,"exec":"id"}}"#,
        r#"{"retry_after":{"seconds":1,"then":"dial"}}"#,
    ] {
        let mut frames = Frames::default();
        frames.push(&framed(json));
        assert!(frames.take::<ToAgent>().is_err(), "{json}");
    }
}

#[test]
fn what_a_version_does_not_have_is_no_message() {
    for json in [
        r#"{"hello":{"version":1,"instance":"ab"}}"#,
        r#"{"hello":{"version":1}}"#,
        r#"{"hello":{"version":-1,"instance":"000000000000000000000000000000ab"}}"#,
        r#"{"hello":{"version":1,"instance":"000000000000000000000000000000ab","name":"x"}}"#,
        r#"{"hello":{"version":1,"instance":"+00000000000000000000000000000ab"}}"#,
        r#"{"probe":{"forward":{"tcp":{"host":"*","port":70000}}}}"#,
        r#"{"probe":{"forward":{"tcp":{"host":"*","port":1}}},"probe":{}}"#,
        "{}",
        "[]",
        "nonsense",
    ] {
        assert!(heard(json).is_err(), "{json}");
    }
}

#[test]
fn lengths_and_texts_have_their_limits() {
    for length in [0, u32::try_from(FRAME).unwrap() + 1, u32::MAX] {
        let mut frames = Frames::default();
        frames.push(&length.to_be_bytes());
        assert!(matches!(
            frames.take::<ToGateway>(),
            Err(FrameError::Length { .. })
        ));
    }
    let with = |length: usize| {
        let path = "x".repeat(length);
        heard(&format!(
            r#"{{"probe":{{"forward":{{"unix":{{"path":"{path}"}}}}}}}}"#
        ))
    };
    assert!(with(TEXT).is_ok());
    assert!(with(TEXT + 1).is_err());
    assert_eq!(String::from(Text::new(&"ü".repeat(TEXT))).len(), TEXT);
    let nested = "[".repeat(FRAME);
    assert!(heard(&nested).is_err());
}

#[test]
fn a_peers_words_are_shown_escaped() {
    let text = Text::new("a\x1b[2J\u{202e}b");
    assert_eq!(text.shown().as_str(), "a\\u{1b}[2J\\u{202e}b");
    assert!(!format!("{text:?}").contains('\x1b'));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut frames = Frames::default();
        frames.push(&bytes);
        while let Ok(Some(message)) = frames.take::<ToGateway>() {
            prop_assert!(frame(&message).is_ok());
        }
    }
}
