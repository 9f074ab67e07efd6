//! The entries of `index.json` as commands on a place read them: a layout that is not there, or has no `index.json`, has none.

use std::fs;
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};

use super::document_files::ReadDocument;
use super::handle::Layout;
use super::site::{BLOBS_DIRECTORY, Site};
use crate::error::{Error, Reason, Result};
use crate::graph::walk::INDEX_FILE;
use crate::oci::{Index, MediaType};

/// Reads the `index.json` of the layout at a site, with its own names moved to its entries.
///
/// # Errors
///
/// [`Error::MalformedMarker`], [`Error::LayoutVersion`]; [`Error::MalformedIndex`]; [`Error::Io`].
pub(crate) fn read_entries(site: &Site) -> Result<Index> {
    let layout = Layout::find(site)?;
    Ok(entries_of(read(layout.as_ref(), None)?))
}

/// The entries of a layout at the time of its opening. The first reader does not parse them again if they are
/// unchanged.
#[derive(Debug, Default)]
pub(crate) struct OpenedEntries(Mutex<Option<ReadDocument<Index>>>);

impl OpenedEntries {
    /// Reads the entries of the layout at a site, if it is there.
    ///
    /// # Errors
    ///
    /// Those of [`read_entries`].
    pub(crate) fn of(site: &Site) -> Result<Self> {
        Ok(Self(Mutex::new(read(Layout::find(site)?.as_ref(), None)?)))
    }

    /// Opens the layout at a site, if it is there, and reads its entries, as [`read_entries`] does.
    pub(crate) fn read(&self, site: &Site) -> Result<(Option<Layout>, Index)> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let layout = Layout::find(site)?;
        let read = read(layout.as_ref(), opened)?;
        Ok((layout, entries_of(read)))
    }
}

fn entries_of(read: Option<ReadDocument<Index>>) -> Index {
    read.map_or_else(Index::empty, |read| read.document.with_own_names_on_entries())
}

/// Reads `index.json` if it is there.
fn read(layout: Option<&Layout>, before: Option<ReadDocument<Index>>) -> Result<Option<ReadDocument<Index>>> {
    let Some(layout) = layout else { return Ok(None) };
    check_blobs(layout)?;
    if !has_index(layout) {
        return Ok(None);
    }
    let read = layout.read_index_document(before)?;
    check_media_type(layout, read.document.media_type.as_ref())?;
    Ok(Some(read))
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
