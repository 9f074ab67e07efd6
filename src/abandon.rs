//! Giving up: what a process takes away when it is told to end in the middle of its work.
//!
//! What a writer makes under a name that does not count is registered here while it has it, and the short part of the
//! work that changes a layout is a [`Section`]. [`abandon`] waits for the sections that have begun, lets no other begin,
//! and takes away what is registered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static STATE: Mutex<State> = Mutex::new(State { sections: 0, is_over: false, made: Vec::new() });

/// The end of the last section.
static IDLE: Condvar = Condvar::new();

struct State {
    /// How many sections have begun and not ended.
    sections: usize,
    is_over: bool,
    /// Temporary files, and directories that will be deleted if they are empty, in the order in which they were made.
    made: Vec<PathBuf>,
}

/// Makes this process fit to end: what it has not finished is taken away, and what is about to be finished is waited for.
///
/// A program calls this when a signal tells it to end, and then ends: from now on, whoever works on a layout in this
/// process waits forever. Each change of a layout is either whole afterwards or not made, and no temporary file is left.
pub fn abandon() {
    let mut state = lock();
    state.is_over = true;
    while state.sections > 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    for path in state.made.drain(..).rev() {
        // Whoever made it may be about to delete it too.
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
}

/// Work that is either done as a whole or not begun.
#[derive(Debug)]
pub(crate) struct Section(());

impl Section {
    pub(crate) fn begin() -> Self {
        lock_while_on().sections += 1;
        Self(())
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        lock().sections -= 1;
        IDLE.notify_all();
    }
}

/// A file or directory that must not stay as it is. It is forgotten, not deleted, when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered(PathBuf);

impl Registered {
    /// Makes something at a path and registers it, both at once as [`abandon`] sees it.
    pub(crate) fn make<T, E>(path: &Path, make: impl FnOnce(&Path) -> Result<T, E>) -> Result<(T, Self), E> {
        let mut state = lock_while_on();
        let made = make(path)?;
        state.made.push(path.to_owned());
        Ok((made, Self(path.to_owned())))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock().made.retain(|path| *path != self.0);
    }
}

/// Locks the state, or never returns.
fn lock_while_on() -> MutexGuard<'static, State> {
    let mut state = lock();
    // A section that has begun may need more to come to its end.
    while state.is_over && state.sections == 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
