//! The entries of an index that is made of images: their platforms, and no two images for one.

use std::collections::HashSet;
use std::path::Path;

use super::platform::{Platforms, is_stored, not_stored};
use super::walk::{Document, Documents, read_entry};
use crate::error::{EditError, Error, Referrer, Result};
use crate::oci::{Descriptor, Digest, Index, Platform};

/// How many indexes may be nested in an image that an index is made of.
pub(crate) const MAX_DEPTH: usize = 64;

/// The beginning of the annotations by which podman tells apart images for one platform that are compressed in different
/// ways (images, rule F2).
const COMPRESSION: &str = "io.github.containers.compression.";

/// Returns the entries that an index has of some images: the images of indexes one by one, each followed by its
/// attestations (images, rule F2).
///
/// The platform of an image is that of its config, completed by a descriptor that agrees with it (images, rule F1).
/// Entries of `index.json` lose their names. Attestations that are not stored are left out. `name` is that of the images.
///
/// # Errors
///
/// [`EditError::NoImage`], [`EditError::TooDeep`]; [`Error::PlatformNotStored`], [`Error::MissingBlob`]; the errors of reading
/// the documents.
pub(crate) fn members(
    documents: &dyn Documents,
    path: &Path,
    entries: &[Descriptor],
    name: &str,
) -> Result<Vec<Member>> {
    let platforms = Platforms::new(documents);
    let mut collecting = Collecting { documents, path, name, platforms, seen: HashSet::new(), found: Vec::new() };
    collecting.collect(entries, None, 0)?;
    let mut found = collecting.found;
    let listed: HashSet<&Digest> = entries.iter().map(|entry| &entry.digest).collect();
    let entries_found = found.iter_mut().map(|member| &mut member.entry);
    entries_found.filter(|entry| listed.contains(&entry.digest)).for_each(Descriptor::unname);
    Ok(found)
}

struct Collecting<'a> {
    documents: &'a dyn Documents,
    path: &'a Path,
    name: &'a str,
    platforms: Platforms<'a>,
    seen: HashSet<Digest>,
    found: Vec<Member>,
}

impl Collecting<'_> {
    fn collect(&mut self, entries: &[Descriptor], referrer: Option<&Digest>, depth: usize) -> Result<()> {
        let (mut attestations, images): (Vec<&Descriptor>, Vec<&Descriptor>) =
            entries.iter().partition(|entry| entry.is_attestation());
        attestations.retain(|attestation| is_stored(self.documents, attestation));
        for entry in images {
            match self.read(entry, entries, referrer)? {
                Document::Index(_) if depth == MAX_DEPTH => {
                    return Err(EditError::TooDeep { image: self.name.to_owned(), limit: MAX_DEPTH }.into());
                }
                Document::Index(index) => self.collect(&index.manifests, Some(&entry.digest), depth + 1)?,
                document => {
                    let is_one = depth == 0 && entries.len() == 1;
                    let member = self.member(entry, &document, is_one)?;
                    self.add(member);
                }
            }
            let attested = HashSet::from([entry.digest.clone()]);
            let (own, others): (Vec<_>, Vec<_>) = attestations.into_iter().partition(|other| other.attests(&attested));
            own.into_iter().for_each(|attestation| self.add(self.plain(attestation)));
            attestations = others;
        }
        attestations.into_iter().for_each(|attestation| self.add(self.plain(attestation)));
        Ok(())
    }

    fn add(&mut self, member: Member) {
        if self.seen.insert(member.entry.digest.clone()) {
            self.found.push(member);
        }
    }

    /// Returns a member with the entry that is there.
    fn plain(&self, entry: &Descriptor) -> Member {
        Member { entry: entry.clone(), name: self.name.to_owned(), contradiction: None }
    }

    fn read(&self, entry: &Descriptor, entries: &[Descriptor], referrer: Option<&Digest>) -> Result<Document> {
        let no_image = || EditError::NoImage { image: self.name.to_owned() };
        match read_entry(self.documents, entry, referrer) {
            Ok(document) => Ok(document.ok_or_else(no_image)?),
            Err(error @ Error::MissingBlob { .. }) => match entry.said_platform().filter(|said| said.is_known()) {
                Some(platform) => {
                    Err(not_stored(self.documents, self.path, &entries.iter().collect::<Vec<_>>(), platform))
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the entry of an image or artifact. Artifacts have only the platform that an index says. The config of an image
    /// must be stored: a descriptor alone may be wrong. `is_one` is whether the name is that of this image alone.
    fn member(&mut self, entry: &Descriptor, document: &Document, is_one: bool) -> Result<Member> {
        let mut member = self.plain(entry);
        if let Document::Manifest(manifest) = document
            && manifest.is_image(entry)
        {
            match self.platforms.of_image(entry, manifest) {
                Some(of_config) => {
                    member.contradiction = contradiction(&of_config, entry.said_platform()).map(|listed| {
                        let name =
                            if is_one { self.name.to_owned() } else { format!("{}@{}", self.name, entry.digest) };
                        PlatformContradiction { image: name, listed: listed.clone(), config: of_config.clone() }
                    });
                    member.entry.platform = Some(Box::new(platform_of(of_config, entry.said_platform())));
                }
                None => {
                    self.documents.read(&manifest.config.digest, &Referrer::Document(entry.digest.clone()))?;
                }
            }
        }
        Ok(member)
    }
}

/// Returns the platform of a config, completed by a descriptor if the two agree. Configs of old images have
/// no variant.
fn platform_of(config: Platform, said: Option<&Platform>) -> Platform {
    let Some(said) = said.filter(|said| do_agree(&config, said)) else { return config };
    Platform {
        variant: config.variant.or_else(|| said.variant.clone()),
        os_version: config.os_version.or_else(|| said.os_version.clone()),
        os_features: config.os_features.or_else(|| said.os_features.clone()),
        extra: said.extra.clone(),
        ..config
    }
}

/// Returns whether no field of two platforms has two values.
fn do_agree(one: &Platform, other: &Platform) -> bool {
    fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    agree(one.os.as_ref(), other.os.as_ref())
        && agree(one.architecture.as_ref(), other.architecture.as_ref())
        && agree(one.variant.as_ref(), other.variant.as_ref())
        && agree(one.os_version.as_ref(), other.os_version.as_ref())
        && agree(one.os_features.as_ref(), other.os_features.as_ref())
}

/// Returns the platform of a descriptor if it is another one than that of the config, in any spelling.
fn contradiction<'a>(config: &Platform, said: Option<&'a Platform>) -> Option<&'a Platform> {
    let said = said.filter(|said| said.is_known() && !do_agree(config, said))?;
    let is_same = match (config.normalized(), said.normalized()) {
        (Some(config), Some(said)) => do_agree(&config, &said),
        _ => false,
    };
    (!is_same).then_some(said)
}

/// An entry for an index.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) entry: Descriptor,
    /// The name of the image that it came from.
    name: String,
    /// Whether the descriptor had another platform than the config.
    contradiction: Option<PlatformContradiction>,
}

