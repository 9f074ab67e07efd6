//! The lock of a layout: how long a writer waits for it, and whom it tells.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::handle::{Layout, Lock};
use super::options::LockEvent;
use super::site::{MARKER_FILE, Site};
use crate::error::{Error, Result};
use crate::fs::{Directory, FileIdentity, cannot_lock};
use crate::metrics::Phase;

/// How long a writer waits before it says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a writer that waits looks whether that is of use.
const LOOK: Duration = Duration::from_millis(50);

/// How long a writer that has no thread to wait on sleeps between two tries.
const POLL: Duration = Duration::from_millis(10);

/// Returns the file that a thread that waited for its lock has given back.
fn unshared(file: Arc<File>) -> File {
    Arc::into_inner(file).expect("the thread has sent its share, or there is no thread")
}

/// Locks an opened file, as the options say, for which this process has waited since a time. It comes back locked, or as
/// it was where the file system has no locks.
pub(crate) fn acquire(site: &Site, file: File, path: &Path, since: Instant) -> Result<File> {
    acquire_unless(site, file, path, since, &|| false)
}

/// Locks a file as [`acquire`] does, but does not wait for long after a function says that the lock is of no use any more.
pub(crate) fn acquire_unless(
    site: &Site,
    file: File,
    path: &Path,
    since: Instant,
    is_over: &dyn Fn() -> bool,
) -> Result<File> {
    let (locked, file) = match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            site.metrics().time(Phase::LockWait, || wait_for(site, file, since, is_over))?
        }
        Err(TryLockError::Error(error)) => (Err(error), file),
    };
    match locked {
        Ok(()) => Ok(file),
        Err(error) if cannot_lock(&error) => {
            tell(site, LockEvent::Unavailable);
            Ok(file)
        }
        Err(error) => Err(Error::io("lock", path)(error)),
    }
}

/// Waits until a file can be locked, and returns the result of locking it.
fn wait_for(site: &Site, file: File, since: Instant, is_over: &dyn Fn() -> bool) -> Result<(io::Result<()>, File)> {
    let timeout = site.write_options().lock_timeout;
    let left = || timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
    let locked_by_another = || Error::Locked { path: site.path().to_owned(), waited: timeout.unwrap_or_default() };
    if left() == Some(Duration::ZERO) {
        return Err(locked_by_another());
    }
    // The system grants the lock to waiting processes in turn, but has no timeout. So another thread waits: after the
    // timeout it closes the file, and that unlocks it.
    let (sender, receiver) = channel();
    let file = Arc::new(file);
    let waiting = Arc::clone(&file);
    let wait = move || drop(sender.send((waiting.lock(), waiting)));
    if thread::Builder::new().spawn(wait).is_err() {
        return poll(site, &file, since, is_over).map(|locked| (locked, unshared(file)));
    }
    drop(file);
    let start = Instant::now();
    // A wait that ends first is not told.
    let mut is_told = timeout.is_some_and(|timeout| timeout <= PATIENCE);
    loop {
        let until_told = if is_told { LOOK } else { PATIENCE.saturating_sub(start.elapsed()) };
        match receiver.recv_timeout(left().map_or(LOOK, |left| left.min(LOOK)).min(until_told)) {
            Ok((locked, file)) => return Ok((locked, unshared(file))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(locked_by_another()),
        }
        if !is_told && start.elapsed() >= PATIENCE {
            tell(site, LockEvent::Waiting);
            is_told = true;
        }
        if is_over() || left() == Some(Duration::ZERO) {
            return Err(locked_by_another());
        }
    }
}

/// Waits as [`wait_for`] does, where the system has no thread for that: by trying again and again.
fn poll(site: &Site, file: &File, since: Instant, is_over: &dyn Fn() -> bool) -> Result<io::Result<()>> {
    let timeout = site.write_options().lock_timeout;
    let mut is_told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Ok(())),
            Err(TryLockError::Error(error)) => return Ok(Err(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = since.elapsed();
        if is_over() || timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(Error::Locked { path: site.path().to_owned(), waited: timeout.unwrap_or_default() });
        }
        if waited >= PATIENCE && !is_told {
            tell(site, LockEvent::Waiting);
            is_told = true;
        }
        thread::sleep(POLL);
    }
}

fn tell(site: &Site, event: LockEvent) {
    if let Some(observer) = &site.write_options().lock_observer {
        observer.call(event);
    }
}

/// The purpose of a lock on a layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Opens a marker to lock it. Some network file systems lock only files that are open for writing: a reader asks for that
/// where it is the only way.
pub(crate) fn open_marker(path: &Path, access: Access) -> io::Result<File> {
    let for_writing = || OpenOptions::new().read(true).write(true).open(path);
    match access {
        Access::Write => for_writing().or_else(|_| File::open(path)),
        Access::Read => {
            let marker = File::open(path)?;
            let cannot_lock = matches!(marker.try_lock(), Err(TryLockError::Error(_)));
            Ok(if cannot_lock { for_writing().unwrap_or(marker) } else { marker })
        }
    }
}

/// Waits until no other process writes, and keeps others from writing.
pub(crate) fn take_lock(layout: &Layout) -> Result<Lock> {
    lock_for(layout, Access::Write)
}

/// Locks a layout if that can be done without waiting.
pub(crate) fn try_lock(layout: &Layout) -> Option<Lock> {
    let marker = open_marker(&layout.site().marker_path(), Access::Write).ok()?;
    marker.try_lock().ok()?;
    let root = layout.site().open_root().ok()?;
    let found = root.find_target(MARKER_FILE).ok()??;
    let is_the_marker = FileIdentity::from_file(&marker).is_ok_and(|locked| locked == found.identity);
    is_the_marker.then(|| Lock::new(marker, root, layout.interrupt()))
}

/// Locks as [`take_lock`] does, for a command that only looks: the user need not be allowed to write.
pub(crate) fn take_lock_to_read(layout: &Layout) -> Result<Lock> {
    lock_for(layout, Access::Read)
}

/// Waits for writers to end, and keeps others from writing until the file is dropped.
pub(crate) fn keep_writers_out(site: &Site) -> Result<File> {
    Ok(lock_marker(site, Access::Read)?.0)
}

pub(crate) fn lock_for(layout: &Layout, access: Access) -> Result<Lock> {
    let (marker, root) = lock_marker(layout.site(), access)?;
    Ok(Lock::new(marker, root, layout.interrupt()))
}

/// Locks the marker. Returns the directory that is locked, too: while this process waited another layout may have taken
/// the place of the one that was there.
pub(crate) fn lock_marker(site: &Site, access: Access) -> Result<(File, Directory)> {
    let path = site.marker_path();
    let since = Instant::now();
    loop {
        let marker = open_marker(&path, access).map_err(Error::io("open", &path))?;
        let marker = acquire(site, marker, &path, since)?;
        let root = site.open_root()?;
        let found = root.find_target(MARKER_FILE).map_err(Error::io("read", &path))?;
        let locked = FileIdentity::from_file(&marker).map_err(Error::io("read", &path))?;
        if found.is_some_and(|found| found.identity == locked) {
            return Ok((marker, root));
        }
    }
}
