//! What refers to what: the documents that `index.json` leads to.

use std::collections::HashSet;

use serde_json::Value;

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

    /// Reads the content that an entry of an index leads to: a document, or something that refers to nothing. Where the
    /// media type is not known (a manifest may be given any), the content tells.
    pub(super) fn of_entry(entry: &Descriptor, content: &[u8]) -> Result<Option<Self>> {
        if Self::is_one(&entry.media_type) {
            return Self::parse(entry, content).map(Some);
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(content) else { return Ok(None) };
        let media_type = if fields.contains_key("manifests") {
            MediaType::index()
        } else if fields.contains_key("config") && fields.contains_key("layers") {
            MediaType::manifest()
        } else {
            return Ok(None);
        };
        Self::parse(&Descriptor { media_type, ..entry.clone() }, content).map(Some)
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
        // What other layouts name cannot be known here.
        if self.shares_blobs() {
            return;
        }
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

        if left.is_empty() {
            return left;
        }
        let mut queue: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::new();
        let mut note = |descriptor: &Descriptor, is_entry: bool, left: &mut Vec<Digest>, queue: &mut Vec<_>| {
            left.retain(|digest| *digest != descriptor.digest);
            if (is_entry || Document::is_one(&descriptor.media_type)) && seen.insert(descriptor.digest.clone()) {
                queue.push(descriptor.clone());
            }
        };
        for entry in index.manifests.iter().chain(&index.subject) {
            note(entry, true, &mut left, &mut queue);
        }
        if let Some(manifest) = &stage.manifest {
            let entry = Descriptor::new(manifest.media_type.clone(), manifest.digest.clone(), manifest.size);
            note(&entry, true, &mut left, &mut queue);
        }
        while let Some(entry) = queue.pop() {
            if left.is_empty() {
                break;
            }
            let document = match self.read_document_blob(&entry.digest, "index.json") {
                Ok(content) => Document::of_entry(&entry, &content),
                // What is not there names nothing; nor does what is no document and too large for one.
                Err(Error::MissingBlob { .. }) => continue,
                Err(Error::TooLarge { .. }) if !Document::is_one(&entry.media_type) => continue,
                Err(error) => Err(error),
            };
            let (parts, subject, are_entries) = match &document {
                Ok(None) => continue,
                Ok(Some(document @ Document::Manifest(manifest))) => (document.parts(), &manifest.subject, false),
                Ok(Some(document @ Document::Index(index))) => (document.parts(), &index.subject, true),
                Err(_) => return Vec::new(),
            };
            for part in parts {
                note(part, are_entries, &mut left, &mut queue);
            }
            if let Some(subject) = subject {
                note(subject, true, &mut left, &mut queue);
            }
        }
        left
    }
}
