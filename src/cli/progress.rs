//! A progress bar for long work: it appears after half a second and vanishes at the end.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on before anything is shown.
const PATIENCE: Duration = Duration::from_millis(500);

/// The bar that is on the screen, for those who write there too.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Counts bytes and shows how far they are.
pub(crate) struct Progress {
    start: Instant,
    done: AtomicU64,
    /// There from the start, because it measures the speed, but hidden at first.
    bar: Option<ProgressBar>,
    appear: Once,
}

impl Progress {
    pub(crate) fn new(label: &str, total: Option<u64>, is_shown: bool) -> Self {
        let bar = is_shown.then(|| make_bar(label, total));
        Self { start: Instant::now(), done: AtomicU64::new(0), bar, appear: Once::new() }
    }

    /// Returns a reader that shows how far it is.
    pub(crate) fn reader<R: Read>(&self, reader: R) -> ProgressReader<'_, R> {
        ProgressReader { progress: self, reader }
    }

    /// Counts bytes that were worked on.
    pub(crate) fn advance(&self, bytes: u64) {
        self.set(self.done.fetch_add(bytes, Ordering::Relaxed) + bytes);
    }

    /// Says beside the bar why it does not move.
    #[cfg(feature = "remote")]
    pub(crate) fn say(&self, message: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        }
    }

    /// Sets the number of bytes that were worked on.
    pub(crate) fn set(&self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(bytes);
        if self.start.elapsed() > PATIENCE {
            self.appear.call_once(|| {
                *shown() = Some(bar.clone());
                bar.set_draw_target(ProgressDrawTarget::stderr());
            });
        }
    }
}

/// Reads from another reader, and shows how far it is.
pub(crate) struct ProgressReader<'a, R> {
    progress: &'a Progress,
    reader: R,
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.advance(read as u64);
        Ok(read)
    }
}

fn make_bar(label: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix} [{wide_bar}] {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left {msg}",
        None => "{prefix}: {bytes}, {bytes_per_sec}, {elapsed}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is sound").progress_chars("=> ");
    ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style).with_prefix(label.to_owned())
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *shown() = None;
            bar.finish_and_clear();
        }
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes something while no bar is on the screen.
pub(crate) fn without_bar(write: impl FnOnce()) {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Takes the bar off the screen for good.
#[cfg(unix)]
pub(crate) fn clear() {
    let bar = shown().take();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
