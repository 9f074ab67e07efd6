//! Views: an index and a way to read blobs. They are made from layouts, archives and other views, change nothing, and cost
//! nothing until something is read.
//!
//! Each part of the work is a function of its own, to be put together freely: [`View::open`], [`View::join`],
//! [`View::filter`], [`View::unwrap_index`], [`View::wrap`], and then an export.

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

/// An index and a way to read blobs. It does not change, and can be cloned for nothing.
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
/// // One layout for each platform, each perhaps with an index in its index.
/// let mut views = Vec::new();
/// for path in layout_paths {
///     views.push(View::open(path)?.unwrap_index(|_| true)?);
/// }
///
/// // Together they are one image, which has a name.
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
    /// The layout that it shows.
    pub(crate) origin: Option<Arc<Origin>>,
    /// The path that errors name.
    pub(crate) path: PathBuf,
    /// The sources of documents that were made here, for errors about the blobs that they refer to.
    made: Arc<HashMap<Digest, Referrer>>,
    /// The ref name that `index.json` itself had.
    pub(crate) own_name: Option<String>,
}

/// Entries that differ from each other. Thousands may be of one digest.
#[derive(Debug, Default)]
pub(crate) struct DistinctEntries(HashSet<Vec<u8>>);

impl DistinctEntries {
    /// Adds an entry, and returns whether no equal one was added before.
    pub(crate) fn insert(&mut self, entry: &Descriptor) -> bool {
        self.0.insert(oci::to_blob(entry))
    }
}

/// Documents that were made, to be added to the blobs of a view together.
#[derive(Debug, Default)]
pub(crate) struct MadeDocuments {
    blobs: HashMap<Digest, Content>,
    /// The sources that they were made from.
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

    /// Adds a blob that is known already.
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
    /// Opens a layout. `index.json` is read now, and blobs when they are asked for.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open`] and [`Layout::read_index`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::of(Layout::open(path)?)
    }

    /// Views a layout that is open.
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

    /// Returns the index, for those that keep it.
    pub(crate) fn shared_index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// Returns the path that errors name: the one that the view was made from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds a blob, reachable from the index or not. It is not verified.
    ///
    /// # Errors
    ///
    /// [`Error::NotAFile`], [`Error::LinkOutside`]; [`Error::Io`]. That it is not there is none.
    pub fn content(&self, digest: &Digest) -> Result<Option<Content>> {
        for source in &self.sources {
            if let Some(content) = source.find(digest)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Shows several views as one: the entries of their indexes in order, equal ones once. The other fields of the indexes,
    /// their annotations among them, are not those of the whole. A blob is read from the first view that has it.
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

    /// Lets those blobs be read, too, that another view has.
    #[must_use]
    pub fn with_blobs_of(&self, other: &Self) -> Self {
        let mut view = self.clone();
        view.sources.extend(other.sources.iter().cloned());
        view.call(other.made.iter().map(|(digest, name)| (digest.clone(), name.clone())));
        view
    }

    /// Keeps those entries of the index that a predicate holds for. Every blob can still be read.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&Descriptor) -> bool) -> Self {
        let manifests = self.index.manifests.iter().filter(|entry| keep(entry)).cloned().collect();
        self.with_index(Index { manifests, ..Index::clone(&self.index) })
    }

    /// Shows the first nested index that a predicate holds for as the index; if there is none, the view is as it was.
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

    /// Shows the index as a blob, to which a new index leads by one entry with some annotations.
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

    /// Adds a document to the blobs, and returns its descriptor. Errors call it by its source. Several should be added
    /// at once: each call makes one more place to look for blobs.
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

    /// Notes the sources of documents that were made here. A document that existed before keeps its digest as its name.
    fn call(&mut self, names: impl IntoIterator<Item = (Digest, Referrer)>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            Arc::make_mut(&mut self.made).extend(names);
        }
    }

    /// Returns the referrer of a blob as users know it: a document that was made here is called by its source.
    fn known(&self, referrer: &Referrer) -> Referrer {
        let mut known = referrer;
        // The source may have been made here, too.
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

    /// Shows the same under no other name than those of the entries.
    pub(crate) fn without_own_name(self) -> Self {
        Self { own_name: None, ..self }
    }

    /// Shows another index before the same blobs.
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
