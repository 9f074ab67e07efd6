//! Empties the staging area.

use crate::error::{Referrer, Result};
use crate::graph::walk::Document;
use crate::layout::commit::write_stage;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::unreferenced::unreferenced;
use crate::oci::Digest;
use crate::tally::Tally;

/// The result of emptying the staging area.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reset {
    /// The number of layers that were staged.
    pub layers: usize,
    /// The blobs that were deleted: only the staging file referred to them.
    pub deleted: Tally,
}

/// Empties the staging area. Deletes the layers and documents that only the staging file refers to. The record of
/// manifests that were generated stays, and so do unknown fields.
///
/// # Errors
///
/// [`Error::MalformedStage`](crate::Error::MalformedStage), [`Error::MalformedIndex`](crate::Error::MalformedIndex);
/// [`Error::Io`](crate::Error::Io).
pub fn reset(layout: &Layout) -> Result<Reset> {
    let lock = take_lock(layout)?;
    let Some(stage) = layout.find_stage()? else { return Ok(Reset::default()) };
    let index = layout.read_index()?;
    let mut candidates: Vec<Digest> = stage.blobs().cloned().collect();
    // The staged manifest may have a config that another one has replaced since. One that cannot be read refers to nothing.
    if let Some(manifest) = &stage.manifest
        && let Ok(content) = layout.read_document_blob(&manifest.digest, &Referrer::Stage)
        && let Ok(document) = Document::read(&manifest.media_type, &content)
    {
        candidates.extend(document.parts().into_iter().map(|part| part.digest.clone()));
    }
    let emptied = stage.emptied();
    if emptied != stage {
        write_stage(layout, &lock, &emptied, [])?;
    }
    let mut reset = Reset { layers: stage.layers.len(), ..Reset::default() };
    // References from other layouts cannot be known here.
    if !layout.shares_blobs() {
        for digest in unreferenced(layout, &index, &emptied, candidates) {
            let size = layout.blob_path(&digest).metadata().map_or(0, |metadata| metadata.len());
            if layout.remove_blob(&lock, &digest).is_ok() {
                reset.deleted.count += 1;
                reset.deleted.bytes += size;
            }
        }
    }
    Ok(reset)
}
