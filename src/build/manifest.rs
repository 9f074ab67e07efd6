//! Generates the image manifest, lists it in `index.json`, and annotates it.

use super::artifact::{Subject, check_titles};
use super::layer::URLS;
use super::pipeline::DiffIds;
use crate::build::pipeline::{complete_diff_ids, diff_ids};
use crate::check::documents::check_document;
use crate::check::report::MissingParts;
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::edit::IndexEditor;
use crate::graph::names::Names;
use crate::graph::walk::Document;
use crate::layout::commit::write_index_and_stage;
use crate::layout::document_files::ReadDocument;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::staging_file::{Stage, StagedLayer, StagedManifest};
use crate::layout::unreferenced::remove_unreferenced;
use crate::oci::{
    self, AnnotationChange, Annotations, Descriptor, Digest, EMPTY_CONTENT, IMAGE_NAME, ImageConfig, Index, Manifest,
    Match, MediaType, NameKind, Platform, REF_NAME, RefName, UnknownFields, WholeName,
};
use crate::options::setters;

/// Options for a new manifest and its entry in `index.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ManifestOptions {
    /// The ref name of the entry in `index.json`.
    pub ref_name: Option<RefName>,
    /// The media type of the manifest.
    pub media_type: MediaType,
    /// The annotations in the manifest.
    pub annotations: Annotations,
    /// Whether the ref name is taken from a manifest that was not made from the staging area. That manifest stays as an
    /// entry without a name.
    pub replace_tag: bool,
    /// The type of an artifact that is not an image. Then neither a config nor layers need be staged: the empty config and the
    /// empty layer take their places.
    pub artifact_type: Option<MediaType>,
    /// The manifest or index that this one refers to.
    pub subject: Option<Subject>,
}

impl Default for ManifestOptions {
    /// Options for a manifest of an image, of the OCI type, without a ref name.
    fn default() -> Self {
        Self {
            ref_name: None,
            media_type: MediaType::manifest(),
            annotations: Annotations::new(),
            replace_tag: false,
            artifact_type: None,
            subject: None,
        }
    }
}

impl ManifestOptions {
    setters! {
        ref_name: [option RefName],
        media_type: [MediaType],
        annotations: [Annotations],
        replace_tag: [bool],
        artifact_type: [option MediaType],
        subject: [option Subject],
    }
}

/// The documents that a manifest is generated from, and the diff_ids of the staged layers.
#[derive(Debug)]
pub struct PreparedManifest<'a> {
    layout: &'a Layout,
    stage: Option<ReadDocument<Stage>>,
    index: ReadDocument<Index>,
    diff_ids: DiffIds,
}

