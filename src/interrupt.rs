//! Ending a process in the middle of its work without leaving temporary files.
//!
//! Temporary files are registered here while they exist, and the short part of the work that changes a layout is a
//! [`Section`]. [`abandon`] waits for the sections that have begun, lets no other begin, and deletes the registered
//! files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static STATE: Mutex<ProcessState> = Mutex::new(ProcessState { sections: 0, is_over: false, made: Vec::new() });

/// The end of the last section.
static IDLE: Condvar = Condvar::new();

struct ProcessState {
    /// How many sections have begun and not ended.
    sections: usize,
    is_over: bool,
    /// Temporary files, and directories, in the order in which they were made.
    made: Vec<Unfinished>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfinished {
    /// A temporary file, or a directory that is deleted only if it is empty.
    One(PathBuf),
    /// A temporary directory, which goes with all that is in it.
    Tree(PathBuf),
}

/// Prepares the process to exit: waits for commits in progress and deletes temporary files.
///
/// A program calls this when a signal tells it to end, and then ends: from now on, other work on a layout in this
/// process waits forever. Each change of a layout is either whole afterwards or not made, and no temporary file is
/// left.
pub fn abandon() {
    let mut state = lock();
    state.is_over = true;
    while state.sections > 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    for made in state.made.drain(..).rev() {
        // Its maker may be about to delete it too.
        let _ = match made {
            Unfinished::One(path) => fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)),
            Unfinished::Tree(path) => remove_tree(&path),
        };
    }
}

/// Deletes a directory that another thread may be writing into: it is renamed first, so that the writer no longer finds
/// it.
fn remove_tree(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    let renamed = PathBuf::from(name);
    fs::rename(path, &renamed)?;
    fs::remove_dir_all(&renamed)
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
pub(crate) struct Registered(Unfinished);

impl Registered {
    /// Makes something at a path and registers it, both at once as [`abandon`] sees it.
    pub(crate) fn make<T, E>(path: &Path, make: impl FnOnce(&Path) -> Result<T, E>) -> Result<(T, Self), E> {
        let (made, _, registered) = Self::make_named(|| Ok((make(path)?, path.to_owned())))?;
        Ok((made, registered))
    }

    /// Makes something and registers it at the path that it got, both at once as [`abandon`] sees it.
    pub(crate) fn make_named<T, E>(make: impl FnOnce() -> Result<(T, PathBuf), E>) -> Result<(T, PathBuf, Self), E> {
        Self::register(Unfinished::One, make)
    }

    /// Makes a directory that goes with all that is in it, or renames it, and registers it at the path that it got.
    pub(crate) fn make_tree<T, E>(make: impl FnOnce() -> Result<(T, PathBuf), E>) -> Result<(T, PathBuf, Self), E> {
        Self::register(Unfinished::Tree, make)
    }

    fn register<T, E>(
        entry: fn(PathBuf) -> Unfinished,
        make: impl FnOnce() -> Result<(T, PathBuf), E>,
    ) -> Result<(T, PathBuf, Self), E> {
        let mut state = lock_while_on();
        let (made, path) = make()?;
        let entry = entry(path.clone());
        state.made.push(entry.clone());
        Ok((made, path, Self(entry)))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock().made.retain(|made| *made != self.0);
    }
}

/// Locks the state, or never returns.
fn lock_while_on() -> MutexGuard<'static, ProcessState> {
    let mut state = lock();
    // A section that has begun may need more to come to its end.
    while state.is_over && state.sections == 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state
}

fn lock() -> MutexGuard<'static, ProcessState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
