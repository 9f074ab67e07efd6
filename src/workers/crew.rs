//! Scoped threads: single workers, and crews that run the same work.

use std::any::Any;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

type Work<'scope, T> = Box<dyn FnOnce() -> T + Send + 'scope>;

/// A scoped thread that waits for its work. The thread ends if the worker is dropped.
pub(crate) struct Worker<'scope, T> {
    handle: ScopedJoinHandle<'scope, Option<T>>,
    work: SyncSender<Work<'scope, T>>,
}

/// A thread that is running its work.
pub(crate) struct Working<'scope, T>(ScopedJoinHandle<'scope, Option<T>>);

/// Starts a thread.
///
/// # Errors
///
/// The error of the operating system if no thread can be started.
pub(crate) fn worker<'scope, T: Send + 'scope>(scope: &'scope Scope<'scope, '_>) -> io::Result<Worker<'scope, T>> {
    let (work, next) = sync_channel::<Work<'scope, T>>(1);
    let handle = spawn(scope, move || next.recv().ok().map(|work| work()))?;
    Ok(Worker { handle, work })
}

/// Starts up to `count` threads that all run the same work. Starts fewer if the system has no more.
pub(crate) fn crew<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: impl Fn() -> T + Send + Copy + 'scope,
) -> Vec<Working<'scope, T>> {
    (0..count).map_while(|_| spawn(scope, move || Some(work())).ok()).map(Working).collect()
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    #[cfg(test)]
    tests::check_limit()?;
    Builder::new().spawn_scoped(scope, work)
}

impl<'scope, T> Worker<'scope, T> {
    /// Passes the thread its work.
    pub(crate) fn start(self, work: impl FnOnce() -> T + Send + 'scope) -> Working<'scope, T> {
        self.work.send(Box::new(work)).expect("the thread waits for its work");
        Working(self.handle)
    }
}

impl<T> Working<'_, T> {
    /// Waits until the work is done. Resumes a panic of the thread.
    pub(crate) fn join(self) -> T {
        let done: Result<Option<T>, Box<dyn Any + Send>> = self.0.join();
        done.unwrap_or_else(|panic| resume_unwind(panic)).expect("the thread has its work")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    thread_local! {
        /// The number of threads that the current thread may still start.
        static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Runs work with a limit on the number of threads that the current thread can start.
    pub(crate) fn with_threads<T>(count: usize, work: impl FnOnce() -> T) -> T {
        LEFT.set(count);
        let done = work();
        LEFT.set(usize::MAX);
        done
    }

    pub(super) fn check_limit() -> io::Result<()> {
        let left = LEFT.get().checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        LEFT.set(left);
        Ok(())
    }

    #[test]
    fn a_thread_does_its_work_and_one_without_work_ends() {
        thread::scope(|scope| {
            let (one, other) = (worker::<i32>(scope).expect("started"), worker::<i32>(scope).expect("started"));
            drop(other);
            assert_eq!(one.start(|| 7).join(), 7);
            assert_eq!(crew(scope, 3, || 5).into_iter().map(Working::join).sum::<i32>(), 15);
        });
    }

    #[test]
    fn where_there_are_no_threads_nothing_panics() {
        with_threads(2, || {
            thread::scope(|scope| {
                assert_eq!(crew(scope, 3, || 5).len(), 2);
                assert_eq!(worker::<()>(scope).err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
            });
        });
    }

    #[test]
    #[should_panic(expected = "as it says")]
    fn a_panic_is_passed_on() {
        thread::scope(|scope| worker::<()>(scope).expect("started").start(|| panic!("as it says")).join());
    }
}
