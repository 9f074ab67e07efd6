//! The lock of a layout: how long a writer waits for it, and whom it tells.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::clean::LeftoverObserver;
use super::handle::Layout;
use crate::error::{Error, Result};
use crate::fs::cannot_lock;
use crate::metrics::Phase;

/// How long a writer waits before it says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a writer that has no thread to wait on sleeps between two tries.
const POLL: Duration = Duration::from_millis(10);

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
/// let options = WriteOptions { lock_timeout: Some(Duration::from_secs(30)), ..WriteOptions::default() };
/// Layout::init_with(&path, options.clone())?;
/// let layout = Layout::open(&path)?.with_write_options(options);
/// # let _ = layout;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Whether nothing waits for the disk, for throw-away layouts: after a crash of the machine, not of the program, a
    /// layout may be broken.
    pub no_sync: bool,
    /// How long to wait for another writer; by default for as long as it takes.
    pub lock_timeout: Option<Duration>,
    /// Who is told of the lock.
    pub lock_observer: Option<LockObserver>,
    /// Called with each leftover of a killed program that cannot be deleted.
    pub leftover_observer: Option<LeftoverObserver>,
}

/// What happens to somebody who needs the lock of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockEvent {
    /// Somebody else has had it for a second; they are still waited for.
    Waiting,
    /// The file system has no locks. The work goes on without one.
    Unavailable,
}

/// A function that is told of [`LockEvent`]s.
#[derive(Clone)]
pub struct LockObserver(Arc<dyn Fn(LockEvent) + Send + Sync>);

impl LockObserver {
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

/// Returns the file that a thread that waited for its lock has given back.
fn unshared(file: Arc<File>) -> File {
    Arc::into_inner(file).expect("the thread has sent its share, or there is no thread")
}

impl Layout {
    /// Locks an opened file, as the options say, for which this process has waited since a time. It comes back locked, or as
    /// it was where the file system has no locks.
    pub(crate) fn acquire(&self, file: File, path: &Path, since: Instant) -> Result<File> {
        let (locked, file) = match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => self.metrics().time(Phase::LockWait, || self.wait_for(file, since))?,
            Err(TryLockError::Error(error)) => (Err(error), file),
        };
        match locked {
            Ok(()) => Ok(file),
            Err(error) if cannot_lock(&error) => {
                self.tell(LockEvent::Unavailable);
                Ok(file)
            }
            Err(error) => Err(Error::io("lock", path)(error)),
        }
    }

    /// Waits until a file can be locked, and says what locking it came to.
    fn wait_for(&self, file: File, since: Instant) -> Result<(io::Result<()>, File)> {
        let timeout = self.write_options().lock_timeout;
        let left = || timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
        let locked_by_another = || Error::Locked { path: self.path().to_owned(), waited: timeout.unwrap_or_default() };
        if left() == Some(Duration::ZERO) {
            return Err(locked_by_another());
        }
        // The system gives the lock to those that wait one after the other, but cannot be told when to give up. So
        // another thread waits there: when nobody waits for it any more it closes the file, and that unlocks it.
        let (sender, receiver) = channel();
        let file = Arc::new(file);
        let waiting = Arc::clone(&file);
        let wait = move || drop(sender.send((waiting.lock(), waiting)));
        if thread::Builder::new().spawn(wait).is_err() {
            return self.poll(&file, since).map(|locked| (locked, unshared(file)));
        }
        drop(file);
        let mut answer = receiver.recv_timeout(left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        if answer.is_err() && timeout.is_none_or(|timeout| timeout > PATIENCE) {
            self.tell(LockEvent::Waiting);
            answer = match left() {
                Some(left) => receiver.recv_timeout(left),
                None => receiver.recv().map_err(RecvTimeoutError::from),
            };
        }
        let (locked, file) = answer.map_err(|_| locked_by_another())?;
        Ok((locked, unshared(file)))
    }

    /// Waits as [`Layout::wait_for`] does, where the system has no thread for that: by trying again and again.
    fn poll(&self, file: &File, since: Instant) -> Result<io::Result<()>> {
        let timeout = self.write_options().lock_timeout;
        let mut is_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Ok(())),
                Err(TryLockError::Error(error)) => return Ok(Err(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = since.elapsed();
            if let Some(timeout) = timeout.filter(|timeout| waited >= *timeout) {
                return Err(Error::Locked { path: self.path().to_owned(), waited: timeout });
            }
            if waited >= PATIENCE && !is_told {
                self.tell(LockEvent::Waiting);
                is_told = true;
            }
            thread::sleep(POLL);
        }
    }

    fn tell(&self, event: LockEvent) {
        if let Some(LockObserver(observe)) = &self.write_options().lock_observer {
            observe(event);
        }
    }
}
