//! What refers to what: the documents that `index.json` leads to.

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value};

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
        let Some(media_type) = Self::kind_of(&fields) else { return Ok(None) };
        Self::parse(&Descriptor { media_type, ..entry.clone() }, content).map(Some)
    }

    /// Tells by its fields what a document is that does not say its media type.
    pub(super) fn kind_of(fields: &Map<String, Value>) -> Option<MediaType> {
        if fields.contains_key("manifests") {
            Some(MediaType::index())
        } else if fields.contains_key("config") && fields.contains_key("layers") {
            Some(MediaType::manifest())
        } else {
            None
        }
    }

    /// Returns what the document is made of, in order: the entries of an index; the config of a manifest, then its
    /// layers. The subject is what the document is about, not a part of it.
    pub(super) fn parts(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// Returns what the document is about.
    pub(super) fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// Returns everything that the document names: its parts and its subject.
    pub(super) fn names(&self) -> impl Iterator<Item = &Descriptor> {
        self.parts().into_iter().chain(self.subject())
    }
}

/// How far a walk goes from the descriptors that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To what indexes list. Manifests are not read.
    Indexes,
    /// To what manifests are made of, too.
    Manifests,
    /// To what manifests and indexes are about, too: their subjects.
    Subjects,
}

/// A walk from some descriptors to everything that they lead to. It comes to each digest once, so that neither cycles nor
/// nesting matter, and never to what a manifest is made of, unless that is a document itself.
pub(super) struct Walk<'a> {
    layout: &'a Layout,
    reach: Reach,
    queue: VecDeque<Step>,
    seen: HashSet<Digest>,
}

/// What a walk will come to.
struct Step {
    entry: Descriptor,
    referrer: Option<Digest>,
}

/// What a walk came to.
pub(super) struct Visit {
    /// What leads here.
    pub(super) entry: Descriptor,
    /// The document; `None` if this is no document, or one that is out of reach; an error if it cannot be read.
    pub(super) document: Result<Option<Document>>,
}

impl Visit {
    /// Returns the document if there is one. A missing blob leads nowhere.
    ///
    /// # Errors
    ///
    /// What keeps the document from being read.
    pub(super) fn leads_to(self) -> Result<Option<Document>> {
        match self.document {
            Err(Error::MissingBlob { .. }) => Ok(None),
            document => document,
        }
    }

    /// Returns the document if there is one, as [`Visit::leads_to`] does. What `index.json` lists must be there: what it
    /// led to is not known otherwise, and may be there still. Nested indexes list what was never copied, too.
    ///
    /// # Errors
    ///
    /// What keeps the document from being read; [`Error::MissingBlob`].
    pub(super) fn surely_leads_to(self, index: &Index) -> Result<Option<Document>> {
        let is_missing = matches!(self.document, Err(Error::MissingBlob { .. }));
        if is_missing && index.manifests.iter().any(|entry| entry.digest == self.entry.digest) {
            return self.document;
        }
        self.leads_to()
    }
}

impl Walk<'_> {
    fn note(&mut self, entry: &Descriptor, referrer: Option<&Digest>) {
        if self.seen.insert(entry.digest.clone()) {
            self.queue.push_back(Step { entry: entry.clone(), referrer: referrer.cloned() });
        }
    }

    /// Notes where a document leads.
    fn follow(&mut self, digest: &Digest, document: &Document) {
        let are_entries = matches!(document, Document::Index(_));
        for part in document.parts() {
            if are_entries || Document::is_one(&part.media_type) {
                self.note(part, Some(digest));
            }
        }
        if self.reach == Reach::Subjects {
            document.subject().into_iter().for_each(|subject| self.note(subject, Some(digest)));
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        let Step { entry, referrer } = self.queue.pop_front()?;
        let document = if self.reach == Reach::Indexes && entry.media_type.is_manifest() {
            Ok(None)
        } else {
            self.layout.read_entry(&entry, referrer.as_ref())
        };
        if let Ok(Some(document)) = &document {
            self.follow(&entry.digest, document);
        }
        Some(Visit { entry, document })
    }
}

impl Layout {
    /// Walks from some descriptors to everything that they lead to.
    pub(super) fn walk<'a>(&self, from: impl IntoIterator<Item = &'a Descriptor>, reach: Reach) -> Walk<'_> {
        let mut walk = Walk { layout: self, reach, queue: VecDeque::new(), seen: HashSet::new() };
        from.into_iter().for_each(|entry| walk.note(entry, None));
        walk
    }

    /// Reads the document that an entry leads to, if it is one.
    fn read_entry(&self, entry: &Descriptor, referrer: Option<&Digest>) -> Result<Option<Document>> {
        let referrer = referrer.map_or("index.json", Digest::as_str);
        match self.read_document_blob(&entry.digest, referrer) {
            Ok(content) => Document::of_entry(entry, &content),
            // What is not said to be a document, and is too large for one, is none.
            Err(Error::TooLarge { .. }) if !Document::is_one(&entry.media_type) => Ok(None),
            Err(error) => Err(error),
        }
    }

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
        let mut left: HashSet<Digest> = candidates.into_iter().collect();
        let roots = Self::roots(index, stage);
        for named in stage.blobs().chain(roots.iter().map(|root| &root.digest)) {
            left.remove(named);
        }
        let mut walk = self.walk(&roots, Reach::Subjects);
        while !left.is_empty() {
            let Some(visit) = walk.next() else { break };
            match visit.leads_to() {
                Ok(document) => {
                    for named in document.iter().flat_map(Document::names) {
                        left.remove(&named.digest);
                    }
                }
                Err(_) => return Vec::new(),
            }
        }
        left.into_iter().collect()
    }

    /// Returns what everything that is in use is reached from: the entries of `index.json`, its subject, the staged manifest.
    pub(super) fn roots(index: &Index, stage: &Stage) -> Vec<Descriptor> {
        let staged = stage.manifest.as_ref();
        let staged =
            staged.map(|staged| Descriptor::new(staged.media_type.clone(), staged.digest.clone(), staged.size));
        index.manifests.iter().chain(&index.subject).cloned().chain(staged).collect()
    }
}
