//! Tags: listing, adding, moving and deleting them.

use std::collections::{BTreeSet, HashSet};

use super::page::Page;
use super::repository::Repository;
use super::resolve::ManifestName;
use crate::error::{Error, Result};
use crate::graph::names::EntryTag;
use crate::graph::resolve::Meant;
use crate::layout::commit::write_index;
use crate::layout::document_files::fingerprint;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::oci::{Descriptor, Index, NameKind};

/// The names of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Listed {
    /// Their tags, in the order of their bytes.
    pub tags: Vec<String>,
    /// Their image names, in the order of their bytes.
    pub image_names: Vec<String>,
}

/// The result of renaming a tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Renamed {
    /// The earlier name of the manifest; `None` if it had none.
    pub from: Option<String>,
    /// The manifest, as it was listed before.
    pub descriptor: Descriptor,
}

impl Repository {
    /// Returns the tags of a page, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn tags(&self, page: &Page) -> Result<Vec<String>> {
        Ok(self.listed(page)?.tags)
    }

    /// Returns the tags as [`Repository::tags`] does, and with them the image names of their entries. Those of entries without a
    /// tag come with the first tags.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::tags`].
    pub fn listed(&self, page: &Page) -> Result<Listed> {
        let index = self.index()?;
        let entries = self.entries(&index)?;
        let tags: BTreeSet<&str> = entries.iter().filter_map(|entry| self.names.of(entry)?.tag()).collect();
        let tags = tags.into_iter().filter(|tag| page.begins_before(tag));
        let tags: BTreeSet<&str> = tags.take(page.most()).collect();
        let is_listed = |entry: &&&Descriptor| match self.names.of(entry) {
            Some(EntryTag::Tagged(tag)) => tags.contains(tag),
            Some(EntryTag::Untagged) => page.after.is_none(),
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
    pub fn add_tags<'a>(&self, name: impl Into<ManifestName<'a>>, tags: &[&str]) -> Result<Descriptor> {
        let name = name.into();
        tags.iter().try_for_each(|tag| self.names.check(tag))?;
        self.change(|layout, index| {
            let found = self.find(layout, index, name.reference)?;
            let resolver = self.resolver(layout, index);
            let descriptor = match name.platform {
                None => resolver.one(&found, name.reference)?,
                Some(platform) => resolver.for_platform(&found, name.reference, platform)?.descriptor,
            };
            self.edit(layout).put_tags(index, &descriptor, tags);
            Ok(descriptor)
        })
    }

    /// Gives a manifest another tag in place of the name that it is meant by, in one step; one that is meant by its digest,
    /// and has no tag, gets its first. An image name that says the same as the tag goes with it.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::add_tags`]; [`Error::UnknownTag`] if the manifest has another tag; [`Error::InsideIndex`] if it
    /// is no entry of `index.json`.
    pub fn move_tag<'a>(&self, name: impl Into<ManifestName<'a>>, tag: &str) -> Result<Renamed> {
        let wanted = name.into();
        self.names.check(tag)?;
        self.change(|layout, index| {
            let (found, descriptor) = self.find_entry(layout, index, wanted)?;
            let is_untagged = |at: &usize| {
                let entry = &index.manifests[*at];
                entry.digest == descriptor.digest && found.names.of(entry) == Some(EntryTag::Untagged)
            };
            let (name, places) = match found.meant {
                Meant::Named { name, places } => (Some(name), places),
                Meant::Manifest(_) => (None, (0..index.manifests.len()).filter(is_untagged).collect()),
            };
            let Some(first) = places.first() else {
                let is_entry = index.manifests.iter().any(|entry| entry.digest == descriptor.digest);
                let reference = wanted.reference;
                return Err(if is_entry { self.unknown_tag(reference) } else { self.inside_index(reference) });
            };
            let first = &index.manifests[*first];
            let from = name.as_deref().and_then(|name| found.names.meant_by(first, name)).map(str::to_owned);
            for at in &places {
                let entry = &mut index.manifests[*at];
                match name.as_deref().map(|name| found.names.kind(entry, name)) {
                    Some(NameKind::ImageName) if !entry.has_one_name() => entry.rename_image(tag),
                    _ => {
                        let ref_name = found.names.renamed(entry, tag);
                        entry.rename(ref_name, tag);
                    }
                }
            }
            let moved: HashSet<usize> = places.into_iter().collect();
            self.edit(layout).take_names(index, &moved, tag);
            Ok(Renamed { from, descriptor })
        })
    }

    /// Removes a tag from every entry that has it, and returns the descriptor of its manifest. An entry whose image
    /// name has another tag keeps that name. A manifest without other entries becomes unreachable, until
    /// [`Layout::collect_garbage`](crate::layout::Layout::collect_garbage) deletes it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::UnknownTag`], also for an empty tag and for a digest;
    /// [`Error::AmbiguousName`]; [`Error::InsideIndex`]; [`Error::MalformedIndex`]; [`Error::Locked`]; [`Error::Io`].
    pub fn delete_tag<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<Descriptor> {
        let name = name.into();
        self.change(|layout, index| self.untag(layout, index, name))
    }

    /// Takes several tags away, as [`Repository::delete_tag`] does, in one step: all of them or none.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::delete_tag`].
    pub fn delete_tags(&self, names: &[ManifestName<'_>]) -> Result<Vec<Descriptor>> {
        self.change(|layout, index| self.untag_all(layout, index, names))
    }

    /// Returns the result of [`Repository::delete_tags`], and the `index.json` that it would write. Writes nothing and
    /// takes no lock.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::delete_tag`], except [`Error::Locked`].
    pub fn plan_delete_tags(&self, names: &[ManifestName<'_>]) -> Result<(Vec<Descriptor>, Index)> {
        self.plan(|layout, index| self.untag_all(layout, index, names))
    }

    fn untag_all(&self, layout: &Layout, index: &mut Index, names: &[ManifestName<'_>]) -> Result<Vec<Descriptor>> {
        names.iter().map(|name| self.untag(layout, index, *name)).collect()
    }

    fn untag(&self, layout: &Layout, index: &mut Index, wanted: ManifestName<'_>) -> Result<Descriptor> {
        self.entries(index)?;
        let unknown = || self.unknown_tag(wanted.reference);
        let (found, descriptor) = self.find_entry(layout, index, wanted).map_err(|error| match error {
            Error::UnknownManifest { .. } => unknown(),
            error => error,
        })?;
        let Meant::Named { name, places } = found.meant else {
            let is_tagged_index =
                wanted.reference.contains('@') && index.manifests.iter().all(|entry| entry.digest != descriptor.digest);
            return Err(if is_tagged_index { self.inside_index(wanted.reference) } else { unknown() });
        };
        let places: HashSet<usize> = places.into_iter().collect();
        let mut at = 0..;
        index.manifests.retain_mut(|entry| {
            if !at.next().is_some_and(|at| places.contains(&at)) {
                return true;
            }
            match found.names.kind(entry, &name) {
                _ if entry.has_one_name() => return false,
                NameKind::RefName => *entry = self.edit(layout).untagged(entry),
                NameKind::ImageName => entry.drop_name(NameKind::ImageName),
            }
            true
        });
        Ok(descriptor)
    }

    /// Returns the result of a change of `index.json`, and the changed index, which is not written.
    pub(crate) fn plan<T>(&self, change: impl FnOnce(&Layout, &mut Index) -> Result<T>) -> Result<(T, Index)> {
        let layout = self.layout_to_change()?;
        let mut index = self.index()?;
        let result = change(&layout, &mut index)?;
        Ok((result, index))
    }

    /// Opens the layout. If there is none, its repository is unknown, or its path is that of another directory.
    fn layout_to_change(&self) -> Result<Layout> {
        if let Some(layout) = Layout::find(&self.site)? {
            return Ok(layout);
        }
        self.entries(&Index::empty())?;
        Err(Error::NotALayout { path: self.path().to_owned() })
    }

    /// Changes `index.json` of a layout that is there, under the lock. If nothing is changed, nothing is written.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Layout, &mut Index) -> Result<T>) -> Result<T> {
        let layout = self.layout_to_change()?;
        let lock = take_lock(&layout)?;
        let mut index = self.index()?;
        let before = fingerprint(&index);
        let result = change(&layout, &mut index)?;
        if fingerprint(&index) != before {
            write_index(&layout, &lock, &index, [])?;
        }
        Ok(result)
    }
}
