//! How a layout is written, and who is called meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::interrupt::Interrupt;
use crate::options::setters;

/// How a layout is written.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// use std::time::Duration;
///
/// use regshape::layout::{Layout, WriteOptions};
///
/// let options = WriteOptions::default().lock_timeout(Duration::from_secs(30));
/// Layout::init_with(&path, &options)?;
/// let layout = Layout::open(&path)?.with_write_options(options);
/// # let _ = layout;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Whether nothing waits for the disk, for throw-away layouts: after a crash of the machine, not of the program, a
    /// layout may be broken.
    pub no_sync: bool,
    /// How long to wait for another writer; by default for as long as it takes.
    pub lock_timeout: Option<Duration>,
    /// Called when the lock is contended or unsupported.
    pub lock_observer: Option<LockObserver>,
    /// Called with each leftover of a killed program that cannot be deleted.
    pub leftover_observer: Option<LeftoverObserver>,
    /// Ends the work, for instance when a signal arrives.
    pub interrupt: Interrupt,
}

impl WriteOptions {
    setters! {
        no_sync: [bool],
        lock_timeout: [option Duration],
        lock_observer: [option LockObserver],
        leftover_observer: [option LeftoverObserver],
        interrupt: [Interrupt],
    }
}

/// An event of waiting for the lock of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockEvent {
    /// Another process has held the lock for a second; waiting continues.
    Waiting,
    /// The file system has no locks. The work goes on without one.
    Unavailable,
}

/// A function that is called with [`LockEvent`]s.
#[derive(Clone)]
pub struct LockObserver(Arc<dyn Fn(LockEvent) + Send + Sync>);

impl LockObserver {
    /// Calls the function.
    pub(crate) fn call(&self, event: LockEvent) {
        (self.0)(event);
    }

    /// Makes an observer of a function.
    pub fn new(observe: impl Fn(LockEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }
}

impl fmt::Debug for LockObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LockObserver").finish_non_exhaustive()
    }
}

/// A function that is called with each leftover that could not be deleted, and why.
#[derive(Clone)]
pub struct LeftoverObserver(Arc<Observe>);

type Observe = dyn Fn(&Path, &io::Error) + Send + Sync;

impl LeftoverObserver {
    /// Calls the function.
    pub(crate) fn call(&self, path: &Path, error: &io::Error) {
        (self.0)(path, error);
    }

    /// Makes an observer of a function.
    pub fn new(observe: impl Fn(&Path, &io::Error) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }
}

impl fmt::Debug for LeftoverObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LeftoverObserver").finish_non_exhaustive()
    }
}
