//! Ends work with nothing half done.
//!
//! Writers register temporary files with an [`Interrupt`] while they own them. The short part of an operation that
//! changes a layout is a [`Section`]. [`Interrupt::abandon`] waits for the running sections, lets no new section begin,
//! and deletes the registered files. There is nothing global: work with another `Interrupt` goes on, also on the same
//! layout: a thread that is blocked forever gives back its locks first.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Ends all work that carries a clone of this value: a command before its process exits, or a request of a server.
///
/// Work carries it in [`WriteOptions::interrupt`](crate::layout::WriteOptions#structfield.interrupt). A default value
/// belongs to no other work, and is never abandoned unless the caller keeps a clone.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// use regshape::Interrupt;
/// use regshape::layout::{Layout, WriteOptions};
///
/// let interrupt = Interrupt::default();
/// let options = WriteOptions::default().interrupt(interrupt.clone());
/// let layout = Layout::init_with(&path, &options)?;
///
/// // On another thread, when a signal arrives: work on `layout` stops, and the process can exit.
/// interrupt.abandon();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when a section ends.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of running sections.
    sections: usize,
    is_over: bool,
    /// Temporary files and directories, and locks, in the order of their creation.
    made: Vec<Unfinished>,
}

#[derive(Clone, Debug)]
enum Unfinished {
    /// A temporary file, or a directory that is deleted only if it is empty.
    One(PathBuf),
    /// A temporary directory, deleted with its contents.
    Tree(PathBuf),
    /// A locked file, which is unlocked.
    Lock(Arc<File>),
}

impl PartialEq for Unfinished {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) | (Self::Tree(one), Self::Tree(other)) => one == other,
            (Self::Lock(one), Self::Lock(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interrupt").finish_non_exhaustive()
    }
}

