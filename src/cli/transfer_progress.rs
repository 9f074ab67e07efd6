//! The progress of a push or a pull: one bar over all blobs, and a line for each under `--verbose`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::HumanBytes;
use regshape::oci::Descriptor;
use regshape::transfer::TransferEvent;

use super::output::Ui;
use super::progress::Progress;

/// Shows the events of a push or a pull.
pub(crate) struct TransferProgress<'a> {
    ui: &'a Ui,
    words: Words,
    bar: Progress,
    done: AtomicU64,
    /// The number of blobs whose bytes are sent, and which the registry stores now.
    waiting: AtomicU64,
}

/// The words of a direction.
#[derive(Clone, Copy)]
struct Words {
    starts: &'static str,
    done: &'static str,
}

impl<'a> TransferProgress<'a> {
    pub(crate) fn of_push(ui: &'a Ui, to: &str, total: u64) -> Self {
        Self::new(ui, Words { starts: "Uploading", done: "Uploaded " }, "Pushing to", to, total)
    }

    pub(crate) fn of_pull(ui: &'a Ui, from: &str, total: u64) -> Self {
        Self::new(ui, Words { starts: "Downloading", done: "Downloaded " }, "Pulling", from, total)
    }

    fn new(ui: &'a Ui, words: Words, verb: &str, what: &str, total: u64) -> Self {
        let bar = ui.progress(verb, Path::new(what), Some(total));
        Self { ui, words, bar, done: AtomicU64::new(0), waiting: AtomicU64::new(0) }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: TransferEvent<'_>) {
        match event {
            TransferEvent::Bytes(bytes) => {
                self.bar.set(self.done.fetch_add(bytes, Ordering::Relaxed) + bytes);
            }
            TransferEvent::Again(bytes) => {
                self.bar.set(self.done.fetch_sub(bytes, Ordering::Relaxed) - bytes);
            }
            TransferEvent::Started(blob) => self.line(&format!("{} {}...", self.words.starts, described(blob))),
            TransferEvent::Resumed(blob, at) => {
                self.line(&format!("Resumed at {}: {}", HumanBytes(at), described(blob)));
            }
            TransferEvent::Waiting(_) => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                self.bar.say("waiting for the registry");
            }
            TransferEvent::Done(blob) => {
                let left = self
                    .waiting
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| Some(waiting.saturating_sub(1)));
                if left.unwrap_or_default() <= 1 {
                    self.bar.say("");
                }
                self.line(&format!("{} {}", self.words.done, short(blob)));
            }
            TransferEvent::Present(blob) => {
                self.bar.set(self.done.fetch_add(blob.size, Ordering::Relaxed) + blob.size);
                self.line(&format!("{} exists, skipping", described(blob)));
            }
            TransferEvent::Mounted(blob) => {
                self.bar.set(self.done.fetch_add(blob.size, Ordering::Relaxed) + blob.size);
                self.line(&format!("Mounted {}", described(blob)));
            }
            TransferEvent::LeftOut(blob) => self.line(&format!("Left out {}", described(blob))),
            _ => {}
        }
    }

    fn line(&self, text: &str) {
        self.ui.detail(&format!("  {text}"));
    }
}

fn short(blob: &Descriptor) -> String {
    short_digest(&blob.digest)
}

fn described(blob: &Descriptor) -> String {
    format!("{} ({})", short(blob), HumanBytes(blob.size))
}

/// Returns the algorithm and the first twelve characters of a digest.
pub(crate) fn short_digest(digest: &regshape::oci::Digest) -> String {
    let encoded: String = digest.encoded().chars().take(12).collect();
    format!("{}:{encoded}", digest.algorithm_name())
}
