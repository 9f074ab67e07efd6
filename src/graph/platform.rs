//! From an image for several platforms to the image for one of them. Every choice by platform is made here.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::walk::{Document, Documents, read_entry};
use crate::error::{Error, Referrer};
use crate::oci::{Descriptor, Digest, Fit, ImageConfig, Manifest, Platform, embedded, from_json};

/// The platform that was chosen for a wanted one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Choice {
    /// The platform that was asked for.
    pub asked: Platform,
    /// The platform of the image that was taken.
    pub taken: Platform,
    /// Whether the image is for a lower variant than the one that was asked for.
    pub is_lower_variant: bool,
}

/// A manifest that was chosen, by its platform if one was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Chosen {
    /// The descriptor of the manifest: an entry of `index.json`, or of a nested index.
    pub descriptor: Descriptor,
    /// The platform that was chosen; `None` if none was asked for.
    pub choice: Option<Choice>,
}

/// The image that fits a platform best.
#[derive(Clone)]
pub(crate) struct Best {
    pub(crate) fit: Fit,
    /// The index of its entry among the candidates.
    pub(crate) at: usize,
    pub(crate) leaf: Rc<Leaf>,
}

/// An image that an index lists.
pub(crate) struct Leaf {
    pub(crate) entry: Descriptor,
    pub(crate) platform: Platform,
    is_stored: OnceCell<bool>,
}

impl Best {
    /// Returns the choice for a wanted platform.
    pub(crate) fn choice_for(&self, asked: &Platform) -> Choice {
        Choice {
            asked: asked.clone(),
            taken: self.leaf.platform.clone(),
            is_lower_variant: self.fit.is_lower_variant(),
        }
    }
}

/// The best images for each platform that was asked for.
pub(crate) type Bests = Vec<Option<Best>>;

/// Chooses images by their platforms. Each nested index is read once, however often it is listed.
pub(crate) struct Chooser<'a> {
    documents: &'a dyn Documents,
    asked: &'a [Platform],
    /// The best images of nested indexes.
    nested: HashMap<Digest, Rc<Bests>>,
    /// The platforms of images whose descriptors do not say it.
    platforms: Platforms<'a>,
    /// Which manifests are images, of those that were looked at.
    images: RefCell<HashMap<Digest, bool>>,
    /// Why an index that may list the platform could not be read.
    unreadable: Option<Error>,
}

/// An index that is being looked through.
struct Open {
    /// Its digest, unless it is the one that the choice is made in.
    digest: Option<Digest>,
    entries: Vec<Descriptor>,
    /// The next entry.
    at: usize,
    bests: Bests,
}

/// The suitability of an entry for a platform.
enum Candidate {
    Image(Rc<Leaf>),
    /// A nested index that was looked through.
    Known(Rc<Bests>),
    Index(Vec<Descriptor>),
    Nothing,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(documents: &'a dyn Documents, asked: &'a [Platform]) -> Self {
        let images = RefCell::default();
        let platforms = Platforms::new(documents);
        Self { documents, asked, nested: HashMap::new(), platforms, images, unreadable: None }
    }

    /// Returns the best images, one for each wanted platform, among some entries and those of nested indexes. Of
    /// equally good entries the first stored one is taken, and an image before an artifact.
    pub(crate) fn choose(&mut self, entries: &[&Descriptor]) -> Bests {
        let none: Bests = vec![None; self.asked.len()];
        let open = |digest, entries| Open { digest, entries, at: 0, bests: none.clone() };
        let mut stack = vec![open(None, entries.iter().map(|entry| (*entry).clone()).collect())];
        loop {
            let top = stack.last_mut().expect("the first one ends the loop");
            let Some(entry) = top.entries.get(top.at) else {
                let Open { digest, bests, .. } = stack.pop().expect("it was the last one");
                match digest {
                    None => return bests,
                    Some(digest) => drop(self.nested.insert(digest, Rc::new(bests))),
                }
                continue;
            };
            match self.candidate(entry) {
                Candidate::Index(entries) => {
                    // The entry is looked at again when the index has been.
                    let digest = Some(entry.digest.clone());
                    stack.push(open(digest, entries));
                    continue;
                }
                Candidate::Image(leaf) => {
                    for (asked, best) in self.asked.iter().zip(&mut top.bests) {
                        if let Some(fit) = leaf.platform.fit(asked) {
                            self.prefer(best, Best { fit, at: top.at, leaf: Rc::clone(&leaf) });
                        }
                    }
                }
                Candidate::Known(nested) => {
                    for (found, best) in nested.iter().zip(&mut top.bests) {
                        if let Some(found) = found {
                            self.prefer(best, Best { at: top.at, ..found.clone() });
                        }
                    }
                }
                Candidate::Nothing => {}
            }
            top.at += 1;
        }
    }

