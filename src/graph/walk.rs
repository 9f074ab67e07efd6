//! References: the documents that are reachable from `index.json`.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use serde::de::DeserializeOwned;

use super::verify::verify_if_possible;
use crate::error::{Error, Reason, Referrer, Result};
use crate::json::{JsonError, Node};
use crate::oci::{Annotations, Descriptor, Digest, Index, Manifest, MediaType, embedded, from_json};

/// The entry point of a layout (image-spec, image-layout.md, "index.json file").
pub(crate) const INDEX_FILE: &str = "index.json";

/// A document that refers to blobs.
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    Index(Box<Index>),
    /// A document that the image-spec does not define, or no longer: artifact manifests, Docker's schema 1.
    Other(Box<OtherDocument>),
}

/// A document of which only that is known that it names blobs.
pub(crate) struct OtherDocument {
    pub(crate) artifact_type: Option<String>,
    /// The descriptors that it lists as its blobs.
    blobs: Vec<Descriptor>,
    subject: Option<Descriptor>,
    pub(crate) annotations: Option<Annotations>,
    /// Everything in it that is a digest.
    digests: HashSet<Digest>,
}

impl OtherDocument {
    /// Reads the references of such a document; `None` if it has none.
    fn of(fields: Node<'_>) -> Option<Self> {
        let digests = digests(fields);
        fn field<T: DeserializeOwned>(fields: Node<'_>, name: &str) -> Option<T> {
            from_json(fields.get(name)?.text().as_bytes()).ok()
        }
        (!digests.is_empty()).then(|| Self {
            artifact_type: field(fields, "artifactType"),
            blobs: field(fields, "blobs").unwrap_or_default(),
            subject: field(fields, "subject"),
            annotations: field(fields, "annotations"),
            digests,
        })
    }
}

/// Returns every text in a value that is a digest of a known algorithm, keys included.
fn digests(value: Node<'_>) -> HashSet<Digest> {
    let mut digests = HashSet::new();
    value.each_text(|text| {
        digests.extend(text.parse::<Digest>().ok().filter(|digest| digest.algorithm().is_some()));
    });
    digests
}

impl Document {
    /// Returns whether content of a media type refers to other blobs.
    pub(crate) fn is_one(media_type: &MediaType) -> bool {
        media_type.is_manifest() || media_type.is_index()
    }

    /// Reads a manifest or an index, as the media type says.
    pub(crate) fn read(media_type: &MediaType, content: &[u8]) -> Result<Self, JsonError> {
        if media_type.is_index() {
            from_json(content).map(|index| Self::Index(Box::new(index)))
        } else {
            from_json(content).map(|manifest| Self::Manifest(Box::new(manifest)))
        }
    }

    /// Reads a document by the media type of its descriptor.
    pub(crate) fn parse(descriptor: &Descriptor, content: &[u8]) -> Result<Self> {
        Self::read(&descriptor.media_type, content).map_err(|error| Error::MalformedDocument {
            digest: descriptor.digest.clone(),
            kind: if descriptor.media_type.is_index() { "image index" } else { "image manifest" },
            reason: Reason::from(error),
        })
    }

    /// Reads the content of an entry of an index: a document, or something that refers to nothing. Where the
    /// media type is not known (a manifest may be given any), the content tells.
    pub(crate) fn of_entry(entry: &Descriptor, content: &[u8]) -> Result<Option<Self>> {
        if Self::is_one(&entry.media_type) {
            return Self::parse(entry, content).map(Some);
        }
        let Some(fields) = Node::parse(content).ok().filter(|value| value.is_object()) else { return Ok(None) };
        if let Some(media_type) = Self::kind_of(fields)
            && let Ok(document) = Self::parse(&Descriptor { media_type, ..entry.clone() }, content)
        {
            return Ok(Some(document));
        }
        Ok(OtherDocument::of(fields).map(|document| Self::Other(Box::new(document))))
    }

    /// Returns the media type that a document states, or that its fields suggest.
    pub(crate) fn media_type_of(fields: Node<'_>) -> Result<MediaType, Reason> {
        let said = fields.get("mediaType").and_then(Node::as_str).and_then(|text| text.parse().ok());
        said.or_else(|| Self::kind_of(fields)).ok_or_else(|| Reason::new("it does not say its mediaType"))
    }

    /// Detects by its fields the media type of a document that states none.
    pub(crate) fn kind_of(fields: Node<'_>) -> Option<MediaType> {
        if fields.get("manifests").is_some() {
            Some(MediaType::index())
        } else if fields.get("config").is_some() && fields.get("layers").is_some() {
            Some(MediaType::manifest())
        } else {
            None
        }
    }

