//! Key pairs made ahead, beside the connection's task.
//!
//! sntrup761's takes 11 ms (measured 2026-11-22). Made on the task, it would hold up every stream of
//! the connection, and those of other connections behind it on the same thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_ssh::algorithm::KexAlgorithm;
use adit_ssh::provider::{ActiveKex, CryptoError, KexMethod};
use tokio::task::JoinHandle;

/// A key pair in the making. Dropping it leaves at most one to be finished for nobody.
#[derive(Default)]
pub(super) struct KeyPair(Option<Making>);

struct Making {
    kex: KexAlgorithm,
    pair: JoinHandle<Result<Box<dyn ActiveKex>, CryptoError>>,
}

impl KeyPair {
    /// Begins to make one.
    pub(super) fn make(&mut self, kex: KexAlgorithm, method: Arc<dyn KexMethod>) {
        let pair = tokio::task::spawn_blocking(move || method.start());
        self.0 = Some(Making { kex, pair });
    }

    /// The one that is done. Without a pair the engine makes its own when it needs it, so a failure
    /// is only told.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(KexAlgorithm, Box<dyn ActiveKex>)> {
        let Some(Making { kex, pair }) = &mut self.0 else {
            return Poll::Pending;
        };
        let Poll::Ready(made) = Pin::new(pair).poll(cx) else {
            return Poll::Pending;
        };
        let kex = *kex;
        self.0 = None;
        match made {
            Ok(Ok(pair)) => Poll::Ready((kex, pair)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no key pair was made ahead");
                Poll::Pending
            }
            Err(error) => {
                tracing::debug!(%error, "making a key pair ahead has failed");
                Poll::Pending
            }
        }
    }
}
