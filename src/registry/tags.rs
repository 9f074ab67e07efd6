//! Tags: listing, adding, moving and deleting them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::repository::Repository;
use crate::error::{Error, Result};
use crate::graph::names::Called;
use crate::graph::resolve::Meant;
use crate::graph::walk::Reach;
use crate::layout::documents::fingerprint;
use crate::layout::handle::Lock;
use crate::oci::{Descriptor, Digest, IMAGE_NAME, ImageNames, Index, NameKind, REF_NAME};

/// What entries are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Their tags, in the order of their bytes.
    pub tags: Vec<String>,
    /// Their image names, in the order of their bytes.
    pub image_names: Vec<String>,
}

/// What became of a tag that was moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    /// What the manifest was called; `None` if it had no name.
    pub from: Option<String>,
    /// The manifest, as it was listed before.
    pub descriptor: Descriptor,
}

impl Repository {
    /// Returns the tags, in the order of their bytes: those after one, and at most so many.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn tags(&self, after: Option<&str>, limit: Option<usize>) -> Result<Vec<String>> {
        Ok(self.listed(after, limit)?.tags)
    }

    /// Returns the tags as [`Repository::tags`] does, and with them the image names of their entries. Those of entries without a
    /// tag come with the first tags.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::tags`].
    pub fn listed(&self, after: Option<&str>, limit: Option<usize>) -> Result<Listed> {
        let index = self.index()?;
        let entries = self.entries(&index)?;
        let tags: BTreeSet<&str> = entries.iter().filter_map(|entry| self.names.of(entry)?.tag()).collect();
        let tags = tags.into_iter().filter(|tag| after.is_none_or(|after| *tag > after));
        let tags: BTreeSet<&str> = tags.take(limit.unwrap_or(usize::MAX)).collect();
        let is_listed = |entry: &&&Descriptor| match self.names.of(entry) {
            Some(Called::Tagged(tag)) => tags.contains(tag),
            Some(Called::Untagged) => after.is_none(),
            None => false,
        };
        let image_names = entries.iter().filter(is_listed).filter_map(|entry| entry.image_name());
        let image_names: BTreeSet<&str> = image_names.collect();
        let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        Ok(Listed { image_names: owned(image_names), tags: owned(tags) })
    }

    /// Gives a manifest more tags. A tag that another manifest has is taken from it, as
    /// [`push_manifest`](Self::push_manifest) says. If its entry has an image name, a new one has that of the same repository
    /// with the tag; or, if the tag is a whole name, that.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] or [`Error::RefName`] if a tag is none; those of [`Repository::resolve`]; [`Error::Locked`].
    pub fn add_tags(&self, reference: &str, tags: &[String]) -> Result<Descriptor> {
        tags.iter().try_for_each(|tag| self.names.check(tag))?;
        self.change(|_, index| {
            let descriptor = self.resolver(index).one(&self.find(index, reference)?, reference)?;
            self.put_tags(index, &descriptor, tags);
            Ok(descriptor)
        })
    }

    /// Gives a manifest another tag in place of the name that it is meant by, in one step; one that is meant by its digest,
    /// and has no tag, gets its first. An image name that says the same as the tag goes with it.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::add_tags`]; [`Error::UnknownTag`] if what is meant has a tag, but another one, or is not an
    /// entry of `index.json`.
    pub fn move_tag(&self, reference: &str, tag: &str) -> Result<Renamed> {
        self.names.check(tag)?;
        self.change(|_, index| {
            let found = self.find(index, reference)?;
            let descriptor = self.resolver(index).one(&found, reference)?;
            let is_untagged = |at: &usize| {
                let entry = &index.manifests[*at];
                entry.digest == descriptor.digest && found.names.of(entry) == Some(Called::Untagged)
            };
            let (name, places) = match found.meant {
                Meant::Named { name, places } => (Some(name), places),
                Meant::Manifest(_) => (None, (0..index.manifests.len()).filter(is_untagged).collect()),
            };
            let Some(first) = places.first() else { return Err(self.unknown_tag(reference)) };
            let first = &index.manifests[*first];
            let from = name.as_deref().and_then(|name| found.names.meant_by(first, name)).map(str::to_owned);
            for at in &places {
                let entry = &mut index.manifests[*at];
                match name.as_deref().map(|name| found.names.kind(entry, name)) {
                    Some(NameKind::ImageName) if !entry.has_one_name() => entry.rename_image(tag),
                    _ => entry.rename(self.names.named(tag), tag),
                }
            }
            let moved: HashSet<usize> = places.into_iter().collect();
            self.take_names(index, &moved, tag);
            Ok(Renamed { from, descriptor })
        })
    }

    /// Takes a tag away, from every entry that bears it, and returns what it led to. An entry that has an image name which says
    /// something else keeps that. What no other entry leads to is out of reach then, until
    /// [`Layout::collect_garbage`](crate::layout::Layout::collect_garbage) deletes it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::UnknownTag`], also for an empty tag and for what is meant by its digest;
    /// [`Error::AmbiguousName`]; [`Error::MalformedIndex`]; [`Error::Locked`]; [`Error::Io`].
    pub fn delete_tag(&self, tag: &str) -> Result<Descriptor> {
        self.change(|_, index| {
            self.entries(index)?;
            let unknown = || self.unknown_tag(tag);
            let found = self.find(index, tag).map_err(|error| match error {
                Error::UnknownManifest { .. } => unknown(),
                error => error,
            })?;
            let descriptor = self.resolver(index).one(&found, tag)?;
            let Meant::Named { name, places } = found.meant else { return Err(unknown()) };
            let places: HashSet<usize> = places.into_iter().collect();
            let mut at = 0..;
            index.manifests.retain_mut(|entry| {
                if !at.next().is_some_and(|at| places.contains(&at)) {
                    return true;
                }
                match found.names.kind(entry, &name) {
                    _ if entry.has_one_name() => return false,
                    NameKind::RefName => *entry = self.untagged(entry),
                    NameKind::ImageName => entry.drop_name(NameKind::ImageName),
                }
                true
            });
            Ok(descriptor)
        })
    }

    /// Changes `index.json` of a layout that is there, under the lock. If nothing is changed, nothing is written.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Lock, &mut Index) -> Result<T>) -> Result<T> {
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
    pub(crate) fn put_tags(&self, index: &mut Index, descriptor: &Descriptor, tags: &[String]) {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let displaced = self.put(index, descriptor, &tags);
        self.keep_reachable(index, displaced);
    }

    /// Makes an index list a manifest without a tag.
    pub(crate) fn put_untagged(&self, index: &mut Index, descriptor: &Descriptor) {
        let is_it = |entry: &&mut Descriptor| {
            entry.digest == descriptor.digest && self.names.of(entry) == Some(Called::Untagged)
        };
        match index.manifests.iter_mut().find(is_it) {
            Some(entry) => *entry = self.merged(entry, self.untagged(descriptor)),
            None => index.manifests.push(self.untagged(descriptor)),
        }
    }

    /// Puts an entry into an index for each of some tags: in place of the first that has the tag. Returns the entries of other
    /// manifests that lost one.
    fn put(&self, index: &mut Index, descriptor: &Descriptor, tags: &[&str]) -> Vec<Descriptor> {
        let wanted: HashSet<&str> = tags.iter().copied().collect();
        let mut placed = HashSet::new();
        let mut lost = Vec::new();
        let mut renewed: HashMap<&str, Descriptor> = HashMap::new();
        index.manifests.retain_mut(|entry| {
            let tag = self.names.of(entry).and_then(Called::tag).and_then(|tag| wanted.get(tag).copied());
            let Some(tag) = tag else { return true };
            let is_first = placed.insert(tag);
            // Several of one manifest may differ in their image names.
            let is_another =
                entry.image_name().is_some() && renewed.get(tag).is_none_or(|new| !new.is_called_like(entry));
            let is_kept = is_first || entry.digest == descriptor.digest && is_another;
            if entry.digest != descriptor.digest {
                lost.push(entry.clone());
            }
            if is_first {
                *entry = self.renewed(entry, descriptor, tag);
                renewed.insert(tag, entry.clone());
            }
            is_kept
        });
        for tag in tags {
            if placed.insert(tag) {
                index.manifests.push(self.tagged(descriptor, tag));
            }
        }
        lost.iter_mut().for_each(|entry| entry.drop_name(NameKind::RefName));
        let is_new = |entry: &&Descriptor| {
            let tag = self.names.of(entry).and_then(Called::tag);
            entry.digest == descriptor.digest && tag.is_some_and(|tag| wanted.contains(tag))
        };
        let new: Vec<Descriptor> = index.manifests.iter().filter(is_new).cloned().collect();
        self.lose_names(index, &new, &mut lost);
        lost
    }

    /// Takes from other entries the names that those at some places have now, the tag that they were given among them.
    fn take_names(&self, index: &mut Index, places: &HashSet<usize>, tag: &str) {
        let new: Vec<Descriptor> = places.iter().map(|at| index.manifests[*at].clone()).collect();
        let is_given = new.iter().any(|entry| self.names.is_tagged(entry, tag));
        let mut at = 0..;
        let mut displaced = Vec::new();
        index.manifests.retain(|entry| {
            let is_new = at.next().is_some_and(|at| places.contains(&at));
            let is_displaced = is_given && !is_new && self.names.is_tagged(entry, tag);
            displaced.extend(is_displaced.then(|| entry.clone()));
            !is_displaced
        });
        displaced.iter_mut().for_each(|entry| entry.drop_name(NameKind::RefName));
        self.lose_names(index, &new, &mut displaced);
        self.keep_reachable(index, displaced);
    }

    /// Takes from the entries of other manifests the image names, and their like in ref names, that new entries have. Those that
    /// have no name then are taken out, to those that are displaced already.
    fn lose_names(&self, index: &mut Index, new: &[Descriptor], displaced: &mut Vec<Descriptor>) {
        let taken = ImageNames::of(new);
        if taken.is_empty() {
            return;
        }
        for entry in displaced.iter_mut() {
            taken.take_from(entry);
        }
        let digests: HashSet<&Digest> = new.iter().map(|entry| &entry.digest).collect();
        index.manifests.retain_mut(|entry| {
            if digests.contains(&entry.digest) || self.names.of(entry).is_none() || !taken.take_from(entry) {
                return true;
            }
            let is_named = entry.is_named();
            if !is_named {
                displaced.push(entry.clone());
            }
            is_named
        });
    }

    /// Returns an entry with a tag.
    fn tagged(&self, descriptor: &Descriptor, tag: &str) -> Descriptor {
        let mut entry = descriptor.clone();
        entry.call(self.names.named(tag), tag);
        entry
    }

    /// Returns an entry without a name.
    fn untagged(&self, descriptor: &Descriptor) -> Descriptor {
        let mut entry = descriptor.clone();
        entry.set_name(REF_NAME, self.names.unnamed(&entry.digest));
        entry
    }

    /// Returns the entry that takes the place of another one that has its tag. What that says besides, and the new one does not,
    /// stays if it is of the same manifest; of another one only the image name stays, if the new one has none.
    fn renewed(&self, old: &Descriptor, descriptor: &Descriptor, tag: &str) -> Descriptor {
        let new = self.tagged(descriptor, tag);
        if old.digest != new.digest {
            let image_name = new.image_name().or(old.image_name()).map(str::to_owned);
            let mut new = new;
            new.set_name(IMAGE_NAME, image_name);
            return new;
        }
        self.merged(old, new)
    }

    /// Returns an entry with all that an earlier one of the same manifest says and it does not.
    fn merged(&self, old: &Descriptor, new: Descriptor) -> Descriptor {
        let image_name = old.image_name().or(new.image_name()).map(str::to_owned);
        let mut annotations = old.annotations.clone().unwrap_or_default();
        annotations.extend(new.annotations.unwrap_or_default());
        let mut extra = old.extra.clone();
        extra.extend(&new.extra);
        let mut entry = Descriptor {
            annotations: (!annotations.is_empty()).then_some(annotations),
            extra,
            urls: new.urls.or_else(|| old.urls.clone()),
            data: new.data.or_else(|| old.data.clone()),
            artifact_type: new.artifact_type.or_else(|| old.artifact_type.clone()),
            platform: old.platform.clone().or(new.platform),
            ..new
        };
        entry.set_name(IMAGE_NAME, image_name);
        entry
    }

    /// Gives entries that were taken out of an index a place without a tag, unless they have no name left and their manifests
    /// can still be reached.
    pub(crate) fn keep_reachable(&self, index: &mut Index, displaced: Vec<Descriptor>) {
        let (named, nameless): (Vec<_>, Vec<_>) = displaced.into_iter().partition(Descriptor::is_named);
        let untagged = |entry: Descriptor| if entry.ref_name().is_some() { entry } else { self.untagged(&entry) };
        index.manifests.extend(named.into_iter().map(untagged));
        let mut lost: HashSet<Digest> = nameless.iter().map(|entry| entry.digest.clone()).collect();
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
        for entry in nameless {
            if lost.remove(&entry.digest) {
                index.manifests.push(self.untagged(&entry));
            }
        }
    }
}
