//! Images in short, as their manifests say them.

use super::platform::Platforms;
use super::walk::{Document, Documents, Reach, walk};
use crate::oci::{Descriptor, Digest, Platform};

/// An image, as its manifest says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ImageSummary {
    /// The platform: from the entry, or else from the config.
    pub platform: Option<Platform>,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the config.
    pub config: Digest,
    /// The digests of the layers, the lowest first.
    pub layers: Vec<Digest>,
}

/// Returns the images that entries lead to and whose manifests can be read, in order and each once.
pub(crate) fn summaries(documents: &dyn Documents, entries: &[Descriptor]) -> Vec<ImageSummary> {
    let mut images = Vec::new();
    let mut platforms = Platforms::new(documents);
    for visit in walk(documents, entries, Reach::Manifests) {
        let entry = visit.entry.clone();
        if let Ok(Some(Document::Manifest(manifest))) = visit.leads_to()
            && manifest.is_image(&entry)
        {
            images.push(ImageSummary {
                platform: platforms.of(&entry),
                manifest: entry.digest.clone(),
                config: manifest.config.digest.clone(),
                layers: manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
            });
        }
    }
    images
}
