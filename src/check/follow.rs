//! Follows all references from `index.json`.
//!
//! References wait in a queue and no document is followed twice, so neither deep nesting nor cycles are a problem. A
//! fault never stops the walk.

use std::collections::{HashMap, HashSet};

use super::blobs::{Blobs, Opened};
use super::fields::Fault;
use super::json;
use super::reference::{Holder, Image, Outcome, Reading, Reference, Role};
use super::schema::{self, Config, Descriptor, DocumentParts, Kind};
use crate::error::words::counted;
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::finding::Finding;
use crate::graph::severity::FaultKind;
use crate::json::{Node, to_compact};
use crate::oci::{self, Digest, Hasher, MediaType, NameKey, RefName};
use crate::tally::Tally;

/// More than the size of any file: 1 EiB.
const ABSURD_SIZE: u64 = 1 << 60;

/// The part of `index.json` to which a validation is limited.
pub(crate) enum Part {
    /// Entries, by position.
    Entries(Vec<usize>),
    /// An entry of a nested index.
    Nested(Box<oci::Descriptor>),
}

pub(crate) struct Validation<'a> {
    blobs: &'a dyn Blobs,
    /// Whether layers are decompressed.
    is_deep: bool,
    queue: Vec<Reference>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) checked: Tally,
    /// The digests of all descriptors, stored or missing.
    pub(crate) referenced: HashSet<Digest>,
    /// Whether a document could not be read, so that the blobs it refers to are unknown.
    pub(crate) is_incomplete: bool,
    /// The sizes of the blobs found.
    pub(crate) sizes: HashMap<Digest, u64>,
    /// The documents read, with the `mediaType` field of each.
    read: HashMap<(Digest, Reading), Option<MediaType>>,
    /// The blobs whose digests have not been compared yet.
    pub(crate) leaves: HashSet<Digest>,
    pub(crate) images: HashMap<Digest, Image>,
    pub(crate) configs: HashMap<Digest, Config>,
}

impl<'a> Validation<'a> {
    pub(crate) fn new(blobs: &'a dyn Blobs, is_deep: bool) -> Self {
        Self {
            blobs,
            is_deep,
            queue: Vec::new(),
            outcomes: Vec::new(),
            checked: Tally::default(),
            referenced: HashSet::new(),
            is_incomplete: false,
            sizes: HashMap::new(),
            read: HashMap::new(),
            leaves: HashSet::new(),
            images: HashMap::new(),
            configs: HashMap::new(),
        }
    }

    /// Notes the error for which `index.json` cannot be read.
    pub(crate) fn cannot_read_index(&mut self, error: &Error) {
        self.is_incomplete = true;
        self.outcomes.push(Outcome::Found(FaultKind::Malformed, Finding::of(error, "index.json")));
    }

    /// Notes a fault.
    fn found(&mut self, kind: FaultKind, message: impl Into<String>, location: &str) {
        self.outcomes.push(Outcome::Found(kind, Finding::new(message, location)));
    }

    /// Checks `index.json` and everything reachable from it, or from some of its entries.
    pub(crate) fn follow(&mut self, index: &[u8], only: Option<&Part>) {
        let path = self.blobs.path().to_owned();
        let malformed = |reason| Error::MalformedIndex { path: path.clone(), reason };
        let node = match json::parse(index) {
            Ok(node) => node,
            Err(reason) => return self.cannot_read_index(&malformed(reason)),
        };
        let mut document = schema::document(Kind::Index, node);
        let other = document.media_type.take().filter(|media_type| *media_type != MediaType::index());
        document.faults.extend(other.map(|other| Fault {
            kind: FaultKind::IndexMediaType,
            text: format!("mediaType is {other}, not {}", MediaType::index()),
        }));
        for Fault { kind, text } in &document.faults {
            let error = malformed(Reason::new(text));
            self.outcomes.push(Outcome::Found(*kind, Finding::of(&error, "index.json")));
        }
        if let Some(part) = only {
            self.limit(&mut document, part);
        }
        self.check_ref_names(&document);
        self.check_image_names(&document);
        self.enqueue(document, Holder { kind: Kind::Index, digest: None, is_sparse: false });
        while let Some(reference) = self.queue.pop() {
            self.visit(reference);
        }
    }

