//! From what somebody says to the manifest that is meant.

use super::names::Names;
use super::{Error, Repository, Result};
use crate::layout::walk::Reach;
use crate::oci::{Descriptor, Digest, Index, Reference};

/// How many digits of a digest must be given at least: fewer are more likely a mistyped name.
const SHORTEST_BEGINNING: usize = 4;

/// How many digests are named where several begin alike.
const NAMED_CANDIDATES: usize = 5;

/// What somebody meant.
pub(super) struct Found {
    /// How the names are read among which it was found.
    pub(super) names: Names,
    /// The tag, if it was meant by one.
    pub(super) tag: Option<String>,
    /// What leads to it: the entry of `index.json`, or that of a nested index.
    pub(super) descriptor: Descriptor,
}

impl Repository {
    /// Finds what a reference means: a tag as it stands, `repository:tag`, `repository@digest`, a digest, or a beginning of
    /// one that no other manifest's digest has.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`], [`Error::AmbiguousDigest`], [`Error::UnknownRepository`];
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve(&self, reference: &str) -> Result<Descriptor> {
        self.layout.read_unlocked(|| Ok(self.find(&self.index()?, reference)?.descriptor), |_| true)
    }

    /// Returns the first entry that bears a tag, with all that it says.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownTag`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve_tag(&self, tag: &str) -> Result<Descriptor> {
        let index = self.index()?;
        let entries = self.entries(&index)?;
        let entry = entries.into_iter().find(|entry| self.names.is_tagged(entry, tag));
        entry.cloned().ok_or_else(|| self.unknown_tag(tag))
    }

    /// Returns what leads to the manifest of a digest: an entry of `index.json`, or, with its platform, one of a nested
    /// index.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownManifest`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve_manifest(&self, digest: &Digest) -> Result<Descriptor> {
        let resolve = || {
            let index = self.index()?;
            self.entries(&index)?;
            self.by_digest(&self.names, &index, digest).ok_or_else(|| self.unknown(digest.as_str()))
        };
        self.layout.read_unlocked(resolve, |_| true)
    }

    /// Finds what a reference means in an index.
    pub(super) fn find(&self, index: &Index, reference: &str) -> Result<Found> {
        self.entries(index)?;
        if let Some(found) = self.tagged(&self.names, index, reference) {
            return Ok(found);
        }
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (reference, None),
        };
        // A tag, and what it must lead to.
        if let Some(found) = digest.as_ref().and_then(|_| self.tagged(&self.names, index, name)) {
            return self.with_digest(found, digest, reference);
        }
        if let Some(found) = self.in_repository(index, reference) {
            return self.with_digest(found, digest, reference);
        }
        if let Ok(digest) = reference.parse::<Digest>() {
            let descriptor = self.by_digest(&self.names, index, &digest).ok_or_else(|| self.unknown(reference))?;
            return Ok(Found { names: self.names.clone(), tag: None, descriptor });
        }
        self.by_beginning(index, reference)
    }

    /// Finds what a reference means in the repository that it says.
    fn in_repository(&self, index: &Index, reference: &str) -> Option<Found> {
        let Reference { repository, tag, digest } = reference.parse().ok()?;
        let names = self.names.of_repository(&repository)?;
        match (tag, digest) {
            (Some(tag), _) => self.tagged(&names, index, tag.as_str()),
            (None, Some(digest)) => {
                let descriptor = self.by_digest(&names, index, &digest)?;
                Some(Found { names, tag: None, descriptor })
            }
            (None, None) => None,
        }
    }

    fn tagged(&self, names: &Names, index: &Index, tag: &str) -> Option<Found> {
        let entry = index.manifests.iter().find(|entry| names.is_tagged(entry, tag))?;
        Some(Found { names: names.clone(), tag: Some(tag.to_owned()), descriptor: entry.clone() })
    }

    /// Checks that what was found has the digest that was said, if one was.
    fn with_digest(&self, found: Found, digest: Option<Digest>, reference: &str) -> Result<Found> {
        match digest {
            Some(digest) if digest != found.descriptor.digest => Err(self.unknown(reference)),
            _ => Ok(found),
        }
    }

    /// Finds the manifest of a digest among the entries that are read by some names, and in their nested indexes.
    pub(super) fn by_digest(&self, names: &Names, index: &Index, digest: &Digest) -> Option<Descriptor> {
        let entries = || index.manifests.iter().filter(|entry| names.of(entry).is_some());
        let entry = entries().find(|entry| entry.digest == *digest).cloned();
        entry.or_else(|| {
            let mut walk = self.layout.walk(entries(), Reach::Indexes);
            walk.find(|visit| visit.entry.digest == *digest).map(|visit| visit.entry)
        })
    }

    /// Finds the one manifest whose digest begins with some text.
    fn by_beginning(&self, index: &Index, beginning: &str) -> Result<Found> {
        let is_meant = |digest: &Digest| match beginning.split_once(':') {
            Some((algorithm, digits)) => {
                digits.len() >= SHORTEST_BEGINNING
                    && digest.algorithm_name() == algorithm
                    && digest.encoded().starts_with(digits)
            }
            None => beginning.len() >= SHORTEST_BEGINNING && digest.encoded().starts_with(beginning),
        };
        let entries = index.manifests.iter().filter(|entry| self.names.of(entry).is_some());
        let mut candidates: Vec<Descriptor> = Vec::new();
        if could_begin_a_digest(beginning) {
            let walk = self.layout.walk(entries, Reach::Indexes);
            candidates.extend(walk.map(|visit| visit.entry).filter(|entry| is_meant(&entry.digest)));
        }
        if candidates.len() > 1 {
            let digests = candidates.into_iter().map(|entry| entry.digest).take(NAMED_CANDIDATES).collect();
            return Err(Error::AmbiguousDigest { beginning: beginning.to_owned(), digests });
        }
        let descriptor = candidates.pop().ok_or_else(|| self.unknown(beginning))?;
        Ok(Found { names: self.names.clone(), tag: None, descriptor })
    }

    pub(super) fn unknown(&self, reference: &str) -> Error {
        Error::UnknownManifest { path: self.layout.path().to_owned(), reference: reference.to_owned() }
    }

    pub(super) fn unknown_tag(&self, tag: &str) -> Error {
        Error::UnknownTag { path: self.layout.path().to_owned(), reference: tag.to_owned() }
    }
}

/// Tells whether documents are worth reading to find what text begins.
fn could_begin_a_digest(text: &str) -> bool {
    let digits = text.rsplit_once(':').map_or(text, |(_, digits)| digits);
    digits.len() >= SHORTEST_BEGINNING && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
