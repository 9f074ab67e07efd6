//! Adding the entries of one index to another.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Error, Repository, Result};
use crate::oci::{Descriptor, Digest, IMAGE_NAME, Index, NameKey, NameKind};

/// The entries of an index, by what they are called.
#[derive(Default)]
struct Bearers<'a> {
    by_ref_name: HashMap<&'a str, Vec<usize>>,
    by_image_name: HashMap<NameKey<'a>, Vec<usize>>,
    /// Those whose ref name is a whole name.
    by_whole_ref_name: HashMap<NameKey<'a>, Vec<usize>>,
}

/// A name that an entry is to have.
type Name<'a> = (NameKind, &'a str);

impl<'a> Bearers<'a> {
    fn of(entries: &'a [Descriptor]) -> Self {
        let mut bearers = Self::default();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(name) = entry.ref_name() {
                bearers.by_ref_name.entry(name).or_default().push(at);
                if let key @ NameKey::Whole(_) = NameKey::of(name) {
                    bearers.by_whole_ref_name.entry(key).or_default().push(at);
                }
            }
            if let Some(name) = entry.image_name() {
                bearers.by_image_name.entry(NameKey::of(name)).or_default().push(at);
            }
        }
        bearers
    }

    /// Returns the entries that have a name: as that kind of name, or, if it is a whole one, as the other.
    fn bearing(&self, (kind, name): Name<'_>) -> Vec<(usize, NameKind)> {
        let key = NameKey::of(name);
        let is_whole = matches!(key, NameKey::Whole(_));
        let of_image = self.by_image_name.get(&key).filter(|_| kind == NameKind::ImageName || is_whole);
        let of_ref = match kind {
            NameKind::RefName => self.by_ref_name.get(name),
            NameKind::ImageName => self.by_whole_ref_name.get(&key),
        };
        let of_ref = of_ref.into_iter().flatten().map(|at| (*at, NameKind::RefName));
        of_ref.chain(of_image.into_iter().flatten().map(|at| (*at, NameKind::ImageName))).collect()
    }

    /// Returns the entry of the same manifest that has the names of an entry, or could have them besides its own.
    fn covering(&self, entries: &[Descriptor], entry: &Descriptor) -> Option<usize> {
        let image_name = entry.image_name().map(NameKey::of);
        let fits = |at: usize| {
            let own = entries[at].image_name().map(NameKey::of);
            entries[at].digest == entry.digest && (image_name.is_none() || own.is_none() || own == image_name)
        };
        let name = names(entry).next()?;
        let mut found: Vec<usize> = self.bearing(name).into_iter().map(|(at, _)| at).filter(|at| fits(*at)).collect();
        // One that has the image name already comes first.
        found.sort_by_key(|at| entries[*at].image_name().is_none());
        found.first().copied()
    }
}

/// Returns the names of an entry, the ref name first.
fn names(entry: &Descriptor) -> impl Iterator<Item = Name<'_>> {
    let ref_name = entry.ref_name().map(|name| (NameKind::RefName, name));
    ref_name.into_iter().chain(entry.image_name().map(|name| (NameKind::ImageName, name)))
}

/// What becomes of the entries of an index whose names others take.
#[derive(Default)]
struct Losses<'a> {
    /// What is left of the entries that lose a name, by their places.
    left: BTreeMap<usize, Descriptor>,
    /// The places that the first entry of a name may take: of those that lost it, the first that is not to stay there.
    vacated: HashMap<Name<'a>, usize>,
}

impl Repository {
    /// Makes an index list entries of another one, which keep their names. Of those without a name one is enough for each
    /// manifest. A name may be that of several entries, as some programs have it; it is taken if it is that of a manifest that
    /// the other index does not give it to, unless all that the other one says is there already. An image name is a name, too.
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
        self.keep_reachable(index, displaced);
        Ok(())
    }

    /// Finds what the entries of an index lose to others that have their names.
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
                return Err(Error::NameTaken { path: self.layout().path().to_owned(), ref_name });
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
}
