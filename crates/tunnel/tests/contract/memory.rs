//! Two ends in this process.

use std::sync::Arc;

use adit_tunnel::transport::{ByteStream, CloseReason, OpenError, Transport, memory};
use tokio::task::JoinSet;

use crate::acceptor::{Acceptor, head, head_nowhere};
use crate::gateway::Gateway;
use crate::suite::{self, Pair, forwards};

struct Memory {
    near: Arc<dyn Transport>,
    acceptor: Acceptor,
    _driver: JoinSet<()>,
}

impl Memory {
    fn new() -> Self {
        let (near, far, driver) = memory::pair();
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        // The far end's handle must live as long as the pair.
        let far_transport = far.transport;
        tasks.spawn(async move {
            far_transport.end().wait().await;
        });
        Self {
            near: near.transport,
            acceptor: Acceptor::new(far.requests),
            _driver: tasks,
        }
    }
}

impl Pair for Memory {
    type Near = ByteStream;
    type Far = ByteStream;

    async fn dial(&self, token: u16) -> Result<ByteStream, OpenError> {
        self.near.open(head(token)).await
    }

    async fn accept(&self, token: u16) -> ByteStream {
        self.acceptor.accept(token).await
    }

    async fn dial_nowhere(&self) -> Result<ByteStream, OpenError> {
        tokio::select! {
            result = self.near.open(head_nowhere()) => result,
            () = self.acceptor.refuse() => unreachable!(),
        }
    }

    async fn close(&self) {
        self.near.close(CloseReason::Stopping);
        self.near.end().wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_every_promise_on_one_thread() {
    suite::all_ours(async || Memory::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_every_promise_on_two_threads() {
    suite::all_ours(async || Memory::new()).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_its_promises_about_forwards() {
    let (near, far, driver) = memory::pair();
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    forwards::all(&Gateway::with_ours(near, far)).await;
}
