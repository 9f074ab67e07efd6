//! Sources of blobs: a layout, an archive, memory, or any other store that finds blobs by their digests.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::content::Content;
use crate::error::{Error, Referrer, Result};
use crate::fs::open_regular;
use crate::graph::verify::verify_if_possible;
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::layout::handle::Layout;
use crate::oci::Digest;

/// The maximum number of bytes of documents kept per source. The documents of a typical image take a few KiB.
const KEPT_LIMIT: usize = 16 * 1024 * 1024;

/// A store that finds blobs by their digests.
pub trait BlobSource: Send + Sync {
    /// Finds a blob. Its content is not verified.
    ///
    /// # Errors
    ///
    /// The errors of opening the blob. A missing blob is not an error.
    fn find(&self, digest: &Digest) -> Result<Option<Content>>;
}

impl BlobSource for Layout {
    fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        match self.open_blob(digest, &Referrer::Index) {
            Ok((file, size)) => Ok(Some(Content::from_file(file, self.blob_path(digest), size))),
            Err(Error::MissingBlob { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Blobs in files with arbitrary names.
impl BlobSource for HashMap<Digest, PathBuf> {
    fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        let Some(path) = self.get(digest).cloned() else { return Ok(None) };
        let open = || open_regular(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = open().map_err(Error::io("read", &path))?;
        Ok(Some(Content::from_file(file, path, size)))
    }
}

/// Blobs in an archive or in memory.
impl BlobSource for HashMap<Digest, Content> {
    fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        Ok(self.get(digest).cloned())
    }
}

/// A source with a cache of its documents: each document is opened, read and verified once, and later steps (choosing a
/// platform, planning, checking, writing) use the cached bytes.
pub(crate) struct ReadSource {
    source: Box<dyn BlobSource>,
    documents: Mutex<ReadDocuments>,
    /// The blob that was found last, still open: usually a document is read right after it was found.
    last: Mutex<Option<(Digest, Content)>>,
}

/// Documents that were read and verified. Beyond [`KEPT_LIMIT`] they are not kept, and are read again.
#[derive(Default)]
struct ReadDocuments {
    contents: HashMap<Digest, Content>,
    bytes: usize,
}

impl ReadSource {
    pub(crate) fn new(source: impl BlobSource + 'static) -> Self {
        Self { source: Box::new(source), documents: Mutex::default(), last: Mutex::default() }
    }

    /// Finds a blob in the cached documents, or in the source.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        if let Some(content) = self.kept(digest) {
            return Ok(Some(content));
        }
        // The last blob is taken out, so that at most one file stays open, and none while the next is opened.
        let last = self.last().take();
        let found = match last.filter(|(last, _)| last == digest) {
            Some((_, content)) => Some(content),
            None => self.source.find(digest)?,
        };
        *self.last() = found.clone().map(|content| (digest.clone(), content));
        Ok(found)
    }

    /// Reads a document, and verifies it if the algorithm of its digest is registered; `None` if it is missing.
    pub(crate) fn read_document(&self, digest: &Digest, path: &Path) -> Result<Option<Vec<u8>>> {
        let is_kept = self.kept(digest).is_some();
        let Some(content) = self.find(digest)? else { return Ok(None) };
        if content.size() > DOCUMENT_BLOB_LIMIT {
            return Err(Error::TooLarge { what: format!("document {digest}"), limit: DOCUMENT_BLOB_LIMIT });
        }
        let mut bytes = Vec::new();
        content.reader().read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        if !is_kept {
            verify_if_possible(digest, &bytes)?;
            self.keep(digest, &content, &bytes);
        }
        Ok(Some(bytes))
    }

    fn last(&self) -> MutexGuard<'_, Option<(Digest, Content)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, digest: &Digest) -> Option<Content> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).contents.get(digest).cloned()
    }

    fn keep(&self, digest: &Digest, content: &Content, bytes: &[u8]) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if content.is_in_file() && documents.bytes + bytes.len() <= KEPT_LIMIT {
            documents.bytes += bytes.len();
            documents.contents.insert(digest.clone(), content.with_bytes(bytes.to_owned()));
        }
    }
}
