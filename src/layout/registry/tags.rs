//! Tags: listing, adding, moving and deleting them.

use std::collections::{BTreeSet, HashSet};

use super::names::Called;
use super::{Error, Repository, Result};
use crate::layout::handle::Lock;
use crate::layout::walk::Reach;
use crate::oci::{Descriptor, Digest, Index};

/// What became of a tag that was moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    /// What the manifest was called; `None` if it had no tag.
    pub from: Option<String>,
    /// The manifest.
    pub descriptor: Descriptor,
}

impl Repository {
    /// Returns the tags, in the order of their bytes: those after one, and at most so many.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn tags(&self, after: Option<&str>, limit: Option<usize>) -> Result<Vec<String>> {
        let index = self.index()?;
        let entries = self.entries(&index)?;
        let tags: BTreeSet<&str> = entries.into_iter().filter_map(|entry| self.names.of(entry)?.tag()).collect();
        let listed = tags.into_iter().filter(|tag| after.is_none_or(|after| *tag > after));
        Ok(listed.take(limit.unwrap_or(usize::MAX)).map(str::to_owned).collect())
    }

    /// Gives a manifest more tags. A tag that another manifest has is taken from it, as
    /// [`push_manifest`](Self::push_manifest) says.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] or [`Error::RefName`] if a tag is none; those of [`Repository::resolve`]; [`Error::Locked`].
    pub fn add_tags(&self, reference: &str, tags: &[String]) -> Result<Descriptor> {
        tags.iter().try_for_each(|tag| self.names.check(tag))?;
        self.change(|_, index| {
            let descriptor = self.find(index, reference)?.descriptor;
            self.put_tags(index, &descriptor, tags);
            Ok(descriptor)
        })
    }

    /// Gives a manifest another tag in place of the one that it is meant by, in one step; one that is meant by its digest,
    /// and has no tag, gets its first.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::add_tags`]; [`Error::UnknownTag`] if what is meant has a tag, but another one, or is not an
    /// entry of `index.json`.
    pub fn move_tag(&self, reference: &str, tag: &str) -> Result<Renamed> {
        self.names.check(tag)?;
        self.change(|_, index| {
            let found = self.find(index, reference)?;
            let digest = found.descriptor.digest.clone();
            let is_moved = |entry: &Descriptor| match (&found.tag, found.names.of(entry)) {
                (Some(from), Some(Called::Tagged(tag))) => tag == from,
                (None, Some(Called::Untagged)) => entry.digest == digest,
                _ => false,
            };
            let positions = |index: &Index, is_one: &dyn Fn(&Descriptor) -> bool| -> Vec<usize> {
                (0..index.manifests.len()).filter(|at| is_one(&index.manifests[*at])).collect()
            };
            let moved = positions(index, &is_moved);
            if moved.is_empty() {
                return Err(self.unknown_tag(reference));
            }
            let mut taken = positions(index, &|entry| self.names.is_tagged(entry, tag));
            taken.retain(|at| !moved.contains(at));
            for at in moved {
                let entry = &mut index.manifests[at];
                entry.rename(self.names.ref_name(Some(tag), &entry.digest));
            }
            let displaced = taken.into_iter().rev().map(|at| index.manifests.remove(at)).collect();
            self.keep_reachable(index, displaced);
            Ok(Renamed { from: found.tag, descriptor: found.descriptor })
        })
    }

    /// Takes a tag away, from every entry that bears it, and returns what it led to first. What no other entry leads to is
    /// out of reach then, until [`Layout::collect_garbage`](crate::layout::Layout::collect_garbage) deletes it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::UnknownTag`], also for an empty tag and for what is meant by its digest;
    /// [`Error::MalformedIndex`]; [`Error::Locked`]; [`Error::Io`].
    pub fn delete_tag(&self, tag: &str) -> Result<Descriptor> {
        self.change(|_, index| {
            self.entries(index)?;
            let unknown = || self.unknown_tag(tag);
            let found = self.find(index, tag).map_err(|error| match error {
                Error::UnknownManifest { .. } => unknown(),
                error => error,
            })?;
            let tag = found.tag.as_deref().ok_or_else(unknown)?;
            index.manifests.retain(|entry| !found.names.is_tagged(entry, tag));
            Ok(found.descriptor)
        })
    }

    /// Changes `index.json` of a layout that is there, under the lock. If nothing is changed, nothing is written.
    pub(super) fn change<T>(&self, change: impl FnOnce(&Lock, &mut Index) -> Result<T>) -> Result<T> {
        if !self.is_there()? {
            // Of what is not there nothing can be found.
            self.entries(&Index::empty())?;
            return Err(Error::NotALayout { path: self.layout.path().to_owned() });
        }
        let lock = self.layout.lock()?;
        let mut index = self.index()?;
        let before = index.clone();
        let result = change(&lock, &mut index)?;
        if index != before {
            self.layout.write_index(&lock, &index, [])?;
        }
        Ok(result)
    }

    /// Makes an index say that a manifest has some tags. Entries that had them lose them.
    pub(super) fn put_tags(&self, index: &mut Index, descriptor: &Descriptor, tags: &[String]) {
        let mut displaced = Vec::new();
        for tag in tags {
            displaced.extend(self.put(index, descriptor, Some(tag)));
        }
        self.keep_reachable(index, displaced);
    }

    /// Makes an index list a manifest without a tag.
    pub(super) fn put_untagged(&self, index: &mut Index, descriptor: &Descriptor) {
        let displaced = self.put(index, descriptor, None);
        debug_assert!(displaced.is_empty(), "it takes the place of its own entries only");
    }

    /// Puts an entry into an index: in place of the first that has its tag, or, without one, of that with its digest. Returns
    /// the entries that lost the tag.
    fn put(&self, index: &mut Index, descriptor: &Descriptor, tag: Option<&str>) -> Vec<Descriptor> {
        let is_replaced = |entry: &Descriptor| match (self.names.of(entry), tag) {
            (Some(Called::Tagged(other)), Some(tag)) => other == tag,
            (Some(Called::Untagged), None) => entry.digest == descriptor.digest,
            _ => false,
        };
        let mut entry = descriptor.clone();
        entry.rename(self.names.ref_name(tag, &descriptor.digest));
        let Some(at) = index.manifests.iter().position(is_replaced) else {
            index.manifests.push(entry);
            return Vec::new();
        };
        // What the old entry says besides, and the new one does not, stays.
        let mut annotations = index.manifests[at].annotations.clone().unwrap_or_default();
        annotations.extend(entry.annotations.take().unwrap_or_default());
        entry.annotations = (!annotations.is_empty()).then_some(annotations);
        let mut extra = index.manifests[at].extra.clone();
        extra.extend(std::mem::take(&mut entry.extra));
        entry.extra = extra;
        let mut lost = vec![std::mem::replace(&mut index.manifests[at], entry)];
        let mut seen = 0;
        index.manifests.retain(|entry| {
            seen += usize::from(is_replaced(entry));
            let is_kept = !is_replaced(entry) || seen == 1;
            if !is_kept {
                lost.push(entry.clone());
            }
            is_kept
        });
        lost.retain(|entry| entry.digest != descriptor.digest);
        lost
    }

    /// Gives entries that were taken out of an index a place without a tag, unless their manifests can still be reached.
    fn keep_reachable(&self, index: &mut Index, displaced: Vec<Descriptor>) {
        let mut lost: HashSet<Digest> = displaced.iter().map(|entry| entry.digest.clone()).collect();
        // What other repositories have cannot be reached in this one.
        let entries = || index.manifests.iter().filter(|entry| self.names.of(entry).is_some());
        for entry in entries() {
            lost.remove(&entry.digest);
        }
        if lost.is_empty() {
            return;
        }
        for visit in self.layout.walk(entries(), Reach::Indexes) {
            lost.remove(&visit.entry.digest);
        }
        for mut entry in displaced {
            if lost.remove(&entry.digest) {
                entry.rename(self.names.ref_name(None, &entry.digest));
                index.manifests.push(entry);
            }
        }
    }
}
