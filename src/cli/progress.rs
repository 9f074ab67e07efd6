//! A progress bar for what takes long: it appears after half a second and vanishes at the end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on before anything is shown.
const PATIENCE: Duration = Duration::from_millis(500);

/// Counts bytes and shows how far they are.
pub(crate) struct Progress {
    start: Instant,
    total: Option<u64>,
    is_shown: bool,
    done: AtomicU64,
    bar: OnceLock<ProgressBar>,
}

impl Progress {
    pub(super) fn new(total: Option<u64>, is_shown: bool) -> Self {
        Self { start: Instant::now(), total, is_shown, done: AtomicU64::new(0), bar: OnceLock::new() }
    }

    /// Counts bytes that were worked on.
    pub(crate) fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.is_shown && self.start.elapsed() > PATIENCE {
            self.bar.get_or_init(|| self.make_bar()).set_position(done);
        }
    }

    fn make_bar(&self) -> ProgressBar {
        let template = match self.total {
            Some(_) => "[{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            None => "{bytes}, {bytes_per_sec}, {elapsed}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is sound").progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::stderr());
        bar.with_style(style).with_elapsed(self.start.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
