//! Whether a peer is there, as every transport tells it.

use std::sync::Arc;
use std::time::Duration;

use adit_tunnel::transport::ssh::Memory;
use adit_tunnel::transport::{CloseReason, Connection, Transport, memory};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::ssh::log_in_with;

/// Two ends of ours, the far one of which can be stopped.
struct Ends {
    near: Arc<dyn Transport>,
    _far: Connection,
    is_frozen: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

const WITHIN: Duration = Duration::from_secs(1);

/// Runs until it is stopped, and goes on when it is let.
async fn freezable(run: impl Future, mut is_frozen: watch::Receiver<bool>) {
    let mut run = std::pin::pin!(run);
    loop {
        tokio::select! {
            biased;
            Ok(_) = is_frozen.wait_for(|frozen| *frozen) => {}
            _ = &mut run => return,
        }
        if is_frozen.wait_for(|frozen| !*frozen).await.is_err() {
            return;
        }
    }
}

fn over_memory() -> Ends {
    let (near, far, driver) = memory::pair();
    let (is_frozen, frozen) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(freezable(driver.run(), frozen));
    Ends {
        near: near.transport,
        _far: far,
        is_frozen,
        _tasks: tasks,
    }
}

async fn over_ssh() -> Ends {
    let (client, server) = tokio::io::duplex(100_000);
    let memory = Memory::of_this_machine();
    // The gateway is the one that asks, as it does.
    let ((far, far_driver), (near, near_driver)) =
        Box::pin(log_in_with(client, server, memory)).await;
    let (is_frozen, frozen) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        near_driver.run().await;
    });
    tasks.spawn(freezable(far_driver.run(), frozen));
    Ends {
        near: near.transport,
        _far: far,
        is_frozen,
        _tasks: tasks,
    }
}

async fn a_peer_that_answers_is_there_and_a_silent_one_is_not(ends: &Ends) {
    for _ in 0..3 {
        assert!(ends.near.is_alive(WITHIN).await);
    }
    ends.is_frozen.send_replace(true);
    // What was on its way arrives before.
    sleep(Duration::from_millis(10)).await;
    let before = Instant::now();
    assert!(!ends.near.is_alive(WITHIN).await);
    assert_eq!(before.elapsed(), WITHIN);
    // An old answer is none to a new question, and many may ask at once.
    let both = tokio::join!(ends.near.is_alive(WITHIN), ends.near.is_alive(WITHIN));
    assert_eq!(both, (false, false));
    ends.is_frozen.send_replace(false);
    assert!(ends.near.is_alive(WITHIN).await);
    let both = tokio::join!(ends.near.is_alive(WITHIN), ends.near.is_alive(WITHIN));
    assert_eq!(both, (true, true));
}

async fn who_has_ended_is_not_there(ends: &Ends) {
    ends.near.close(CloseReason::Stopping);
    ends.near.end().wait().await;
    let before = Instant::now();
    assert!(!ends.near.is_alive(WITHIN).await);
    assert!(before.elapsed() < WITHIN, "it is known at once");
}

#[tokio::test(start_paused = true)]
async fn memory_tells_whether_its_peer_is_there() {
    let ends = over_memory();
    a_peer_that_answers_is_there_and_a_silent_one_is_not(&ends).await;
    who_has_ended_is_not_there(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn ssh_tells_whether_its_peer_is_there_and_how_far() {
    let ends = over_ssh().await;
    a_peer_that_answers_is_there_and_a_silent_one_is_not(&ends).await;
    assert!(ends.near.round_trip().is_some());
    who_has_ended_is_not_there(&ends).await;
}
