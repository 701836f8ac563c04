use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use adit_testkit::wait::until_async;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinSet, yield_now};

use super::*;
use crate::transport::{PeerRequest, Requests, memory};

pub(crate) const OWNER: PrincipalId = PrincipalId::new(1);
pub(crate) const HOLDING: Holding = Holding::Port(8080);

fn bind() -> Bind {
    Bind::Tcp {
        host: String::from("localhost"),
        port: 8080,
    }
}

fn origin() -> Origin {
    Origin {
        host: String::from("203.0.113.5"),
        port: 50_000,
    }
}

/// Says its epoch to every visitor, again and again.
async fn tell(mut requests: Requests, epoch: u64) {
    let mut telling = JoinSet::new();
    while let Some(request) = requests.recv().await {
        let PeerRequest::Open(open) = request else {
            panic!("{request:?} is no visitor");
        };
        let mut stream = open.answer.accept();
        telling.spawn(async move {
            while stream.write_u64(epoch).await.is_ok() {
                yield_now().await;
            }
        });
    }
}

/// What visitors share.
struct Street {
    registry: Registry,
    /// The epoch that was published last.
    published: AtomicU64,
    reads: AtomicU64,
    is_over: AtomicBool,
}

/// Comes again and again, and looks at each byte.
async fn visit(street: Arc<Street>) {
    while !street.is_over.load(Ordering::SeqCst) {
        let Ok(mut visitor) = street.registry.open(&HOLDING, origin()).await else {
            continue;
        };
        let epoch = visitor.epoch().get();
        loop {
            let before = street.published.load(Ordering::SeqCst);
            let (read, written) = (visitor.read_u64().await, visitor.write_all(b"!").await);
            let Ok(told) = read else { break };
            assert_eq!(told, epoch, "bytes of another holder");
            assert!(
                before <= epoch,
                "epoch {epoch} delivers after {before} was published"
            );
            street.reads.fetch_add(1, Ordering::SeqCst);
            // Else it reads on for as long as there is anything, and nobody else has a turn.
            yield_now().await;
            if written.is_err() || street.is_over.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_begins_after_the_next_holder_was_published_gives_nothing() {
    const EPOCHS: u64 = 50;
    let street = Arc::new(Street {
        registry: Registry::default(),
        published: AtomicU64::new(0),
        reads: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    street.registry.begin(&HOLDING, OWNER);
    let mut visitors = JoinSet::new();
    for _ in 0..4 {
        visitors.spawn(visit(Arc::clone(&street)));
    }
    let mut peers = JoinSet::new();
    let mut kept = Vec::new();
    for epoch in 1..=EPOCHS {
        let (near, far, driver) = memory::pair();
        peers.spawn(driver.run());
        peers.spawn(tell(far.requests, epoch));
        kept.push(far.transport);
        let registry = &street.registry;
        registry.serve(&HOLDING, OWNER, Epoch::new(epoch), bind(), near.transport);
        street.published.store(epoch, Ordering::SeqCst);
        let reads = street.reads.load(Ordering::SeqCst);
        until_async("visitors to read", || {
            let now = street.reads.load(Ordering::SeqCst);
            async move { if now >= reads + 20 { Ok(()) } else { Err(now) } }
        })
        .await;
    }
    street.is_over.store(true, Ordering::SeqCst);
    street.registry.end(&HOLDING);
    while let Some(ended) = visitors.join_next().await {
        ended.unwrap();
    }
    peers.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_is_nobodys() {
    let registry = Registry::default();
    let opened = registry.open(&HOLDING, origin()).await;
    assert_eq!(opened.map(drop), Err(Unserved::NoLease));
}

/// Sixteen leases would have all places at 256 each; the seventeenth has as good as what it needs.
#[tokio::test(start_paused = true)]
async fn g15_visitors_that_wait_are_few_in_all_and_a_few_leases_do_not_fill_it() {
    let registry = Arc::new(Registry::default());
    let mut waiting = JoinSet::new();
    let ports = 1..=100_u16;
    for port in ports.clone() {
        registry.begin(&Holding::Port(port), PrincipalId::new(port.into()));
        for _ in 0..=WAITING_FOR_ONE {
            let registry = Arc::clone(&registry);
            waiting.spawn(async move {
                let opened = registry.open(&Holding::Port(port), origin()).await;
                opened.map(drop)
            });
            yield_now().await;
        }
    }
    let held = ports.map(|port| registry.waiting(&Holding::Port(port)));
    let held: Vec<u32> = held.collect();
    assert_eq!(held.first(), Some(&WAITING_FOR_ONE));
    assert!(held.get(16).is_some_and(|held| *held > 64), "{held:?}");
    assert_eq!(held.iter().sum::<u32>(), WAITING_FOR_ALL, "{held:?}");
    let begun = Instant::now();
    let mut crowded = 0;
    while let Some(ended) = waiting.join_next().await {
        match ended.unwrap() {
            Err(Unserved::Crowded) => crowded += 1,
            Err(Unserved::Away) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        crowded + held.iter().sum::<u32>(),
        100 * (WAITING_FOR_ONE + 1)
    );
    assert!(begun.elapsed() <= HOLD, "all of them are sent away then");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_never_answers_is_slow_and_one_that_has_ended_is_away() {
    let registry = Registry::default();
    let (near, _far, driver) = memory::pair();
    let mut driving = JoinSet::new();
    let epoch = Epoch::new(1);
    registry.serve(&HOLDING, OWNER, epoch, bind(), Arc::clone(&near.transport));
    driving.spawn(driver.run());
    let before = Instant::now();
    let opened = registry.open(&HOLDING, origin()).await;
    assert_eq!(opened.map(drop), Err(Unserved::Slow));
    assert_eq!(before.elapsed(), OPEN);
    driving.shutdown().await;
    let before = Instant::now();
    let opened = registry.open(&HOLDING, origin()).await;
    assert_eq!(opened.map(drop), Err(Unserved::Away));
    assert_eq!(before.elapsed(), HOLD);
    assert_eq!(registry.waiting(&HOLDING), 0);
}

/// A visitor of an owner that has sent it bytes and gone quiet, and the owner's end of the stream.
pub(crate) async fn visited(
    registry: &Registry,
    driving: &mut JoinSet<()>,
) -> (Fenced, ByteStream) {
    let (near, mut far, driver) = memory::pair();
    driving.spawn(async move {
        driver.run().await;
    });
    registry.serve(&HOLDING, OWNER, Epoch::new(1), bind(), near.transport);
    let accepted = async {
        let Some(PeerRequest::Open(open)) = far.requests.recv().await else {
            panic!("nobody comes");
        };
        let mut stream = open.answer.accept();
        stream.write_all(&vec![7; 100_000]).await.unwrap();
        (stream, far)
    };
    let (visitor, (stream, far)) = tokio::join!(registry.open(&HOLDING, origin()), accepted);
    driving.spawn(async move {
        std::future::pending::<()>().await;
        drop(far);
    });
    (visitor.unwrap(), stream)
}

/// A stream of a connection of its own: our end and the peer's.
pub(crate) async fn open_between(driving: &mut JoinSet<()>) -> (ByteStream, ByteStream) {
    let (near, mut far, driver) = memory::pair();
    driving.spawn(async move {
        driver.run().await;
    });
    let head = StreamHead {
        kind: StreamKind::Forwarded(bind()),
        origin: origin(),
    };
    let accepted = async {
        let Some(PeerRequest::Open(open)) = far.requests.recv().await else {
            panic!("nobody opens");
        };
        (open.answer.accept(), far)
    };
    let (opened, (stream, far)) = tokio::join!(near.transport.open(head), accepted);
    driving.spawn(async move {
        std::future::pending::<()>().await;
        drop((near, far));
    });
    (stream, opened.unwrap())
}

#[tokio::test(start_paused = true)]
async fn g11_a_visitor_who_neither_reads_nor_writes_learns_at_once_that_the_fence_fell() {
    let registry = Registry::default();
    let mut driving = JoinSet::new();
    let (mut visitor, _owner) = visited(&registry, &mut driving).await;
    // Some was read and some waits, and then nothing is polled but this.
    assert_eq!(visitor.read_u8().await.unwrap(), 7);
    let mut waiting = JoinSet::new();
    waiting.spawn(visitor.cut());
    yield_now().await;
    assert!(waiting.try_join_next().is_none());
    registry.vacate(&HOLDING);
    let learns = tokio::time::timeout(Duration::from_secs(1), waiting.join_next());
    let error = learns.await.unwrap().unwrap().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let read = visitor.read_u8().await.unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
    driving.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn g15_an_owner_of_many_leases_leaves_room_to_visitors_of_others() {
    let registry = Arc::new(Registry::default());
    let mut waiting = JoinSet::new();
    let ports = 1..=200_u16;
    for port in ports.clone() {
        registry.begin(&Holding::Port(port), OWNER);
        for _ in 0..32 {
            let registry = Arc::clone(&registry);
            waiting.spawn(async move {
                let opened = registry.open(&Holding::Port(port), origin()).await;
                opened.map(drop)
            });
            yield_now().await;
        }
    }
    let held: u32 = ports
        .clone()
        .map(|port| registry.waiting(&Holding::Port(port)))
        .sum();
    assert_eq!(held, WAITING_FOR_ALL / OWNER_SHARE);
    for port in ports {
        registry.end(&Holding::Port(port));
    }
    while waiting.join_next().await.is_some() {}
    assert!(registry.slots().waiting_of.is_empty());
}
