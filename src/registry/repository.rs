//! Reading and writing a layout the way one reads and writes a registry (distribution-spec), without running one.
//!
//! A [`Registry`] is a directory: one layout that several repositories share, or a directory of layouts, one for each.
//! A [`Repository`] has tags, manifests, blobs, uploads and referrers. The entries of `index.json` that belong to a
//! repository are found by their ref names ([`names`]); the blobs are those of the whole layout. Without repositories,
//! [`Registry::ref_names`] takes all entries, with the names as they stand.
//!
//! Opening creates nothing, and a missing layout reads like an empty one; writing creates the missing directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::page::Page;
use crate::error::{Error, Result};
use crate::graph::edit::IndexEditor;
use crate::graph::names::{Names, repositories};
use crate::graph::walk::INDEX_FILE;
use crate::layout::entries::OpenedEntries;
use crate::layout::handle::Layout;
use crate::layout::init::NewDirectories;
use crate::layout::options::WriteOptions;
use crate::layout::site::{BLOBS_DIRECTORY, MARKER_FILE, Site, has_marker};
use crate::metrics::Metrics;
use crate::oci::{Descriptor, Digest, Index, RepositoryName};

/// The files of a layout that a repository could be called like: the others begin with a dot.
const OWN_FILES: [&str; 3] = [BLOBS_DIRECTORY, INDEX_FILE, MARKER_FILE];

/// A directory that is read and written like a registry.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layout");
/// use regshape::oci::MediaType;
/// use regshape::registry::{Expected, ManifestBody, Page, Registry};
///
/// let registry = Registry::shared(&path)?;
/// let app = registry.repository("example/app".parse()?);
/// let config = app.push_blob(&b"{}"[..], &Expected::default())?;
/// let manifest = format!(
///     r#"{{"schemaVersion":2,"artifactType":"application/x","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
///     config.digest
/// );
/// let pushed = app.push_manifest(&ManifestBody::parse_as(manifest.as_str(), MediaType::manifest())?, &["v1"])?;
///
/// assert_eq!(app.tags(&Page::default())?, ["v1"]);
/// assert_eq!(app.get_tag("v1")?.content, manifest.as_bytes());
/// assert_eq!(app.resolve_tag("v1")?.digest, pushed.digest);
/// app.delete_tag("v1")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where the layout is that is shared, or the directory of the layouts.
    site: Site,
    storage: Storage,
    /// The entries of the layout that is shared.
    opened: Arc<OpenedEntries>,
}

#[derive(Clone, Debug)]
enum Storage {
    /// One layout, and the repository of the entries whose names do not say one.
    Shared { default: Option<RepositoryName> },
    /// A directory of layouts.
    PerRepository,
}

/// The content of one repository, or all of a layout by the ref names as they stand.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Where its layout is or will be.
    pub(crate) site: Site,
    pub(crate) names: Names,
    /// Whether its layout lies where its name says.
    is_apart: bool,
    opened: Arc<OpenedEntries>,
}

