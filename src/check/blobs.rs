//! The source of the blobs that a validation reads: a layout or a view.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Referrer, Result};
use crate::graph::walk::Documents;
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::layout::handle::Layout;
use crate::oci::Digest;
use crate::view::index_view::View;

/// A source of blobs.
pub(crate) trait Blobs {
    /// Returns the path of the source, as messages name it.
    fn path(&self) -> &Path;

    /// Opens a blob and returns its size.
    fn open(&self, digest: &Digest, referrer: &Referrer) -> Result<(Opened, u64)>;

    /// Reads a document. Verifies its digest if the algorithm is supported.
    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>>;
}

/// A blob that exists.
pub(crate) enum Opened {
    File(File),
    Bytes(Vec<u8>),
    /// The blob is looked up again when it is read.
    There,
}

impl Blobs for Layout {
    fn path(&self) -> &Path {
        self.path()
    }

    fn open(&self, digest: &Digest, referrer: &Referrer) -> Result<(Opened, u64)> {
        self.open_blob(digest, referrer).map(|(file, size)| (Opened::File(file), size))
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        let file = match blob {
            Opened::Bytes(bytes) => return Ok(bytes),
            Opened::File(file) => file,
            Opened::There => self.open_blob(digest, &Referrer::Index)?.0,
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

    fn open(&self, digest: &Digest, referrer: &Referrer) -> Result<(Opened, u64)> {
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() };
        Ok((Opened::There, self.content(digest)?.ok_or_else(missing)?.size()))
    }

    fn read(&self, digest: &Digest, blob: Opened) -> Result<Vec<u8>> {
        match blob {
            Opened::Bytes(bytes) => Ok(bytes),
            _ if digest.algorithm().is_some() => Documents::read(self, digest, &Referrer::Index),
            // The algorithm of the digest is not supported.
            _ => {
                let missing = || Error::MissingBlob { digest: digest.clone(), referrer: Referrer::Index };
                let content = self.content(digest)?.ok_or_else(missing)?;
                let mut bytes = Vec::new();
                let mut reader = content.reader().take(DOCUMENT_BLOB_LIMIT);
                reader.read_to_end(&mut bytes).map_err(Error::io("read", self.path()))?;
                Ok(bytes)
            }
        }
    }
}
