//! The blobs reachable from the index of a view: the contents of an export, in order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::content::Content;
use super::index_view::View;
use crate::error::{Error, Referrer, Result};
use crate::graph::platform::not_stored;
use crate::graph::severity::may_be_missing;
use crate::graph::walk::{Document, Reach, Role, read_entry, walk};
use crate::oci::{Descriptor, Digest, embedded};

/// A blob that is reachable from the index.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// The media type, digest, size and data, without annotations and platform.
    pub(crate) descriptor: Descriptor,
    /// Whether the blob is stored; if not, it is allowed to be missing.
    pub(crate) is_there: bool,
}

/// How missing blobs are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MissingBlobs {
    #[default]
    Error,
    /// A blob may be missing if its descriptor has other locations for it.
    LeftOut,
    /// A blob may be missing: it is a manifest in a nested index, and programs copy only the manifests that they need.
    Fine,
}

impl MissingBlobs {
    /// Returns how a missing manifest of an index is handled.
    pub(crate) fn of_listed(self, referrer: &Referrer) -> Self {
        if self == Self::LeftOut && *referrer != Referrer::Index { Self::Fine } else { self }
    }

    /// Returns whether it is an error if the blob of a descriptor is missing.
    fn is_an_error_for(self, descriptor: &Descriptor) -> bool {
        match self {
            Self::Error => true,
            Self::LeftOut => !may_be_missing(descriptor),
            Self::Fine => false,
        }
    }
}

