//! A connection that is made once, for something that comes to an end: nothing comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::supervise::{Connect, ConnectError, Connected, log_panic};
use crate::transport::ssh::Held;
use crate::transport::{CloseReason, Connection, Transport};

/// The connection. Dropped, it ends at once; [`end`](Self::end) says goodbye.
#[derive(Debug)]
pub(super) struct Once {
    transport: Arc<dyn Transport>,
    driver: JoinSet<Option<Held>>,
}

/// How long a connection may take to say goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

impl Once {
    /// Makes it. A server has nothing to ask of us, and is refused what it asks.
    pub(super) async fn begin(connect: &impl Connect) -> Result<Self, ConnectError> {
        let Connected { connection, task } = connect.connect().await?;
        let Connection {
            transport,
            requests,
        } = connection;
        drop(requests);
        let mut driver = JoinSet::new();
        driver.spawn(task);
        Ok(Self { transport, driver })
    }

    /// What carries it.
    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Says goodbye, and ends it.
    pub(super) async fn end(mut self) {
        let mut end = self.transport.end();
        self.transport.close(CloseReason::Stopping);
        if timeout(CLOSE_DEADLINE, end.wait()).await.is_err() {
            debug!("connection did not say goodbye in time");
        }
        self.driver.abort_all();
        while let Some(result) = self.driver.join_next().await {
            log_panic("connection", result);
        }
    }
}