impl PreparedManifest<'_> {
    /// Generates the manifest and lists it in `index.json`, as described at [`Layout::generate_manifest`].
    ///
    /// # Errors
    ///
    /// Those of [`Layout::generate_manifest`].
    pub fn generate(self, options: &ManifestOptions) -> Result<StagedManifest> {
        if let Some(name) = &options.ref_name {
            Names::AsTheyStand { default: None }.check(name.as_str())?;
        }
        let Self { layout, stage, index, mut diff_ids } = self;
        let lock = take_lock(layout)?;
        let mut stage = layout.find_stage_again(stage)?.unwrap_or_else(Stage::empty);
        let mut index = layout.read_index_again(Some(index))?;
        let (config, platform) = staged_config(layout, &mut stage, &mut diff_ids, options)?;
        let annotations = with_base(&options.annotations, &stage);
        let mut layers: Vec<Descriptor> = stage.layers.iter().map(layer_descriptor).collect();
        if layers.is_empty() {
            layers.push(Descriptor::empty());
        }
        let has_empty = layers.iter().chain([&config]).any(|part| part.digest == Descriptor::empty().digest);
        let store_empty = || layout.store_document(&lock, "the empty config", EMPTY_CONTENT);
        let empty = has_empty.then(store_empty).transpose()?;

        let manifest = Manifest {
            media_type: Some(options.media_type.clone()),
            artifact_type: options.artifact_type.as_ref().map(MediaType::to_string),
            subject: options.subject.as_ref().map(|subject| subject.resolve(layout, &index)).transpose()?,
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            ..Manifest::new(config, layers)
        };
        let content = oci::to_blob(&manifest);
        let digest = Digest::sha256_of(&content);
        let mut entry = Descriptor::new(options.media_type.clone(), digest, content.len() as u64);
        entry.artifact_type = manifest.artifact_type;
        entry.platform = platform.filter(|_| options.artifact_type.is_none()).map(Box::new);
        check_document(Some(layout), layout.path(), (&entry, &content), MissingParts::Error)?;
        let ref_name = options.ref_name.as_ref().map(|name| name.as_str().to_owned());
        if let Some(name) = &ref_name {
            entry.annotations = Some(Annotations::from([(REF_NAME.to_owned(), name.clone())]));
        }
        let place = Place::of(&entry, &index, &stage, layout, options.replace_tag)?;
        let blob = layout.store_document(&lock, "the manifest", &content)?;
        let replaced = place.put(entry, &mut index, layout);
        if options.replace_tag {
            // It may have lost the tag earlier, and stands without a name since.
            let names = Names::AsTheyStand { default: None };
            let editor = IndexEditor { names: &names, documents: layout, path: layout.path() };
            editor.absorb_untagged(&mut index, &blob.digest);
        }
        let staged = StagedManifest {
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: options.media_type.clone(),
            annotations,
            ref_name,
            extra: stage.manifest.as_ref().map(|manifest| manifest.extra.clone()).unwrap_or_default(),
        };
        stage.set_manifest(staged.clone(), &index);
        write_index_and_stage(layout, &lock, &index, &stage, [blob].into_iter().chain(empty))?;

        let outdated = replaced.map(|replaced| own_documents(layout, &replaced, &stage)).unwrap_or_default();
        remove_unreferenced(layout, &lock, &index, &stage, outdated);
        Ok(staged)
    }
}

impl Layout {
    /// Reads the documents that a manifest is generated from, and the layers with unknown diff_ids. Reading layers
    /// takes long, so it is done before the layout is locked. Writes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::generate_manifest`].
    pub fn prepare_manifest(&self) -> Result<PreparedManifest<'_>> {
        self.prepare_manifest_with(&ManifestOptions::default())
    }

    /// Reads the documents as [`Layout::prepare_manifest`] does, for an artifact or a manifest with a subject. The ref name, the
    /// media type and the annotations may be chosen later.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::generate_manifest`].
    pub fn prepare_manifest_with(&self, options: &ManifestOptions) -> Result<PreparedManifest<'_>> {
        let prepare = || {
            let stage = self.find_stage_document(None)?;
            let mut staged = stage.as_ref().map_or_else(Stage::empty, |stage| stage.document.clone());
            let mut diff_ids = diff_ids(self, &staged)?;
            let index = self.read_index_document(None)?;
            staged_config(self, &mut staged, &mut diff_ids, options)?;
            options.subject.as_ref().map(|subject| subject.resolve(self, &index.document)).transpose()?;
            Ok(PreparedManifest { layout: self, stage, index, diff_ids })
        };
        self.site().read_unlocked(prepare, |_| true)
    }

    /// Generates the manifest of the staged config and layers, and lists it in `index.json`.
    ///
    /// An entry with the same ref name that was made from the staging area is replaced in place and keeps annotations
    /// that are not set here; the ref name of another manifest is taken with [`ManifestOptions::replace_tag`] only.
    /// Without a ref name, the entry of the same build is replaced. Documents of an earlier build are deleted once they
    /// are unreferenced.
    ///
    /// # Errors
    ///
    /// [`Error::NoLayers`], [`Error::NoConfig`]; [`Error::ConfigMismatch`] if the config was generated for other
    /// layers; [`Error::NameIsDigest`]; [`Error::TagTaken`]; [`Error::MissingBlob`] or [`Error::SizeMismatch`] if a staged blob is missing
    /// or has changed; [`Error::DigestMismatch`] or [`Error::MalformedDocument`] if the config cannot be read;
    /// [`Error::InvalidManifest`] if the manifest would not be valid; [`Error::MalformedStage`],
    /// [`Error::MalformedIndex`]; [`Error::Io`]. With a subject [`Error::UnknownManifest`] and the other errors of resolving it;
    /// of an artifact [`ArtifactError::StagedTitle`](crate::ArtifactError::StagedTitle) and
    /// [`ArtifactError::SameTitle`](crate::ArtifactError::SameTitle).
    pub fn generate_manifest(&self, options: &ManifestOptions) -> Result<StagedManifest> {
        if let Some(name) = &options.ref_name {
            Names::AsTheyStand { default: None }.check(name.as_str())?;
        }
        self.prepare_manifest_with(options)?.generate(options)
    }

    /// Changes the annotations of the generated manifest: merges or replaces them.
    ///
    /// The manifest gets a new digest, and its own entry in `index.json` is updated. Other entries with the old digest
    /// stay unchanged. If the annotations are the same as before, nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::NoManifest`]; [`Error::ManifestNotListed`]; [`Error::MissingBlob`], [`Error::DigestMismatch`] or
    /// [`Error::MalformedDocument`] if the manifest cannot be read; [`Error::MalformedStage`],
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn update_manifest_annotations(&self, change: &AnnotationChange) -> Result<StagedManifest> {
        let lock = take_lock(self)?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let staged = stage.manifest.as_ref().ok_or(Error::NoManifest)?;
        let mut index = self.read_index()?;
        let at = own_entry(&index, staged)
            .or_else(|| interrupted_entry(self, &index, staged))
            .ok_or_else(|| Error::ManifestNotListed { path: self.path().to_owned(), digest: staged.digest.clone() })?;
        let entry = &index.manifests[at];
        let ref_name = entry.ref_name().map(str::to_owned);
        let listed = entry.digest.clone();
        let mut manifest = read_manifest(self, &listed)?;
        let before = manifest.annotations.take().unwrap_or_default();
        let after = change.apply(&before);

        let mut staged = StagedManifest { annotations: after.clone(), ref_name, ..staged.clone() };
        if after == before && listed == staged.digest {
            return Ok(staged);
        }
        manifest.annotations = (!after.is_empty()).then_some(after);
        let content = oci::to_blob(&manifest);
        let blob = self.store_document(&lock, "the manifest", &content)?;
        index.manifests[at].describe(blob.digest.clone(), &content);
        let old = std::mem::replace(&mut staged.digest, blob.digest.clone());
        staged.size = blob.size;
        stage.set_manifest(staged.clone(), &index);
        write_index_and_stage(self, &lock, &index, &stage, [blob])?;
        remove_unreferenced(self, &lock, &index, &stage, vec![old, listed]);
        Ok(staged)
    }
}