    /// Returns the parts of the document, in order: the entries of an index; the config of a manifest, then its layers.
    /// The subject is not a part.
    pub(crate) fn parts(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
            Self::Other(document) => document.blobs.iter().collect(),
        }
    }

    /// Returns the parts, as [`Document::parts`] does, and gives up the rest.
    pub(crate) fn into_parts(self) -> Vec<Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(manifest.config).chain(manifest.layers).collect(),
            Self::Index(index) => index.manifests,
            Self::Other(document) => document.blobs,
        }
    }

    /// Returns the digests of everything that the document names.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &Digest> {
        let others = match self {
            Self::Other(document) => Some(&document.digests),
            _ => None,
        };
        self.names().map(|named| &named.digest).chain(others.into_iter().flatten())
    }

    /// Returns the subject of the document.
    pub(crate) fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
            Self::Other(document) => document.subject.as_ref(),
        }
    }

    /// Returns everything that the document names: its parts and its subject.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Descriptor> {
        self.parts().into_iter().chain(self.subject())
    }
}

/// Where documents are read from.
pub(crate) trait Documents {
    /// Reads a document, no larger than documents may be, and verifies it. One whose digest is of an algorithm that is not
    /// registered cannot be verified, and is read as it is.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the referrer; [`Error::TooLarge`]; [`Error::DigestMismatch`]; [`Error::Io`].
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>>;

    /// Returns whether a blob is there.
    ///
    /// # Errors
    ///
    /// [`Error::NotAFile`], [`Error::LinkOutside`]; [`Error::Io`].
    fn has(&self, digest: &Digest) -> Result<bool>;
}

/// The role in which a descriptor refers to content: how the content is read. One digest may be reached in several roles, a
/// manifest as a layer of another one among them; in each it refers to other blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Index,
    Manifest,
    /// An entry of an index whose media type is not that of a document: the content decides.
    Unknown,
    /// Content that refers to nothing.
    Blob,
}

impl Role {
    /// Returns the role of an entry of an index.
    pub(crate) fn of_entry(entry: &Descriptor) -> Self {
        if entry.media_type.is_index() {
            Self::Index
        } else if entry.media_type.is_manifest() {
            Self::Manifest
        } else {
            Self::Unknown
        }
    }

    /// Returns the role of a part of a document: an entry, if the document is an index, or else a config or a layer.
    pub(crate) fn of_part(part: &Descriptor, is_entry: bool) -> Self {
        match Self::of_entry(part) {
            Self::Unknown if !is_entry => Self::Blob,
            role => role,
        }
    }
}

/// How far a walk goes from the descriptors that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Follows the entries of indexes. Manifests are not read.
    Indexes,
    /// Also follows the parts of manifests.
    Manifests,
    /// Also follows the subjects of manifests and indexes.
    Subjects,
}

/// A walk from some descriptors to all reachable documents. It visits each digest once per role, so that neither cycles
/// nor nesting matter, and visits the parts of a manifest only if they are documents.
pub(crate) struct Walk<'a, 'b> {
    documents: &'a dyn Documents,
    reach: Reach,
    /// The starting descriptors. A large index has many entries: only their places are kept.
    roots: VecDeque<&'b Descriptor>,
    /// The descriptors that documents refer to.
    queue: VecDeque<Step>,
    /// The visited digests. Content with two roles is read in both.
    seen: HashSet<(Digest, Role)>,
}

/// A step to come.
struct Step {
    entry: Descriptor,
    referrer: Digest,
}

/// A visited descriptor.
pub(crate) struct Visit<'b> {
    /// The descriptor that led here.
    pub(crate) entry: Cow<'b, Descriptor>,
    /// The document; `None` if this is no document, or one that is out of reach; an error if it cannot be read.
    pub(crate) document: Result<Option<Document>>,
}

impl Visit<'_> {
    /// Returns the document if there is one. A missing blob leads nowhere.
    ///
    /// # Errors
    ///
    /// The error of reading the document.
    pub(crate) fn leads_to(self) -> Result<Option<Document>> {
        match self.document {
            Err(Error::MissingBlob { .. }) => Ok(None),
            document => document,
        }
    }

    /// Returns the document if there is one, as [`Visit::leads_to`] does. Entries of `index.json` must be stored:
    /// otherwise their references are unknown, and may be stored still. Nested indexes also list content that was never
    /// copied.
    ///
    /// # Errors
    ///
    /// The error of reading the document; [`Error::MissingBlob`].
    pub(crate) fn surely_leads_to(self, listed: &HashSet<Digest>) -> Result<Option<Document>> {
        let is_missing = matches!(self.document, Err(Error::MissingBlob { .. }));
        if is_missing && listed.contains(&self.entry.digest) { self.document } else { self.leads_to() }
    }
}

