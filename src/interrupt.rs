//! Cleans up when a signal ends the process in the middle of an operation.
//!
//! Writers register temporary files here while they own them. The short part of an operation that changes a layout is a
//! [`Section`]. [`abandon`] waits for the running sections, lets no new section begin, and deletes the registered
//! files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static STATE: Mutex<ProcessState> = Mutex::new(ProcessState { sections: 0, is_over: false, made: Vec::new() });

/// Notified when a section ends.
static IDLE: Condvar = Condvar::new();

struct ProcessState {
    /// The number of running sections.
    sections: usize,
    is_over: bool,
    /// Temporary files and directories, in the order of their creation.
    made: Vec<Unfinished>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfinished {
    /// A temporary file, or a directory that is deleted only if it is empty.
    One(PathBuf),
    /// A temporary directory, deleted with its contents.
    Tree(PathBuf),
}

/// Prepares the process to exit: waits for commits in progress and deletes temporary files.
///
/// Call this after a signal, then exit: any other thread that works on a layout blocks forever from now on. Each change
/// of a layout is either complete afterwards or was not made, and no temporary files are left.
pub fn abandon() {
    let mut state = lock();
    state.is_over = true;
    while state.sections > 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    for made in state.made.drain(..).rev() {
        // The owner may be about to delete the file too.
        let _ = match made {
            Unfinished::One(path) => fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)),
            Unfinished::Tree(path) => remove_tree(&path),
        };
    }
}

/// Deletes a directory that another thread may be writing to. Renames it first, so that the writer cannot find it.
fn remove_tree(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    let renamed = PathBuf::from(name);
    fs::rename(path, &renamed)?;
    fs::remove_dir_all(&renamed)
}

/// A part of an operation that is either completed or not begun.
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

/// A temporary file or directory that is deleted if the process is interrupted. Dropping this value only ends the
/// registration.
#[derive(Debug)]
pub(crate) struct Registered(Unfinished);

impl Registered {
    /// Creates a file or directory at a path and registers it, atomically with regard to [`abandon`].
    pub(crate) fn make<T, E>(path: &Path, make: impl FnOnce(&Path) -> Result<T, E>) -> Result<(T, Self), E> {
        let (made, _, registered) = Self::make_named(|| Ok((make(path)?, path.to_owned())))?;
        Ok((made, registered))
    }

    /// Creates a file or directory and registers it at the returned path, atomically with regard to [`abandon`].
    pub(crate) fn make_named<T, E>(make: impl FnOnce() -> Result<(T, PathBuf), E>) -> Result<(T, PathBuf, Self), E> {
        Self::register(Unfinished::One, make)
    }

    /// Creates or renames a directory and registers it, contents included, at the returned path.
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

/// Locks the state. Blocks forever once the process is about to exit.
fn lock_while_on() -> MutexGuard<'static, ProcessState> {
    let mut state = lock();
    // A running section may need more locks to complete.
    while state.is_over && state.sections == 0 {
        state = IDLE.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state
}

fn lock() -> MutexGuard<'static, ProcessState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