/// The annotations for the base of an image (image-spec, annotations.md, "Pre-Defined Annotation Keys").
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Returns annotations with those for the base, unless they are given.
fn with_base(annotations: &Annotations, stage: &Stage) -> Annotations {
    let mut annotations = annotations.clone();
    if let Some(base) = &stage.base {
        annotations.entry(BASE_DIGEST.to_owned()).or_insert_with(|| base.digest.to_string());
        if let Some(name) = &base.name {
            annotations.entry(BASE_NAME.to_owned()).or_insert_with(|| name.clone());
        }
    }
    annotations
}

fn layer_descriptor(layer: &StagedLayer) -> Descriptor {
    let mut descriptor = Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size);
    descriptor.annotations = (!layer.annotations.is_empty()).then(|| layer.annotations.clone());
    descriptor.urls = urls(layer);
    descriptor
}

/// Returns the places from which the blob of a layer can be downloaded.
fn urls(layer: &StagedLayer) -> Option<Vec<String>> {
    layer.extra.get(URLS).ok().flatten()
}

/// Checks that the blob of a staged layer is stored. One that is stored elsewhere need not be (images, rule E1).
fn expect_layer(layout: &Layout, layer: &StagedLayer) -> Result<()> {
    let is_elsewhere = || layer.media_type.is_non_distributable() || urls(layer).is_some_and(|urls| !urls.is_empty());
    match layout.expect_blob(&layer.digest, layer.size, &Referrer::Stage) {
        Err(Error::MissingBlob { .. }) if is_elsewhere() => Ok(()),
        expected => expected,
    }
}

/// How the entry of a new manifest gets into an index.
struct Place {
    /// The entry that is replaced.
    at: Option<usize>,
    /// The entries of manifests from elsewhere that lose the name.
    losers: Vec<usize>,
}

