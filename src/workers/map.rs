//! Parallel map with a limit on the number of threads.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use super::{Working, crew};

/// Applies `work` to each item on at most `workers` threads. Returns the results in the order of the items. Uses fewer
/// threads if the system has no more.
///
/// Items are started in order. After a failure no more items are started, and the running ones are awaited. If several
/// fail, the error of the first item in order is returned.
///
/// ```
/// use regshape::internals::map_bounded;
///
/// let squares = map_bounded([1_u32, 2, 3], 2, |number| number.checked_mul(number).ok_or("too large"));
/// assert_eq!(squares, Ok(vec![1, 4, 9]));
/// ```
///
/// # Errors
///
/// The first error of `work`.
pub fn map_bounded<T, R, E>(
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    workers: usize,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    R: Send,
    E: Send,
{
    let items = items.into_iter();
    let workers = items.size_hint().1.unwrap_or(usize::MAX).min(workers).max(1);
    let state = Mutex::new(MapState { items: items.enumerate(), results: Vec::new(), failure: None });
    let state = &state;
    // A panic in `work` resumes here once all threads have ended.
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let (work, lock) = (&work, &lock);
    let run = move || {
        loop {
            let next = {
                let mut state = lock();
                if state.failure.is_some() { None } else { state.items.next() }
            };
            let Some((at, item)) = next else { break };
            let result = work(item);
            let mut state = lock();
            match result {
                Ok(result) => state.results.push((at, result)),
                Err(error) if state.failure.as_ref().is_none_or(|(earliest, _)| at < *earliest) => {
                    state.failure = Some((at, error));
                }
                Err(_) => {}
            }
        }
    };
    thread::scope(|scope| {
        let others = crew(scope, workers - 1, run);
        run();
        others.into_iter().for_each(Working::join);
    });
    let mut state = lock();
    if let Some((_, error)) = state.failure.take() {
        return Err(error);
    }
    let mut results = std::mem::take(&mut state.results);
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The shared state of the threads.
struct MapState<I, R, E> {
    items: I,
    results: Vec<(usize, R)>,
    failure: Option<(usize, E)>,
}

/// Returns the number of threads to use on this machine.
pub(crate) fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::workers::crew::tests::with_threads;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for workers in [0, 1, 2, 7, 1000] {
            let doubled = map_bounded(0..100, workers, |number| Ok::<_, ()>(number * 2));
            assert_eq!(doubled, Ok((0..100).map(|number| number * 2).collect()), "{workers} workers");
        }
        assert_eq!(map_bounded([0; 0], 3, Ok::<_, ()>), Ok(Vec::new()));
    }

    #[test]
    fn so_many_are_done_at_once_and_no_more() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // All three must be running to pass: with fewer the test would hang.
        let barrier = Barrier::new(3);
        let done = map_bounded(0..30, 3, |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            barrier.wait();
            Ok::<_, ()>(())
        });
        assert_eq!(done.map(|done| done.len()), Ok(30));
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn after_a_failure_nothing_is_begun() {
        let begun = AtomicUsize::new(0);
        let failed = map_bounded(0..100, 1, |number| {
            begun.fetch_add(1, Ordering::SeqCst);
            if number < 10 { Ok(number) } else { Err(number) }
        });
        assert_eq!((failed, begun.load(Ordering::SeqCst)), (Err(10), 11));
        // With more workers, the items that have started still finish.
        let (begun, barrier) = (AtomicUsize::new(0), Barrier::new(4));
        let failed = map_bounded(0..100, 4, |number| {
            begun.fetch_add(1, Ordering::SeqCst);
            barrier.wait();
            Err::<(), _>(number)
        });
        assert_eq!((failed, begun.load(Ordering::SeqCst)), (Err(0), 4));
    }

    #[test]
    fn the_first_item_that_fails_is_the_error_even_if_another_fails_before() {
        let barrier = Barrier::new(2);
        let failed = map_bounded(0..2, 2, |number| {
            barrier.wait();
            if number == 0 {
                // The other item has failed, or is about to.
                thread::yield_now();
            }
            Err::<(), _>(number)
        });
        assert_eq!(failed, Err(0));
    }

    #[test]
    fn everything_is_done_where_there_are_fewer_threads() {
        for threads in 0..3 {
            let done = with_threads(threads, || map_bounded(0..100, 4, Ok::<_, ()>));
            assert_eq!(done, Ok((0..100).collect()), "{threads} threads");
        }
    }

    #[test]
    #[should_panic(expected = "as it says")]
    fn a_panic_is_passed_on() {
        let _ = map_bounded(0..4, 2, |number| if number == 3 { panic!("as it says") } else { Ok::<_, ()>(()) });
    }
}
