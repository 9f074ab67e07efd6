//! What the index of a view reaches: everything that an export holds, in its order.

use std::collections::HashSet;

use super::{Content, View};
use crate::layout::document::INDEX_FILE;
use crate::layout::error::{Error, Result};
use crate::layout::registry::not_stored;
use crate::layout::walk::{Document, Reach, read_entry, walk};
use crate::oci::{Descriptor, Digest, embedded};

/// A blob that the index reaches.
#[derive(Clone, Debug)]
pub(in crate::layout) struct Reached {
    pub(in crate::layout) descriptor: Descriptor,
    /// Whether it is there; otherwise it need not be.
    pub(in crate::layout) is_there: bool,
}

/// What to do about a blob that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::layout) enum Missing {
    #[default]
    Error,
    /// It is left out if its descriptor says where else it is to be had.
    LeftOut,
    /// It need not be there: a manifest that a nested index lists, of which programs copy only those that they need.
    Fine,
}

impl Missing {
    /// Returns what to do about what an index lists.
    pub(super) fn of_listed(self, referrer: &str) -> Self {
        if self == Self::LeftOut && referrer != INDEX_FILE { Self::Fine } else { self }
    }
}

impl View {
    /// Returns what the index reaches, depth first and each digest once: of an index its manifests in order; of a manifest
    /// its config, then its layers. Subjects are not followed.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with what refers to it; [`Error::SizeMismatch`]; what keeps a document from being read.
    pub(in crate::layout) fn reached(&self, missing: Missing) -> Result<Vec<Reached>> {
        let mut reached = Vec::new();
        let mut seen: HashSet<Digest> = HashSet::new();
        let entry = |descriptor: &Descriptor| (descriptor.clone(), INDEX_FILE.to_owned(), true);
        let mut stack: Vec<_> = self.index.manifests.iter().rev().map(entry).collect();
        while let Some((descriptor, referrer, is_entry)) = stack.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            let missing = if is_entry { missing.of_listed(&referrer) } else { missing };
            let content = self.reach(&descriptor, &referrer, missing)?;
            let is_document = is_entry || Document::is_one(&descriptor.media_type);
            if is_document
                && content.is_some()
                && let Some(document) = read_entry(self, &descriptor, None)?
            {
                let are_entries = matches!(document, Document::Index(_));
                let digest = descriptor.digest.to_string();
                let parts = document.parts().into_iter().rev();
                stack.extend(parts.map(|part| (part.clone(), digest.clone(), are_entries)));
            }
            reached.push(Reached { descriptor, is_there: content.is_some() });
        }
        Ok(reached)
    }

    /// Names a manifest that a nested index lists and that is not there by the platform that it is for.
    pub(in crate::layout) fn by_platform(&self, error: Error) -> Error {
        let Error::MissingBlob { digest, .. } = &error else { return error };
        let entries: Vec<&Descriptor> = self.index.manifests.iter().collect();
        if entries.iter().any(|entry| entry.digest == *digest) {
            return error;
        }
        let missing = walk(self, entries.iter().copied(), Reach::Indexes).find(|visit| visit.entry.digest == *digest);
        match missing.as_ref().and_then(|visit| visit.entry.said_platform()) {
            Some(platform) if platform.is_known() => not_stored(self, &self.path, &entries, platform),
            _ => error,
        }
    }

    /// Finds a blob that was reached.
    pub(in crate::layout) fn find(&self, descriptor: &Descriptor) -> Result<Content> {
        let missing = || Error::MissingBlob { digest: descriptor.digest.clone(), referrer: INDEX_FILE.to_owned() };
        self.reach(descriptor, INDEX_FILE, Missing::Error)?.ok_or_else(missing)
    }

    /// Finds a blob: among the blobs, or in its descriptor.
    pub(super) fn reach(&self, descriptor: &Descriptor, referrer: &str, missing: Missing) -> Result<Option<Content>> {
        let Descriptor { digest, size, .. } = descriptor;
        let found = match self.content(digest)? {
            Some(content) => Some(content),
            None => descriptor.data.as_deref().and_then(embedded).map(Content::in_memory),
        };
        match found {
            Some(content) if content.size() != *size => {
                Err(Error::SizeMismatch { digest: digest.clone(), expected: *size, actual: content.size() })
            }
            None if missing == Missing::Error || missing == Missing::LeftOut && !is_elsewhere(descriptor) => {
                Err(self.missing(digest, referrer))
            }
            found => Ok(found),
        }
    }
}

/// Tells whether a blob is to be had from somewhere else.
fn is_elsewhere(descriptor: &Descriptor) -> bool {
    descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty())
}
