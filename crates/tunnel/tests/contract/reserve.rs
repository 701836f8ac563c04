//! What is left of the memory of windows when others have taken the most of it.

use adit_tunnel::budget::Budget;
use adit_tunnel::transport::PeerRequest;
use adit_tunnel::transport::ssh::Memory;
use tokio::task::JoinSet;

use crate::acceptor::head;
use crate::ssh::log_in_with;

/// The least window of a stream.
const LEAST: usize = 65_536;

/// Bytes of the budget that a stream takes, both ends together, where others have left so much of a gibibyte;
/// `None` if it is not opened.
async fn cost_of_a_stream(left: usize) -> Option<usize> {
    let memory = Memory {
        budget: Budget::new(1 << 30),
        ..Memory::of_this_machine()
    };
    let (client, server) = tokio::io::duplex(100_000);
    let ((near, near_driver), (mut far, far_driver)) =
        Box::pin(log_in_with(client, server, memory.clone())).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(near_driver.run());
    tasks.spawn(far_driver.run());
    let budget = &memory.budget;
    let _others = budget.take(budget.left() - left);
    let open = near.transport.open(head(1));
    let accept = async {
        match far.requests.recv().await {
            Some(PeerRequest::Open(request)) => request.answer.accept(),
            other => panic!("{other:?} instead of a stream"),
        }
    };
    let opened = tokio::select! {
        (opened, _accepted) = async { tokio::join!(open, accept) } => opened.is_ok(),
        // Nobody is asked when there is nothing to be promised.
        () = tokio::time::sleep(std::time::Duration::from_secs(5)) => false,
    };
    opened.then(|| left - budget.left())
}

#[tokio::test(start_paused = true)]
async fn large_windows_leave_a_quarter_for_the_least_ones_of_others() {
    let all = cost_of_a_stream(1 << 30).await.unwrap();
    assert!(all > 8 * LEAST, "{all}");
    for left in [1 << 28, 1 << 24, 2 * LEAST] {
        assert_eq!(cost_of_a_stream(left).await, Some(2 * LEAST), "{left}");
    }
    assert_eq!(cost_of_a_stream(LEAST - 1).await, None);
}
