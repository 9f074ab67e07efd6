//! A progress bar for long work: it appears after half a second and vanishes at the end.

use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use dialoguer::console::measure_text_width;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::style::stderr_width;

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
    /// Why the bar does not move.
    #[cfg(feature = "remote")]
    message: Message,
}

/// The words beside a bar.
type Message = Arc<Mutex<&'static str>>;

impl Progress {
    pub(crate) fn new(label: &str, total: Option<u64>, is_shown: bool) -> Self {
        let message = Message::default();
        let bar = is_shown.then(|| make_bar(label, total, &message));
        Self {
            start: Instant::now(),
            done: AtomicU64::new(0),
            bar,
            appear: Once::new(),
            #[cfg(feature = "remote")]
            message,
        }
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
            *self.message.lock().unwrap_or_else(PoisonError::into_inner) = message;
            bar.tick();
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

fn make_bar(label: &str, total: Option<u64>, message: &Message) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix} [{wide_bar}] {figures}",
        None => "{prefix}: {figures}",
    };
    // The label, what the template has beside it, and the column that terminals keep for the cursor.
    let taken = measure_text_width(label) + if total.is_some() { 5 } else { 3 };
    let message = Arc::clone(message);
    let write_figures = move |state: &ProgressState, line: &mut dyn fmt::Write| {
        let message = *message.lock().unwrap_or_else(PoisonError::into_inner);
        // A failure is ignored; the next figures come soon.
        let _ = line.write_str(&figures(state, message, stderr_width().saturating_sub(taken)));
    };
    let style = ProgressStyle::with_template(template).expect("the template is sound").progress_chars("=> ");
    let style = style.with_key("figures", write_figures);
    ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style).with_prefix(label.to_owned())
}

/// Returns the figures of a bar, as many as there is room for.
fn figures(state: &ProgressState, message: &str, room: usize) -> String {
    let done = match state.len() {
        Some(_) => format!("{:.0}%", (state.fraction() * 100.0).floor()),
        None => HumanBytes(state.pos()).to_string(),
    };
    let rate = format!("{}/s", HumanBytes(state.per_sec() as u64));
    let time = match state.len() {
        Some(_) => format!("{:#} left", HumanDuration(state.eta())),
        None => format!("{:#}", HumanDuration(state.elapsed())),
    };
    let of = state.len().map(|total| format!(" of {}", HumanBytes(total))).unwrap_or_default();
    let space = if message.is_empty() { "" } else { " " };
    let mut choices = vec![format!("{done}{of}, {rate}, {time}{space}{message}")];
    if message.is_empty() {
        choices.extend([format!("{done}, {rate}, {time}"), format!("{done}, {time}")]);
    } else {
        choices.push(format!("{done} {message}"));
    }
    choices.into_iter().find(|choice| choice.len() <= room).unwrap_or(done)
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
