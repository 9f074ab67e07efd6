//! Checks documents before they are written.

use std::path::{Path, PathBuf};

use super::blobs::{Blobs, Opened};
use super::follow::Validation;
use super::report::MissingParts;
use super::{json, schema};
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::finding::Finding;
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, Index};
use crate::view::index_view::View;

/// The number of entries that are checked one by one to name the image with the fault. Each check may read all
/// documents of the layout again.
const NAMED_ENTRIES: usize = 100;

/// A document that is about to be stored in a layout.
pub(crate) struct Pending<'a> {
    /// The layout; `None` if it is to be made for the document.
    pub(crate) layout: Option<&'a Layout>,
    /// The path of the layout.
    pub(crate) path: &'a Path,
    pub(crate) digest: &'a Digest,
    pub(crate) content: &'a [u8],
}

impl Blobs for Pending<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn open(&self, digest: &Digest, referrer: &Referrer) -> Result<(Opened, u64)> {
        if digest == self.digest {
            return Ok((Opened::Bytes(self.content.to_vec()), self.content.len() as u64));
        }
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() };
        Blobs::open(self.layout.ok_or_else(missing)?, digest, referrer)
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: Referrer::Index };
        match blob {
            _ if digest == self.digest => Ok(self.content.to_vec()),
            blob => Blobs::read(self.layout.ok_or_else(missing)?, digest, blob),
        }
    }
}

/// Returns the first error that a validation would find in an index and the documents reachable from it.
pub(crate) fn first_error(blobs: &dyn Blobs, index: &Index, missing: MissingParts) -> Option<Finding> {
    let mut validation = Validation::new(blobs, false);
    let index = serde_json::to_vec(index).expect("documents have string keys only");
    validation.follow(&index, None);
    validation.first_error(missing)
}

/// Checks that a validation would find no error in a document once it is stored and listed in `index.json`. `missing`
/// decides whether missing blobs are errors. A layout that is yet to be made has no other blobs.
///
/// # Errors
///
/// [`Error::InvalidManifest`], with the first error.
pub(crate) fn check_document(
    layout: Option<&Layout>,
    path: &Path,
    (entry, content): (&Descriptor, &[u8]),
    missing: MissingParts,
) -> Result<()> {
    let index = Index { manifests: vec![entry.clone()], ..Index::empty() };
    let pending = Pending { layout, path, digest: &entry.digest, content };
    match first_error(&pending, &index, missing) {
        Some(finding) => Err(Error::InvalidManifest { reason: Reason::new(finding.to_string()) }),
        None => Ok(()),
    }
}

/// Returns the first error that a validation would find in an image config.
pub(crate) fn config_error(content: &[u8]) -> Option<String> {
    let node = match json::parse(content) {
        Ok(node) => node,
        Err(reason) => return Some(reason.to_string()),
    };
    schema::config(node).faults.into_iter().find(|fault| fault.kind.is_error()).map(|fault| fault.text)
}

impl View {
    /// Checks that [`Layout::validate`] would find no error in the documents of a layout with the content of this view.
    /// Missing blobs and wrong sizes are not errors here: the caller checks blobs.
    ///
    /// # Errors
    ///
    /// [`Error::NotValid`], with the first error and the name of its image.
    pub fn check_documents(&self) -> Result<()> {
        let Some(finding) = first_error(self, self.index(), MissingParts::Fine) else { return Ok(()) };
        // Check the first entries one by one to find the image with the error.
        let of_entry = |entry: &Descriptor| {
            let index = Index { manifests: vec![entry.clone()], ..Index::empty() };
            Some((entry.names().next().map(str::to_owned), first_error(self, &index, MissingParts::Fine)?))
        };
        let found = self.index().manifests.iter().take(NAMED_ENTRIES).find_map(of_entry);
        let (image, finding) = found.unwrap_or((None, finding));
        // The message names the image before the path.
        let path = image.as_ref().and_then(|name| without_name(self.path(), name));
        let path = path.unwrap_or_else(|| self.path().to_owned());
        Err(Error::NotValid { path, image, reason: Reason::new(finding.to_string()) })
    }
}

/// Returns a path without the name of an image after it.
fn without_name(path: &Path, name: &str) -> Option<PathBuf> {
    path.to_str()?.strip_suffix(name)?.strip_suffix(':').map(PathBuf::from)
}
