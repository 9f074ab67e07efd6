//! Selecting a part of a view: by reference, annotation or platform, with or without attestations and referrers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use super::index_view::{DistinctEntries, MadeDocuments, View};
use crate::error::{Error, Referrer, Result};
use crate::graph::names::Names;
use crate::graph::platform::{Best, Choice, Chooser, may_be_index, not_stored};
use crate::graph::resolve::Resolver;
use crate::graph::walk::{Document, Reach, Visit, read_entry, walk};
use crate::oci::{self, Annotations, Descriptor, Digest, Index, NameKey, Platform};
use crate::options::setters;

/// A selection from a view. Each step applies to the result of the previous step, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Selection {
    /// The references of the selected entries: ref names, digests or digest prefixes, resolved as in
    /// [`Repository::resolve`](crate::registry::Repository::resolve). Empty: all entries are selected.
    pub references: Vec<String>,
    /// The name in errors of what the references select, such as a path with a tag; by default that of the view.
    pub name: Option<PathBuf>,
    /// Whether the first nested index replaces the index.
    pub unwrap: bool,
    /// The annotations that an entry of the index must have.
    pub annotations: Annotations,
    /// The platforms of the selected images; by default all. Among images with the same name, the best match is
    /// selected, as determined by [`Platform::fit`], or all equally good matches. An index with unselected images is
    /// replaced by an index of the selected ones, or by the image if only one is left.
    pub platforms: Vec<Platform>,
    /// Whether BuildKit attestations are left out.
    pub no_attestations: bool,
    /// Whether referrers (signatures, SBOMs) of the selected manifests are selected, too.
    pub referrers: bool,
}

impl Selection {
    setters! {
        references: [Vec<String>],
        name: [some PathBuf],
        unwrap: [bool],
        annotations: [Annotations],
        platforms: [Vec<Platform>],
        no_attestations: [bool],
        referrers: [bool],
    }
}

/// A part of a view, and the images that were chosen for the requested platforms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Selected {
    /// The selected part.
    pub view: View,
    /// The images that were chosen for the platforms.
    pub choices: Vec<Choice>,
}

impl View {
    /// Returns the selected part.
    ///
    /// # Errors
    ///
    /// Those of [`View::selected`].
    pub fn select(&self, selection: &Selection) -> Result<Self> {
        Ok(self.selected(selection)?.view)
    }

    /// Returns the selected part, and the images that were chosen for the requested platforms.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`], [`Error::AmbiguousDigest`]; [`Error::UnknownPlatform`] if no image matches a
    /// platform, [`Error::PlatformNotStored`] if the matching image is not stored; [`Error::NothingSelected`]; the
    /// errors of reading a document.
    pub fn selected(&self, selection: &Selection) -> Result<Selected> {
        let mut choices = Vec::new();
        let mut view = self.referenced(&selection.references)?;
        view.path = selection.name.clone().unwrap_or(view.path);
        if selection.unwrap {
            view = view.unwrap_index(|_| true)?;
        }
        if !selection.annotations.is_empty() {
            let has = |entry: &Descriptor, key: &String, value: &String| {
                entry.annotations.as_ref().and_then(|annotations| annotations.get(key)) == Some(value)
            };
            view = view.filter(|entry| selection.annotations.iter().all(|(key, value)| has(entry, key, value)));
        }
        if !selection.platforms.is_empty() || selection.no_attestations {
            Selected { view, choices } = view.narrowed(selection)?;
        }
        if view.index.manifests.is_empty() && !self.index.manifests.is_empty() {
            let annotations = selection.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect();
            return Err(Error::NothingSelected { path: self.path.clone(), annotations });
        }
        let view = if selection.referrers { self.with_referrers(view)? } else { view };
        Ok(Selected { view, choices })
    }

    /// Keeps the entries that match the references.
    fn referenced(&self, references: &[String]) -> Result<Self> {
        if references.is_empty() {
            return Ok(self.clone());
        }
        let names = Names::AsTheyStand { default: None };
        let resolver = Resolver { names, index: &self.index, documents: self, path: &self.path };
        let mut manifests: Vec<Descriptor> = Vec::new();
        let mut distinct = DistinctEntries::default();
        for reference in references {
            // Some programs write several entries with one name instead of an index: all of them are selected.
            let found = resolver.find(reference)?;
            let meant = found.entries(&self.index).into_iter().cloned();
            for entry in meant {
                if distinct.insert(&entry) {
                    manifests.push(entry);
                }
            }
        }
        Ok(self.with_index(Index { manifests, ..Index::clone(&self.index) }))
    }

