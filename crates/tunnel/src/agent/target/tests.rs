//! Conversations with targets of every sort, and bytes that nobody meant.

use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

fn target() -> Target {
    Target::Tcp {
        host: String::from("service"),
        port: 1,
    }
}

/// What a check finds at the other end of this.
async fn find(kind: &Kind, stream: DuplexStream) -> Health {
    converse(kind, &target(), stream, (Instant::now(), DEADLINE)).await
}

/// What it finds at a service that says this and hangs up.
async fn find_saying(kind: &Kind, words: &[u8]) -> Health {
    let (ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(words).await.unwrap();
    theirs.shutdown().await.unwrap();
    find(kind, ours).await
}

const KINDS: [&str; 5] = ["http", "http:/health", "ssh", "mysql", "postgres"];

#[tokio::test(start_paused = true)]
async fn a_target_that_says_nothing_hangs_or_hangs_up() {
    for text in KINDS {
        let (ours, theirs) = duplex(1024);
        let start = Instant::now();
        assert_eq!(find(&kind(text), ours).await, Health::Hangs, "{text}");
        assert_eq!(start.elapsed(), DEADLINE);
        drop(theirs);
        assert_eq!(
            find_saying(&kind(text), b"").await,
            Health::HangsUp,
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_of_another_kind_is_quoted() {
    for text in KINDS {
        let found = find_saying(&kind(text), b"+OK \x1b[2J\r\n").await;
        let heard = String::from("+OK \\u{1b}[2J");
        assert_eq!(found, Health::Wrong { heard }, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_stands_though_the_target_does_not_let_us_go() {
    let (ours, mut theirs) = duplex(1024);
    theirs.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    let start = Instant::now();
    let found = find(&kind("http"), ours).await;
    assert!(found.is_well(), "{found}");
    assert_eq!(start.elapsed(), GOODBYE);
    drop(theirs);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_stops_is_stopped() {
    for (text, words) in [("ssh", &b"x"[..]), ("http", b"HTTP/1.1 200 OK\r\n")] {
        let (ours, mut theirs) = duplex(1024);
        let endless = async {
            let mut length = 0;
            theirs.write_all(words).await.unwrap();
            while theirs.write_all(&[b'x'; 512]).await.is_ok() {
                length += 512;
            }
            length
        };
        let kind = kind(text);
        let (found, length) = tokio::join!(find(&kind, ours), endless);
        assert_eq!(found.is_well(), text == "http", "{found}");
        assert!(length < HEARD + DRAINED + 4096, "{length} bytes were read");
    }
}

#[tokio::test]
async fn where_nobody_can_be_dialled_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left");
    drop(UnixListener::bind(&left).unwrap());
    let tcp = |host: &str| Target::Tcp {
        host: host.to_owned(),
        port,
    };
    let unix = |path: &str| Target::Unix {
        path: path.to_owned(),
    };
    let found_at = async |target| check(&Kind::Tcp, &target, DEADLINE).await;
    assert_eq!(found_at(tcp("127.0.0.1")).await, Health::Refused);
    assert_eq!(
        found_at(unix(left.to_str().unwrap())).await,
        Health::Refused
    );
    let found = found_at(unix("/nowhere/at/all")).await;
    assert!(matches!(found, Health::Unreachable { .. }), "{found}");
    let found = found_at(tcp("no-such-host.invalid")).await;
    assert!(matches!(found, Health::Unresolved { .. }), "{found}");
    assert!(!found.was_heard());
}

proptest! {
    /// A verdict once given does not change with what comes behind it, but for a kind whose whole answer is one
    /// byte; and what a person reads of it holds no control character.
    #[test]
    fn no_bytes_of_a_target_do_harm(
        number in 0..KINDS.len(),
        start in prop::sample::select(vec![
            &b""[..], b"HTTP/1.1 ", b"SSH-2.0-", b"\x20\0\0\0\x0a", b"\x20\0\0\0\xff", b"E\0\0\0\x20SFATAL\0M",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let kind = kind(KINDS[number]);
        let all = [start, &bytes].concat();
        for end in 0..=all.len() {
            let reading = kind.read(&all[..end]);
            if let Reading::Well(text) | Reading::Ill(text) = &reading {
                prop_assert!(!text.contains(char::is_control), "{text:?}");
                prop_assert!(kind == Kind::Postgres || kind.read(&all) == reading);
            }
        }
        prop_assert!(!quote(&all).contains(char::is_control));
    }
}
