//! The content of an export, planned before anything is written.
//!
//! An export holds `oci-layout`, the blobs reachable from the index, depth first and each once, and `index.json` last.
//! Every blob is verified as it is written.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use crate::error::Result;
use crate::layout::documents::{pretty_size, write_pretty};
use crate::layout::handle::Layout;
use crate::layout::options::WriteOptions;
use crate::metrics::Metrics;
use crate::oci::{Descriptor, Digest, Index, MediaType};
use crate::options::setters;
use crate::tally::Tally;
use crate::view::content::Content;
use crate::view::index_view::View;
use crate::view::reach::MissingBlobs;

/// How a view is written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Whether blobs that are not there are left out if their descriptors name another place (`urls`), or if
    /// they are manifests that a nested index lists.
    pub allow_missing: bool,
    /// A layout whose blobs are left out: the output is to be added to it.
    pub except: Option<Layout>,
    /// Whether blobs are linked, if both places are on one file system, instead of copied.
    pub link: bool,
    /// Whether entries take names that other manifests have in a layout that is added to; those stay, without a name if they
    /// have no other.
    pub replace: bool,
    /// The time of the entries of an archive, in seconds since 1970.
    pub modified: u64,
    /// Whether a link at `blobs` of a layout that is added to is followed, as [`Layout::with_shared_blobs`] says.
    pub shares_blobs: bool,
    /// How a layout on the disk is written.
    pub write: WriteOptions,
    /// Counts the work.
    pub metrics: Arc<Metrics>,
}

impl ExportOptions {
    setters! {
        allow_missing: [bool],
        except: [option Layout],
        link: [bool],
        replace: [bool],
        modified: [u64],
        shares_blobs: [bool],
        write: [WriteOptions],
        metrics: [Arc<Metrics>],
    }
}

/// The blobs that were written, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exported {
    /// The blobs that were written.
    pub blobs: Tally,
    /// The blobs that were there already, or in the layout that is excepted.
    pub present: Tally,
    /// The blobs that are stored elsewhere and were left out.
    pub left_out: Tally,
    /// The blobs that could not be verified: the algorithms of their digests are not registered. Their sizes were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Digest>,
}

/// The content of an export.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// The blobs, in their order.
    pub(crate) blobs: Vec<Planned>,
    /// The blobs to write, and those to leave out.
    pub(crate) exported: Exported,
}

/// A blob that is to be written. It is opened when its turn comes: there may be more blobs than files can be open.
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

/// The `index.json` of an export. It is written in pieces and never held in memory: blanks make it many times as long
/// as its source.
#[derive(Clone, Debug)]
pub(crate) struct IndexDocument {
    index: Arc<Index>,
    /// How many bytes are written.
    pub(crate) size: u64,
}

impl IndexDocument {
    /// Takes the index of a view, which may be a nested one of Docker's. It must not be larger than the limit.
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
    /// Plans the content of an export of a view.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`](crate::Error::MissingBlob), with the referrer;
    /// [`Error::PlatformNotStored`](crate::Error::PlatformNotStored), if that is the manifest for a platform that a
    /// nested index lists; [`Error::SizeMismatch`](crate::Error::SizeMismatch); the error of reading a document.
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