    /// Returns the entries whose images fit as well as the best one: that one, and other manifests.
    pub(crate) fn rivals<'e>(&mut self, entries: &[&'e Descriptor], best: &Best) -> Vec<&'e Descriptor> {
        let mut rivals = vec![entries[best.at]];
        let mut seen = HashSet::from([&best.leaf.entry.digest]);
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| entry.digest != entries[best.at].digest) {
            let other = self.choose(&[entry]).into_iter().next().flatten();
            let is_rival = |other: &Best| other.fit == best.fit && self.is_as_real(&other.leaf, &best.leaf);
            found.extend(other.filter(is_rival).map(|other| (*entry, other)));
        }
        for (entry, other) in &found {
            if seen.insert(&other.leaf.entry.digest) {
                rivals.push(entry);
            }
        }
        rivals
    }

    /// Takes another image in the place of the best one if it is better.
    fn prefer(&self, best: &mut Option<Best>, other: Best) {
        let is_better = match best {
            None => true,
            Some(best) if other.fit.is_as_good_as(&best.fit) => {
                match (self.is_stored(&best.leaf), self.is_stored(&other.leaf)) {
                    (true, false) => false,
                    (false, true) => true,
                    _ => match (self.is_image(&best.leaf), self.is_image(&other.leaf)) {
                        (true, false) => false,
                        (false, true) => true,
                        _ => other.fit < best.fit,
                    },
                }
            }
            // An image before an artifact, even if the platform of that fits better.
            Some(best) if other.fit < best.fit => self.is_image(&other.leaf) || !self.is_image(&best.leaf),
            Some(best) => !self.is_image(&best.leaf) && self.is_image(&other.leaf),
        };
        if is_better {
            *best = Some(other);
        }
    }

    /// Returns whether the manifest of an image is there.
    pub(crate) fn is_stored(&self, leaf: &Leaf) -> bool {
        *leaf.is_stored.get_or_init(|| is_stored(self.documents, &leaf.entry))
    }

    /// Returns whether a manifest is that of an image. Signatures and other artifacts may have a platform, too. An
    /// unreadable manifest counts as an image.
    fn is_image(&self, leaf: &Leaf) -> bool {
        if let Some(known) = self.images.borrow().get(&leaf.entry.digest) {
            return *known;
        }
        let is_image = match read_entry(self.documents, &leaf.entry, None) {
            Ok(Some(Document::Manifest(manifest))) => manifest.is_image(&leaf.entry),
            Ok(_) => false,
            Err(_) => true,
        };
        self.images.borrow_mut().insert(leaf.entry.digest.clone(), is_image);
        is_image
    }

    /// Returns whether as much is there of one image as of another: whether both are stored, and both are images.
    pub(crate) fn is_as_real(&self, one: &Leaf, other: &Leaf) -> bool {
        self.is_stored(one) == self.is_stored(other) && self.is_image(one) == self.is_image(other)
    }

    fn candidate(&mut self, entry: &Descriptor) -> Candidate {
        // An attestation runs on no platform.
        if entry.is_attestation() {
            return Candidate::Nothing;
        }
        if may_be_index(entry) {
            return self.nested_in(entry);
        }
        match self.platforms.of(entry).filter(Platform::is_known) {
            Some(platform) => {
                Candidate::Image(Rc::new(Leaf { entry: entry.clone(), platform, is_stored: OnceCell::new() }))
            }
            None => Candidate::Nothing,
        }
    }

    /// Opens a nested index, unless that was done before.
    fn nested_in(&mut self, entry: &Descriptor) -> Candidate {
        if let Some(known) = self.nested.get(&entry.digest) {
            return Candidate::Known(Rc::clone(known));
        }
        let error = match read_entry(self.documents, entry, None) {
            Ok(Some(Document::Index(index))) => return Candidate::Index(index.manifests),
            Ok(_) => None,
            // Content that indexes list need not be stored.
            Err(Error::MissingBlob { .. }) => None,
            Err(error) => Some(error),
        };
        self.unreadable = self.unreadable.take().or(error);
        self.nested.insert(entry.digest.clone(), Rc::new(Bests::new()));
        Candidate::Nothing
    }

    /// Returns the error for a platform without an image among some entries.
    pub(crate) fn not_there(self, entries: &[&Descriptor], reference: &str, platform: &Platform) -> Error {
        if let Some(error) = self.unreadable {
            return error;
        }
        if let Some(error) = entries.iter().find_map(|entry| self.unknown_because(entry)) {
            return error;
        }
        let mut platforms = stored_platforms(self.documents, entries);
        if platforms.is_empty() {
            platforms.push("no known platform".to_owned());
        }
        Error::UnknownPlatform { reference: reference.to_owned(), platform: Box::new(platform.clone()), platforms }
    }
}