    /// Limits the index to some of its entries. Blobs reachable only from the other entries are then unknown.
    fn limit(&mut self, index: &mut DocumentParts, part: &Part) {
        self.is_incomplete = true;
        index.subject = None;
        let parts = std::mem::take(&mut index.parts);
        index.parts = match part {
            Part::Entries(places) => {
                let is_kept = |at: &usize| places.contains(at);
                parts.into_iter().enumerate().filter(|(at, _)| is_kept(at)).map(|(_, part)| part).collect()
            }
            Part::Nested(entry) => {
                let alone = to_compact(&oci::Index { manifests: vec![(**entry).clone()], ..oci::Index::empty() });
                let node = json::parse(&alone).expect("it was written here");
                let parts = schema::document(Kind::Index, node).parts;
                parts.into_iter().map(|(_, entry)| ("an entry of a nested index".to_owned(), entry)).collect()
            }
        };
    }

    /// Checks the ref names of the entries against the grammar and for duplicates.
    fn check_ref_names(&mut self, index: &DocumentParts) {
        let mut first = HashMap::new();
        for (place, entry) in &index.parts {
            let Some(name) = &entry.ref_name else { continue };
            let location = format!("{place} in index.json");
            if let Err(error) = name.parse::<RefName>() {
                self.found(FaultKind::RefNameGrammar, format!("{location}: {error}"), &location);
            }
            let earlier: &mut &str = first.entry(name).or_insert(place);
            if *earlier != place {
                let name = crate::text::shortened(name);
                let message = format!("{location}: ref name '{name}' is that of {earlier} too");
                self.found(FaultKind::RefNameTwice, message, &location);
            }
        }
    }

    /// Checks that no image name is used for two different manifests.
    fn check_image_names(&mut self, index: &DocumentParts) {
        let mut first = HashMap::new();
        for (place, entry) in &index.parts {
            let (Some(name), Some(digest)) = (&entry.image_name, &entry.digest) else { continue };
            let (earlier, other) = *first.entry(NameKey::of(name)).or_insert((place, digest));
            if other != digest {
                let location = format!("{place} in index.json");
                let name = crate::text::shortened(name);
                let message = format!("{location}: image name '{name}' is that of {earlier} too");
                self.found(FaultKind::ImageNameTwice, message, &location);
            }
        }
    }

    /// Returns whether any image of an index is stored.
    fn has_stored_image(&self, index: &DocumentParts) -> bool {
        index.parts.iter().any(|(_, entry)| {
            let is_image = !entry.is_attestation && entry.media_type.as_ref().is_some_and(MediaType::is_manifest);
            let digest = entry.digest.as_ref().filter(|_| is_image);
            digest.is_some_and(|digest| {
                self.sizes.contains_key(digest) || self.blobs.open(digest, &Referrer::Index).is_ok()
            })
        })
    }

    /// Adds the references of a document to the queue, in reverse: the queue is a stack.
    fn enqueue(&mut self, document: DocumentParts, holder: Holder) {
        if document.has_null_list {
            let name = holder.name();
            self.found(FaultKind::NullManifests, format!("{name}: manifests is null, not an array"), &name);
        }
        let kind = holder.kind;
        let role = |at: usize| match kind {
            Kind::Index => Role::Entry,
            Kind::Manifest if at == 0 => Role::Config,
            Kind::Manifest => Role::Layer(at - 1),
            Kind::Artifact => Role::Other,
        };
        // In a manifest without a config the first part is a layer.
        let shift =
            usize::from(kind == Kind::Manifest && document.parts.first().is_none_or(|(place, _)| place != "config"));
        let parts = document.parts.into_iter().enumerate().map(|(at, (place, part))| (role(at + shift), place, part));
        let subject = document.subject.map(|subject| (Role::Subject, "subject".to_owned(), subject));
        let start = self.queue.len();
        let reference = |(role, place, descriptor)| Reference { descriptor, holder: holder.clone(), place, role };
        self.queue.extend(parts.chain(subject).map(reference));
        self.queue[start..].reverse();
    }

