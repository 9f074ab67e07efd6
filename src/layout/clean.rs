//! Cleaning up: deleting the leftovers of killed programs, a step of its own that comes with a change.
//!
//! A leftover that cannot be deleted, such as another user's, is not in the way: [`LeftoverObserver`] is told of it.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::filling::Filling;
use super::handle::{Layout, Lock};
use crate::fs::{for_each_leftover, remove};

/// A function that is called with each leftover that could not be deleted, and why.
#[derive(Clone)]
pub struct LeftoverObserver(Arc<Observe>);

type Observe = dyn Fn(&Path, &io::Error) + Send + Sync;

impl LeftoverObserver {
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

impl Layout {
    /// Deletes the leftovers in the layout.
    pub(super) fn clean(&self, _lock: &Lock) {
        self.clean_directory(self.path());
    }

    /// Deletes the leftovers in a directory of which the caller holds the lock.
    pub(super) fn clean_directory(&self, directory: &Path) {
        self.for_each_leftover(directory, |path, metadata| delete_leftover(directory, path, metadata));
    }

    /// Deletes the leftover directories in a directory that need not be of a layout.
    pub(super) fn clean_directories_in(&self, parent: &Path) {
        self.for_each_leftover(parent, |path, metadata| {
            if metadata.is_dir() { delete_leftover(parent, path, metadata) } else { Ok(()) }
        });
    }

    /// Calls a function with each leftover in a directory, which no other process takes up meanwhile; and the observer with
    /// those for which it fails.
    pub(super) fn for_each_leftover(&self, directory: &Path, work: impl FnMut(&Path, &Metadata) -> io::Result<()>) {
        // What cannot be listed cannot be cleaned; the command itself finds out whether that is in its way.
        let undeleted = for_each_leftover(directory, work).unwrap_or_default();
        if let Some(LeftoverObserver(observe)) = &self.write_options().leftover_observer {
            undeleted.iter().for_each(|leftover| observe(&leftover.path, &leftover.error));
        }
    }
}

/// Deletes a leftover in a directory, and what it was about to become there.
pub(super) fn delete_leftover(directory: &Path, path: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        Filling::undo(directory, path)?;
    }
    remove(path)
}
