//! Reading layouts while other processes change them: if a blob disappeared because an image was replaced or deleted,
//! the work is repeated with the new state.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::index_view::View;
use crate::error::{Error, Result};
use crate::interrupt::Registered;
use crate::layout::handle::Layout;
use crate::layout::lock::keep_writers_out;

/// How often work is tried without a lock.
const TRIES: usize = 3;

/// How often work is then tried with writers locked out, if it releases the locks before it copies blobs.
const LOCKED_TRIES: usize = 3;

/// An attempt at work with views.
#[derive(Debug, Default)]
pub struct Reading {
    /// The locks that keep writers out of the layouts during the last attempts.
    locks: Vec<Registered>,
    are_writers_out: bool,
    lets_writers_in: bool,
    cannot_begin_again: bool,
    is_blob_gone: bool,
}

impl Reading {
    /// Records that the work has started output that cannot be repeated: from here on, an error is final.
    pub fn cannot_begin_again(&mut self) {
        self.cannot_begin_again = true;
    }

    /// Checks that no layout was changed since it was opened, so that the results of the work are not outdated.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`], after which the work is repeated.
    pub fn expect_unchanged(&self, views: &[View]) -> Result<()> {
        let can_be_done_again = !self.are_writers_out && !self.cannot_begin_again;
        match views.iter().find(|view| view.is_outdated()).filter(|_| can_be_done_again) {
            Some(view) => Err(Error::Changed { path: view.path().to_owned() }),
            None => Ok(()),
        }
    }

    /// Releases the locks: the work has read its documents, and is about to take locks itself. If it fails because a
    /// layout was changed since, it is repeated.
    pub fn let_writers_in(&mut self) {
        self.locks.clear();
        self.lets_writers_in = true;
    }

    /// Passes on the result of copying blobs that the work found before. If a blob is gone, the work is repeated once,
    /// even if no document of a view was replaced: the blob may have been an unreferenced blob of the target layout.
    ///
    /// # Errors
    ///
    /// That of the result.
    pub fn copied<T>(&mut self, result: Result<T>) -> Result<T> {
        self.is_blob_gone |= matches!(result, Err(Error::MissingBlob { .. }));
        result
    }
}

impl View {
    /// Runs work on views. If it fails, and the layout of a view was changed since it was opened, the work is repeated
    /// with the new state: three times in all without locks, and then with writers locked out. Work that releases these
    /// locks before it is done is tried three times that way.
    ///
    /// # Errors
    ///
    /// Those of the work; [`Error::Locked`]; those of [`View::of`].
    pub fn reading<T, E: From<Error>>(
        mut views: Vec<Self>,
        mut work: impl FnMut(&[Self], &mut Reading) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut was_blob_gone = false;
        for attempt in 1.. {
            let mut reading = Reading { are_writers_out: attempt > TRIES, ..Reading::default() };
            if reading.are_writers_out {
                reading.locks = Self::keep_writers_out(&views)?;
            }
            if attempt > 1 {
                views = Self::reopened(&views)?;
            }
            let result = work(&views, &mut reading);
            if result.is_ok() || reading.cannot_begin_again || attempt == TRIES + LOCKED_TRIES {
                return result;
            }
            let may_change = !reading.are_writers_out || reading.lets_writers_in;
            let is_changed = may_change && views.iter().any(Self::is_outdated);
            if !is_changed && (was_blob_gone || !reading.is_blob_gone) {
                return result;
            }
            was_blob_gone |= reading.is_blob_gone;
        }
        unreachable!("the attempts are bounded")
    }

