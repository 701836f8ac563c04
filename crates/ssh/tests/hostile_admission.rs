//! Attacks on who may come in and what they may do then, through a whole connection, by number.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "this is a test"
)]

mod support;

use std::net::IpAddr;
use std::sync::Arc;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::auth::client::{Credential, OfferedKey};
use adit_ssh::channel::{ChannelKind, Endpoint, OpenFailure};
use adit_ssh::forward::{Forward, ForwardAnswer};
use adit_ssh::kex::HostKey;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::wire::Write;
use adit_ssh::{Connection, Event, message};
use support::Pair;
use support::channels::{THEIRS, direct};
use support::hostile::{Hostile, numbers, open};

fn signer(seed: u8) -> Arc<dyn Signer> {
    aws_lc::sign::ed25519(&[seed; 32]).unwrap()
}

fn blob(seed: u8) -> Vec<u8> {
    signer(seed).public_key().blob().to_vec()
}

#[test]
fn s40_hostkey_rotation_keeps_old_connections() {
    let mut config = None;
    let mut old = Pair::with(
        |_| {},
        |server| {
            server.host_keys = Arc::new([HostKey::plain(signer(9)), HostKey::plain(signer(10))]);
            config = Some(server.clone());
        },
    );
    old.log_in();
    // The owner reads its keys anew: nobody but the old connection has the old ones any more.
    let mut config = config.unwrap();
    config.host_keys = Arc::new([HostKey::plain(signer(11))]);
    let mut new = Pair::with(|_| {}, |server| *server = config);
    new.log_in();

    for _ in 0..3 {
        // A client ends a connection whose host shows another key in a later exchange.
        for end in [&mut old.client, &mut new.server] {
            end.connection.rekey(old.now).unwrap();
        }
        old.run();
        new.run();
    }
    for (pair, own, other) in [(&mut old, 10, 11), (&mut new, 11, 10)] {
        for (seed, is_own) in [(other, false), (own, true)] {
            pair.client.events.clear();
            pair.client.connection.prove_host_keys(&[blob(seed)]);
            pair.run();
            let Some(Event::HostKeysProved(proved)) = pair
                .client
                .find(|event| matches!(event, Event::HostKeysProved(_)))
            else {
                panic!("an answer comes");
            };
            assert_eq!(proved == [blob(seed)], is_own, "key {seed}");
        }
        assert!(pair.client.error.is_none() && pair.server.error.is_none());
    }
}

/// A certificate for the user's key, good at any time.
fn certificate(addresses: Option<&str>, extensions: &[&str]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(b"ssh-ed25519-cert-v01@openssh.com");
    blob.put_string(&[0; 32]); // nonce
    let user = self::blob(7);
    blob.put_bytes(&user[user.len() - 36..]); // the key without its name
    blob.put_uint64(1); // serial
    blob.put_uint32(1); // a user's
    blob.put_string(b"key id");
    blob.put_string(b"\0\0\0\x07someone");
    blob.put_uint64(0);
    blob.put_uint64(2_000_000_000);
    let mut critical = Vec::new();
    if let Some(addresses) = addresses {
        let mut list = Vec::new();
        list.put_string(addresses.as_bytes());
        critical.put_string(b"source-address");
        critical.put_string(&list);
    }
    blob.put_string(&critical);
    let mut list = Vec::new();
    for extension in extensions {
        list.put_string(extension.as_bytes());
        list.put_string(b"");
    }
    blob.put_string(&list);
    blob.put_string(b""); // reserved
    let authority = signer(200);
    blob.put_string(authority.public_key().blob());
    let signature = authority.sign(authority.algorithms()[0], &blob).unwrap();
    blob.put_string(&signature);
    blob
}

/// A client with that certificate at a server whose owner accepts every key, coming from there.
fn pair_with(certificate: Vec<u8>, source: Option<&str>) -> Pair {
    let mut config = None;
    let mut pair = Pair::with(
        |client| {
            let key = OfferedKey::new(certificate).unwrap();
            client.login.credentials = vec![Credential::Key(key)];
        },
        |server| config = Some(server.clone()),
    );
    let source = source.map(|source| source.parse::<IpAddr>().unwrap());
    pair.server.connection = Connection::server(&config.unwrap(), pair.now).coming_from(source);
    pair
}

