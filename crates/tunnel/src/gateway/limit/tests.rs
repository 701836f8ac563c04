//! Rates, counts and months, at each move and under open streams.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bucket::BURST_LEAST;
use super::*;
use crate::gateway::policy::{Kind, Principal};

const ID: PrincipalId = PrincipalId::new(1);
/// Streams of who has no limit.
const SHARE: u32 = 3;

/// One principal under those limits, at a time that can be changed.
struct House {
    usages: Usages,
    policy: watch::Sender<Arc<Policy>>,
    now: Arc<Mutex<Timestamp>>,
}

impl House {
    fn new(limits: Limits, now: &str) -> Self {
        let (policy, receiver) = watch::channel(policy(limits));
        let now = Arc::new(Mutex::new(at(now)));
        let clock = Clock::of({
            let now = Arc::clone(&now);
            move || *now.lock().unwrap()
        });
        Self {
            usages: Usages::new(receiver, clock, SHARE),
            policy,
            now,
        }
    }
}

fn policy(limits: Limits) -> Arc<Policy> {
    let mut policy = Policy::default();
    let mut principal = Principal {
        id: ID,
        name: String::from("alice"),
        kind: Kind::User,
        grant: adit_model::grant::Grant::default(),
    };
    principal.grant.limits = limits;
    policy.principals.insert(ID, Arc::new(principal));
    Arc::new(policy)
}

/// Of a principal under those limits.
pub(in crate::gateway) fn usage_of(limits: Limits) -> Arc<Usage> {
    House::new(limits, "2026-11-22T00:00:00Z").usages.of(ID)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_bucket_gives_its_rate_over_any_time_and_no_more_than_a_burst_besides() {
    let start = tokio::time::Instant::now().into_std();
    for rate in [1_000, 100_000, 10_000_000_000_u64] {
        let mut bucket = Bucket::new(Some(rate), start);
        let mut now = start;
        let mut moved = 0_u64;
        while now < start + Duration::from_secs(100) {
            now += bucket.spend(10_000, now) + Duration::from_nanos(100);
            moved += 10_000;
            if moved > 10_000_000 {
                break;
            }
        }
        let micros = u64::try_from(now.duration_since(start).as_micros()).unwrap();
        let earned = u128::from(rate) * u128::from(micros) / 1_000_000;
        let most = earned + u128::from(BURST_LEAST.max(rate / 4)) + 20_000;
        assert!(
            u128::from(moved) <= most,
            "{moved} in {micros} us at {rate}"
        );
    }
}

#[test]
fn streams_and_bytes_of_a_month_have_limits_that_change_at_once() {
    let now = at("2026-11-30T23:59:59Z");
    let mut limits = Limits {
        streams: Some(1),
        month: Some(1_000),
        ..Limits::default()
    };
    let house = House::new(limits, "2026-11-30T23:59:59Z");
    let usage = house.usages.of(ID);
    let permit = usage.stream().unwrap();
    let refused = usage.stream().unwrap_err();
    assert_eq!(refused, OverLimit::Streams { most: 1 });
    drop(permit);
    let volume = |down, up| Volume { down, up };
    usage.restore(volume(400, 600), now);
    let over = OverLimit::Month { most: 1_000 };
    assert_eq!(usage.stream().unwrap_err(), over);
    assert_eq!(usage.moved(Direction::Up, 1).unwrap_err(), over);
    assert_eq!(house.usages.this_month(now), [(ID, volume(400, 601))]);
    limits.month = Some(2_000);
    house.policy.send_replace(policy(limits));
    assert!(usage.moved(Direction::Up, 1).is_ok());
    limits.month = Some(1_000);
    house.policy.send_replace(policy(limits));
    assert_eq!(usage.moved(Direction::Up, 1).unwrap_err(), over);
    *house.now.lock().unwrap() = at("2026-12-01T00:00:00Z");
    assert!(usage.moved(Direction::Up, 999).is_ok(), "a month has begun");
    assert_eq!(usage.moved(Direction::Up, 1).unwrap_err(), over);
    assert_eq!(usage.streams(), 0);
}

#[test]
fn nobody_has_more_than_a_share_unless_an_operator_says_so() {
    let house = House::new(Limits::default(), "2026-11-22T00:00:00Z");
    let usage = house.usages.of(ID);
    let permits: Vec<_> = (0..SHARE).map(|_| usage.stream().unwrap()).collect();
    let refused = usage.stream().unwrap_err();
    assert_eq!(refused, OverLimit::Streams { most: SHARE });
    let more = Limits {
        streams: Some(SHARE + 1),
        ..Limits::default()
    };
    house.policy.send_replace(policy(more));
    let one_more = usage.stream().unwrap();
    assert_eq!(usage.streams(), SHARE + 1);
    drop((permits, one_more));
    assert_eq!(usage.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_under_a_limit_that_is_lifted_waits_no_longer() {
    let slow = Limits {
        down: Some(1),
        ..Limits::default()
    };
    let house = House::new(slow, "2026-11-22T00:00:00Z");
    let permit = house.usages.of(ID).stream().unwrap();
    let (near, mut far) = tokio::io::duplex(1_000_000);
    let mut near = Metered::new(near, permit, Side::Visitor);
    far.write_all(&vec![7; 200_000]).await.unwrap();
    drop(far);
    let mut some = vec![0; 100_000];
    near.read_exact(&mut some).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut all = Vec::new();
    let waits = tokio::time::timeout(Duration::from_secs(60), near.read_to_end(&mut all));
    waits.await.unwrap_err();
    house.policy.send_replace(policy(Limits::default()));
    near.read_to_end(&mut all).await.unwrap();
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(61), "took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_metered_socket_is_as_slow_as_its_principal() {
    let limits = Limits {
        down: Some(100_000),
        ..Limits::default()
    };
    let permit = usage_of(limits).stream().unwrap();
    let (near, mut far) = tokio::io::duplex(1_000_000);
    let mut near = Metered::new(near, permit, Side::Visitor);
    far.write_all(&vec![7; 565_536]).await.unwrap();
    drop(far);
    let begun = tokio::time::Instant::now();
    let mut all = Vec::new();
    near.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 565_536);
    let took = begun.elapsed().as_secs_f64();
    assert!((4.9..5.2).contains(&took), "took {took} s");
}
