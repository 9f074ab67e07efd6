//! The images that an index lists, its nested indexes included.

use std::collections::HashSet;

use super::platform::may_be_index;
use super::walk::{Document, Documents, read_entry};
use crate::error::{Error, Result};
use crate::oci::{Descriptor, Digest, Index};

/// Returns the images of an index, each manifest once and in order. Artifacts and attestations are none; a manifest that
/// is not stored counts as an image.
pub(crate) fn images_of(documents: &dyn Documents, digest: &Digest, index: Index) -> Result<Vec<Descriptor>> {
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut images = Vec::new();
    let listed = |digest: &Digest, index: Index| {
        let digest = digest.clone();
        index.manifests.into_iter().rev().map(move |entry| (digest.clone(), entry))
    };
    let mut left: Vec<(Digest, Descriptor)> = listed(digest, index).collect();
    while let Some((lister, entry)) = left.pop() {
        if entry.is_attestation() || !seen.insert(entry.digest.clone()) {
            continue;
        }
        match read_entry(documents, &entry, Some(&lister)) {
            Ok(Some(Document::Index(nested))) => left.extend(listed(&entry.digest, *nested)),
            Ok(Some(Document::Manifest(manifest))) if manifest.is_image(&entry) => images.push(entry),
            Ok(_) => {}
            Err(Error::MissingBlob { .. }) if !may_be_index(&entry) => images.push(entry),
            Err(error) => return Err(error),
        }
    }
    Ok(images)
}
