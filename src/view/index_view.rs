//! Views: an index and a way to read blobs. They are created from layouts, archives and other views. They never change,
//! and blobs are read only on demand.
//!
//! Each operation is a function of its own, and they combine freely: [`View::open`], [`View::join`], [`View::filter`],
//! [`View::unwrap_index`], [`View::wrap`], and then an export.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Content;
use super::source::{BlobSource, ReadSource};
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::walk::Documents;
use crate::layout::handle::Layout;
use crate::oci::{self, Annotations, Descriptor, Digest, Index, MediaType};
use crate::view::origin::Origin;

/// An index and a way to read blobs. A view is immutable and cheap to clone.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # use regshape::layout::Layout;
/// # let tar = directory.path().join("layer.tar");
/// # std::fs::write(&tar, [0; 1024])?;
/// # let layout_paths = ["amd64", "arm64"].map(|architecture| {
/// #     let path = directory.path().join(architecture);
/// #     let layout = Layout::init(&path).unwrap();
/// #     layout.stage_layer(LayerInput::open(&tar).unwrap(), &LayerOptions::default()).unwrap();
/// #     layout.generate_config(&ConfigOptions::default().architecture(architecture.to_owned())).unwrap();
/// #     layout.generate_manifest(&ManifestOptions::default()).unwrap();
/// #     path
/// # });
/// # let output = directory.path().join("output");
/// use regshape::transfer::{ArchiveKind, ExportOptions, Format};
/// use regshape::view::View;
/// use regshape::oci::{Annotations, REF_NAME};
///
/// // One layout for each platform, each perhaps with a nested index.
/// let mut views = Vec::new();
/// for path in layout_paths {
///     views.push(View::open(path)?.unwrap_index(|_| true)?);
/// }
///
/// // Combine them into one image with a name.
/// let merged = View::join(views);
/// let wrapped = merged.wrap(Annotations::from([(REF_NAME.to_owned(), "v1.0.0".to_owned())]));
///
/// let options = ExportOptions::default();
/// wrapped.plan_export(Format::Directory, &options)?.write(&output)?;
/// let mut archive = Vec::new();
/// let format = Format::Archive { kind: ArchiveKind::Oci, compression: None };
/// wrapped.plan_export(format, &options)?.write_to(&mut archive)?;
/// # assert!(Layout::open(&output)?.validate(&Default::default())?.is_valid());
/// # assert_eq!(View::open(&output)?.unwrap_index(|_| true)?.index(), merged.index());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct View {
    pub(crate) index: Arc<Index>,
    sources: Vec<Arc<ReadSource>>,
    /// The layout behind the view, if there is one.
    pub(crate) origin: Option<Arc<Origin>>,
    /// The name of the view in errors.
    pub(crate) path: PathBuf,
    /// The names in errors of generated documents: the documents that they were generated from.
    made: Arc<HashMap<Digest, Referrer>>,
    /// The ref name in the annotations of `index.json` itself.
    pub(crate) own_name: Option<String>,
}

/// A set of distinct entries. Thousands of them may have the same digest.
#[derive(Debug, Default)]
pub(crate) struct DistinctEntries(HashSet<Vec<u8>>);

impl DistinctEntries {
    /// Adds an entry, and returns whether no equal one was added before.
    pub(crate) fn insert(&mut self, entry: &Descriptor) -> bool {
        self.0.insert(oci::to_blob(entry))
    }
}

/// Generated documents, to be added to the blobs of a view together.
#[derive(Debug, Default)]
pub(crate) struct MadeDocuments {
    blobs: HashMap<Digest, Content>,
    /// The documents that they were generated from.
    names: HashMap<Digest, Referrer>,
}

impl MadeDocuments {
    /// Adds a document, and returns its digest and size.
    pub(crate) fn add(&mut self, content: Vec<u8>, made_of: Referrer) -> (Digest, u64) {
        let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
        self.names.insert(digest.clone(), made_of);
        self.insert(digest.clone(), Content::in_memory(content));
        (digest, size)
    }

    /// Adds a blob with a known digest.
    pub(crate) fn insert(&mut self, digest: Digest, content: Content) {
        self.blobs.insert(digest, content);
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("path", &self.path).field("index", &self.index).finish_non_exhaustive()
    }
}