    /// Keeps the images for some platforms, and their attestations unless these are left out.
    fn narrowed(&self, selection: &Selection) -> Result<Selected> {
        let mut narrowing = Narrowing::new(self, selection);
        let picks = if selection.platforms.is_empty() { narrowing.all(&self.index) } else { narrowing.best()? };
        let manifests = narrowing.kept(&self.index, picks)?;
        let Narrowing { made, choices, .. } = narrowing;
        let mut documents = MadeDocuments::default();
        for (content, made_of) in made {
            documents.add(content, Referrer::Document(made_of.clone()));
        }
        let view = self.with_documents(documents).with_index(Index { manifests, ..Index::clone(&self.index) });
        Ok(Selected { view, choices })
    }

    /// Adds the referrers of the manifests in `part`, and transitively their referrers.
    fn with_referrers(&self, part: Self) -> Result<Self> {
        let mut kept: HashSet<Digest> = HashSet::new();
        for visit in walk(&part, &part.index.manifests, Reach::Indexes) {
            kept.insert(visit.entry.digest.clone());
        }
        let mut referrers: Vec<Descriptor> = Vec::new();
        let mut by_subject: HashMap<Digest, Vec<usize>> = HashMap::new();
        for Visit { entry, document } in walk(self, &self.index.manifests, Reach::Manifests) {
            // A document that cannot be read has no known subject.
            let Ok(Some(document)) = document else { continue };
            if let Some(subject) = document.subject() {
                by_subject.entry(subject.digest.clone()).or_default().push(referrers.len());
                referrers.push(entry.into_owned());
            }
        }
        // A referrer is placed after its subject: in the order of the walk, or in a later round if the walk has it
        // before.
        let mut added: Vec<(usize, usize)> = Vec::new();
        let mut queue: Vec<(Digest, usize, Option<usize>)> =
            kept.iter().map(|digest| (digest.clone(), 0, None)).collect();
        while let Some((subject, round, at)) = queue.pop() {
            for place in by_subject.remove(&subject).unwrap_or_default() {
                let digest = &referrers[place].digest;
                if kept.insert(digest.clone()) {
                    let round = round + usize::from(at.is_some_and(|at| place < at));
                    added.push((round, place));
                    queue.push((digest.clone(), round, Some(place)));
                }
            }
        }
        added.sort_unstable();
        let added = added.into_iter().map(|(_, place)| referrers[place].clone());
        let manifests = part.index.manifests.iter().cloned().chain(added).collect();
        Ok(part.with_index(Index { manifests, ..Index::clone(&part.index) }))
    }
}

/// The state of selecting images for platforms. Indexes that are kept in part are generated again. Each nested index is
/// processed once for each set of platforms, even if several entries refer to it. There is no recursion.
struct Narrowing<'a> {
    view: &'a View,
    selection: &'a Selection,
    chooser: Chooser<'a>,
    /// The results for nested indexes.
    left: HashMap<(Digest, Wanted), Left>,
    /// The generated indexes, with the digests of the originals.
    made: Vec<(Vec<u8>, Digest)>,
    choices: Vec<Choice>,
}

/// The platforms to keep of an index, as positions in the selection; `None` for all.
type Wanted = Option<Vec<usize>>;

/// The entries of an index that are kept.
struct Picks {
    /// The entries by position, with the platforms to keep of those that are indexes.
    entries: BTreeMap<usize, Wanted>,
    /// The images whose attestations are kept, too; `None` for all of them.
    images: Option<HashSet<Digest>>,
}

/// The remaining part of a nested index.
#[derive(Clone)]
enum Left {
    Nothing,
    /// The whole index.
    All,
    /// A single image, which replaces the index.
    Image(Box<Descriptor>),
    /// A smaller index.
    Smaller(Digest, u64),
}