impl View {
    /// Returns the blobs that are reachable from the index, depth first and each digest once: for an index, its
    /// manifests in order; for a manifest, its config, then its layers. Subjects are not followed. Every descriptor is
    /// checked, even if its digest was reached before. A digest that is reached in several roles is followed in each.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the document that refers to it; [`Error::SizeMismatch`]; the errors of reading a
    /// document.
    pub(crate) fn reached(&self, missing: MissingBlobs) -> Result<Vec<Reached>> {
        let mut blobs = ReachedBlobs::default();
        let mut followed: HashSet<(Digest, Role)> = HashSet::new();
        let index = Arc::new(Referrer::Index);
        let mut entries = self.index.manifests.iter();
        // The pending descriptors below an entry. The entries of the index itself are not copied, as there may be many.
        let mut stack: Vec<(Cow<'_, Descriptor>, Arc<Referrer>, bool)> = Vec::new();
        let mut next = |stack: &mut Vec<_>| {
            let entry = |descriptor| (Cow::Borrowed(descriptor), Arc::clone(&index), true);
            stack.pop().or_else(|| entries.next().map(entry))
        };
        while let Some((descriptor, referrer, is_entry)) = next(&mut stack) {
            let missing = if is_entry { missing.of_listed(&referrer) } else { missing };
            let role = Role::of_part(&descriptor, is_entry);
            if blobs.note(self, &descriptor, &referrer, missing)?
                && role != Role::Blob
                && followed.insert((descriptor.digest.clone(), role))
                && let Some(document) = read_entry(self, &descriptor, None)?
            {
                let are_entries = matches!(document, Document::Index(_));
                let digest = Arc::new(Referrer::Document(descriptor.digest.clone()));
                let parts = document.into_parts().into_iter().rev();
                stack.extend(parts.map(|part| (Cow::Owned(part), Arc::clone(&digest), are_entries)));
            }
        }
        blobs.finish(self)
    }

    /// If a missing blob is a manifest in an index, returns an error that names its platform.
    pub(crate) fn by_platform(&self, error: Error) -> Error {
        let Error::MissingBlob { digest, .. } = &error else { return error };
        let entries: Vec<&Descriptor> = self.index.manifests.iter().collect();
        let missing = walk(self, entries.iter().copied(), Reach::Indexes).find(|visit| visit.entry.digest == *digest);
        match missing.as_ref().and_then(|visit| visit.entry.said_platform()) {
            Some(platform) if platform.is_known() => not_stored(self, &self.path, &entries, platform),
            _ => error,
        }
    }

    /// Finds a reachable blob.
    pub(crate) fn find(&self, descriptor: &Descriptor) -> Result<Content> {
        let missing = || Error::MissingBlob { digest: descriptor.digest.clone(), referrer: Referrer::Index };
        self.reach(descriptor, &Referrer::Index, MissingBlobs::Error)?.ok_or_else(missing)
    }

    /// Finds a blob in the sources, or in the `data` of its descriptor.
    pub(crate) fn reach(
        &self,
        descriptor: &Descriptor,
        referrer: &Referrer,
        missing: MissingBlobs,
    ) -> Result<Option<Content>> {
        let digest = &descriptor.digest;
        let found = match self.content(digest)? {
            Some(content) => Some(content),
            None => descriptor.data.as_deref().and_then(embedded).map(Content::in_memory),
        };
        match found {
            Some(content) => check_size(descriptor, content.size()).map(|()| Some(content)),
            None if missing.is_an_error_for(descriptor) => Err(self.missing(digest, referrer)),
            None => Ok(None),
        }
    }
}

/// The blobs that a walk reached, each once.
#[derive(Default)]
struct ReachedBlobs {
    reached: Vec<Reached>,
    /// The positions of digests in `reached`, and the sizes of the stored blobs.
    places: HashMap<Digest, (usize, Option<u64>)>,
    /// The positions in `reached` of required blobs that are missing, and their referrers. A later descriptor may have
    /// such a blob in its `data`.
    missed: Vec<(usize, Arc<Referrer>)>,
}

impl ReachedBlobs {
    /// Records a descriptor, and returns whether its blob is stored.
    fn note(
        &mut self,
        view: &View,
        descriptor: &Descriptor,
        referrer: &Arc<Referrer>,
        missing: MissingBlobs,
    ) -> Result<bool> {
        let digest = &descriptor.digest;
        let known = self.places.get(digest).copied();
        let size = match known {
            Some((_, Some(size))) => {
                check_size(descriptor, size)?;
                return Ok(true);
            }
            // The blob is missing in the sources, but may be in this descriptor.
            Some((_, None)) if descriptor.data.is_none() => None,
            _ => view.reach(descriptor, referrer, MissingBlobs::Fine)?.map(|content| content.size()),
        };
        let place = known.map_or(self.reached.len(), |(place, _)| place);
        if known.is_none() || size.is_some() {
            let Descriptor { media_type, digest, size: says, data, .. } = descriptor;
            let kept = Descriptor { data: data.clone(), ..Descriptor::new(media_type.clone(), digest.clone(), *says) };
            let found = Reached { descriptor: kept, is_there: size.is_some() };
            if known.is_none() {
                self.reached.push(found)
            } else {
                self.reached[place] = found
            }
            self.places.insert(digest.clone(), (place, size));
        }
        if size.is_none() && missing.is_an_error_for(descriptor) {
            self.missed.push((place, Arc::clone(referrer)));
        }
        Ok(size.is_some())
    }

    /// Returns the blobs.
    ///
    /// # Errors
    ///
    /// The first [`Error::MissingBlob`].
    fn finish(self, view: &View) -> Result<Vec<Reached>> {
        let Self { reached, missed, .. } = self;
        match missed.into_iter().find(|(place, _)| !reached[*place].is_there) {
            Some((place, referrer)) => Err(view.missing(&reached[place].descriptor.digest, &referrer)),
            None => Ok(reached),
        }
    }
}

/// Checks that a blob has the size in its descriptor.
fn check_size(descriptor: &Descriptor, actual: u64) -> Result<()> {
    let Descriptor { digest, size, .. } = descriptor;
    if actual == *size {
        return Ok(());
    }
    Err(Error::SizeMismatch { digest: Some(digest.clone()), expected: *size, actual })
}