#[test]
fn s57_what_a_certificate_does_not_permit_is_not_forwarded() {
    for (extensions, may_forward) in [
        (&["permit-port-forwarding"][..], true),
        (&["permit-pty", "permit-user-rc"], false),
        (&[], false),
    ] {
        let mut pair = pair_with(certificate(None, extensions), None);
        pair.log_in();
        let restrictions = pair.server.connection.restrictions().unwrap();
        assert_eq!(restrictions.permit_forwarding(), may_forward);
        assert_eq!(restrictions.expires(), Some(2_000_000_000));
        assert_eq!(pair.client.connection.restrictions(), None);

        for forward in [
            Forward::Tcp(Endpoint::new("localhost", 0)),
            Forward::Unix(String::from("/run/socket")),
        ] {
            pair.client.connection.request_forward(forward).unwrap();
        }
        for kind in [direct(), ChannelKind::Session] {
            pair.client.connection.open_channel(&kind, 65_536).unwrap();
        }
        pair.run();
        let asked = |event: &Event| match event {
            Event::ForwardAsked { .. } => Some("forward"),
            Event::ChannelAsked {
                kind: ChannelKind::Session,
                ..
            } => Some("session"),
            Event::ChannelAsked { .. } => Some("channel"),
            _ => None,
        };
        let asked: Vec<_> = pair.server.events.iter().filter_map(asked).collect();
        if may_forward {
            assert_eq!(asked, ["forward", "forward", "channel", "session"]);
            continue;
        }
        assert_eq!(asked, ["session"], "the owner is not even asked");
        let refused = |event: &Event| {
            matches!(
                event,
                Event::ForwardAnswered {
                    answer: ForwardAnswer::Refused,
                    ..
                } | Event::ChannelRefused {
                    failure: OpenFailure::Prohibited,
                    ..
                }
            )
        };
        let count = pair.client.events.iter().filter(|event| refused(event));
        assert_eq!(count.count(), 3, "{:?}", pair.client.events);
    }
}

#[test]
fn s58_a_certificate_is_good_from_its_addresses_alone() {
    for (addresses, source, is_in) in [
        (Some("192.0.2.0/24"), Some("192.0.2.7"), true),
        (Some("192.0.2.0/24"), Some("192.0.3.7"), false),
        (Some("192.0.2.0/24"), None, false),
        (Some(""), Some("192.0.2.7"), false),
        (None, None, true),
    ] {
        let mut pair = pair_with(certificate(addresses, &[]), source);
        pair.run();
        for _ in 0..3 {
            pair.advance(std::time::Duration::from_secs(1));
            pair.run();
        }
        let is_authenticated = pair
            .server
            .find(|event| matches!(event, Event::Authenticated))
            .is_some();
        assert_eq!(is_authenticated, is_in, "{addresses:?} from {source:?}");
    }
}

/// A publickey request that is signed for the session of that peer.
fn signed_request(hostile: &Hostile) -> Vec<u8> {
    let key = &hostile.user_key;
    let mut request = vec![message::USERAUTH_REQUEST];
    for text in ["someone", "ssh-connection", "publickey"] {
        request.put_string(text.as_bytes());
    }
    request.put_boolean(true);
    request.put_string(KeyAlgorithm::Ed25519.name().as_bytes());
    request.put_string(key.public_key().blob());
    let mut data = Vec::new();
    data.put_string(hostile.session_id.as_ref().unwrap());
    data.put_bytes(&request);
    let signature = key.sign(key.algorithms()[0], &data).unwrap();
    request.put_string(&signature);
    request
}