    /// Returns how the content is read; `None` if only its digest is verified.
    fn reading(&self, reference: &Reference) -> Option<Reading> {
        let media_type = reference.descriptor.media_type.as_ref()?;
        if let Some(kind) = Kind::of(media_type) {
            return Some(Reading::Document(kind));
        }
        if reference.role == Role::Config && media_type.is_image_config() {
            // Some artifacts have the media type of an image config, but other content.
            let image = reference.holder.digest.as_ref().and_then(|manifest| self.images.get(manifest));
            return image.is_some_and(|image| image.config.is_some()).then_some(Reading::ImageConfig);
        }
        let may_be_document = reference.role == Role::Entry && !schema::is_schema_1(media_type);
        may_be_document.then_some(Reading::Unknown)
    }

    /// Checks a descriptor and the blob it points to.
    fn visit(&mut self, reference: Reference) {
        let location = reference.location();
        let descriptor = &reference.descriptor;
        for Fault { kind, text } in &descriptor.faults {
            self.found(*kind, format!("{location}: {text}"), &location);
        }
        let Some(digest) = descriptor.digest.clone() else {
            self.is_incomplete = true;
            return;
        };
        if descriptor.is_attestation && reference.role == Role::Entry {
            let message = format!("{location}: {digest} is an attestation, not an image");
            self.found(FaultKind::Attestation, message, &location);
        }
        if descriptor.media_type.as_ref().is_some_and(schema::is_schema_1) {
            let says = "is a Docker schema 1 manifest, which is not supported";
            self.found(FaultKind::SchemaOne, format!("{location}: {digest} {says}"), &location);
        }
        if digest.algorithm().is_none() {
            let error = Error::UnsupportedAlgorithm { digest: digest.clone() };
            self.found(FaultKind::UnknownAlgorithm, error.report(), &location);
        }
        let has_right_data = self.check_data(&reference, &digest, &location);
        self.referenced.insert(digest.clone());

        let opened = match self.sizes.get(&digest) {
            Some(size) => Ok((None, *size)),
            None => self.blobs.open(&digest, &reference.holder.referrer()).map(|(blob, size)| (Some(blob), size)),
        };
        let blob = match opened {
            Ok((blob, size)) => {
                if let Some(expected) = descriptor.size.filter(|expected| *expected != size) {
                    let error = Error::SizeMismatch { digest: Some(digest.clone()), expected, actual: size };
                    self.found(FaultKind::WrongSize, error.report(), &location);
                }
                if self.sizes.insert(digest.clone(), size).is_none() {
                    self.checked.add(size);
                }
                blob
            }
            Err(missing @ Error::MissingBlob { .. }) => {
                if descriptor.size.is_some_and(|size| size > ABSURD_SIZE) {
                    let message = format!("{location}: size is more than any file has");
                    self.found(FaultKind::WrongSize, message, &location);
                }
                if reference.role == Role::Subject {
                    return;
                }
                self.found(reference.missing(), missing.to_string(), &location);
                let reading = self.reading(&reference);
                if has_right_data && reading.is_some() {
                    let data = reference.descriptor.data.as_deref().map(<[u8]>::to_vec);
                    self.read(&reference, &digest, &location, data.map(Opened::Bytes));
                } else if matches!(reading, Some(Reading::Document(_))) {
                    self.is_incomplete = true;
                }
                return;
            }
            Err(error) => {
                self.is_incomplete |= self.reading(&reference).is_some();
                return self.found(FaultKind::UnreadableBlob, error.report(), &location);
            }
        };
        match self.reading(&reference) {
            Some(_) => self.read(&reference, &digest, &location, blob),
            None => self.leaf(&reference, digest, location),
        }
    }

