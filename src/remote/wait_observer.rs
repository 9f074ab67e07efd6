//! Reporting long waits for a registry to the user, who would wonder why nothing happens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::RemoteError;

/// Shorter waits are not told.
pub(super) const SHORTEST: Duration = Duration::from_secs(2);

/// A wait before requests are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// The reason, such as `r.example is busy (429)`.
    pub reason: String,
    /// How long it takes.
    pub duration: Duration,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting {} s: {}", self.duration.as_secs_f64().ceil(), self.reason)
    }
}

/// Is called when a wait of at least two seconds begins. One for which many requests wait is told once.
#[derive(Clone)]
pub struct WaitObserver(Arc<dyn Fn(&Wait) + Send + Sync>);

impl WaitObserver {
    /// Makes an observer of a function.
    pub fn new(observe: impl Fn(&Wait) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(super) fn observe(&self, wait: &Wait) {
        (self.0)(wait);
    }
}

impl fmt::Debug for WaitObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WaitObserver")
    }
}

/// Returns why a request that failed is sent later.
pub(super) fn reason(error: &RemoteError) -> String {
    match error {
        RemoteError::Status { host, status, .. } => answered(host, *status),
        error => error.to_string(),
    }
}

pub(super) fn answered(host: &str, status: u16) -> String {
    if status == 429 { format!("{host} is busy (429)") } else { format!("{host} answered {status}") }
}
