//! The entries of `index.json` as commands on a place read them: a layout that is not there, or has no `index.json`, has none.

use std::fs;
use std::io::ErrorKind;

use super::handle::{BLOBS_DIRECTORY, Layout};
use crate::error::{Error, Reason, Result};
use crate::graph::walk::INDEX_FILE;
use crate::oci::{Index, MediaType};

/// Returns whether there is a layout.
///
/// # Errors
///
/// [`Error::MalformedMarker`], [`Error::LayoutVersion`]; [`Error::Io`].
pub(crate) fn is_layout(layout: &Layout) -> Result<bool> {
    match layout.check_marker() {
        Ok(_) => Ok(true),
        Err(Error::NotALayout { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads `index.json`, with its own names moved to its entries.
///
/// # Errors
///
/// Those of [`is_layout`]; [`Error::MalformedIndex`].
pub(crate) fn read_entries(layout: &Layout) -> Result<Index> {
    if !is_layout(layout)? {
        return Ok(Index::empty());
    }
    check_blobs(layout)?;
    if !has_index(layout) {
        return Ok(Index::empty());
    }
    let index = layout.read_index()?;
    check_media_type(layout, index.media_type.as_ref())?;
    Ok(index.with_own_names_on_entries())
}

/// Checks a layout, if there is one, before its entries are read for the first time.
///
/// # Errors
///
/// Those of [`read_entries`].
pub(crate) fn check_entries(layout: &Layout) -> Result<()> {
    if !is_layout(layout)? {
        return Ok(());
    }
    check_blobs(layout)?;
    if has_index(layout) {
        check_media_type(layout, layout.check_index()?.as_ref())?;
    }
    Ok(())
}

/// Returns whether there is an `index.json`. A marker alone makes a layout that holds nothing.
fn has_index(layout: &Layout) -> bool {
    let found = fs::symlink_metadata(layout.path().join(INDEX_FILE));
    !found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Checks that the `mediaType` of `index.json`, if it has one, is that of an index.
fn check_media_type(layout: &Layout, media_type: Option<&MediaType>) -> Result<()> {
    match media_type {
        Some(other) if !other.is_index() => {
            let reason = Reason::new(format!("its mediaType is {other}"));
            Err(Error::MalformedIndex { path: layout.path().to_owned(), reason })
        }
        _ => Ok(()),
    }
}

/// Checks that `blobs` is a directory, if it is there.
fn check_blobs(layout: &Layout) -> Result<()> {
    let blobs = layout.path().join(BLOBS_DIRECTORY);
    if blobs.exists() && !blobs.is_dir() {
        return Err(Error::io("read", blobs)(ErrorKind::NotADirectory.into()));
    }
    Ok(())
}
