//! A layout in an archive (image-spec, image-layout.md).

use std::collections::HashMap;

use super::entries::Entries;
use crate::error::{Error, Reason, Result};
use crate::graph::walk::INDEX_FILE;
use crate::layout::document_files::ARCHIVE_DOCUMENT_LIMIT;
use crate::layout::site::{BLOBS_DIRECTORY, MARKER_FILE, MARKER_LIMIT, check_version};
use crate::oci::{Digest, Index, from_json};
use crate::transfer::listed::{MANIFEST_FILE, REPOSITORIES_FILE};
use crate::transfer::load::not_an_archive;
use crate::view::content::Content;

/// Returns whether the archive has the files of a layout.
pub(crate) fn is_one(entries: &Entries<'_>) -> bool {
    entries.has(MARKER_FILE) && entries.has(INDEX_FILE)
}

/// Reads the index of a layout, and collects its blobs.
///
/// # Errors
///
/// [`Error::NotAnArchive`]; [`Error::MalformedMarker`], [`Error::LayoutVersion`], [`Error::MalformedIndex`],
/// [`Error::TooLarge`]; [`Error::Io`].
pub(crate) fn read(entries: &Entries<'_>) -> Result<(Index, HashMap<Digest, Content>)> {
    let path = entries.path;
    // The first by name, so that the error is the same each time.
    let is_asked_for = |name: &&str| [MARKER_FILE, INDEX_FILE].contains(name) || digest_of(name).is_some();
    if let Some(dangling) = entries.dangling_names().filter(is_asked_for).min() {
        return Err(entries.dangling(dangling).expect("it is a link"));
    }
    let Some(marker) = entries.read(MARKER_FILE, MARKER_LIMIT)? else {
        return Err(why_not(entries));
    };
    check_version(&marker, path)?;
    let malformed = |reason| Error::MalformedIndex { path: path.to_owned(), reason };
    let index = entries.read(INDEX_FILE, ARCHIVE_DOCUMENT_LIMIT)?;
    let missing = || entries.truncated().unwrap_or_else(|| malformed(Reason::missing()));
    let index = index.ok_or_else(missing)?;
    let index = from_json(&index).map_err(|error| malformed(Reason::from(error)))?;
    let blobs = entries.names().filter_map(|name| Some((digest_of(name)?, entries.file(name)?)));
    Ok((index, blobs.collect()))
}

/// Returns the digest of a blob from its name; `None` for other files.
pub(crate) fn digest_of(name: &str) -> Option<Digest> {
    let (algorithm, encoded) = name.strip_prefix(BLOBS_DIRECTORY)?.strip_prefix('/')?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}

/// Returns the error for an archive without a layout.
fn why_not(entries: &Entries<'_>) -> Error {
    let path = entries.path;
    if entries.has(INDEX_FILE) {
        return not_an_archive(path, format!("it has {INDEX_FILE}, but no {MARKER_FILE}"));
    }
    if entries.has(REPOSITORIES_FILE) {
        let reason = format!("it is of a Docker before 1.10: it has {REPOSITORIES_FILE}, but no {MANIFEST_FILE}");
        return not_an_archive(path, reason);
    }
    let suffix = format!("/{MARKER_FILE}");
    let directory = entries.names().filter_map(|name| name.strip_suffix(&suffix)).min();
    match directory {
        Some(directory) => {
            not_an_archive(path, format!("its layout is not at its top, but in '{}'", directory.escape_debug()))
        }
        None => entries.truncated().unwrap_or_else(|| Error::NoImages { path: path.to_owned() }),
    }
}