impl View {
    /// Opens a layout. `index.json` is read immediately, blobs on demand.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open`] and [`Layout::read_index`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::of(Layout::open(path)?)
    }

    /// Creates a view of an open layout.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::read_index`].
    pub fn of(layout: Layout) -> Result<Self> {
        let origin = Some(Arc::new(Origin::of(&layout)));
        let index = layout.read_index()?;
        let path = layout.path().to_owned();
        Ok(Self { origin, ..Self::new(index, layout, path) })
    }

    pub(crate) fn new(index: Index, source: impl BlobSource + 'static, path: PathBuf) -> Self {
        let own_name = index.own_ref_name().map(str::to_owned);
        let index = Arc::new(index.with_own_names_on_entries());
        Self {
            index,
            sources: vec![Arc::new(ReadSource::new(source))],
            origin: None,
            path,
            made: Arc::default(),
            own_name,
        }
    }

    /// Returns the index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the index for shared ownership.
    pub(crate) fn shared_index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// Returns the path that the view was created from, which is its name in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds a blob, reachable from the index or not. The content is not verified.
    ///
    /// # Errors
    ///
    /// [`Error::NotAFile`], [`Error::LinkOutside`]; [`Error::Io`]. A missing blob is not an error.
    pub fn content(&self, digest: &Digest) -> Result<Option<Content>> {
        for source in &self.sources {
            if let Some(content) = source.find(digest)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Joins several views: the entries of their indexes in order, equal entries once. The other fields of the indexes,
    /// including annotations, are dropped. A blob is read from the first view that has it.
    pub fn join(views: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self::new(Index::empty(), HashMap::<Digest, Content>::new(), PathBuf::new());
        joined.sources.clear();
        let mut index = Index::empty();
        let mut distinct = DistinctEntries::default();
        for view in views {
            let new = view.index.manifests.iter().filter(|entry| distinct.insert(entry));
            index.manifests.extend(new.cloned());
            joined.sources.extend(view.sources);
            joined.call(view.made.iter().map(|(digest, name)| (digest.clone(), name.clone())));
            if joined.path.as_os_str().is_empty() {
                joined.path = view.path;
            }
        }
        Self { index: Arc::new(index), ..joined }
    }

    /// Makes the blobs of another view available, too.
    #[must_use]
    pub fn with_blobs_of(&self, other: &Self) -> Self {
        let mut view = self.clone();
        view.sources.extend(other.sources.iter().cloned());
        view.call(other.made.iter().map(|(digest, name)| (digest.clone(), name.clone())));
        view
    }

    /// Keeps the entries of the index that match a predicate. All blobs stay available.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&Descriptor) -> bool) -> Self {
        let manifests = self.index.manifests.iter().filter(|entry| keep(entry)).cloned().collect();
        self.with_index(Index { manifests, ..Index::clone(&self.index) })
    }

    /// Replaces the index by the first nested index that matches a predicate; without a match, the view is unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], [`Error::DigestMismatch`], [`Error::TooLarge`], [`Error::MalformedDocument`];
    /// [`Error::Io`].
    pub fn unwrap_index(&self, mut matches: impl FnMut(&Descriptor) -> bool) -> Result<Self> {
        let nested = self.index.manifests.iter().find(|entry| entry.is_index() && matches(entry));
        let Some(nested) = nested else { return Ok(self.clone()) };
        let content = self.read(&nested.digest, &Referrer::Index)?;
        let index: Index = oci::from_json(&content).map_err(|error| Error::MalformedDocument {
            digest: nested.digest.clone(),
            kind: "image index",
            reason: Reason::from(error),
        })?;
        let own_name = index.own_ref_name().map(str::to_owned);
        Ok(Self { own_name, ..self.with_index(index) })
    }

    /// Stores the index as a blob, and refers to it from a new index with a single entry and these annotations.
    #[must_use]
    pub fn wrap(&self, annotations: Annotations) -> Self {
        let content = oci::to_blob(&*self.index);
        let media_type = self.index.media_type.clone().unwrap_or_else(MediaType::index);
        let (mut wrapped, mut entry) = self.with_document(media_type, content, Referrer::Index);
        entry.annotations = (!annotations.is_empty()).then_some(annotations);
        wrapped.index = Arc::new(Index { manifests: vec![entry], ..Index::empty() });
        wrapped.own_name = None;
        wrapped
    }

    /// Adds a document to the blobs, and returns its descriptor. Errors name it by the document it was generated from.
    /// To add several documents, use [`Self::with_documents`]: each call adds another source to search for blobs.
    pub(crate) fn with_document(
        &self,
        media_type: MediaType,
        content: Vec<u8>,
        made_of: Referrer,
    ) -> (Self, Descriptor) {
        let mut made = MadeDocuments::default();
        let (digest, size) = made.add(content, made_of);
        (self.with_documents(made), Descriptor::new(media_type, digest, size))
    }

    /// Adds documents to the blobs.
    pub(crate) fn with_documents(&self, made: MadeDocuments) -> Self {
        let mut view = self.clone();
        if !made.blobs.is_empty() {
            view.sources.insert(0, Arc::new(ReadSource::new(made.blobs)));
            view.call(made.names);
        }
        view
    }

    /// Records the names of generated documents. A document that existed before keeps its digest as its name.
    fn call(&mut self, names: impl IntoIterator<Item = (Digest, Referrer)>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            Arc::make_mut(&mut self.made).extend(names);
        }
    }

    /// Returns a referrer as known to the user: for a generated document, the document that it was generated from.
    fn known(&self, referrer: &Referrer) -> Referrer {
        let mut known = referrer;
        // A document may be generated from a generated document.
        for _ in 0..=self.made.len() {
            let Referrer::Document(digest) = known else { break };
            match self.made.get(digest) {
                Some(made_of) if made_of != known => known = made_of,
                _ => break,
            }
        }
        known.clone()
    }

    pub(crate) fn missing(&self, digest: &Digest, referrer: &Referrer) -> Error {
        Error::MissingBlob { digest: digest.clone(), referrer: self.known(referrer) }
    }

    /// Drops the ref name of the index itself.
    pub(crate) fn without_own_name(self) -> Self {
        Self { own_name: None, ..self }
    }

    /// Returns a view of the same blobs with another index.
    pub(crate) fn with_index(&self, index: Index) -> Self {
        Self { index: Arc::new(index), ..self.clone() }
    }
}

impl Documents for View {
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        for source in &self.sources {
            if let Some(content) = source.read_document(digest, &self.path)? {
                return Ok(content);
            }
        }
        Err(self.missing(digest, referrer))
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.content(digest)?.is_some())
    }
}