impl Interrupt {
    /// Ends the work: waits for commits in progress, deletes temporary files and gives back the locks of layouts.
    ///
    /// Each change of a layout that the work was to make is complete when this returns, or is never made. Of the work's
    /// temporary files those stay that cannot be deleted; the next command that changes the layout deletes them.
    ///
    /// A thread that does the work is not stopped at once. It goes on reading and computing, and blocks forever where it
    /// would create a file or change a layout, or returns an error because a temporary file is gone. So the process
    /// should exit, or leave such threads alone: they keep their memory and their open files, but no lock, and other
    /// work, with another value, goes on in the same layouts.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state.is_over = true;
        while state.sections > 0 {
            state = self.wait(state);
        }
        for made in state.made.drain(..).rev() {
            // The owner may be about to delete the file too.
            let _ = match made {
                Unfinished::One(path) => fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)),
                Unfinished::Tree(path) => remove_tree(&path),
                Unfinished::Lock(file) => file.unlock(),
            };
        }
    }

    /// Begins a part of an operation that is either completed or not begun.
    pub(crate) fn begin_section(&self) -> Section {
        self.lock_while_on(|| ()).sections += 1;
        Section(self.clone())
    }

    /// Begins a section of a thread that has locked files. They are unlocked before the thread blocks forever.
    pub(crate) fn begin_section_with<'f>(&self, locked: impl IntoIterator<Item = &'f File>) -> Section {
        self.lock_while_on(|| locked.into_iter().for_each(unlock)).sections += 1;
        Section(self.clone())
    }

    /// Returns a value that work goes on with. Once the work is abandoned, drops it and blocks forever.
    pub(crate) fn keep<T>(&self, value: T) -> T {
        let mut value = Some(value);
        drop(self.lock_while_on(|| value = None));
        value.expect("the work was not abandoned")
    }

    /// Registers a locked file, which is unlocked if the work is abandoned. Its owner uses it in sections only, or does
    /// not depend on the lock.
    pub(crate) fn register_lock(&self, file: Arc<File>) -> Registered {
        let mut state = self.lock_while_on(|| unlock(&file));
        let entry = Unfinished::Lock(file);
        state.made.push(entry.clone());
        drop(state);
        Registered { interrupt: self.clone(), entry }
    }

    /// Creates a file or directory at a path and registers it, atomically with regard to [`Interrupt::abandon`].
    pub(crate) fn make<T, E>(
        &self,
        path: &Path,
        make: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<(T, Registered), E> {
        let (made, _, registered) = self.make_named(|| Ok((make(path)?, path.to_owned())))?;
        Ok((made, registered))
    }

    /// Creates a file or directory and registers it at the returned path, atomically with regard to
    /// [`Interrupt::abandon`].
    pub(crate) fn make_named<T, E>(
        &self,
        make: impl FnOnce() -> Result<(T, PathBuf), E>,
    ) -> Result<(T, PathBuf, Registered), E> {
        self.register(Unfinished::One, make)
    }

    /// Creates or renames a directory and registers it, contents included, at the returned path.
    pub(crate) fn make_tree<T, E>(
        &self,
        make: impl FnOnce() -> Result<(T, PathBuf), E>,
    ) -> Result<(T, PathBuf, Registered), E> {
        self.register(Unfinished::Tree, make)
    }

    fn register<T, E>(
        &self,
        entry: fn(PathBuf) -> Unfinished,
        make: impl FnOnce() -> Result<(T, PathBuf), E>,
    ) -> Result<(T, PathBuf, Registered), E> {
        let mut state = self.lock_while_on(|| ());
        let (made, path) = make()?;
        let entry = entry(path.clone());
        state.made.push(entry.clone());
        drop(state);
        Ok((made, path, Registered { interrupt: self.clone(), entry }))
    }

    /// Locks the state. Once the work is abandoned, calls `release` and blocks forever.
    fn lock_while_on(&self, release: impl FnOnce()) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let mut release = Some(release);
        // A running section may need more locks to complete. After the last one none begins.
        while state.is_over && state.sections == 0 {
            if let Some(release) = release.take() {
                release();
            }
            state = self.wait(state);
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&'s self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.0.idle.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unlocks a file. Where the system has no locks there is nothing to do.
fn unlock(file: &File) {
    let _ = file.unlock();
}

/// How often the deletion of a directory is tried, and the time between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// Deletes a directory that another thread may be writing to. Renames it first, so that the writer cannot find it.
fn remove_tree(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    let renamed = PathBuf::from(name);
    fs::rename(path, &renamed)?;
    // A writer that uses descriptors may be in the middle of a last change.
    for _ in 1..TRIES {
        match fs::remove_dir_all(&renamed) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => thread::sleep(PAUSE),
            removed => return removed,
        }
    }
    fs::remove_dir_all(&renamed)
}

/// A part of an operation that is either completed or not begun.
#[derive(Debug)]
pub(crate) struct Section(Interrupt);

impl Drop for Section {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.sections -= 1;
        // No thread waits before the work is abandoned, and each call asks the system.
        if state.is_over {
            self.0.0.idle.notify_all();
        }
    }
}

/// A temporary file or directory that is deleted, or a lock that is given back, if the work is abandoned. Dropping this
/// value only ends the registration.
#[derive(Debug)]
pub(crate) struct Registered {
    interrupt: Interrupt,
    entry: Unfinished,
}

impl Registered {
    /// Returns the value that this is registered with.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.interrupt.lock().made.retain(|made| *made != self.entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn abandoned_work_stops_without_its_files_and_other_work_goes_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let (stopped, running) = (Interrupt::default(), Interrupt::default());
        let make = |interrupt: &Interrupt, name: &str| {
            let path = directory.path().join(name);
            let (_, registered) = interrupt.make(&path, |path| fs::write(path, "half")).expect("made");
            (path, registered)
        };
        let (lost, _lost) = make(&stopped, "lost");
        let (kept, _kept) = make(&running, "kept");
        let section = stopped.begin_section();
        let (sender, receiver) = channel();
        let (ending, waiting) = (stopped.clone(), sender.clone());
        thread::spawn(move || {
            ending.abandon();
            sender.send("abandoned").expect("received");
        });
        // A section that runs is waited for.
        assert_eq!(receiver.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
        assert!(lost.exists());
        drop(section);
        assert_eq!(receiver.recv(), Ok("abandoned"));
        assert_eq!((lost.exists(), kept.exists()), (false, true));
        let blocked = stopped.clone();
        thread::spawn(move || {
            let _section = blocked.begin_section();
            waiting.send("begun").expect("received");
        });
        drop(running.begin_section());
        assert_eq!(receiver.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
    }
}
