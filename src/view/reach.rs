//! The blobs reachable from the index of a view: the content of an export, in its order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::content::Content;
use super::index_view::View;
use crate::error::{Error, Referrer, Result};
use crate::graph::platform::not_stored;
use crate::graph::policy::may_be_missing;
use crate::graph::walk::{Document, Reach, Role, read_entry, walk};
use crate::oci::{Descriptor, Digest, embedded};

/// A blob that the index reaches.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// Its media type, digest, size and data: neither annotations nor platform.
    pub(crate) descriptor: Descriptor,
    /// Whether it is there; otherwise it need not be.
    pub(crate) is_there: bool,
}

/// How a missing blob is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MissingBlobs {
    #[default]
    Error,
    /// It is left out if its descriptor names another place (`urls`).
    LeftOut,
    /// It need not be there: a manifest that a nested index lists, of which programs copy only those that they need.
    Fine,
}

impl MissingBlobs {
    /// Returns how a missing entry of an index is treated.
    pub(crate) fn of_listed(self, referrer: &Referrer) -> Self {
        if self == Self::LeftOut && *referrer != Referrer::Index { Self::Fine } else { self }
    }

    /// Returns whether the blob of a descriptor must be there.
    fn is_an_error_for(self, descriptor: &Descriptor) -> bool {
        match self {
            Self::Error => true,
            Self::LeftOut => !may_be_missing(descriptor),
            Self::Fine => false,
        }
    }
}

impl View {
    /// Returns the reachable descriptors, depth first and each digest once: of an index its manifests in order; of a
    /// manifest its config, then its layers. Subjects are not followed. Every descriptor is checked, also those of a
    /// digest that was reached before, and a digest with several roles is followed in each.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the referrer; [`Error::SizeMismatch`]; the error of reading a document.
    pub(crate) fn reached(&self, missing: MissingBlobs) -> Result<Vec<Reached>> {
        let mut blobs = ReachedBlobs::default();
        let mut followed: HashSet<(Digest, Role)> = HashSet::new();
        let index = Arc::new(Referrer::Index);
        let mut entries = self.index.manifests.iter();
        // The documents under an entry that are still to be read. Of a large index nothing is copied.
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

    /// Names a manifest that an index lists and that is not there by the platform that it is for.
    pub(crate) fn by_platform(&self, error: Error) -> Error {
        let Error::MissingBlob { digest, .. } = &error else { return error };
        let entries: Vec<&Descriptor> = self.index.manifests.iter().collect();
        let missing = walk(self, entries.iter().copied(), Reach::Indexes).find(|visit| visit.entry.digest == *digest);
        match missing.as_ref().and_then(|visit| visit.entry.said_platform()) {
            Some(platform) if platform.is_known() => not_stored(self, &self.path, &entries, platform),
            _ => error,
        }
    }

    /// Finds a blob that was reached.
    pub(crate) fn find(&self, descriptor: &Descriptor) -> Result<Content> {
        let missing = || Error::MissingBlob { digest: descriptor.digest.clone(), referrer: Referrer::Index };
        self.reach(descriptor, &Referrer::Index, MissingBlobs::Error)?.ok_or_else(missing)
    }

    /// Finds a blob: among the blobs, or in its descriptor.
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
    /// Where a digest is in `reached`, and the size of the blob if it is there.
    places: HashMap<Digest, (usize, Option<u64>)>,
    /// The places in `reached` of blobs that are required and missing, with their referrers. A later descriptor may
    /// carry such a blob.
    missed: Vec<(usize, Arc<Referrer>)>,
}

impl ReachedBlobs {
    /// Notes a descriptor, and returns whether its blob is there.
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
            // It is not among the blobs, but may be in this descriptor.
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

/// Checks that a blob has the size that a descriptor says.
fn check_size(descriptor: &Descriptor, actual: u64) -> Result<()> {
    let Descriptor { digest, size, .. } = descriptor;
    if actual == *size {
        return Ok(());
    }
    Err(Error::SizeMismatch { digest: Some(digest.clone()), expected: *size, actual })
}
