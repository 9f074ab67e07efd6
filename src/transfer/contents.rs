//! The contents of an export, planned before anything is written.
//!
//! An export holds `oci-layout`, then every blob reachable from the index, depth first and each once, and `index.json`
//! last. Every blob is verified while it is written.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use crate::error::Result;
use crate::layout::document_files::{pretty_size, write_pretty};
use crate::layout::handle::Layout;
use crate::layout::options::WriteOptions;
use crate::metrics::Metrics;
use crate::oci::{Descriptor, Digest, Index, MediaType};
use crate::options::setters;
use crate::tally::Tally;
use crate::view::content::Content;
use crate::view::index_view::View;
use crate::view::reach::MissingBlobs;

/// Options of an export.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Whether missing blobs are left out if their descriptors have `urls`, or if they are manifests in a nested index.
    pub allow_missing: bool,
    /// A layout whose blobs are left out, because the export will be added to it.
    pub except: Option<Layout>,
    /// Whether blobs are hard-linked instead of copied, if source and target are on the same file system.
    pub link: bool,
    /// Whether entries take their names from other manifests in the target layout. Those manifests stay, without a name
    /// unless they have another.
    pub replace: bool,
    /// Whether the manifests are those of a build: they take their tags from manifests that an earlier build made, which
    /// then are deleted if nothing else refers to them.
    pub is_build: bool,
    /// The modification time of the entries of an archive, in seconds since 1970.
    pub modified: u64,
    /// Whether a symbolic link at `blobs` of the target layout is followed, as described at
    /// [`Layout::with_shared_blobs`].
    pub shares_blobs: bool,
    /// How a layout on disk is written.
    pub write: WriteOptions,
    /// The counters of the work.
    pub metrics: Arc<Metrics>,
    /// Blobs in files of this program's own that were verified while they were written: they are linked as they are.
    pub(crate) verified: Arc<HashSet<Digest>>,
    /// Blobs of the target layout that are taken by their sizes.
    pub(crate) trusted: Arc<HashSet<Digest>>,
}

impl ExportOptions {
    setters! {
        allow_missing: [bool],
        except: [option Layout],
        link: [bool],
        replace: [bool],
        is_build: [bool],
        modified: [u64],
        shares_blobs: [bool],
        write: [WriteOptions],
        metrics: [Arc<Metrics>],
    }
}

/// The blobs that an export wrote, or would write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Exported {
    /// The blobs that were written.
    pub blobs: Tally,
    /// The blobs that were already in the target, or are in the layout of `except`.
    pub present: Tally,
    /// The missing blobs that were left out because they are available elsewhere.
    pub left_out: Tally,
    /// The blobs that could not be verified because the algorithms of their digests are not registered. Only their
    /// sizes were compared.
    pub unverified: Vec<Digest>,
    /// The names of signatures and other referrers of the images that lose a tag to a build: they stay with the old digests.
    pub left_behind: Vec<String>,
}

/// The contents of an export.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// The blobs to write, in the order of writing.
    pub(crate) blobs: Vec<Planned>,
    /// The counts of blobs that are written and left out.
    pub(crate) exported: Exported,
}

/// A blob to write. It is opened only when it is written: an export can have more blobs than a process can have open
/// files.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) descriptor: Descriptor,
    view: Arc<View>,
}

impl Planned {
    pub(crate) fn content(&self) -> Result<Content> {
        self.view.find(&self.descriptor)
    }
}

/// The `index.json` of an export. It is written in pieces, never held in memory as a whole: indentation can make it
/// many times as long as its source.
#[derive(Clone, Debug)]
pub(crate) struct IndexDocument {
    index: Arc<Index>,
    /// The number of bytes that are written.
    pub(crate) size: u64,
}

impl IndexDocument {
    /// Takes the index of a view, which may be a nested manifest list of Docker's.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the document would be larger than the limit.
    pub(crate) fn new(view: &View, what: &str, limit: u64) -> Result<Self> {
        let mut index = view.shared_index();
        if index.media_type.as_ref().is_some_and(|media_type| *media_type != MediaType::index()) {
            index = Arc::new(Index { media_type: Some(MediaType::index()), ..Index::clone(&index) });
        }
        let size = pretty_size(what, &*index, limit)?;
        Ok(Self { index, size })
    }

    pub(crate) fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        write_pretty(&*self.index, writer)
    }
}

impl Contents {
    /// Nothing at all.
    #[cfg(feature = "remote")]
    pub(crate) fn none() -> Self {
        Self { blobs: Vec::new(), exported: Exported::default() }
    }

    /// Collects the blobs that an export of a view holds.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`](crate::Error::MissingBlob), with the document that refers to it;
    /// [`Error::PlatformNotStored`](crate::Error::PlatformNotStored), if the blob is the manifest for a platform in a
    /// nested index; [`Error::SizeMismatch`](crate::Error::SizeMismatch); the errors of reading a document.
    pub(crate) fn of(view: &View, options: &ExportOptions) -> Result<Self> {
        let missing = if options.allow_missing { MissingBlobs::LeftOut } else { MissingBlobs::Error };
        let reached = view.reached(missing).map_err(|error| view.by_platform(error))?;
        let view = Arc::new(view.clone());
        let mut contents = Self { blobs: Vec::new(), exported: Exported::default() };
        for reached in reached {
            let Descriptor { digest, size, .. } = &reached.descriptor;
            let is_excepted = options.except.as_ref().is_some_and(|layout| layout.has_blob(digest, *size));
            if is_excepted {
                contents.exported.present.add(*size);
            } else if reached.is_there {
                contents.exported.blobs.add(*size);
                contents.exported.unverified.extend(digest.algorithm().is_none().then(|| digest.clone()));
                contents.blobs.push(Planned { descriptor: reached.descriptor, view: Arc::clone(&view) });
            } else {
                contents.exported.left_out.add(*size);
            }
        }
        Ok(contents)
    }
}
