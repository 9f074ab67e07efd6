//! The first fault of requests that are sent at once: the others end, and it is the error of all.

use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;
use crate::error::{Error, Result};
use crate::workers::map::map_bounded;

/// The first fault of work that several threads do.
#[derive(Debug)]
pub(crate) struct FirstFault {
    client: Arc<Client>,
    fault: Mutex<Option<Error>>,
}

/// The work of a thread that failed, or that another one's fault stopped.
#[derive(Debug)]
pub(crate) struct Stopped;

impl FirstFault {
    /// Begins work with requests of a client, which end with the first fault.
    pub(crate) fn of(client: &Client) -> Self {
        Self { client: Arc::new(client.stoppable()), fault: Mutex::default() }
    }

    /// Returns the client whose requests end.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Does a part of the work, unless another part failed.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T, Stopped> {
        if self.is_set() {
            return Err(Stopped);
        }
        work().map_err(|error| {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.client.stop() {
                *fault = Some(error);
            }
            Stopped
        })
    }

    /// Does parts of the work at once. After a fault, no part begins any more, and the requests of the others are cut.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        at_once: usize,
        work: impl Fn(T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let done = map_bounded(items, at_once, |item| self.watch(|| work(item)));
        done.map_err(|stopped| self.take(stopped))
    }

    /// Returns whether a part failed: the others need not go on.
    pub(crate) fn is_set(&self) -> bool {
        self.client.is_stopped()
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
    use crate::remote::ConnectionOptions;

    #[test]
    fn the_first_fault_stops_the_others_and_is_the_error() {
        let host = "r.example".parse().expect("a host");
        let first = FirstFault::of(&Client::new(host, None, &ConnectionOptions::default()));
        assert_eq!(first.watch(|| Ok(1)).expect("no fault"), 1);
        assert!(!first.is_set());
        first.watch(|| Err::<(), _>(Error::NoLayers)).expect_err("a fault");
        assert!(first.is_set() && first.is(|error| matches!(error, Error::NoLayers)));
        let stopped = first.watch(|| -> Result<()> { panic!("it does not begin") }).expect_err("stopped");
        assert!(matches!(first.take(stopped), Error::NoLayers));
    }
}
