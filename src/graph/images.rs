//! The images that an index lists, its nested indexes included.

use std::collections::HashSet;

use super::platform::may_be_index;
use super::walk::{Document, Documents, read_entry};
use crate::error::{Error, Result};
use crate::oci::{Descriptor, Digest, Index};

/// Returns the images of an index, each manifest once and in order. Artifacts and attestations are none; a manifest that
/// is not stored counts as an image.
pub(crate) fn images_of(documents: &dyn Documents, index: Index) -> Result<Vec<Descriptor>> {
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut images = Vec::new();
    let mut left: Vec<Descriptor> = index.manifests.into_iter().rev().collect();
    while let Some(entry) = left.pop() {
        if entry.is_attestation() || !seen.insert(entry.digest.clone()) {
            continue;
        }
        match read_entry(documents, &entry, None) {
            Ok(Some(Document::Index(nested))) => left.extend(nested.manifests.into_iter().rev()),
            Ok(Some(Document::Manifest(manifest))) if manifest.is_image(&entry) => images.push(entry),
            Ok(_) => {}
            Err(Error::MissingBlob { .. }) if !may_be_index(&entry) => images.push(entry),
            Err(error) => return Err(error),
        }
    }
    Ok(images)
}
