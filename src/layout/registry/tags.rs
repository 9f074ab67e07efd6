//! Tags: listing, adding, moving and deleting them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::names::Called;
use super::{Error, Repository, Result};
use crate::layout::document::fingerprint;
use crate::layout::handle::Lock;
use crate::layout::walk::Reach;
use crate::oci::{CONTAINERD_NAME, Descriptor, Digest, Index};

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
        let before = fingerprint(&index);
        let result = change(&lock, &mut index)?;
        if fingerprint(&index) != before {
            self.layout.write_index(&lock, &index, [])?;
        }
        Ok(result)
    }

    /// Makes an index say that a manifest has some tags. Entries that had them lose them.
    pub(super) fn put_tags(&self, index: &mut Index, descriptor: &Descriptor, tags: &[String]) {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let displaced = self.put(index, descriptor, &tags);
        self.keep_reachable(index, displaced);
    }

    /// Makes an index list a manifest without a tag.
    pub(super) fn put_untagged(&self, index: &mut Index, descriptor: &Descriptor) {
        let is_it = |entry: &&mut Descriptor| {
            entry.digest == descriptor.digest && self.names.of(entry) == Some(Called::Untagged)
        };
        match index.manifests.iter_mut().find(is_it) {
            Some(entry) => *entry = self.renewed(entry, descriptor, None),
            None => index.manifests.push(self.called(descriptor, None)),
        }
    }

    /// Makes an index list entries of another one, which keep their names. Of those without a name one is enough for each
    /// manifest. A name may be that of several entries, as some programs have it; it is taken if it is that of a manifest that
    /// the other index does not give it to, unless all that the other one says is there already.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`], unless entries that have a name are to lose it.
    pub(in crate::layout) fn add_entries(
        &self,
        index: &mut Index,
        entries: &[Descriptor],
        replace: bool,
    ) -> Result<()> {
        let mut listed: HashSet<Digest> = index.manifests.iter().map(|entry| entry.digest.clone()).collect();
        let before = self.tagged(&index.manifests);
        let mut displaced = Vec::new();
        for (tag, named) in self.in_order(entries) {
            let Some(tag) = tag else {
                let new = named.into_iter().filter(|entry| listed.insert(entry.digest.clone()));
                index.manifests.extend(new.cloned());
                continue;
            };
            let bearers = before.get(tag).map(Vec::as_slice).unwrap_or_default();
            let mut new: Vec<_> = named.iter().filter(|entry| !bearers.contains(&entry.digest)).copied().collect();
            let is_taken = bearers.iter().any(|bearer| !named.iter().any(|entry| entry.digest == *bearer));
            if new.is_empty() {
                continue;
            }
            if is_taken {
                if !replace {
                    return Err(Error::NameTaken { path: self.layout.path().to_owned(), ref_name: tag.to_owned() });
                }
                displaced.extend(self.put(index, named[0], &[tag]));
                new = named[1..].to_vec();
            }
            listed.extend(named.iter().map(|entry| entry.digest.clone()));
            index.manifests.extend(new.into_iter().cloned());
        }
        self.keep_reachable(index, displaced);
        Ok(())
    }

    /// Returns entries by their tags, in the order of the first of each; those without a tag each alone.
    fn in_order<'a>(&self, entries: &'a [Descriptor]) -> Vec<(Option<&'a str>, Vec<&'a Descriptor>)> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut ordered: Vec<(Option<&str>, Vec<&Descriptor>)> = Vec::new();
        for entry in entries {
            let tag = self.names.of(entry).and_then(Called::tag);
            match tag.and_then(|tag| places.get(tag)) {
                Some(at) => ordered[*at].1.push(entry),
                None => {
                    places.extend(tag.map(|tag| (tag, ordered.len())));
                    ordered.push((tag, vec![entry]));
                }
            }
        }
        ordered
    }

    /// Returns the manifests that tags lead to.
    fn tagged(&self, entries: &[Descriptor]) -> HashMap<String, Vec<Digest>> {
        let mut tagged: HashMap<String, Vec<Digest>> = HashMap::new();
        for entry in entries {
            if let Some(tag) = self.names.of(entry).and_then(Called::tag) {
                tagged.entry(tag.to_owned()).or_default().push(entry.digest.clone());
            }
        }
        tagged
    }

    /// Puts an entry into an index for each of some tags: in place of the first that has the tag. Returns the entries of other
    /// manifests that lost one.
    fn put(&self, index: &mut Index, descriptor: &Descriptor, tags: &[&str]) -> Vec<Descriptor> {
        let wanted: HashSet<&str> = tags.iter().copied().collect();
        let mut placed = HashSet::new();
        let mut lost = Vec::new();
        index.manifests.retain_mut(|entry| {
            let tag = self.names.of(entry).and_then(Called::tag).and_then(|tag| wanted.get(tag).copied());
            let Some(tag) = tag else { return true };
            if entry.digest != descriptor.digest {
                lost.push(entry.clone());
            }
            let is_first = placed.insert(tag);
            if is_first {
                *entry = self.renewed(entry, descriptor, Some(tag));
            }
            is_first
        });
        for tag in tags {
            if placed.insert(tag) {
                index.manifests.push(self.called(descriptor, Some(tag)));
            }
        }
        lost
    }

    /// Returns an entry with a tag, or without one.
    fn called(&self, descriptor: &Descriptor, tag: Option<&str>) -> Descriptor {
        let mut entry = descriptor.clone();
        entry.rename(self.names.ref_name(tag, &descriptor.digest));
        entry
    }

    /// Returns the entry that takes the place of another one. What that says besides, and the new one does not, stays if it is of
    /// the same manifest; of another one only the name stays that containerd has for it.
    fn renewed(&self, old: &Descriptor, descriptor: &Descriptor, tag: Option<&str>) -> Descriptor {
        let new = self.called(descriptor, tag);
        let mut annotations = old.annotations.clone().unwrap_or_default();
        if old.digest != new.digest {
            annotations.retain(|key, _| key == CONTAINERD_NAME);
        }
        annotations.extend(new.annotations.unwrap_or_default());
        let annotations = (!annotations.is_empty()).then_some(annotations);
        if old.digest != new.digest {
            return Descriptor { annotations, ..new };
        }
        let mut extra = old.extra.clone();
        extra.extend(&new.extra);
        Descriptor {
            annotations,
            extra,
            urls: new.urls.or_else(|| old.urls.clone()),
            data: new.data.or_else(|| old.data.clone()),
            artifact_type: new.artifact_type.or_else(|| old.artifact_type.clone()),
            platform: old.platform.clone().or(new.platform),
            ..new
        }
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