impl Chooser<'_> {
    /// Returns why the platform of an entry, or of the images that it lists, cannot be known, if that is so.
    fn unknown_because(&self, entry: &Descriptor) -> Option<Error> {
        if entry.is_attestation() || entry.said_platform().is_some() && !may_be_index(entry) {
            return None;
        }
        if !is_stored(self.documents, entry) {
            return Some(Error::MissingBlob { digest: entry.digest.clone(), referrer: Referrer::Index });
        }
        match read_entry(self.documents, entry, None) {
            Err(error) => Some(error),
            Ok(Some(Document::Manifest(manifest))) if manifest.is_image(entry) => {
                let referrer = Referrer::Document(entry.digest.clone());
                self.documents.read(&manifest.config.digest, &referrer).err()
            }
            Ok(_) => None,
        }
    }
}

/// Returns the platforms of the stored images of some entries, each once and in the order of the list.
fn stored_platforms(documents: &dyn Documents, entries: &[&Descriptor]) -> Vec<String> {
    let mut platforms: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    let mut read = Platforms::new(documents);
    let mut entries = entries.iter().map(|entry| Cow::Borrowed(*entry));
    let mut nested: Vec<Descriptor> = Vec::new();
    while let Some(entry) = nested.pop().map(Cow::Owned).or_else(|| entries.next()) {
        let entry = entry.as_ref();
        // An entry without a platform is read, once.
        let is_read = may_be_index(entry) || entry.said_platform().is_none();
        if entry.is_attestation() || is_read && !seen.insert(entry.digest.clone()) {
            continue;
        }
        if may_be_index(entry) {
            if let Ok(Some(Document::Index(index))) = read_entry(documents, entry, None) {
                nested.extend(index.manifests.into_iter().rev());
            }
            continue;
        }
        let platform = read.of(entry).filter(Platform::is_known).map(|platform| platform.to_string());
        if let Some(platform) = platform
            && !platforms.contains(&platform)
            && is_stored(documents, entry)
        {
            platforms.push(platform);
        }
    }
    platforms
}

/// Returns the error for a platform whose manifest is listed and not stored, with the stored platforms.
pub(crate) fn not_stored(
    documents: &dyn Documents,
    path: &Path,
    entries: &[&Descriptor],
    platform: &Platform,
) -> Error {
    Error::PlatformNotStored {
        path: path.to_owned(),
        platform: Box::new(platform.clone()),
        platforms: stored_platforms(documents, entries),
    }
}

/// Returns whether an entry may be that of an index: by its media type, or, without one, by its content.
pub(crate) fn may_be_index(entry: &Descriptor) -> bool {
    entry.is_index() || !entry.media_type.is_manifest() && entry.said_platform().is_none()
}

/// Returns whether the content of a descriptor is stored, or embedded in it.
pub(crate) fn is_stored(documents: &dyn Documents, entry: &Descriptor) -> bool {
    // The reader of the content reports errors.
    documents.has(&entry.digest).unwrap_or(true) || entry.data.as_deref().and_then(embedded).is_some()
}

