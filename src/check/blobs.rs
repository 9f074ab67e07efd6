//! Where a validation finds blobs: in a layout, or wherever a view has them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Referrer, Result};
use crate::graph::walk::Documents;
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::layout::handle::Layout;
use crate::oci::Digest;
use crate::view::index_view::View;

/// Where blobs are found.
pub(crate) trait Blobs {
    /// Returns the place, as messages name it.
    fn path(&self) -> &Path;

    /// Finds a blob; returns its size too.
    fn open(&self, digest: &Digest, referrer: &Referrer) -> Result<(Opened, u64)>;

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
            // Its digest cannot be compared.
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