    /// Compares embedded content with the descriptor. Returns whether it can be used instead of the blob.
    fn check_data(&mut self, reference: &Reference, digest: &Digest, location: &str) -> bool {
        let Some(data) = &reference.descriptor.data else { return false };
        let Some(algorithm) = digest.algorithm() else { return false };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        let actual = hasher.finish();
        if actual != *digest {
            let message = format!("{location}: data is not the content of {digest}: its digest is {actual}");
            self.found(FaultKind::WrongData, message, location);
            return false;
        }
        if let Some(size) = reference.descriptor.size.filter(|size| *size != data.len() as u64) {
            let message = format!("{location}: size is {size}, but data has {}", counted(data.len(), "byte"));
            self.found(FaultKind::WrongData, message, location);
        }
        true
    }

    /// Adds a blob to those that are verified at the end.
    fn leaf(&mut self, reference: &Reference, digest: Digest, location: String) {
        let is_read = [Reading::ImageConfig, Reading::Unknown, Reading::Document(Kind::Index)]
            .into_iter()
            .chain([Reading::Document(Kind::Manifest), Reading::Document(Kind::Artifact)])
            .any(|reading| self.read.contains_key(&(digest.clone(), reading)));
        if !is_read {
            self.leaves.insert(digest.clone());
        }
        self.outcomes.push(Outcome::Blob { digest: digest.clone(), location: location.clone() });
        let (Role::Layer(at), Some(manifest)) = (reference.role, &reference.holder.digest) else { return };
        let Some(media_type) = reference.descriptor.media_type.clone() else { return };
        let is_image = self.images.get(manifest).is_some_and(|image| image.config.is_some());
        if self.is_deep && is_image && media_type.layer_encoding().is_some() {
            self.leaves.insert(digest.clone());
            let manifest = manifest.clone();
            self.outcomes.push(Outcome::Layer { digest, location, media_type, manifest, at });
        }
    }

    /// Reads and checks a document, or content that may be a document, unless that was done before. Then compares it
    /// with the media type and the platform in the descriptor.
    fn read(&mut self, reference: &Reference, digest: &Digest, location: &str, source: Option<Opened>) {
        let Some(reading) = self.reading(reference) else { return };
        let key = (digest.clone(), reading);
        if !self.read.contains_key(&key) {
            self.read.insert(key.clone(), None);
            let open = || self.blobs.open(digest, &reference.holder.referrer()).map(|(blob, _)| blob);
            let content = source.map_or_else(open, Ok).and_then(|blob| self.blobs.read(digest, blob));
            match content.and_then(|content| self.check(reference, digest, reading, &content, location)) {
                Ok(media_type) => {
                    self.read.insert(key, media_type);
                }
                Err(Error::TooLarge { .. }) if reading == Reading::Unknown => {
                    self.leaves.insert(digest.clone());
                    self.outcomes.push(Outcome::Blob { digest: digest.clone(), location: location.to_owned() });
                    return;
                }
                Err(error) => {
                    self.is_incomplete |= matches!(reading, Reading::Document(_));
                    return self
                        .outcomes
                        .push(Outcome::Found(FaultKind::UnreadableBlob, Finding::of(&error, location)));
                }
            }
        }
        let key = (digest.clone(), reading);
        if let (Some(says), Some(Some(is))) = (&reference.descriptor.media_type, self.read.get(&key))
            && says != is
        {
            let message = format!("{location}: mediaType is {says}, but the document says {is}");
            // Docker's names for the same type do not contradict, nor do unknown types.
            let is_known = says.is_image_config() || says.layer_encoding().is_some();
            let kind = match Kind::of(says) {
                Some(kind) if Kind::of(is) != Some(kind) => FaultKind::ContradictingMediaType,
                None if is_known => FaultKind::ContradictingMediaType,
                _ => FaultKind::OtherMediaTypeName,
            };
            self.found(kind, message, location);
        }
        if let Some(platform) = reference.descriptor.platform.clone()
            && self.images.contains_key(digest)
        {
            let (location, manifest) = (location.to_owned(), digest.clone());
            self.outcomes.push(Outcome::Platform { location, platform, manifest });
        }
    }

