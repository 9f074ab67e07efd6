//! Referrers of an image that changes: they stay with the old digest, because a signature of it is none of the new one.

use std::collections::HashSet;

use super::walk::{Document, Documents, Reach, walk};
use crate::oci::{Digest, Index};

/// Returns the names of the referrers that stay with the old digests: manifests whose subject is an old digest, and
/// cosign's tags. `reported` are manifests that other messages name.
pub(crate) fn left_behind(
    documents: &dyn Documents,
    index: &Index,
    old: &HashSet<Digest>,
    reported: &HashSet<Digest>,
) -> Vec<String> {
    let mut left = Vec::new();
    for entry in &index.manifests {
        // cosign names signatures `sha256-DIGEST.sig`, and others alike.
        let is_of_cosign = |name: &str| {
            old.iter().any(|digest| name.starts_with(&format!("{}-{}", digest.algorithm_name(), digest.encoded())))
        };
        if let Some(name) = entry.ref_name().filter(|name| is_of_cosign(name)) {
            left.push(name.to_owned());
        }
    }
    for visit in walk(documents, &index.manifests, Reach::Manifests) {
        let digest = visit.entry.digest.clone();
        // A document that cannot be read refers to nothing.
        if let Ok(Some(Document::Manifest(manifest))) = visit.leads_to()
            && manifest.subject.is_some_and(|subject| old.contains(&subject.digest))
            && !reported.contains(&digest)
        {
            left.push(digest.to_string());
        }
    }
    left.sort();
    left.dedup();
    left
}
