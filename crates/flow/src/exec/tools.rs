//! What an engine works with, made by whoever starts it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::callback::Hub;
use crate::expose::Addresses;
use crate::model::Compose;

/// What an engine works with.
#[derive(Debug)]
pub struct Tools {
    pub(super) addresses: Addresses,
    pub(super) hub: Hub,
    /// How much each component does at once, by its place; none is as much as comes.
    queues: Vec<Option<Arc<Semaphore>>>,
}

impl Tools {
    #[cfg(test)]
    pub(super) fn for_tests(compose: &Compose) -> Self {
        Self::new(compose, Addresses::new(compose), Hub::new())
    }

    pub fn new(compose: &Compose, addresses: Addresses, hub: Hub) -> Self {
        let queues = compose.every_component().into_iter().map(|component| {
            let most = component.max_concurrent_count?.get();
            let most = usize::try_from(most)
                .unwrap_or(usize::MAX)
                .min(Semaphore::MAX_PERMITS);
            Some(Arc::new(Semaphore::new(most)))
        });
        Self {
            addresses,
            hub,
            queues: queues.collect(),
        }
    }

    pub(super) fn queue(&self, place: usize) -> Option<Arc<Semaphore>> {
        self.queues.get(place).cloned().flatten()
    }

    /// A text for people without secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        text.to_owned()
    }
}
