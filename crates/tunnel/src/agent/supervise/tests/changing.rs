//! A tunnel whose machine's network changes. The clock is paused: waits are measured on it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::agent::network::Network as Changes;
use crate::agent::network::fake::Fake;

/// Fails each attempt in the same way, and notes when it was made.
struct Failing {
    began: Instant,
    attempts: Arc<Mutex<Vec<Duration>>>,
    error: fn() -> ConnectError,
}

impl Connect for Failing {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.attempts.lock().unwrap().push(self.began.elapsed());
        Err((self.error)())
    }
}

fn not_reached() -> ConnectError {
    ConnectError::Handshake("no route to host".into())
}

fn refused() -> ConnectError {
    ConnectError::Login {
        user: String::from("me"),
        source: "no".into(),
    }
}

/// A tunnel that hears of changes.
fn watching(network: &Changes) -> Instruments<'static> {
    Instruments {
        network: Some(network.clone()),
        ..Instruments::default()
    }
}

/// Something that changes.
type Deed = fn(&Fake);

/// Waits with `wait` after a failure and gives how long that took, with these changes in it: each after
/// the time that it says from the beginning.
async fn waited(delay: u64, after: After, age: u64, changes: &[(u64, Deed)]) -> Duration {
    let (fake, mut network) = Fake::new();
    let start = Instant::now();
    let began = start - Duration::from_millis(age);
    let wait = wait::wait(Duration::from_millis(delay), began, after, &mut network);
    let change = async {
        for (at, change) in changes {
            sleep(start + Duration::from_millis(*at) - Instant::now()).await;
            change(&fake);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = wait => start.elapsed(),
        () = change => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_cuts_a_wait_short_but_not_too_short() {
    sleep(Duration::from_hours(1)).await;
    let route: Deed = Fake::change_route;
    let moved: Deed = |fake| fake.set(&[("wlan0", &["192.0.2.1"])]);
    let lost: Deed = |fake| fake.set(&[]);
    for (delay, after, age, changes, expected) in [
        // Nothing changes.
        (30_000, After::Failure, 0, &[][..], 30_000),
        // The last attempt is a while ago: at once.
        (30_000, After::Failure, 10_000, &[(500, route)], 500),
        (
            30_000,
            After::Failure,
            0,
            &[(5_000, lost), (5_001, route)],
            5_000,
        ),
        // It is not: soon.
        (30_000, After::Failure, 0, &[(100, route)], 2_000),
        // One that was due anyway is not put off.
        (300, After::Failure, 0, &[(100, route)], 300),
        // After a refusal only what may have brought us elsewhere counts, once a minute.
        (300_000, After::Refusal, 0, &[(90_000, route)], 300_000),
        (300_000, After::Refusal, 0, &[(5_000, moved)], 60_000),
        (
            300_000,
            After::Refusal,
            0,
            &[(5_000, route), (90_000, moved)],
            90_000,
        ),
    ] {
        let took = waited(delay, after, age, changes).await.as_millis();
        let expected = expected..=expected + 2;
        assert!(expected.contains(&took), "{took} for {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_never_rests_brings_no_storm_of_attempts() {
    for (error, least, most) in [(not_reached as fn() -> _, 25, 32), (refused, 1, 2)] {
        let (fake, network) = Fake::new();
        let attempts: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let failing = Failing {
            began: Instant::now(),
            attempts: Arc::clone(&attempts),
            error,
        };
        // The first attempt ends the tunnel where a person has to do something; this one was up before.
        let count = AtomicUsize::new(0);
        let connect = UpOnce {
            first: &count,
            then: failing,
        };
        let stop = CancellationToken::new();
        let run = run(&connect, Vec::new(), watching(&network), &|_| (), stop);
        let churn = async {
            for round in 0..120_u8 {
                sleep(Duration::from_millis(500)).await;
                let address = format!("192.0.2.{round}");
                fake.set(&[("eth0", &[&address])]);
            }
        };
        tokio::select! {
            ended = run => panic!("{ended:?}"),
            () = churn => {}
        }
        let made = attempts.lock().unwrap().len();
        assert!((least..=most).contains(&made), "{made} in a minute");
    }
}

/// Gives a connection that ends at once, and then what another gives.
struct UpOnce<'a> {
    first: &'a AtomicUsize,
    then: Failing,
}

impl Connect for UpOnce<'_> {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        if self.first.fetch_add(1, Ordering::Relaxed) > 0 {
            return self.then.connect().await;
        }
        let (connection, _, driver) = memory::pair();
        drop(driver);
        Ok(Connected {
            connection,
            task: Box::pin(async { None }),
        })
    }
}

/// Never gets an answer; counts the attempts that were begun.
struct Hanging(AtomicUsize);

impl Connect for Hanging {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_from_an_address_that_is_lost_is_begun_anew_and_once() {
    for (manner, expected) in [(Manner::Steady, 2), (Manner::Hasty, 2), (Manner::First, 1)] {
        let (fake, network) = Fake::new();
        fake.set(&[("wlan0", &["192.0.2.1", "192.0.2.2"])]);
        let hanging = Hanging(AtomicUsize::new(0));
        let attempt = wait::attempt(&hanging, &network, manner);
        let changes = async {
            sleep(Duration::from_secs(1)).await;
            fake.change_route();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(hanging.0.load(Ordering::Relaxed), 1);
            for addresses in [&["192.0.2.2"][..], &[]] {
                fake.set(&[("wlan0", addresses)]);
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            attempt = attempt => panic!("{attempt:?}"),
            () = changes => {}
        }
        assert_eq!(hanging.0.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn watching_nothing_changes_nothing() {
    let network = Changes::unwatched();
    let failing = Failing {
        began: Instant::now(),
        attempts: Arc::default(),
        error: refused,
    };
    let stop = CancellationToken::new();
    let ended = run(&failing, Vec::new(), watching(&network), &|_| (), stop).await;
    assert!(matches!(ended, Err(RunError::Connect(_))), "{ended:?}");
}
