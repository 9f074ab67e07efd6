//! The first fault of blobs that are sent or fetched at once: the others stop, and it is the error of all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// The first fault of work that several threads do.
#[derive(Debug, Default)]
pub(crate) struct FirstFault {
    is_set: AtomicBool,
    fault: Mutex<Option<Error>>,
}

/// The work of a thread that failed, or that another one's fault stopped.
#[derive(Debug)]
pub(crate) struct Stopped;

impl FirstFault {
    /// Does a part of the work, unless another part failed.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T, Stopped> {
        if self.is_set() {
            return Err(Stopped);
        }
        work().map_err(|error| {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.is_set.swap(true, Ordering::Relaxed) {
                *fault = Some(error);
            }
            Stopped
        })
    }

    /// Returns whether a part failed: the others need not go on.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Returns the flag that is set when a part failed.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.is_set
    }

    /// Returns whether a part failed with such a fault.
    pub(crate) fn is(&self, is_such: impl FnOnce(&Error) -> bool) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_such)
    }

    /// Takes the fault of work that failed.
    pub(crate) fn take(&self, _: Stopped) -> Error {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        fault.expect("the first part that fails leaves its fault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_stops_the_others_and_is_the_error() {
        let first = FirstFault::default();
        assert_eq!(first.watch(|| Ok(1)).expect("no fault"), 1);
        assert!(!first.is_set());
        first.watch(|| Err::<(), _>(Error::NoLayers)).expect_err("a fault");
        assert!(first.is_set() && first.is(|error| matches!(error, Error::NoLayers)));
        let stopped = first.watch(|| -> Result<()> { panic!("it does not begin") }).expect_err("stopped");
        assert!(matches!(first.take(stopped), Error::NoLayers));
    }
}