    /// Checks a document. Returns its `mediaType` field.
    fn check(
        &mut self,
        reference: &Reference,
        digest: &Digest,
        reading: Reading,
        content: &[u8],
        location: &str,
    ) -> Result<Option<MediaType>> {
        let malformed = |kind, reason| Error::MalformedDocument { digest: digest.clone(), kind, reason };
        let parsed = json::parse(content);
        let kind = match reading {
            Reading::Document(kind) => kind,
            Reading::ImageConfig => {
                const NAME: &str = "image config";
                let node = parsed.map_err(|reason| malformed(NAME, reason))?;
                let config = schema::config(node);
                for fault in &config.faults {
                    self.found_in("config", digest, malformed(NAME, Reason::new(&fault.text)), fault, location);
                }
                self.configs.insert(digest.clone(), config);
                return Ok(None);
            }
            // Other content is treated as a plain blob; its digest has been compared by now.
            Reading::Unknown => match parsed.as_ref().ok().copied().and_then(Kind::by_content) {
                Some(kind) => kind,
                None => return Ok(None),
            },
        };
        let node = parsed.map_err(|reason| malformed(kind.name(), reason))?;
        // If a document contradicts its descriptor, the media type in the document counts.
        let own = node.get("mediaType").and_then(Node::as_str).and_then(|text| Kind::of(&text.parse().ok()?));
        let kind = own.unwrap_or(kind);
        let mut document = schema::document(kind, node);
        // A malformed list may hide references to blobs that then look unreferenced.
        self.is_incomplete |= document.faults.iter().any(|fault| fault.kind.is_error());
        for fault in &document.faults {
            let error = malformed(kind.name(), Reason::new(&fault.text));
            self.found_in(kind.word(), digest, error, fault, location);
        }
        let media_type = document.media_type.take();
        if kind == Kind::Manifest {
            self.note_image(digest, &document);
            let is = media_type.as_ref().or(reference.descriptor.media_type.as_ref());
            if is == Some(&MediaType::manifest()) {
                self.look_for_docker_types(digest, &document);
            }
        }
        let is_sparse = kind == Kind::Index && self.has_stored_image(&document);
        self.enqueue(document, Holder { kind, digest: Some(digest.clone()), is_sparse });
        Ok(media_type)
    }

    /// Notes a fault of a document. The message calls the document invalid only if the fault is an error.
    fn found_in(&mut self, word: &str, digest: &Digest, error: Error, fault: &Fault, location: &str) {
        let Fault { kind, text } = fault;
        let message = if kind.is_error() { error.report() } else { format!("{word} {digest}: {text}") };
        self.found(*kind, message, location);
    }

    /// Looks for Docker media types in an OCI manifest.
    fn look_for_docker_types(&mut self, digest: &Digest, manifest: &DocumentParts) {
        for (place, part) in &manifest.parts {
            let Some(media_type) = part.media_type.as_ref().filter(|media_type| media_type.is_docker()) else {
                continue;
            };
            let location = format!("{place} in manifest {digest}");
            let message = format!("{location}: mediaType is {media_type}, Docker's, in an OCI manifest");
            self.found(FaultKind::DockerMediaType, message, &location);
        }
    }

    /// Notes the config and the number of layers of an image, for later comparison.
    fn note_image(&mut self, digest: &Digest, manifest: &DocumentParts) {
        let config = manifest.parts.first().filter(|(place, _)| place == "config").map(|(_, config)| config);
        let is_image = |media_type: &MediaType| media_type.is_image_config();
        let image_config = config.filter(|config| config.media_type.as_ref().is_some_and(is_image));
        let layers = manifest.parts.len() - usize::from(config.is_some());
        let is_known =
            |layer: &Descriptor| layer.media_type.as_ref().is_some_and(|kind| kind.layer_encoding().is_some());
        let known = manifest.parts.iter().filter(|(place, layer)| place != "config" && is_known(layer)).count();
        let config = image_config.filter(|_| known > 0 || layers == 0).and_then(|config| config.digest.clone());
        let image = Image { config, layers, has_known_layers: known == layers };
        self.images.insert(digest.clone(), image);
        self.outcomes.push(Outcome::LayerCount { manifest: digest.clone() });
    }
}