/// An index that is being processed.
struct Open {
    /// The descriptor of the index, with the platforms to keep; `None` for `index.json`.
    place: Option<(Descriptor, Wanted)>,
    index: Index,
    picks: Picks,
    /// The position of the next entry.
    at: usize,
    kept: Vec<Descriptor>,
}

impl<'a> Narrowing<'a> {
    fn new(view: &'a View, selection: &'a Selection) -> Self {
        let chooser = Chooser::new(view, &selection.platforms);
        Self { view, selection, chooser, left: HashMap::new(), made: Vec::new(), choices: Vec::new() }
    }

    /// Picks all images, and no attestations.
    fn all(&self, index: &Index) -> Picks {
        let images = index.manifests.iter().enumerate().filter(|(_, entry)| !entry.is_attestation());
        Picks { entries: images.map(|(at, _)| (at, None)).collect(), images: None }
    }

    /// Picks the best images among the entries of `index.json`: for each platform, one for each name.
    fn best(&mut self) -> Result<Picks> {
        let entries = &self.view.index.manifests;
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut images = HashSet::new();
        let mut is_found = vec![false; self.selection.platforms.len()];
        for group in groups(entries) {
            let members: Vec<&Descriptor> = group.entries.iter().map(|at| &entries[*at]).collect();
            let bests = self.chooser.choose(&members);
            for (number, best) in bests.iter().enumerate() {
                let Some(best) = best else { continue };
                let asked = &self.selection.platforms[number];
                if !self.chooser.is_stored(&best.leaf) {
                    return Err(not_stored(self.view, &self.view.path, &members, &best.leaf.platform));
                }
                is_found[number] = true;
                for (at, best) in self.alike(&group, &members, number, best) {
                    wanted.entry(at).or_default().push(number);
                    images.insert(best.leaf.entry.digest.clone());
                    let choice = best.choice_for(asked);
                    if !self.choices.contains(&choice) {
                        self.choices.push(choice);
                    }
                }
            }
        }
        // Every requested platform must be found.
        if let Some(number) = is_found.iter().position(|is_found| !is_found) {
            let entries: Vec<&Descriptor> = entries.iter().collect();
            let chooser = std::mem::replace(&mut self.chooser, Chooser::new(self.view, &[]));
            let reference = self.view.path.display().to_string();
            return Err(chooser.not_there(&entries, &reference, &self.selection.platforms[number]));
        }
        let entries = wanted.into_iter().map(|(at, numbers)| (at, Some(numbers))).collect();
        Ok(Picks { entries, images: Some(images) })
    }

    /// Returns the best image of a group, and those that are as good: in a named group because the name does not
    /// distinguish them, in an unnamed group because they are separate images.
    fn alike(&mut self, group: &Group, members: &[&Descriptor], number: usize, best: &Best) -> Vec<(usize, Best)> {
        let mut alike = Vec::new();
        let mut seen = HashSet::new();
        for (at, member) in members.iter().enumerate() {
            let other =
                if at == best.at { Some(best.clone()) } else { self.chooser.choose(&[member]).swap_remove(number) };
            let Some(other) = other.filter(|other| self.chooser.is_as_real(&other.leaf, &best.leaf)) else { continue };
            // Entries with the same name and manifest count once.
            let is_one = if group.is_named {
                other.fit == best.fit && seen.insert(other.leaf.entry.digest.clone())
            } else {
                other.fit.is_as_good_as(&best.fit)
            };
            if is_one {
                alike.push((group.entries[at], other));
            }
        }
        alike
    }

    /// Picks the entries of a nested index for the wanted platforms.
    fn picks(&mut self, index: &Index, wanted: &Wanted) -> Picks {
        let Some(numbers) = wanted else { return self.all(index) };
        let bests = self.chooser.choose(&index.manifests.iter().collect::<Vec<_>>());
        let mut entries: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut images = HashSet::new();
        for number in numbers {
            let Some(best) = &bests[*number] else { continue };
            entries.entry(best.at).or_default().push(*number);
            images.insert(best.leaf.entry.digest.clone());
        }
        Picks { entries: entries.into_iter().map(|(at, numbers)| (at, Some(numbers))).collect(), images: Some(images) }
    }

