//! Editing the entries of an index: giving and taking tags, adding the entries of another index.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::names::{EntryTag, Names};
use super::walk::{Documents, Reach, walk};
use crate::error::{Error, Result};
use crate::oci::{Descriptor, Digest, IMAGE_NAME, ImageNames, Index, NameKey, NameKind, REF_NAME};

/// How the entries of an index are edited.
pub(crate) struct IndexEditor<'a> {
    /// How ref names are read and written.
    pub(crate) names: &'a Names,
    pub(crate) documents: &'a dyn Documents,
    /// The layout that errors name.
    pub(crate) path: &'a Path,
}

/// The entries of an index by their names.
#[derive(Default)]
struct Bearers<'a> {
    by_ref_name: HashMap<&'a str, Bearing<'a>>,
    by_image_name: HashMap<NameKey<'a>, Bearing<'a>>,
    /// Those whose ref name is a whole name.
    by_whole_ref_name: HashMap<NameKey<'a>, Bearing<'a>>,
}

/// The entries that have one name.
#[derive(Default)]
struct Bearing<'a> {
    places: Vec<usize>,
    /// The first entry of each manifest and image name, if there are many.
    firsts: OnceCell<Box<Firsts<'a>>>,
}

type Firsts<'a> = HashMap<(&'a Digest, ImageName<'a>), usize>;

/// The image name that an entry of a manifest has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ImageName<'a> {
    Is(NameKey<'a>),
    Any,
    None,
}

impl ImageName<'_> {
    fn fits(self, own: Option<NameKey<'_>>) -> bool {
        match self {
            Self::Is(name) => own == Some(name),
            Self::Any => own.is_some(),
            Self::None => own.is_none(),
        }
    }
}

impl<'a> Bearing<'a> {
    /// So many entries are looked through one by one.
    const FEW: usize = 8;

    /// Returns the first entry of a manifest that has such an image name.
    fn first(&self, entries: &'a [Descriptor], digest: &'a Digest, image_name: ImageName<'a>) -> Option<usize> {
        let own = |at: usize| entries[at].image_name().map(NameKey::of);
        if self.places.len() <= Self::FEW {
            let fits = |at: &usize| entries[*at].digest == *digest && image_name.fits(own(*at));
            return self.places.iter().copied().find(fits);
        }
        let firsts = self.firsts.get_or_init(|| {
            let mut firsts = Firsts::new();
            for at in self.places.iter().copied() {
                let kinds = own(at).map_or([ImageName::None; 2], |name| [ImageName::Is(name), ImageName::Any]);
                for kind in kinds {
                    firsts.entry((&entries[at].digest, kind)).or_insert(at);
                }
            }
            Box::new(firsts)
        });
        firsts.get(&(digest, image_name)).copied()
    }
}

/// A name that an entry is to have.
type Name<'a> = (NameKind, &'a str);

impl<'a> Bearers<'a> {
    fn of(entries: &'a [Descriptor]) -> Self {
        let mut bearers = Self::default();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(name) = entry.ref_name() {
                bearers.by_ref_name.entry(name).or_default().places.push(at);
                if let key @ NameKey::Whole(_) = NameKey::of(name) {
                    bearers.by_whole_ref_name.entry(key).or_default().places.push(at);
                }
            }
            if let Some(name) = entry.image_name() {
                bearers.by_image_name.entry(NameKey::of(name)).or_default().places.push(at);
            }
        }
        bearers
    }

    /// Returns the entries that have a name: as that kind of name, or, if it is a whole one, as the other.
    fn bearing(&self, name: Name<'_>) -> Vec<(usize, NameKind)> {
        let [of_ref, of_image] = self.lists(name).map(|list| list.into_iter().flat_map(|list| &list.places));
        of_ref.map(|at| (*at, NameKind::RefName)).chain(of_image.map(|at| (*at, NameKind::ImageName))).collect()
    }

    /// Returns the entries that have a name as their ref name, and those that have it as their image name.
    fn lists<'s>(&'s self, (kind, name): Name<'s>) -> [Option<&'s Bearing<'a>>; 2] {
        let key = NameKey::of(name);
        let is_whole = matches!(key, NameKey::Whole(_));
        let of_image = self.by_image_name.get(&key).filter(|_| kind == NameKind::ImageName || is_whole);
        let of_ref = match kind {
            NameKind::RefName => self.by_ref_name.get(name),
            NameKind::ImageName => self.by_whole_ref_name.get(&key),
        };
        [of_ref, of_image]
    }

    /// Returns the entry of the same manifest that has the names of an entry, or could have them besides its own.
    fn covering(&self, entries: &'a [Descriptor], entry: &'a Descriptor) -> Option<usize> {
        let lists = self.lists(names(entry).next()?);
        let named = entry.image_name().map_or(ImageName::Any, |name| ImageName::Is(NameKey::of(name)));
        // One that has the image name already comes first.
        [named, ImageName::None].into_iter().find_map(|image_name| {
            lists.iter().flatten().find_map(|list| list.first(entries, &entry.digest, image_name))
        })
    }
}

