//! Where a validation finds blobs: in a layout, or wherever a view has them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::follow::Validation;
use crate::check::report::Missing;
use crate::error::{Error, Reason, Result};
use crate::graph::finding::Finding;
use crate::graph::walk::Documents;
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, Index};
use crate::view::index_view::View;

/// Where blobs are found.
pub(crate) trait Blobs {
    /// Returns the place, as messages name it.
    fn path(&self) -> &Path;

    /// Finds a blob; returns its size too.
    fn open(&self, digest: &Digest, referrer: &str) -> Result<(Opened, u64)>;

    /// Reads a document, and compares its digest if that can be done.
    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>>;
}

/// A blob that was found.
pub(crate) enum Opened {
    File(File),
    Bytes(Vec<u8>),
    /// It is found again when it is read.
    There,
}

impl Blobs for Layout {
    fn path(&self) -> &Path {
        self.path()
    }

    fn open(&self, digest: &Digest, referrer: &str) -> Result<(Opened, u64)> {
        self.open_blob(digest, referrer).map(|(file, size)| (Opened::File(file), size))
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        let file = match blob {
            Opened::Bytes(bytes) => return Ok(bytes),
            Opened::File(file) => file,
            Opened::There => self.open_blob(digest, "index.json")?.0,
        };
        if digest.algorithm().is_some() {
            return self.read_opened_document(digest, &file);
        }
        self.read_limited(digest, &file)
    }
}

impl Blobs for View {
    fn path(&self) -> &Path {
        self.path()
    }

    fn open(&self, digest: &Digest, referrer: &str) -> Result<(Opened, u64)> {
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.to_owned() };
        Ok((Opened::There, self.content(digest)?.ok_or_else(missing)?.size()))
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        match blob {
            Opened::Bytes(bytes) => Ok(bytes),
            _ if digest.algorithm().is_some() => Documents::read(self, digest, "index.json"),
            // Its digest cannot be compared.
            _ => {
                let missing = || Error::MissingBlob { digest: digest.clone(), referrer: "index.json".to_owned() };
                let content = self.content(digest)?.ok_or_else(missing)?;
                let mut bytes = Vec::new();
                let mut reader = content.reader().take(DOCUMENT_BLOB_LIMIT);
                reader.read_to_end(&mut bytes).map_err(Error::io("read", self.path()))?;
                Ok(bytes)
            }
        }
    }
}

/// A layout with a document that is about to be stored in it.
struct Pending<'a> {
    layout: &'a Layout,
    digest: &'a Digest,
    content: &'a [u8],
}

impl Blobs for Pending<'_> {
    fn path(&self) -> &Path {
        self.layout.path()
    }

    fn open(&self, digest: &Digest, referrer: &str) -> Result<(Opened, u64)> {
        if digest == self.digest {
            return Ok((Opened::Bytes(self.content.to_vec()), self.content.len() as u64));
        }
        Blobs::open(self.layout, digest, referrer)
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        match blob {
            _ if digest == self.digest => Ok(self.content.to_vec()),
            blob => Blobs::read(self.layout, digest, blob),
        }
    }
}

/// Returns the first error that a validation would find in what an index lists.
fn first_error(blobs: &dyn Blobs, index: &Index, missing: Missing) -> Option<Finding> {
    let mut validation = Validation::new(blobs, false);
    let index = serde_json::to_vec(index).expect("documents have string keys only");
    validation.follow(&index);
    validation.first_error(missing)
}

/// Checks that a validation would find no error in a document if it were stored and listed. Whether parts that are not there
/// count is for the caller to say.
///
/// # Errors
///
/// [`Error::InvalidManifest`], with the first one.
pub(crate) fn check_document(layout: &Layout, entry: &Descriptor, content: &[u8], missing: Missing) -> Result<()> {
    let index = Index { manifests: vec![entry.clone()], ..Index::empty() };
    let pending = Pending { layout, digest: &entry.digest, content };
    match first_error(&pending, &index, missing) {
        Some(finding) => Err(Error::InvalidManifest { reason: Reason::new(finding.to_string()) }),
        None => Ok(()),
    }
}

impl View {
    /// Checks that [`Layout::validate`] would find no error in the documents of a layout of this view. Blobs that are not there,
    /// or not as their descriptors say, are for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`Error::NotValid`], with the first one and the names of its image.
    pub fn check_documents(&self) -> Result<()> {
        let Some(finding) = first_error(self, self.index(), Missing::Fine) else { return Ok(()) };
        // Each entry alone, to name the one that leads to the fault.
        let is_it = |entry: &&Descriptor| {
            let index = Index { manifests: vec![Descriptor::clone(entry)], ..Index::empty() };
            first_error(self, &index, Missing::Fine).is_some()
        };
        let entry = self.index().manifests.iter().find(is_it);
        let image = entry.and_then(|entry| entry.names().next()).map(str::to_owned);
        Err(Error::NotValid { path: self.path().to_owned(), image, reason: Reason::new(finding.to_string()) })
    }
}
