//! What refers to what: the documents that `index.json` leads to.

use std::collections::HashSet;

use super::error::{Error, Reason, Result};
use super::handle::{Layout, Lock};
use super::stage::Stage;
use crate::oci::{Descriptor, Digest, Index, Manifest, MediaType};

/// A document that refers to blobs.
pub(super) enum Document {
    Manifest(Box<Manifest>),
    Index(Box<Index>),
}

impl Document {
    /// Tells whether content of a media type refers to other blobs.
    pub(super) fn is_one(media_type: &MediaType) -> bool {
        media_type.is_manifest() || media_type.is_index()
    }

    /// Reads a document as what its media type says.
    pub(super) fn parse(descriptor: &Descriptor, content: &[u8]) -> Result<Self> {
        let parsed = if descriptor.media_type.is_index() {
            serde_json::from_slice(content).map(|index| Self::Index(Box::new(index)))
        } else {
            serde_json::from_slice(content).map(|manifest| Self::Manifest(Box::new(manifest)))
        };
        parsed.map_err(|error| Error::MalformedDocument {
            digest: descriptor.digest.clone(),
            kind: if descriptor.media_type.is_index() { "image index" } else { "image manifest" },
            reason: Reason::from(error),
        })
    }

    /// Returns what the document is made of, in order: the entries of an index; the config of a manifest, then its
    /// layers. The subject is what the document is about, not a part of it.
    pub(super) fn parts(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }
}

impl Layout {
    /// Deletes those of some blobs that nothing names any more.
    ///
    /// A blob that cannot be deleted stays: it is unreferenced, not wrong, and the documents are in their new state.
    pub(super) fn remove_unreferenced(&self, lock: &Lock, index: &Index, stage: &Stage, candidates: Vec<Digest>) {
        for digest in self.unreferenced(index, stage, candidates) {
            let _ = self.remove_blob(lock, &digest);
        }
    }

    /// Returns those of some blobs that neither the staging file nor anything that `index.json` leads to names.
    ///
    /// Where in doubt a blob counts as named: a document that cannot be read keeps all of them.
    fn unreferenced(&self, index: &Index, stage: &Stage, candidates: Vec<Digest>) -> Vec<Digest> {
        let mut named: HashSet<Digest> = stage.layers.iter().map(|layer| layer.digest.clone()).collect();
        named.extend(stage.config.iter().map(|config| config.digest.clone()));
        named.extend(stage.manifest.iter().map(|manifest| manifest.digest.clone()));
        let mut left: Vec<Digest> = candidates.into_iter().filter(|digest| !named.contains(digest)).collect();

        let mut queue: Vec<(MediaType, Digest)> = Vec::new();
        let mut seen = HashSet::new();
        let mut note = |descriptors: &[&Descriptor], left: &mut Vec<Digest>, queue: &mut Vec<_>| {
            for descriptor in descriptors {
                left.retain(|digest| *digest != descriptor.digest);
                if Document::is_one(&descriptor.media_type) && seen.insert(descriptor.digest.clone()) {
                    queue.push((descriptor.media_type.clone(), descriptor.digest.clone()));
                }
            }
        };
        note(&index.manifests.iter().chain(&index.subject).collect::<Vec<_>>(), &mut left, &mut queue);
        while let Some((media_type, digest)) = queue.pop() {
            if left.is_empty() {
                break;
            }
            let document = match self.read_document_blob(&digest, "index.json") {
                Ok(content) => Document::parse(&Descriptor::new(media_type, digest, 0), &content),
                // A document that is not there names nothing.
                Err(Error::MissingBlob { .. }) => continue,
                Err(error) => Err(error),
            };
            let Ok(document) = document else { return Vec::new() };
            let mut parts = document.parts();
            parts.extend(match &document {
                Document::Manifest(manifest) => manifest.subject.as_ref(),
                Document::Index(index) => index.subject.as_ref(),
            });
            note(&parts, &mut left, &mut queue);
        }
        left
    }
}
