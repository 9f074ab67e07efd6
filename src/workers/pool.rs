//! Buffers for reuse. Returning memory to the system and allocating it again is slow: the system clears each page.

use std::sync::Mutex;

/// Buffers that threads pass to each other and use again.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// Returns a buffer that may still have old content, or an empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().expect("no thread panics with the lock").pop().unwrap_or_default()
    }

    /// Returns a buffer to the pool.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        self.0.lock().expect("no thread panics with the lock").push(buffer);
    }
}
