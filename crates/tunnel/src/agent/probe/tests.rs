//! Probes, their answers and who is taken for one.

use tokio::io::duplex;

use super::*;
use crate::transport::{Bind, Origin, Target};

fn probe() -> Probe {
    Prober::new().unwrap().probe(DEADLINE).unwrap()
}

#[tokio::test]
async fn a_nonce_that_comes_back_is_answered_and_the_answer_is_up() {
    for step in [1, 5, 31, 32] {
        let probe = probe();
        // A way that carries so many bytes at a time.
        let (mut near, mut far) = duplex(step);
        let (finding, caller) = tokio::join!(
            probe.ask(&mut near),
            probe.hold(&mut far, Duration::from_secs(1))
        );
        assert!(matches!(finding, Finding::Up(_)), "{finding:?}");
        assert_eq!(caller, Caller::Probe);
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_a_banner_an_end_and_silence_are_not_up() {
    let probe = probe();
    let (mut near, mut far) = duplex(1_000);
    let echo = async {
        let mut bytes = [0; NONCE];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(&bytes).await.unwrap();
    };
    let (finding, ()) = tokio::join!(probe.ask(&mut near), echo);
    assert_eq!(finding, Finding::Foreign);
    let (mut near, mut far) = duplex(1_000);
    far.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    assert_eq!(probe.ask(&mut near).await, Finding::Foreign);
    drop(far);
    assert_eq!(probe.ask(&mut near).await, Finding::Foreign);
    let (mut near, far) = duplex(1_000);
    assert_eq!(probe.ask(&mut near).await, Finding::Silent);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_loses_no_byte_and_waits_no_longer_than_it_must() {
    let probe = probe();
    let half = &probe.nonce[..16];
    let trip = Duration::from_millis(20);
    for (bytes, is_sent, wait) in [
        (&b"GET / HTTP/1.1"[..], false, Duration::ZERO),
        (&b""[..], false, LEAST_HOLD),
        (&b""[..], true, LEAST_HOLD),
        (half, true, LEAST_HOLD),
    ] {
        probe.sent.send_replace(is_sent.then_some(trip));
        let (mut near, mut far) = duplex(1_000);
        near.write_all(bytes).await.unwrap();
        let start = Instant::now();
        assert_eq!(
            probe.hold(&mut far, trip).await,
            Caller::Visitor(bytes.to_vec())
        );
        let waited = start.elapsed();
        assert!(waited >= wait && waited < wait + Duration::from_millis(2));
    }
    // One who comes when the probe has been out for long is held for a round trip, not for all that.
    for (opened, wait) in [
        (trip, LEAST_HOLD),
        (3 * trip, LEAST_HOLD),
        (20 * trip, 20 * trip),
    ] {
        probe.sent.send_replace(Some(opened));
        let (_near, mut far) = duplex(1_000);
        let start = Instant::now();
        let caller = probe.hold(&mut far, Duration::from_secs(9)).await;
        assert_eq!(caller, Caller::Visitor(Vec::new()));
        let waited = start.elapsed();
        assert!(waited >= HOLD + wait && waited < HOLD + wait + Duration::from_millis(2));
    }
    // A nonce with one wrong byte, and more behind it.
    let (mut near, mut far) = duplex(1_000);
    let mut wrong = probe.nonce.to_vec();
    wrong[31] ^= 1;
    near.write_all(&wrong).await.unwrap();
    near.write_all(b"rest").await.unwrap();
    drop(near.shutdown().await);
    assert_eq!(probe.hold(&mut far, trip).await, Caller::Visitor(wrong));
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"rest");
}

#[test]
fn two_probes_have_nothing_in_common() {
    let prober = Prober::new().unwrap();
    let (one, other) = (
        prober.probe(DEADLINE).unwrap(),
        prober.probe(DEADLINE).unwrap(),
    );
    assert_ne!(one.nonce, other.nonce);
    assert!(!one.is_answer(other.answer.as_ref()));
    assert!(!one.is_answer(&one.nonce));
    let elsewhere = Prober::new().unwrap();
    let forged = hmac::sign(&elsewhere.key, &one.nonce);
    assert!(!one.is_answer(forged.as_ref()));
}

#[test]
fn a_probe_goes_where_the_listener_is() {
    let bind = |host: &str| Bind::Tcp {
        host: host.to_owned(),
        port: 9,
    };
    for (host, dialled) in [
        ("", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("192.0.2.7", "192.0.2.7"),
    ] {
        let host_and_port = Target::Tcp {
            host: dialled.to_owned(),
            port: 9,
        };
        assert_eq!(way(&bind(host)), Some(host_and_port), "{host}");
    }
    let path = String::from("/run/x");
    let unix = way(&Bind::Unix { path: path.clone() });
    assert_eq!(unix, Some(Target::Unix { path }));
    let path = String::from("x");
    assert_eq!(way(&Bind::Unix { path }), None);
}

#[test]
fn a_bind_for_both_loopbacks_is_wholly_up_only_if_both_are_ours() {
    let (up, time) = (Finding::Up(HOLD), HOLD);
    let nobody = || Finding::Nobody(String::from("refused"));
    for (first, twin, both) in [
        (up.clone(), up.clone(), up.clone()),
        (up.clone(), nobody(), Finding::UpInPart(time, IpVersion::V4)),
        (up.clone(), Finding::Foreign, Finding::Shared(IpVersion::V4)),
        (up.clone(), Finding::Silent, Finding::Shared(IpVersion::V4)),
        // It cannot be looked at.
        (up.clone(), Finding::Prohibited, up.clone()),
        (nobody(), up, Finding::UpInPart(time, IpVersion::V6)),
        (nobody(), nobody(), nobody()),
        (nobody(), Finding::Foreign, nobody()),
    ] {
        assert_eq!(first.with_twin(twin), both);
    }
    for (host, is_both) in [("", true), ("*", true), ("localhost", true), ("::", false)] {
        let (host, port) = (host.to_owned(), 9);
        assert_eq!(twin(&Bind::Tcp { host, port }).is_some(), is_both);
    }
}

#[test]
fn a_port_is_for_others_unless_it_was_asked_for_at_the_loopback() {
    for (host, port) in [
        ("", Some(9)),
        ("*", Some(9)),
        ("0.0.0.0", Some(9)),
        ("::", Some(9)),
        ("192.0.2.7", Some(9)),
        ("localhost", None),
        ("127.0.0.2", None),
        ("::1", None),
    ] {
        let host = host.to_owned();
        assert_eq!(public_port(&Bind::Tcp { host, port: 9 }), port);
    }
    let path = String::from("/run/x");
    assert_eq!(public_port(&Bind::Unix { path }), None);
}

#[test]
fn only_the_loopback_can_bring_back_what_went_to_the_loopback() {
    let origin = |host: &str| Origin {
        host: host.to_owned(),
        port: 1,
    };
    let to = |host: &str| Target::Tcp {
        host: host.to_owned(),
        port: 9,
    };
    for (from, way, may) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("::ffff:127.0.0.1", "127.0.0.1", true),
        ("198.51.100.1", "127.0.0.1", false),
        ("", "::1", false),
        ("198.51.100.1", "192.0.2.7", true),
    ] {
        assert_eq!(may_come_from(&origin(from), &to(way)), may, "{from}");
    }
}
