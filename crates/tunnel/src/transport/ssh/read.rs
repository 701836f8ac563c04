//! Large buffers to read into, borrowed for one turn: an idle connection holds none.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one read buffer: what is read, opened and handed on in one go.
pub(super) const READ_BUFFER: usize = 262_144;
/// Free buffers that are kept: as many as threads run tasks on a small machine.
const RETAINED: usize = 4;

/// Read buffers that the connections of a process share.
#[derive(Debug, Clone, Default)]
pub struct ReadBuffers(Arc<Mutex<Vec<Box<[u8]>>>>);

impl ReadBuffers {
    /// None yet; they are made when needed.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn take(&self) -> Box<[u8]> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; READ_BUFFER].into_boxed_slice())
    }

    pub(super) fn give_back(&self, buffer: Box<[u8]>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < RETAINED {
            free.push(buffer);
        }
    }
}
