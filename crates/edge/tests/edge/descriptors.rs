//! What happens when the system has no descriptors left. Alone in its process, since it takes them all.

use std::os::fd::OwnedFd;

use adit_testkit::wait;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Lab, Options, listen};

/// Leaves the process no descriptor.
fn exhaust() -> Vec<OwnedFd> {
    let limit = getrlimit(Resource::Nofile);
    let rlimit = Rlimit {
        current: Some(128),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, rlimit).unwrap();
    std::iter::from_fn(|| {
        rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDONLY,
            rustix::fs::Mode::empty(),
        )
        .ok()
    })
    .collect()
}

/// Processor time of this process so far.
fn spent() -> std::time::Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().unwrap()
}

#[tokio::test]
async fn without_descriptors_a_listener_waits_and_does_not_spin() {
    let service = listen().await;
    let lab = Lab::before(&service, true, &Options::default());
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let all = exhaust();
    let before = spent();
    held.connect(&lab.address.into()).unwrap();
    let refused = wait::until_async("several refusals", || async {
        match lab.server.counts().refused {
            count @ 4.. => Ok(count),
            count => Err(count),
        }
    })
    .await;
    let cost = spent() - before;
    // 50, 100 and 200 ms lie between four of them; a loop that spins would be at thousands.
    assert!(
        refused < 10 && cost < std::time::Duration::from_millis(300),
        "{refused}: {cost:?}"
    );
    drop(all);
    let (mut served, _) = service.accept().await.unwrap();
    held.set_nonblocking(true).unwrap();
    let mut visitor = tokio::net::TcpStream::from_std(held.into()).unwrap();
    visitor.write_all(b"x").await.unwrap();
    assert_eq!(served.read_u8().await.unwrap(), b'x');
}