impl Place {
    /// Finds the place of an entry. An entry that was made from the staging area is replaced: that of the same ref name;
    /// or, without a ref name, the unnamed entry of an earlier build.
    ///
    /// # Errors
    ///
    /// [`Error::TagTaken`] if only manifests from elsewhere have the ref name, unless it is taken from them.
    fn of(entry: &Descriptor, index: &Index, stage: &Stage, layout: &Layout, replace_tag: bool) -> Result<Self> {
        let entries = &index.manifests;
        let Some(name) = entry.ref_name() else {
            let unnamed = |digest: &Digest| {
                entries.iter().position(|other| other.ref_name().is_none() && other.digest == *digest)
            };
            // A staging file of the original program records only the last manifest.
            let earlier = stage.manifest.as_ref().filter(|manifest| manifest.ref_name.is_none());
            let earlier = stage.unnamed_manifest.as_ref().or(earlier.map(|manifest| &manifest.digest));
            return Ok(Self { at: unnamed(&entry.digest).or_else(|| unnamed(earlier?)), losers: Vec::new() });
        };
        let bears = |other: &Descriptor| other.bears(name, WholeName::parse(name));
        let bearers = |kind| -> Vec<usize> {
            let is_bearer = |at: &usize| bears(&entries[*at]) == Some((Match::Exact, kind));
            (0..entries.len()).filter(is_bearer).collect()
        };
        let by_ref_name = bearers(NameKind::RefName);
        let bearers = if by_ref_name.is_empty() { bearers(NameKind::ImageName) } else { by_ref_name };
        let is_own = |at: &usize| entries[*at].digest == entry.digest || stage.has_generated(&entries[*at].digest);
        let (own, others): (Vec<usize>, Vec<usize>) = bearers.into_iter().partition(is_own);
        match (own.first(), others.first()) {
            (None, Some(other)) if !replace_tag => Err(Error::TagTaken {
                path: layout.path().to_owned(),
                tag: name.to_owned(),
                digest: entries[*other].digest.clone(),
            }),
            (own, other) => {
                let at = own.or(other).copied();
                Ok(Self { at, losers: if replace_tag { others } else { Vec::new() } })
            }
        }
    }

    /// Puts the entry into the index. Returns the entry that it replaces, if that was made from the staging area.
    fn put(self, entry: Descriptor, index: &mut Index, layout: &Layout) -> Option<Descriptor> {
        let Some(at) = self.at else {
            index.manifests.push(entry);
            return None;
        };
        let old = &mut index.manifests[at];
        let is_own = !self.losers.contains(&at);
        let mut annotations = old.annotations.clone().unwrap_or_default();
        // Of a manifest from elsewhere only the image name stays: the tag is a part of it.
        annotations.retain(|key, _| is_own || key == IMAGE_NAME);
        annotations.extend(entry.annotations.clone().unwrap_or_default());
        let annotations = (old.annotations.is_some() && !annotations.is_empty()).then_some(annotations);
        let extra = if is_own { old.extra.clone() } else { UnknownFields::new() };
        let new = Descriptor { annotations: annotations.or(entry.annotations), extra, ..entry };
        let old = std::mem::replace(old, new);
        if self.losers.is_empty() {
            return Some(old);
        }
        let loser = |other: &usize| if *other == at { old.clone() } else { index.manifests[*other].clone() };
        let mut displaced: Vec<Descriptor> = self.losers.iter().map(loser).collect();
        displaced.iter_mut().for_each(Descriptor::unname);
        let mut places = 0..;
        index.manifests.retain(|_| {
            let place = places.next().expect("it has no end");
            place == at || !self.losers.contains(&place)
        });
        let names = Names::AsTheyStand { default: None };
        IndexEditor { names: &names, documents: layout, path: layout.path() }.keep_displaced(index, displaced, &[]);
        is_own.then_some(old)
    }
}

/// Finds the entry with the digest and the ref name of the staged manifest.
///
/// The original program does not record the ref name. Of several entries with the digest, the last is the newest.
fn own_entry(index: &Index, staged: &StagedManifest) -> Option<usize> {
    let mut entries = index.manifests.iter().enumerate().filter(|(_, entry)| entry.digest == staged.digest).rev();
    let same_name = entries.clone().find(|(_, entry)| entry.ref_name() == staged.ref_name.as_deref());
    same_name.or_else(|| entries.next()).map(|(at, _)| at)
}