#[test]
fn s60_sig_replay_other_session() {
    let mut service = vec![message::SERVICE_REQUEST];
    service.put_string(b"ssh-userauth");
    let arrive = || {
        let mut hostile = Hostile::client().keyed();
        hostile.say(&service);
        hostile
    };
    // It logs in, and somebody heard it.
    let mut own = arrive();
    let heard = signed_request(&own);
    own.say(&heard);
    own.pump();
    own.hear_until(message::USERAUTH_SUCCESS);

    let mut other = arrive();
    assert_ne!(own.session_id, other.session_id);
    other.say(&heard);
    other.pump();
    other.wait(std::time::Duration::from_secs(1));
    other.hear_until(message::USERAUTH_FAILURE);
    other.goes_on();
    assert!(
        other
            .victim
            .find(|event| matches!(event, Event::Authenticated))
            .is_none()
    );
    // Its own signature is good there.
    let request = signed_request(&other);
    other.say(&request);
    other.pump();
    other.hear_until(message::USERAUTH_SUCCESS);
}

#[test]
fn s82_agent_channel_refused() {
    // Whatever a hostile server calls it, also while a session of ours is open.
    for kind in ["auth-agent@openssh.com", "auth-agent", "agent-connect"] {
        let mut hostile = Hostile::server().logged_in();
        let session = ChannelKind::Session;
        hostile
            .victim
            .connection
            .open_channel(&session, 65_536)
            .unwrap();
        hostile.pump();
        let asked = hostile.hear_until(message::CHANNEL_OPEN);
        let ours = u32::from_be_bytes(*asked[12..].first_chunk().unwrap());
        let confirmation = numbers(
            message::CHANNEL_OPEN_CONFIRMATION,
            &[ours, THEIRS, 1 << 20, 32_768],
        );
        hostile.say(&confirmation);
        hostile.goes_on();
        hostile.hear_all();
        hostile.victim.events.clear();

        hostile.say(&open(kind, 5, 1 << 20, 32_768, b""));
        hostile.goes_on();
        let answer = hostile.expect_message();
        assert_eq!(answer[..5], numbers(message::CHANNEL_OPEN_FAILURE, &[5]));
        assert_eq!(hostile.victim.connection.channels(), 1);
        assert!(hostile.victim.events.is_empty());
    }
}

#[test]
fn s93_every_open_and_every_bind_is_a_question_of_its_own() {
    let mut pair = Pair::connected();
    // Allowed, taken back, allowed again: what was said before about the very same is not
    // remembered.
    for is_allowed in [true, false, true, false] {
        let client = &mut pair.client.connection;
        let bind = Forward::Tcp(Endpoint::new("localhost", 8_080));
        client.request_forward(bind.clone()).unwrap();
        for _ in 0..3 {
            client.open_channel(&direct(), 65_536).unwrap();
        }
        pair.run();
        let mut opens = 0;
        let mut binds = 0;
        while let Some(event) = pair.server.find(|_| true) {
            let server = &mut pair.server.connection;
            match event {
                Event::ChannelAsked { channel, .. } if is_allowed => {
                    assert!(server.accept_channel(channel, 65_536));
                    opens += 1;
                }
                Event::ChannelAsked { channel, .. } => {
                    server.refuse_channel(channel, OpenFailure::Prohibited, "revoked");
                    opens += 1;
                }
                Event::ForwardAsked { id, .. } => {
                    let answer = if is_allowed {
                        ForwardAnswer::Granted { port: 8_080 }
                    } else {
                        ForwardAnswer::Refused
                    };
                    server.answer_forward(id, answer);
                    binds += 1;
                }
                _ => {}
            }
        }
        assert_eq!((opens, binds), (3, 1), "every one is asked about");
        pair.run();
        let came = |wanted: fn(&Event) -> bool, events: &[Event]| {
            events.iter().filter(|event| wanted(event)).count()
        };
        let events: Vec<Event> = pair.client.events.drain(..).collect();
        let opened = came(
            |event| matches!(event, Event::ChannelOpened { .. }),
            &events,
        );
        let refused = came(
            |event| matches!(event, Event::ChannelRefused { .. }),
            &events,
        );
        assert_eq!((opened, refused), if is_allowed { (3, 0) } else { (0, 3) });
        if is_allowed {
            pair.client.connection.cancel_forward(&bind);
            pair.run();
            pair.server.events.clear();
        }
    }
}