/// The platforms of images. Each manifest is read once, and so is each config.
pub(crate) struct Platforms<'a> {
    documents: &'a dyn Documents,
    by_manifest: HashMap<Digest, Option<Platform>>,
    by_config: HashMap<Digest, Option<Platform>>,
}

impl<'a> Platforms<'a> {
    pub(crate) fn new(documents: &'a dyn Documents) -> Self {
        Self { documents, by_manifest: HashMap::new(), by_config: HashMap::new() }
    }

    /// Returns the platform that the descriptor of a manifest says, or else the config of its image.
    pub(crate) fn of(&mut self, descriptor: &Descriptor) -> Option<Platform> {
        if let Some(platform) = descriptor.said_platform() {
            return Some(platform.clone());
        }
        if !descriptor.media_type.is_manifest() || descriptor.says_no_image() {
            return None;
        }
        if let Some(known) = self.by_manifest.get(&descriptor.digest) {
            return known.clone();
        }
        let content = self.documents.read(&descriptor.digest, &Referrer::Index).ok();
        let manifest = content.and_then(|content| from_json::<Manifest>(&content).ok());
        let platform = manifest.and_then(|manifest| self.of_image(descriptor, &manifest));
        self.by_manifest.insert(descriptor.digest.clone(), platform.clone());
        platform
    }

    /// Returns the platform that the config of an image says, if it can be read.
    pub(crate) fn of_image(&mut self, descriptor: &Descriptor, manifest: &Manifest) -> Option<Platform> {
        if !descriptor.media_type.is_manifest() || !manifest.is_image(descriptor) {
            return None;
        }
        let config = &manifest.config.digest;
        if let Some(known) = self.by_config.get(config) {
            return known.clone();
        }
        let content = self.documents.read(config, &Referrer::Index).ok();
        let platform = content.and_then(|content| from_json::<ImageConfig>(&content).ok()?.platform());
        self.by_config.insert(config.clone(), platform.clone());
        platform
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::oci::{MediaType, to_blob};

    /// Documents in memory, and how often each was read.
    #[derive(Default)]
    struct Counting {
        documents: HashMap<Digest, Vec<u8>>,
        reads: RefCell<HashMap<Digest, usize>>,
    }

    impl Counting {
        fn add(&mut self, media_type: MediaType, document: &serde_json::Value) -> Descriptor {
            let content = to_blob(document);
            let descriptor = Descriptor::new(media_type, Digest::sha256_of(&content), content.len() as u64);
            self.documents.insert(descriptor.digest.clone(), content);
            descriptor
        }
    }

    impl Documents for Counting {
        fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
            *self.reads.borrow_mut().entry(digest.clone()).or_default() += 1;
            let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() };
            self.documents.get(digest).cloned().ok_or_else(missing)
        }

        fn has(&self, digest: &Digest) -> Result<bool> {
            Ok(self.documents.contains_key(digest))
        }
    }

    #[test]
    fn every_manifest_and_config_is_read_once() {
        let mut documents = Counting::default();
        let config =
            serde_json::json!({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = documents.add(MediaType::config(), &config);
        let manifest = |n: u32| serde_json::json!({"schemaVersion": 2, "config": config, "layers": [], "annotations": {"n": n.to_string()}});
        let entries: Vec<Descriptor> = (0..3).map(|n| documents.add(MediaType::manifest(), &manifest(n))).collect();
        let mut artifact = entries[0].clone();
        artifact.artifact_type = Some("application/vnd.example".to_owned());
        let missing = Descriptor::new(MediaType::manifest(), Digest::sha256_of(b"missing"), 7);

        let mut platforms = Platforms::new(&documents);
        for _ in 0..2 {
            assert_eq!(platforms.of(&artifact), None);
            for entry in &entries {
                assert_eq!(platforms.of(entry), Some("linux/arm64".parse().expect("a platform")));
            }
            assert_eq!(platforms.of(&missing), None);
        }
        let reads = documents.reads.into_inner();
        assert_eq!(reads.len(), 5);
        assert!(reads.values().all(|reads| *reads == 1), "{reads:?}");
    }
}