/// Finds the entry of the staged manifest after an interrupted change of annotations: `index.json` was updated, but the
/// staging file was not. The entry has the same ref name, and its manifest has the same config and layers.
fn interrupted_entry(layout: &Layout, index: &Index, staged: &StagedManifest) -> Option<usize> {
    let before = Manifest { annotations: None, ..read_manifest(layout, &staged.digest).ok()? };
    index.manifests.iter().position(|entry| {
        entry.ref_name() == staged.ref_name.as_deref()
            && read_manifest(layout, &entry.digest)
                .is_ok_and(|manifest| Manifest { annotations: None, ..manifest } == before)
    })
}

fn read_manifest(layout: &Layout, digest: &Digest) -> Result<Manifest> {
    let content = layout.read_document_blob(digest, &Referrer::Index)?;
    oci::from_json(&content).map_err(|error| Error::MalformedDocument {
        digest: digest.clone(),
        kind: "image manifest",
        reason: Reason::from(error),
    })
}

/// Returns the staged config and its platform; of an artifact without one, the empty config. Checks that the blobs of the staged
/// layers are stored and match the config. A config that is not an image config is not read.
fn staged_config(
    layout: &Layout,
    stage: &mut Stage,
    diff_ids: &mut DiffIds,
    options: &ManifestOptions,
) -> Result<(Descriptor, Option<Platform>)> {
    if options.artifact_type.is_some() {
        check_titles(stage)?;
    } else if stage.layers.is_empty() {
        return Err(Error::NoLayers);
    }
    let config = match stage.config.clone() {
        Some(config) => Descriptor::new(config.media_type, config.digest, config.size),
        None if options.artifact_type.is_some() => Descriptor::empty(),
        None => return Err(Error::NoConfig),
    };
    stage.layers.iter().try_for_each(|layer| expect_layer(layout, layer))?;
    if !config.media_type.is_image_config() {
        if stage.config.is_some() {
            layout.expect_blob(&config.digest, config.size, &Referrer::Stage)?;
        }
        return Ok((config, None));
    }
    let content = layout.read_document_blob(&config.digest, &Referrer::Stage)?;
    let actual = content.len() as u64;
    if actual != config.size {
        return Err(Error::SizeMismatch { digest: Some(config.digest), expected: config.size, actual });
    }
    let image: ImageConfig = oci::from_json(&content).map_err(|error| Error::MalformedDocument {
        digest: config.digest.clone(),
        kind: "image config",
        reason: Reason::from(error),
    })?;
    if image.rootfs.diff_ids.len() != stage.layers.len() {
        return Err(Error::ConfigMismatch);
    }
    complete_diff_ids(layout, &mut stage.layers, diff_ids)?;
    let staged = stage.layers.iter().map(|layer| layer.diff_id.as_ref());
    let matches = staged.eq(image.rootfs.diff_ids.iter().map(Some));
    if matches { Ok((config, image.platform())) } else { Err(Error::ConfigMismatch) }
}

/// Returns the digests of a replaced manifest and its config if both were built from this staging file. Returns none
/// for other manifests, which are left to garbage collection.
fn own_documents(layout: &Layout, replaced: &Descriptor, stage: &Stage) -> Vec<Digest> {
    let read = layout.read_document_blob(&replaced.digest, &Referrer::Index);
    let document = read.and_then(|content| Document::of_entry(replaced, &content));
    let Ok(Some(Document::Manifest(manifest))) = document else {
        return Vec::new();
    };
    let is_staged = |layer: &Descriptor| {
        layer.media_type.is_empty() || stage.layers.iter().any(|staged| staged.digest == layer.digest)
    };
    // A manifest built here has at least one layer.
    if !manifest.layers.is_empty() && manifest.layers.iter().all(is_staged) {
        let empty =
            manifest.layers.iter().filter(|layer| layer.media_type.is_empty()).map(|layer| layer.digest.clone());
        [replaced.digest.clone(), manifest.config.digest].into_iter().chain(empty).collect()
    } else {
        Vec::new()
    }
}
