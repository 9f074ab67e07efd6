//! Metrics of the work on a layout: time per phase, bytes and blobs.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

thread_local! {
    /// The time already measured in nested calls of the current measurement.
    static NESTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Runs work. Returns its duration without the time measured in nested calls.
fn without_nested<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let outer = NESTED.replace(Duration::ZERO);
    let start = Instant::now();
    let result = work();
    let elapsed = start.elapsed();
    let nested = NESTED.replace(outer + elapsed);
    (result, elapsed.saturating_sub(nested))
}

/// A callback that is called with the number of bytes read or written since the last call, or none.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use regshape::metrics::Progress;
///
/// let read = AtomicU64::new(0);
/// let count = |bytes| _ = read.fetch_add(bytes, Ordering::Relaxed);
/// Progress::new(&count).add(7);
/// Progress::none().add(7);
/// assert_eq!(read.into_inner(), 7);
/// ```
#[derive(Clone, Copy, Default)]
pub struct Progress<'a>(Option<&'a (dyn Fn(u64) + Sync)>);

impl<'a> Progress<'a> {
    /// Returns a progress with a callback.
    #[must_use]
    pub fn new(callback: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self(Some(callback))
    }

    /// Returns a progress without a callback.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Calls the callback.
    pub fn add(self, bytes: u64) {
        self.0.into_iter().for_each(|callback| callback(bytes));
    }
}

impl<'a, F: Fn(u64) + Sync> From<&'a F> for Progress<'a> {
    fn from(callback: &'a F) -> Self {
        Self::new(callback)
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.map(|_| "Fn(u64)")).finish()
    }
}

/// A phase of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading input, blobs and documents.
    Read,
    /// Compressing and decompressing.
    Compress,
    /// Computing digests.
    Hash,
    /// Writing blobs and documents.
    Write,
    /// Waiting for the disk.
    Sync,
    /// Waiting for other writers.
    LockWait,
}

impl Phase {
    /// All phases, in display order.
    pub const ALL: [Self; 6] = [Self::Read, Self::Compress, Self::Hash, Self::Write, Self::Sync, Self::LockWait];

    /// Returns the display name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Compress => "compress",
            Self::Hash => "hash",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::LockWait => "lock wait",
        }
    }
}

/// The counters of one layout handle. They never decrease, and the work of all threads is summed.
#[derive(Debug, Default)]
pub struct Metrics {
    nanoseconds: [AtomicU64; Phase::ALL.len()],
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    blobs_read: AtomicU64,
    blobs_written: AtomicU64,
}

impl Metrics {
    /// Returns the time spent in a phase so far.
    pub fn time_in(&self, phase: Phase) -> Duration {
        Duration::from_nanos(self.nanoseconds[phase as usize].load(Ordering::Relaxed))
    }

    /// Returns the number of bytes read: input files, blobs and documents.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes written to blobs and documents.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    /// Returns the number of blobs opened for reading.
    pub fn blobs_read(&self) -> u64 {
        self.blobs_read.load(Ordering::Relaxed)
    }

    /// Returns the number of blobs stored.
    pub fn blobs_written(&self) -> u64 {
        self.blobs_written.load(Ordering::Relaxed)
    }

    /// Runs work and adds its duration to a phase, without the time of nested phases.
    pub(crate) fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let (result, own) = without_nested(work);
        self.add(phase, own);
        result
    }

    /// Runs a wait, for another thread for example, whose duration counts for no phase.
    pub(crate) fn wait<T>(work: impl FnOnce() -> T) -> T {
        without_nested(work).0
    }

    /// Adds time that was measured elsewhere.
    pub(crate) fn add(&self, phase: Phase, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[phase as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_written(&self, bytes: usize) {
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_blob_read(&self) {
        self.blobs_read.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_blob_written(&self) {
        self.blobs_written.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reader that counts the bytes and the time of another reader.
pub(crate) struct CountedReader<'a, R> {
    metrics: &'a Metrics,
    reader: R,
}

impl<R: Read> Read for CountedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.metrics.time(Phase::Read, || self.reader.read(buffer))?;
        self.metrics.count_read(read);
        Ok(read)
    }
}

impl Metrics {
    /// Returns a reader that counts its bytes and time in these metrics.
    pub(crate) fn reader<R: Read>(&self, reader: R) -> CountedReader<'_, R> {
        CountedReader { metrics: self, reader }
    }
}