/// An image whose descriptor has another platform than its config.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PlatformContradiction {
    /// The image, as it was named, with its digest if the name is that of several.
    pub image: String,
    /// The platform of the descriptor.
    pub listed: Platform,
    /// The platform of the config.
    pub config: Platform,
}

/// Adds images to the entries of an index. A manifest that is there already is not added again. Returns the added images
/// whose platforms were contradictory.
///
/// # Errors
///
/// [`EditError::TwoForPlatform`] for an image whose platform another one has, unless podman's annotations say that the two
/// are compressed in different ways (images, rule F2).
pub(crate) fn add_members(
    documents: &dyn Documents,
    index: &mut Index,
    name: &str,
    added: impl IntoIterator<Item = Member>,
) -> Result<Vec<PlatformContradiction>> {
    let mut contradictions = Vec::new();
    let mut platforms = Platforms::new(documents);
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut known: Vec<(Key, String)> = Vec::new();
    for entry in leaves(documents, &index.manifests) {
        seen.insert(entry.digest.clone());
        let key = Key::of(&entry, platforms.of(&entry));
        known.extend(key.map(|key| (key, format!("{name}@{}", entry.digest))));
    }
    for Member { entry, name, contradiction } in added {
        if !seen.insert(entry.digest.clone()) {
            continue;
        }
        let platform = entry.said_platform().cloned();
        if let Some(key) = Key::of(&entry, platform.clone()) {
            if let Some((_, other)) = known.iter().find(|(other, _)| *other == key) {
                let platform = platform.map(|platform| platform.to_string()).unwrap_or_default();
                return Err(EditError::TwoForPlatform { platform, images: [other.clone(), name] }.into());
            }
            known.push((key, name));
        }
        index.manifests.push(entry);
        contradictions.extend(contradiction);
    }
    Ok(contradictions)
}

/// Returns the entries of indexes that are no index, those of nested ones that can be read included.
pub(crate) fn leaves(documents: &dyn Documents, entries: &[Descriptor]) -> Vec<Descriptor> {
    let mut leaves = Vec::new();
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut left: Vec<Descriptor> = entries.iter().rev().cloned().collect();
    while let Some(entry) = left.pop() {
        if !entry.is_index() {
            leaves.push(entry);
        } else if seen.insert(entry.digest.clone())
            && let Ok(Some(Document::Index(index))) = read_entry(documents, &entry, None)
        {
            left.extend(index.manifests.into_iter().rev());
        }
    }
    leaves
}

/// The properties that tell the images of an index apart: the platform, and how they are compressed.
#[derive(PartialEq, Eq)]
struct Key {
    platform: Platform,
    compression: Vec<(String, String)>,
}

impl Key {
    /// Returns the key of an entry; `None` for an attestation or artifact, and where the platform is not known.
    fn of(entry: &Descriptor, platform: Option<Platform>) -> Option<Self> {
        if entry.says_no_image() {
            return None;
        }
        let annotations = entry.annotations.iter().flatten();
        let compression = annotations.filter(|(key, _)| key.starts_with(COMPRESSION));
        Some(Self {
            platform: platform?.normalized()?,
            compression: compression.map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_a_descriptor_adds_to_the_platform_of_a_config_and_does_not_contradict_it() {
        for (config, said, expected) in [
            ("linux/arm", "linux/arm/v6", "linux/arm/v6"),
            ("linux/arm/v7", "linux/arm/v6", "linux/arm/v7"),
            ("linux/arm64", "linux/amd64", "linux/arm64"),
            ("windows/amd64", "windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("windows(10.0.1)/amd64", "windows(10.0.17763)/amd64", "windows(10.0.1)/amd64"),
        ] {
            let [config, said] = [config, said].map(|text| text.parse::<Platform>().expect("a platform"));
            assert_eq!(platform_of(config, Some(&said)).to_string(), expected);
        }
    }
}
