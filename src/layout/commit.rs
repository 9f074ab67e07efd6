//! Committing a change to a layout: what happens between the lock and the rename, in this order.
//!
//! 1. A writer takes the lock (`lock.rs`), and reads the documents that it changes: another writer may have replaced them since.
//! 2. It renames its blobs to their digests and syncs their directories (`blobs.rs`). Layers were written and synced before the
//!    lock; configs and manifests are written and synced now. A blob that the layout already had is synced too.
//! 3. Each document that changes is written to a temporary file in its directory, and synced. So a full disk is noticed before
//!    any document is replaced.
//! 4. `index.json` is renamed to its place and its directory is synced; then the staging file, in the same way.
//! 5. If a step fails, the replaced documents are put back, and the new blobs are deleted (`blobs.rs`): the layout is as it was. If a
//!    document cannot be put back, the blobs stay: it may name them.
//! 6. Blobs that no document refers to any more are deleted (`unreferenced.rs`), and the lock is dropped.
//!
//! This file does steps 3 to 5, and is the only one that replaces a document of a layout that is there.

use std::ffi::OsString;
use std::fs;

use serde::Serialize;

use super::blobs::StoredBlob;
use super::document_files::{Bounded, DOCUMENT_LIMIT, STAGE_FILE, would_be_too_large, write_pretty};
use super::handle::{Layout, Lock};
use super::staging_file::Stage;
use crate::error::{Error, Result};
use crate::fs::{Directory, FileKind, TempFile, leads_out, open_inside, target_inside};
use crate::graph::walk::INDEX_FILE;
use crate::oci::Index;

/// A document that is written and synced, but not yet in its place.
struct PendingDocument {
    directory: Directory,
    name: OsString,
    file: TempFile,
}

/// Replaces `index.json`. Blobs that it is the first to name are kept from then on.
pub(crate) fn write_index(
    layout: &Layout,
    lock: &Lock,
    index: &Index,
    named: impl IntoIterator<Item = StoredBlob>,
) -> Result<()> {
    replace(layout, [prepare(layout, lock, INDEX_FILE, index)?], named)
}

/// Replaces the staging file, or makes it. Blobs that it is the first to name are kept from then on.
pub(crate) fn write_stage(
    layout: &Layout,
    lock: &Lock,
    stage: &Stage,
    named: impl IntoIterator<Item = StoredBlob>,
) -> Result<()> {
    replace(layout, [prepare(layout, lock, STAGE_FILE, stage)?], named)
}

/// Replaces `index.json`, then the staging file. Steps that need space come before either.
pub(crate) fn write_index_and_stage(
    layout: &Layout,
    lock: &Lock,
    index: &Index,
    stage: &Stage,
    named: impl IntoIterator<Item = StoredBlob>,
) -> Result<()> {
    replace(layout, [prepare(layout, lock, INDEX_FILE, index)?, prepare(layout, lock, STAGE_FILE, stage)?], named)
}

/// Writes a document to a temporary file in its directory, and syncs it.
fn prepare(layout: &Layout, lock: &Lock, name: &str, document: &impl Serialize) -> Result<PendingDocument> {
    let (directory, file_name) = place_of(layout, lock, name)?;
    let mut is_too_large = false;
    let written = layout.site().temp_file(&directory, |writer| {
        let mut bounded = Bounded { writer, left: DOCUMENT_LIMIT, is_too_large: &mut is_too_large };
        write_pretty(document, &mut bounded)
    });
    if is_too_large {
        let what = if name == STAGE_FILE { "staging file" } else { name };
        return Err(would_be_too_large(&format!("{what} at {}", layout.path().display()), DOCUMENT_LIMIT));
    }
    Ok(PendingDocument { directory, name: file_name, file: written? })
}

/// Returns the directory and the name of a document. A link in the layout stays, and its target is replaced.
fn place_of(layout: &Layout, lock: &Lock, name: &str) -> Result<(Directory, OsString)> {
    let (root, path) = (lock.root(), layout.document_path(name));
    let failed = || Error::io("read", &path);
    let is_link = root.find(name).map_err(failed())?.is_some_and(|found| found.kind == FileKind::Link);
    let target = if is_link { target_inside(layout.path(), &path).ok().flatten() } else { None };
    let Some(target) = target else { return Ok((root.clone(), name.into())) };
    let canonical = fs::canonicalize(layout.path()).map_err(failed())?;
    let inside = target.parent().and_then(|parent| parent.strip_prefix(canonical).ok());
    let (Some(inside), Some(name)) = (inside, target.file_name()) else {
        return Err(failed()(leads_out()));
    };
    Ok((root.open_beneath(inside).map_err(failed())?, name.to_owned()))
}

/// Puts documents into their places, one after the other. After an error all are as they were before, and the blobs
/// that they would have named are deleted; where a document cannot be put back, the blobs stay.
fn replace(
    layout: &Layout,
    documents: impl IntoIterator<Item = PendingDocument>,
    named: impl IntoIterator<Item = StoredBlob>,
) -> Result<()> {
    let mut replaced = Vec::new();
    let placed = documents.into_iter().try_for_each(|PendingDocument { directory, name, file }| {
        let path = directory.path_of(&name);
        replaced.push(file.replace(&directory, &name).map_err(Error::io("write", path))?);
        layout.site().sync_names(&directory)
    });
    if placed.is_ok() || !replaced.into_iter().rev().all(|document| document.restore().is_ok()) {
        named.into_iter().for_each(StoredBlob::keep);
    }
    placed
}

/// Waits until `index.json` as it is, and its name, are on the disk.
pub(crate) fn sync_index(layout: &Layout) -> Result<()> {
    let path = layout.document_path(INDEX_FILE);
    let file = open_inside(layout.path(), &path).map_err(Error::io("read", &path))?;
    layout.site().sync_stored(&file, &path)
}