/// Returns the names of an entry, the ref name first.
fn names(entry: &Descriptor) -> impl Iterator<Item = Name<'_>> {
    let ref_name = entry.ref_name().map(|name| (NameKind::RefName, name));
    ref_name.into_iter().chain(entry.image_name().map(|name| (NameKind::ImageName, name)))
}

/// The changes to entries of an index whose names others take.
#[derive(Default)]
struct Losses<'a> {
    /// The remains of the entries that lose a name, by their places.
    left: BTreeMap<usize, Descriptor>,
    /// The places that the first entry of a name may take: of those that lost it, the first that is not to stay there.
    vacated: HashMap<Name<'a>, usize>,
}

impl IndexEditor<'_> {
    /// Makes an index list entries of another one, which keep their names. Of those without a name one is enough for each
    /// manifest. A name may be that of several entries, as some programs write it; it is taken if it is that of a manifest that
    /// the other index does not give it to, unless all that the other one says is there already. An image name is a name, too.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`], unless entries that have a name are to lose it.
    pub(crate) fn add_entries(&self, index: &mut Index, entries: &[Descriptor], replace: bool) -> Result<()> {
        let before = &index.manifests;
        let bearers = Bearers::of(before);
        let losses = self.losses(before, &bearers, entries, replace)?;
        let mut listed: HashSet<&Digest> = before.iter().map(|entry| &entry.digest).collect();
        let mut after: Vec<Option<Descriptor>> = before.iter().cloned().map(Some).collect();
        let mut taken: HashSet<usize> = HashSet::new();
        let vacant = |entry: &Descriptor, taken: &HashSet<usize>| {
            let mut places = names(entry).filter_map(|name| losses.vacated.get(&name).copied());
            places.find(|at| !taken.contains(at))
        };
        for entry in entries {
            let is_new = listed.insert(&entry.digest);
            if !entry.is_named() {
                after.extend(is_new.then(|| Some(entry.clone())));
                continue;
            }
            if let Some(at) = bearers.covering(before, entry) {
                if let (Some(name), Some(own)) = (entry.image_name(), &mut after[at]) {
                    own.set_name(IMAGE_NAME, Some(name.to_owned()));
                }
                // The order of those that have one name is that of the other index: programs may take the first.
                if let Some(place) = vacant(entry, &taken).filter(|place| *place < at) {
                    taken.insert(place);
                    after[place] = after[at].take();
                }
                continue;
            }
            match vacant(entry, &taken) {
                Some(at) => {
                    taken.insert(at);
                    after[at] = Some(entry.clone());
                }
                None => after.push(Some(entry.clone())),
            }
        }
        let mut displaced = Vec::new();
        for (at, left) in losses.left {
            if taken.contains(&at) {
                displaced.push(left);
            } else if left.is_named() {
                after[at] = Some(left);
            } else {
                after[at] = None;
                displaced.push(left);
            }
        }
        index.manifests = after.into_iter().flatten().collect();
        self.keep_displaced(index, displaced, entries);
        Ok(())
    }

    /// Finds the names that entries of an index lose to new entries.
    fn losses<'a>(
        &self,
        before: &[Descriptor],
        bearers: &Bearers<'_>,
        entries: &'a [Descriptor],
        replace: bool,
    ) -> Result<Losses<'a>> {
        let mut order = Vec::new();
        let mut given: HashMap<Name<'a>, HashSet<&Digest>> = HashMap::new();
        for (entry, name) in entries.iter().flat_map(|entry| names(entry).map(move |name| (entry, name))) {
            let digests = given.entry(name).or_insert_with(|| {
                order.push(name);
                HashSet::new()
            });
            digests.insert(&entry.digest);
        }
        let mut losses = Losses::default();
        let mut losers = Vec::new();
        for name in order {
            let digests = &given[&name];
            let there: HashSet<&Digest> = bearers.bearing(name).into_iter().map(|(at, _)| &before[at].digest).collect();
            if digests.is_subset(&there) || there.is_subset(digests) {
                continue;
            }
            if !replace {
                let ref_name = name.1.to_owned();
                return Err(Error::NameTaken { path: self.path.to_owned(), ref_name });
            }
            let others = bearers.bearing(name).into_iter().filter(|(at, _)| !digests.contains(&before[*at].digest));
            for (at, kind) in others {
                losses.left.entry(at).or_insert_with(|| before[at].clone()).drop_name(kind);
                losers.push((name, at, kind));
            }
        }
        for (name, at, kind) in losers {
            if kind == NameKind::RefName || !losses.left[&at].is_named() {
                losses.vacated.entry(name).or_insert(at);
            }
        }
        Ok(losses)
    }

    /// Makes an index say that a manifest has some tags. Entries that had them lose them.
    pub(crate) fn put_tags(&self, index: &mut Index, descriptor: &Descriptor, tags: &[&str]) {
        let displaced = self.put(index, descriptor, tags);
        self.keep_displaced(index, displaced, std::slice::from_ref(descriptor));
    }

    /// Makes an index list a manifest without a tag.
    pub(crate) fn put_untagged(&self, index: &mut Index, descriptor: &Descriptor) {
        let is_it = |entry: &&mut Descriptor| {
            entry.digest == descriptor.digest && self.names.of(entry) == Some(EntryTag::Untagged)
        };
        match index.manifests.iter_mut().find(is_it) {
            Some(entry) => *entry = self.merged(entry, self.untagged(descriptor)),
            None => index.manifests.push(self.untagged(descriptor)),
        }
    }

    /// Removes the untagged entries of a manifest that has a tag: they kept the manifest while another one had its tag. Their
    /// annotations and other fields are added to its first tagged entry.
    pub(crate) fn absorb_untagged(&self, index: &mut Index, digest: &Digest) {
        let is_untagged = |entry: &Descriptor| {
            entry.digest == *digest && entry.image_name().is_none() && self.names.of(entry) == Some(EntryTag::Untagged)
        };
        let is_named = |entry: &Descriptor| entry.digest == *digest && entry.is_named() && !is_untagged(entry);
        let Some(at) = index.manifests.iter().position(is_named) else { return };
        let untagged: Vec<Descriptor> = index.manifests.iter().filter(|entry| is_untagged(entry)).cloned().collect();
        for entry in untagged {
            let named = &index.manifests[at];
            let annotations = entry.annotations.clone().map(|mut annotations| {
                annotations.remove(REF_NAME);
                annotations
            });
            index.manifests[at] = self.merged(&Descriptor { annotations, ..entry }, named.clone());
        }
        index.manifests.retain(|entry| !is_untagged(entry));
    }

    /// Puts an entry into an index for each of some tags: in place of the first that has the tag. Returns the entries of other
    /// manifests that lost one.
    fn put(&self, index: &mut Index, descriptor: &Descriptor, tags: &[&str]) -> Vec<Descriptor> {
        let wanted: HashSet<&str> = tags.iter().copied().collect();
        let mut placed = HashSet::new();
        let mut lost = Vec::new();
        let mut renewed: HashMap<&str, Descriptor> = HashMap::new();
        index.manifests.retain_mut(|entry| {
            let tag = self.names.of(entry).and_then(EntryTag::tag).and_then(|tag| wanted.get(tag).copied());
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
            let tag = self.names.of(entry).and_then(EntryTag::tag);
            entry.digest == descriptor.digest && tag.is_some_and(|tag| wanted.contains(tag))
        };
        let new: Vec<Descriptor> = index.manifests.iter().filter(is_new).cloned().collect();
        self.lose_names(index, &new, &mut lost);
        lost
    }

    /// Takes from other entries the names that those at some places have now, the tag that they were given among them.
    pub(crate) fn take_names(&self, index: &mut Index, places: &HashSet<usize>, tag: &str) {
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
        self.keep_displaced(index, displaced, &new);
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
    pub(crate) fn untagged(&self, descriptor: &Descriptor) -> Descriptor {
        let mut entry = descriptor.clone();
        entry.set_name(REF_NAME, self.names.unnamed(&entry.digest));
        entry
    }

    /// Returns the entry that replaces another one with its tag. Further annotations of the old entry stay if both are
    /// of the same manifest. Of another manifest only the image name stays, if the new entry has none.
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
    /// are in other entries, or in indexes among those that took their names. Other indexes that list a manifest do not
    /// count: it would go with the next change of them, unasked.
    pub(crate) fn keep_displaced(&self, index: &mut Index, displaced: Vec<Descriptor>, successors: &[Descriptor]) {
        let (named, nameless): (Vec<_>, Vec<_>) = displaced.into_iter().partition(Descriptor::is_named);
        let untagged = |entry: Descriptor| if entry.ref_name().is_some() { entry } else { self.untagged(&entry) };
        index.manifests.extend(named.into_iter().map(untagged));
        let mut lost: HashSet<Digest> = nameless.iter().map(|entry| entry.digest.clone()).collect();
        // The names of other repositories do not count in this one.
        for entry in index.manifests.iter().filter(|entry| self.names.of(entry).is_some()) {
            lost.remove(&entry.digest);
        }
        if lost.is_empty() {
            return;
        }
        for visit in walk(self.documents, successors, Reach::Indexes) {
            lost.remove(&visit.entry.digest);
        }
        for entry in nameless {
            if lost.remove(&entry.digest) {
                index.manifests.push(self.untagged(&entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Referrer;
    use crate::oci::MediaType;

    /// No documents.
    struct Empty;

    impl Documents for Empty {
        fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
            Err(Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() })
        }

        fn has(&self, _: &Digest) -> Result<bool> {
            Ok(false)
        }
    }

    fn entry(content: usize, ref_name: &str, image_name: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::new(MediaType::manifest(), Digest::sha256_of(&content.to_le_bytes()), 8);
        entry.set_name(REF_NAME, Some(ref_name.to_owned()));
        entry.set_name(IMAGE_NAME, image_name.map(str::to_owned));
        entry
    }

    #[test]
    fn an_entry_is_found_among_few_and_among_many_of_its_name() {
        let whole = |n: usize| format!("docker.io/library/app{n}:v1");
        for count in [4, 4 * Bearing::FEW] {
            let mut entries = vec![entry(0, "v1", None)];
            entries.extend((0..count).map(|n| entry(n, "v1", Some(&whole(n / 2)))));
            entries.extend((0..count).map(|n| entry(n, "v1", None)));
            for (wanted, place) in [
                (entry(1, "v1", Some(&whole(0))), Some(2)),
                // As Docker spells it otherwise.
                (entry(1, "v1", Some("app0:v1")), Some(2)),
                // Any image name comes before none, if none is asked for.
                (entry(0, "v1", None), Some(1)),
                (entry(3, "v1", None), Some(4)),
                // The name can be added where there is none.
                (entry(0, "v1", Some("app9:v1")), Some(0)),
                (entry(3, "v1", Some("app9:v1")), Some(count + 4)),
                (entry(3, "app1:v1", None), Some(4)),
                (entry(3, "v2", None), None),
                (entry(count, "v1", None), None),
            ] {
                let wanted = [wanted];
                let entries: Vec<Descriptor> = entries.iter().chain(&wanted).cloned().collect();
                let (before, wanted) = entries.split_at(entries.len() - 1);
                assert_eq!(Bearers::of(before).covering(before, &wanted[0]), place, "{count}: {:?}", wanted[0]);
            }
        }
    }

    #[test]
    fn many_entries_of_one_name_are_added_in_time_proportional_to_their_number() {
        // Comparing each with each would take half a minute.
        const COUNT: usize = 30_000;
        let names = Names::AsTheyStand { default: None };
        let editor = IndexEditor { names: &names, documents: &Empty, path: Path::new("image") };
        let all = |range: std::ops::Range<usize>| range.map(|n| entry(n, "v1", None)).collect::<Vec<_>>();
        let mut index = Index { manifests: all(0..COUNT), ..Index::empty() };
        editor.add_entries(&mut index, &all(1..COUNT + 1), true).expect("added");
        assert_eq!(index.manifests.len(), COUNT + 1);
        assert_eq!(index.manifests.iter().filter(|entry| entry.ref_name().is_some()).count(), COUNT);
    }
}