    /// Returns whether the documents of the layout were replaced since it was opened.
    fn is_outdated(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is_outdated())
    }

    fn reopened(views: &[Self]) -> Result<Vec<Self>> {
        let reopen = |view: &Self| match &view.origin {
            Some(origin) => Self::of(origin.layout.clone()),
            None => Ok(view.clone()),
        };
        views.iter().map(reopen).collect()
    }

    /// Locks each layout once, in an order that is the same in all processes.
    fn keep_writers_out(views: &[Self]) -> Result<Vec<Registered>> {
        let layouts = views.iter().filter_map(|view| view.origin.as_ref()).map(|origin| &origin.layout);
        let by_place: BTreeMap<_, _> = layouts
            .map(|layout| (fs::canonicalize(layout.path()).unwrap_or_else(|_| layout.path().into()), layout))
            .collect();
        let locked = |layout: &Layout| {
            keep_writers_out(layout.site()).map(|marker| layout.interrupt().register_lock(Arc::new(marker)))
        };
        by_place.into_values().map(locked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Referrer;
    use crate::layout::lock::take_lock;
    use crate::oci::Digest;

    /// Creates a layout, and a view of it.
    fn layout() -> (tempfile::TempDir, Layout, View) {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Layout::init(directory.path().join("image")).expect("made");
        let view = View::open(layout.path()).expect("a view");
        (directory, layout, view)
    }

    fn replace_index(layout: &Layout) {
        let (path, new) = (layout.path().join("index.json"), layout.path().join("new"));
        fs::copy(&path, &new).expect("copied");
        fs::rename(new, path).expect("renamed");
    }

    fn failure() -> Error {
        Error::NoLayers
    }

    #[test]
    fn work_is_done_again_only_where_a_layout_was_changed() {
        let (_directory, layout, view) = layout();
        for (changes, fails, expected, is_right) in
            [(0, 9, 1, false), (0, 0, 1, true), (1, 1, 2, true), (2, 2, 3, true), (9, 3, 4, true), (9, 9, 4, false)]
        {
            let mut times = 0;
            let result = View::reading(View::reopened(std::slice::from_ref(&view)).expect("opened"), |_, _| {
                times += 1;
                if times <= changes {
                    replace_index(&layout);
                }
                if times <= fails { Err(failure()) } else { Ok(()) }
            });
            assert_eq!((times, result.is_ok()), (expected, is_right), "{changes} changes, {fails} failures");
        }
    }

    #[test]
    fn work_that_cannot_begin_again_does_not() {
        let (_directory, layout, view) = layout();
        let mut times = 0;
        let result: Result<()> = View::reading(vec![view], |_, reading| {
            times += 1;
            replace_index(&layout);
            reading.cannot_begin_again();
            Err(failure())
        });
        assert!(result.is_err());
        assert_eq!(times, 1);
    }

    #[test]
    fn at_the_last_attempt_writers_are_kept_out_of_each_layout_once() {
        let (_directory, layout, view) = layout();
        let mut times = 0;
        // Two views of one layout: locking it twice would be a deadlock.
        let done: Result<()> = View::reading(vec![view.clone(), view], |views, reading| {
            times += 1;
            assert_eq!(reading.locks.len(), usize::from(times == 4));
            if times < 4 {
                replace_index(&layout);
                return reading.expect_unchanged(views);
            }
            replace_index(&layout);
            reading.expect_unchanged(views)?;
            reading.let_writers_in();
            take_lock(&layout).map(drop)
        });
        done.expect("done");
        assert_eq!(times, 4);
    }

    #[test]
    fn work_that_lets_writers_in_before_it_copies_is_done_again_but_not_for_ever() {
        let (_directory, layout, view) = layout();
        for (fails, expected, is_right) in [(4, 5, true), (5, 6, true), (9, 6, false)] {
            let mut times = 0;
            let result: Result<()> = View::reading(vec![view.clone()], |_, reading| {
                times += 1;
                reading.let_writers_in();
                // The lock must be free.
                let lock = take_lock(&layout)?;
                replace_index(&layout);
                drop(lock);
                if times <= fails { Err(failure()) } else { Ok(()) }
            });
            assert_eq!((times, result.is_ok()), (expected, is_right), "{fails} failures");
        }
    }

    #[test]
    fn work_that_misses_a_blob_is_done_again_once_where_no_document_was_replaced() {
        let (_directory, _layout, view) = layout();
        let digest = Digest::sha256_of(b"");
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: Referrer::Index };
        for (fails, expected, is_right) in [(0, 1, true), (1, 2, true), (9, 2, false)] {
            let mut times = 0;
            let result: Result<()> = View::reading(vec![view.clone()], |_, reading| {
                times += 1;
                reading.copied(if times <= fails { Err(missing()) } else { Ok(()) })
            });
            assert_eq!((times, result.is_ok()), (expected, is_right), "{fails} failures");
        }
    }
}