impl<'b> Walk<'_, 'b> {
    fn note(&mut self, entry: &Descriptor, referrer: &Digest) {
        if self.is_new(entry) {
            self.queue.push_back(Step { entry: entry.clone(), referrer: referrer.clone() });
        }
    }

    fn note_root(&mut self, entry: &'b Descriptor) {
        if self.is_new(entry) {
            self.roots.push_back(entry);
        }
    }

    fn is_new(&mut self, entry: &Descriptor) -> bool {
        self.seen.insert((entry.digest.clone(), Role::of_entry(entry)))
    }

    /// Notes where a document leads.
    fn follow(&mut self, digest: &Digest, document: &Document) {
        let are_entries = matches!(document, Document::Index(_));
        for part in document.parts() {
            if Role::of_part(part, are_entries) != Role::Blob {
                self.note(part, digest);
            }
        }
        if self.reach == Reach::Subjects {
            document.subject().into_iter().for_each(|subject| self.note(subject, digest));
        }
    }
}

impl<'b> Iterator for Walk<'_, 'b> {
    type Item = Visit<'b>;

    fn next(&mut self) -> Option<Visit<'b>> {
        let (entry, referrer) = match self.roots.pop_front() {
            Some(entry) => (Cow::Borrowed(entry), None),
            None => self.queue.pop_front().map(|Step { entry, referrer }| (Cow::Owned(entry), Some(referrer)))?,
        };
        let document = if self.reach == Reach::Indexes && entry.media_type.is_manifest() {
            Ok(None)
        } else {
            read_entry(self.documents, &entry, referrer.as_ref())
        };
        if let Ok(Some(document)) = &document {
            self.follow(&entry.digest, document);
        }
        Some(Visit { entry, document })
    }
}

/// Walks from some descriptors to all reachable documents.
pub(crate) fn walk<'a, 'b>(
    documents: &'a dyn Documents,
    from: impl IntoIterator<Item = &'b Descriptor>,
    reach: Reach,
) -> Walk<'a, 'b> {
    let mut walk = Walk { documents, reach, roots: VecDeque::new(), queue: VecDeque::new(), seen: HashSet::new() };
    from.into_iter().for_each(|entry| walk.note_root(entry));
    walk
}

/// Reads the content of a descriptor: a blob, or the embedded data.
pub(crate) fn read_described(
    documents: &dyn Documents,
    descriptor: &Descriptor,
    referrer: &Referrer,
) -> Result<Vec<u8>> {
    match documents.read(&descriptor.digest, referrer) {
        Err(error @ Error::MissingBlob { .. }) => {
            let carried = descriptor.data.as_deref().and_then(embedded).ok_or(error)?;
            verify_if_possible(&descriptor.digest, &carried)?;
            Ok(carried)
        }
        read => read,
    }
}

/// Reads the document of an entry, if it is one.
pub(crate) fn read_entry(
    documents: &dyn Documents,
    entry: &Descriptor,
    referrer: Option<&Digest>,
) -> Result<Option<Document>> {
    match read_described(documents, entry, &Referrer::of_entry(referrer)) {
        Ok(content) => Document::of_entry(entry, &content),
        // Content without the media type of a document, and too large for one, is not a document.
        Err(Error::TooLarge { .. }) if !Document::is_one(&entry.media_type) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Corrects the error of a missing document: where `index.json` does not list it, the first index that does is its referrer.
pub(crate) fn with_lister(error: Error, documents: &dyn Documents, index: &Index) -> Error {
    let Error::MissingBlob { digest, referrer: Referrer::Index } = error else { return error };
    let lists = |index: &Index| index.manifests.iter().any(|entry| entry.digest == digest);
    let lister = |visit: Visit<'_>| match &visit.document {
        Ok(Some(Document::Index(nested))) if lists(nested) => Some(visit.entry.digest.clone()),
        _ => None,
    };
    let nested = if lists(index) { None } else { walk(documents, &index.manifests, Reach::Indexes).find_map(lister) };
    Error::MissingBlob { digest, referrer: Referrer::of_entry(nested.as_ref()) }
}
