//! Where a walk of all reachable blobs of a layout begins, and how it reads the documents.

use std::collections::HashSet;

use super::handle::Layout;
use super::staging_file::Stage;
use crate::error::{Error, Referrer, Result};
use crate::graph::walk::Documents;
use crate::oci::{Descriptor, Digest, Index};

impl Documents for Layout {
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        let (file, _) = self.open_blob(digest, referrer)?;
        if digest.algorithm().is_some() {
            return self.read_opened_document(digest, &file);
        }
        let content = self.read_limited(digest, &file)?;
        self.metrics().count_read(content.len());
        Ok(content)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        match self.open_blob(digest, &Referrer::Index) {
            Ok(_) => Ok(true),
            Err(Error::MissingBlob { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A layout that is not there has no documents.
impl Documents for Option<Layout> {
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() };
        self.as_ref().ok_or_else(missing)?.read(digest, referrer)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        self.as_ref().map_or(Ok(false), |layout| layout.has(digest))
    }
}

/// The descriptors from which everything in use is reached.
pub(crate) struct Roots<'a> {
    pub(crate) index: &'a Index,
    pub(crate) staged: Option<Descriptor>,
}

impl Roots<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.index.manifests.iter().chain(&self.index.subject).chain(&self.staged)
    }
}

/// Returns the digests of the entries of `index.json`.
pub(crate) fn listed(index: &Index) -> HashSet<Digest> {
    index.manifests.iter().map(|entry| entry.digest.clone()).collect()
}

/// Returns the roots of all reachable content: the entries of `index.json`, its subject, the staged manifest.
pub(crate) fn roots<'a>(index: &'a Index, stage: &Stage) -> Roots<'a> {
    let staged = stage.manifest.as_ref();
    let staged = staged.map(|staged| Descriptor::new(staged.media_type.clone(), staged.digest.clone(), staged.size));
    Roots { index, staged }
}