impl Registry {
    /// Opens a layout that several repositories may share, or that is not there yet.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMarker`], [`Error::LayoutVersion`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn shared(path: impl Into<PathBuf>) -> Result<Self> {
        let site = Site::new(path.into());
        let opened = Arc::new(OpenedEntries::of(&site)?);
        Ok(Self { site, storage: Storage::Shared { default: None }, opened })
    }

    /// Opens a directory with a layout for each repository: that of `example/app` is `example/app` in it. Neither need be
    /// there yet.
    pub fn per_repository(path: impl Into<PathBuf>) -> Self {
        Self { site: Site::new(path.into()), storage: Storage::PerRepository, opened: Arc::default() }
    }

    /// Makes entries without a name, and those whose name is a tag alone, belong to a repository. Other programs write
    /// such names. It is of no use where each repository has a layout of its own.
    #[must_use]
    pub fn with_default_repository(mut self, repository: RepositoryName) -> Self {
        if let Storage::Shared { default } = &mut self.storage {
            *default = Some(repository);
        }
        self
    }

    /// Makes this registry write as the options say.
    #[must_use]
    pub fn with_write_options(self, options: WriteOptions) -> Self {
        Self { site: self.site.with_write_options(options), ..self }
    }

    /// Makes this registry follow a link at `blobs`, as [`Layout::with_shared_blobs`] says.
    #[must_use]
    pub fn with_shared_blobs(self) -> Self {
        Self { site: self.site.with_shared_blobs(), ..self }
    }

    /// Returns the directory, as it was given.
    pub fn path(&self) -> &Path {
        self.site.path()
    }

    /// Returns a repository, which need not be there yet.
    pub fn repository(&self, name: RepositoryName) -> Repository {
        let (site, default) = match &self.storage {
            Storage::Shared { default } => (self.site.clone(), default.clone()),
            Storage::PerRepository => (self.site.another(self.path().join(name.as_str())), Some(name.clone())),
        };
        let is_apart = matches!(self.storage, Storage::PerRepository);
        let opened = if is_apart { Arc::default() } else { Arc::clone(&self.opened) };
        Repository { site, names: Names::Repository { name, default }, is_apart, opened }
    }

    /// Returns all of the layout, with the ref names as they stand in `index.json`: any of them counts as a tag.
    ///
    /// # Errors
    ///
    /// [`Error::NoRepository`] where each repository has a layout of its own.
    pub fn ref_names(&self) -> Result<Repository> {
        match &self.storage {
            Storage::Shared { default } => {
                let names = Names::AsTheyStand { default: default.clone() };
                Ok(Repository { site: self.site.clone(), names, is_apart: false, opened: Arc::clone(&self.opened) })
            }
            Storage::PerRepository => Err(Error::NoRepository { path: self.path().to_owned() }),
        }
    }

    /// Returns the repositories of a page, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMarker`], [`Error::LayoutVersion`], [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn repositories(&self, page: &Page) -> Result<Vec<RepositoryName>> {
        let mut found = match &self.storage {
            Storage::Shared { default } => repositories(&self.opened.read(&self.site)?.1, default.as_ref()),
            Storage::PerRepository => self.layouts()?.into_iter().map(|(name, _)| name).collect(),
        };
        found.sort();
        found.dedup();
        found.retain(|name| page.begins_before(name.as_str()));
        found.truncate(page.most());
        Ok(found)
    }

    /// Returns the layouts of the repositories, where each has its own: those whose index has an entry of it.
    fn layouts(&self) -> Result<Vec<(RepositoryName, Repository)>> {
        let mut found = Vec::new();
        let mut directories = vec![(self.path().to_owned(), String::new())];
        while let Some((directory, name)) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", directory)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(Error::io("read", &directory))?;
                let is_directory = entry.file_type().map_err(Error::io("read", entry.path()))?.is_dir();
                let Some(word) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let name = if name.is_empty() { word } else { format!("{name}/{word}") };
                // The blobs of a layout are called like no repository that is worth looking into.
                let is_blobs = name.ends_with("/blobs") && has_marker(&directory);
                let Ok(repository) = name.parse::<RepositoryName>() else { continue };
                if !is_directory || is_blobs {
                    continue;
                }
                let path = entry.path();
                if has_marker(&path) {
                    let layout = self.repository(repository.clone());
                    if layout.has_entries(&layout.index()?) {
                        found.push((repository, layout));
                    }
                }
                directories.push((path, name));
            }
        }
        Ok(found)
    }

    /// Makes a blob of one repository available in another, and returns its descriptor.
    ///
    /// In one layout nothing is copied. Between two it is verified, and then cloned where the file system can, linked where
    /// it cannot, and copied elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], [`Error::DigestMismatch`]; those of writing a blob.
    pub fn mount_blob(&self, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> Result<Descriptor> {
        let source = self.repository(from.clone());
        let target = self.repository(to.clone());
        source.mount_into(&target, digest)
    }
}

impl Repository {
    /// Returns how entries of the `index.json` of its layout are edited as those of this repository.
    pub(crate) fn edit<'a>(&'a self, layout: &'a Layout) -> IndexEditor<'a> {
        IndexEditor { names: &self.names, documents: layout, path: layout.path() }
    }

    /// Returns the directory of the layout that holds it, which need not be there yet.
    pub fn path(&self) -> &Path {
        self.site.path()
    }

    /// Opens the layout that holds it.
    ///
    /// # Errors
    ///
    /// [`Error::NotALayout`] if it is not there yet; [`Error::MalformedMarker`], [`Error::LayoutVersion`]; [`Error::Io`].
    pub fn layout(&self) -> Result<Layout> {
        Layout::at(self.site.clone())
    }

    /// Returns the counters of the work, for others to count with.
    pub fn shared_metrics(&self) -> Arc<Metrics> {
        self.site.shared_metrics()
    }

    /// Opens the layout that holds it, and makes it if it is not there.
    pub(crate) fn made_layout(&self) -> Result<Layout> {
        match Layout::find(&self.site)? {
            Some(layout) => Ok(layout),
            None => self.site.make_layout(self.prepare()?),
        }
    }

    /// Makes the directory of a layout that is not there.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedRepository`] if the layout would lie among the files of another one.
    pub(crate) fn prepare(&self) -> Result<NewDirectories> {
        if let Names::Repository { name, .. } = &self.names
            && self.is_apart
            && let Some(part) = name.as_str().split('/').find(|part| OWN_FILES.contains(part))
        {
            return Err(Error::ReservedRepository { repository: name.clone(), part: part.to_owned() });
        }
        self.site.prepare_directory()
    }

    /// Reads the index of its layout, which is empty where there is no layout.
    pub(crate) fn index(&self) -> Result<Index> {
        Ok(self.contents()?.1)
    }

    /// Opens its layout, if it is there, and reads the index.
    pub(crate) fn contents(&self) -> Result<(Option<Layout>, Index)> {
        self.opened.read(&self.site)
    }

    /// Returns whether an index has an entry that belongs here.
    fn has_entries(&self, index: &Index) -> bool {
        index.manifests.iter().any(|entry| self.names.of(entry).is_some())
    }

    /// Returns the entries that belong here.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`] if a repository has none.
    pub(crate) fn entries<'a>(&self, index: &'a Index) -> Result<Vec<&'a Descriptor>> {
        let entries: Vec<_> = index.manifests.iter().filter(|entry| self.names.of(entry).is_some()).collect();
        match &self.names {
            Names::Repository { name, .. } if entries.is_empty() => {
                Err(Error::UnknownRepository { path: self.path().to_owned(), repository: name.clone() })
            }
            _ => Ok(entries),
        }
    }
}