    /// Returns the kept entries of an index, after processing the indexes nested in it.
    fn kept(&mut self, index: &Index, picks: Picks) -> Result<Vec<Descriptor>> {
        let mut stack = vec![Open { place: None, index: index.clone(), picks, at: 0, kept: Vec::new() }];
        loop {
            let top = stack.last_mut().expect("the first one ends the loop");
            if let Some((entry, wanted)) = self.go_on(top) {
                stack.extend(self.open(entry, wanted)?);
                continue;
            }
            let Open { place, index, kept, .. } = stack.pop().expect("it was the last one");
            let Some((entry, wanted)) = place else { return Ok(kept) };
            let left = self.left_of(&entry, index, kept);
            self.left.insert((entry.digest, wanted), left);
        }
    }

    /// Keeps the picked entries of an index, up to the first nested index that was not processed yet.
    fn go_on(&self, open: &mut Open) -> Option<(Descriptor, Wanted)> {
        while let Some(entry) = open.index.manifests.get(open.at) {
            if entry.is_attestation() {
                let images = open.picks.images.as_ref();
                if !self.selection.no_attestations && images.is_none_or(|images| entry.attests(images)) {
                    open.kept.push(entry.clone());
                }
            } else if let Some(wanted) = open.picks.entries.get(&open.at) {
                if entry.is_index() || wanted.is_some() && may_be_index(entry) {
                    match self.left.get(&(entry.digest.clone(), wanted.clone())) {
                        None => return Some((entry.clone(), wanted.clone())),
                        Some(left) => open.kept.extend(left.in_place_of(entry)),
                    }
                } else {
                    open.kept.push(entry.clone());
                }
            }
            open.at += 1;
        }
        None
    }

    /// Opens a nested index; nothing is left of a document that is no index.
    fn open(&mut self, entry: Descriptor, wanted: Wanted) -> Result<Option<Open>> {
        let Some(Document::Index(index)) = read_entry(self.view, &entry, None)? else {
            self.left.insert((entry.digest, wanted), Left::Nothing);
            return Ok(None);
        };
        let picks = self.picks(&index, &wanted);
        Ok(Some(Open { place: Some((entry, wanted)), index: *index, picks, at: 0, kept: Vec::new() }))
    }

    fn left_of(&mut self, entry: &Descriptor, index: Index, manifests: Vec<Descriptor>) -> Left {
        if manifests == index.manifests {
            return Left::All;
        }
        match manifests.as_slice() {
            [] => Left::Nothing,
            [image] if !image.is_index() || !self.selection.platforms.is_empty() => {
                Left::Image(Box::new(image.clone()))
            }
            _ => {
                let content = oci::to_blob(&Index { manifests, ..index });
                let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
                self.made.push((content, entry.digest.clone()));
                Left::Smaller(digest, size)
            }
        }
    }
}

impl Left {
    /// Returns the entry that replaces the entry of a nested index.
    fn in_place_of(&self, entry: &Descriptor) -> Option<Descriptor> {
        match self {
            Self::Nothing => None,
            Self::All => Some(entry.clone()),
            Self::Image(image) => {
                let mut image = Descriptor::clone(image);
                let mut annotations = image.annotations.unwrap_or_default();
                annotations.extend(entry.annotations.clone().unwrap_or_default());
                image.annotations = (!annotations.is_empty()).then_some(annotations);
                Some(image)
            }
            Self::Smaller(digest, size) => {
                Some(Descriptor { digest: digest.clone(), size: *size, data: None, ..entry.clone() })
            }
        }
    }
}

/// Entries of `index.json` that are one image.
struct Group {
    entries: Vec<usize>,
    is_named: bool,
}

/// Groups the entries of `index.json`: those with the same name, and manifests without a name. A nested index without a
/// name is a group of its own.
fn groups(entries: &[Descriptor]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<(Option<&str>, Option<NameKey<'_>>), usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let name = (entry.ref_name(), entry.image_name().map(NameKey::of));
        let is_named = name != (None, None);
        if !is_named && entry.is_index() {
            groups.push(Group { entries: vec![at], is_named: true });
            continue;
        }
        let place = *places.entry(name).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group { entries: Vec::new(), is_named });
        }
        groups[place].entries.push(at);
    }
    groups
}
