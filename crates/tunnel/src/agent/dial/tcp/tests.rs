use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;

#[test]
fn what_is_near_is_known_in_every_dress() {
    for (address, expected) in [
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("169.254.169.254", true),
        ("0.0.0.0", true),
        ("::1", true),
        ("::", true),
        ("fe80::1", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:169.254.169.254", true),
        ("192.0.2.1", false),
        ("10.0.0.1", false),
        ("fd00::1", false),
    ] {
        assert_eq!(is_near(address.parse().unwrap()), expected, "{address}");
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What an address does, and when each was asked.
#[derive(Clone, Copy)]
enum Does {
    Answer(u64),
    Fail(u64),
    Nothing,
}

type Asked = Arc<Mutex<Vec<(u16, u128)>>>;

/// Races addresses by port, and gives the winner and who was asked when.
async fn run(does: &[Does]) -> (Result<u16, usize>, Vec<(u16, u128)>) {
    let start = Instant::now();
    let asked: Asked = Arc::default();
    let ports = 0..u16::try_from(does.len()).unwrap();
    let addrs = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let connect = |addr: SocketAddr| {
        let what = does[usize::from(addr.port())];
        let now = start.elapsed().as_millis();
        asked.lock().unwrap().push((addr.port(), now));
        async move {
            match what {
                Does::Answer(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Ok(addr.port())
                }
                Does::Fail(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                Does::Nothing => std::future::pending().await,
            }
        }
    };
    let mut failures = Vec::new();
    let raced = race(
        addrs.collect(),
        Pace::Once,
        Duration::ZERO,
        &mut failures,
        connect,
    )
    .await;
    let asked = asked.lock().unwrap().clone();
    (raced.map(|(port, _)| port).ok_or(failures.len()), asked)
}

#[tokio::test(start_paused = true)]
async fn each_address_has_a_head_start() {
    use Does::{Answer, Fail, Nothing};
    for (does, winner, asked) in [
        (vec![Answer(10), Answer(1)], Ok(0), vec![(0, 0)]),
        (vec![Answer(300), Answer(1)], Ok(1), vec![(0, 0), (1, 250)]),
        (vec![Answer(300), Answer(99)], Ok(0), vec![(0, 0), (1, 250)]),
        (vec![Fail(10), Answer(1)], Ok(1), vec![(0, 0), (1, 10)]),
        (
            vec![Nothing, Fail(5), Answer(1)],
            Ok(2),
            vec![(0, 0), (1, 250), (2, 255)],
        ),
        (vec![Fail(1), Fail(1)], Err(2), vec![(0, 0), (1, 1)]),
        (vec![], Err(0), vec![]),
    ] {
        assert_eq!(run(&does).await, (winner, asked));
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_is_tried_anew_and_what_has_failed_is_not() {
    let start = Instant::now();
    let asked: Asked = Arc::default();
    let addrs = ["127.0.0.1:1", "127.0.0.1:2"].map(addr);
    let connect = |addr: SocketAddr| {
        let now = start.elapsed();
        asked.lock().unwrap().push((addr.port(), now.as_millis()));
        async move {
            match (addr.port(), now.as_secs()) {
                (1, 0) => Err(io::ErrorKind::ConnectionRefused.into()),
                // Its line is back.
                (2, 6..) => Ok(now.as_secs()),
                _ => std::future::pending().await,
            }
        }
    };
    let mut failures = Vec::new();
    let won = race(
        addrs.into(),
        Pace::Steady,
        Duration::ZERO,
        &mut failures,
        connect,
    )
    .await;
    assert_eq!(won.unwrap().0, 6);
    assert_eq!(
        *asked.lock().unwrap(),
        [(1, 0), (2, 0), (2, 3000), (2, 6000)]
    );
}

#[test]
fn families_take_turns() {
    let turns = in_turns(vec![
        addr("[::1]:1"),
        addr("[::2]:1"),
        addr("[::3]:1"),
        addr("127.0.0.1:1"),
    ]);
    let expected = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"].map(addr);
    assert_eq!(turns, expected);
    assert_eq!(in_turns(vec![addr("127.0.0.1:1"); 40]).len(), ADDRESSES);
}

#[tokio::test]
async fn a_listener_is_reached_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    dial("localhost", port, Duration::from_secs(10))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failure_names_host_address_and_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = dial("127.0.0.1", port, Duration::from_secs(10))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn an_address_of_another_family_is_not_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let deadline = Duration::from_secs(10);
    dial_in(Family::V4, "127.0.0.1", port, deadline)
        .await
        .unwrap();
    let error = dial_in(Family::V6, "127.0.0.1", port, deadline).await;
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "cannot connect to 127.0.0.1: it has no IPv6 address");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_attempt() {
    // 192.0.2.0/24 is for documentation (RFC 5737); whatever the system says of it, time is up.
    let result = dial("192.0.2.1", 9, Duration::ZERO).await;
    assert!(
        matches!(result, Err(DialError::TimedOut { .. })),
        "{result:?}"
    );
}
