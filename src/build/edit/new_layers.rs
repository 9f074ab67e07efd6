//! Layers of an image that others take the places of.

use super::change::ImageDocuments;
use crate::error::Result;
use crate::oci::{Annotations, Descriptor, Digest, LayerEncoding, MediaType};

/// The annotations of a layer's descriptor that describe its compressed bytes (images, rule H1). That of zstd:chunked is the
/// beginning of several keys.
const OF_BYTES: [&str; 3] = [
    "io.github.containers.zstd-chunked.",
    "containerd.io/snapshot/stargz/toc.digest",
    "io.containers.estargz.uncompressed-size",
];

/// The annotations that describe the content.
const OF_CONTENT: [&str; 1] = ["ci.umo.uncompressed_blob_size"];

/// A layer that was made of layers of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MadeLayer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) encoding: LayerEncoding,
    pub(crate) diff_id: Digest,
}

/// A layer of an image after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LayerAfter {
    /// The layer that the image had in this place.
    Kept(usize),
    /// A layer that was made of the one in this place: its annotations stay, but for those about its bytes.
    Changed(usize, MadeLayer),
    /// A layer that was made of several.
    New(MadeLayer),
    /// A layer of another image, with its diff_id.
    Copied(Box<Descriptor>, Digest),
}

impl ImageDocuments {
    /// Returns the digests of the layers.
    pub(crate) fn layer_digests(&self) -> impl Iterator<Item = &Digest> {
        self.manifest.layers.iter().map(|layer| &layer.digest)
    }

    /// Puts other layers in the places of those that the image has, with their diff_ids. The history stays.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedDocument`](crate::Error::MalformedDocument) if the config does not fit the layers.
    pub(crate) fn replace_layers(&mut self, after: &[LayerAfter]) -> Result<()> {
        let before = std::mem::take(&mut self.manifest.layers);
        let mut known = Vec::new();
        self.change_config(before.len(), |diff_ids, _| known.clone_from(diff_ids))?;
        let described = after.iter().map(|layer| match layer {
            LayerAfter::Kept(at) => before[*at].clone(),
            LayerAfter::Changed(at, made) => changed(&before[*at], made, known.get(*at)),
            LayerAfter::Copied(descriptor, _) => (**descriptor).clone(),
            LayerAfter::New(made) => Descriptor::new(MediaType::layer(made.encoding), made.digest.clone(), made.size),
        });
        self.manifest.layers = described.collect();
        self.change_config(before.len(), |diff_ids, _| {
            *diff_ids = after
                .iter()
                .map(|layer| match layer {
                    LayerAfter::Kept(at) => known[*at].clone(),
                    LayerAfter::Copied(_, diff_id) => diff_id.clone(),
                    LayerAfter::Changed(_, made) | LayerAfter::New(made) => made.diff_id.clone(),
                })
                .collect();
        })
    }
}

/// Returns the descriptor of a layer that was made of another one.
fn changed(before: &Descriptor, made: &MadeLayer, diff_id: Option<&Digest>) -> Descriptor {
    let mut descriptor = before.clone();
    descriptor.media_type = before.media_type.stored_as(made.encoding);
    if before.digest == made.digest {
        return descriptor;
    }
    (descriptor.digest, descriptor.size) = (made.digest.clone(), made.size);
    (descriptor.data, descriptor.urls) = (None, None);
    let is_other_content = diff_id != Some(&made.diff_id);
    if let Some(annotations) = &mut descriptor.annotations {
        annotations.retain(|key, _| !OF_BYTES.iter().any(|of_bytes| key.starts_with(of_bytes)));
        annotations.retain(|key, _| !(is_other_content && OF_CONTENT.contains(&key.as_str())));
    }
    descriptor.annotations = descriptor.annotations.filter(|annotations: &Annotations| !annotations.is_empty());
    descriptor
}
