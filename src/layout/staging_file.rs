//! The format of the staging file: the layers and documents of an image that is being built.
//!
//! Schema 1 is shared with the original program: each reads the other's files. Keys that this program adds (`diff_id`
//! of a layer, `ref_name` of the manifest, `unnamed_manifest`, `generated`) may be missing, and unknown keys are kept.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use crate::oci::fields::document_fields;
use crate::oci::{Annotations, Digest, Index, MediaType, UnknownFields};

/// The version that this program writes and reads.
pub(crate) const SCHEMA_VERSION: u64 = 1;

/// The content of the staging file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stage {
    /// Always 1.
    pub schema_version: u64,
    /// The layers, in the order in which they were added: the lowest first.
    pub layers: Vec<StagedLayer>,
    /// The config, once it is generated.
    pub config: Option<StagedConfig>,
    /// The manifest, once it is generated.
    pub manifest: Option<StagedManifest>,
    /// The manifest that was generated without a ref name, if there is one: the next one takes its place. The original
    /// program does not write it.
    pub unnamed_manifest: Option<Digest>,
    /// The manifests in `index.json` that were generated or annotated from this file before `manifest`, if there are any:
    /// the next one may take their tags. A record that keeps no blob. The original program does not write it.
    pub generated: Option<Vec<Digest>>,
    /// The manifests and indexes in `index.json` that a build made: the next one may take their tags. A record that keeps
    /// no blob. The original program does not write it.
    pub built: Option<Vec<Digest>>,
    /// The image that this one is built on. The original program does not write it.
    pub base: Option<StagedBase>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// The image that a staged one is built on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StagedBase {
    /// The digest of its manifest, or of the index by which it was named.
    pub digest: Digest,
    /// Its name in a registry.
    pub name: Option<String>,
    /// The number of its layers.
    pub layers: u64,
    /// Its config.
    pub config: UnknownFields,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// A layer that was added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StagedLayer {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations that its descriptor gets in the manifest.
    pub annotations: Annotations,
    /// The digest of the uncompressed tar. The original program does not write it.
    pub diff_id: Option<Digest>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// The config that was generated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StagedConfig {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// The manifest that was generated last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StagedManifest {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations in the manifest.
    pub annotations: Annotations,
    /// The ref name of its entry in `index.json`. The original program does not write it.
    pub ref_name: Option<String>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// A media type of the form type/subtype: staged types are written into documents.
struct StatedMediaType(MediaType);

impl<'de> Deserialize<'de> for StatedMediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

document_fields!(Stage {
    schema_version: required "schema_version",
    layers: required "layers",
    config: required "config",
    manifest: required "manifest",
    unnamed_manifest: optional "unnamed_manifest",
    generated: optional "generated",
    built: optional "built",
    base: optional "base",
});

document_fields!(StagedBase {
    digest: required "digest",
    name: optional "name",
    layers: required "layers",
    config: required "config",
});

document_fields!(StagedLayer {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
    annotations: default "annotations",
    diff_id: optional "diff_id",
});

document_fields!(StagedConfig {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
});

document_fields!(StagedManifest {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
    annotations: default "annotations",
    ref_name: optional "ref_name",
});

impl Stage {
    /// Returns the stage of a new layout.
    pub(crate) fn empty() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            layers: Vec::new(),
            config: None,
            manifest: None,
            unnamed_manifest: None,
            generated: None,
            built: None,
            base: None,
            extra: UnknownFields::new(),
        }
    }

    /// Returns whether a manifest was made from this file.
    pub(crate) fn has_generated(&self, digest: &Digest) -> bool {
        let is_last = self.manifest.as_ref().is_some_and(|manifest| manifest.digest == *digest);
        is_last || self.generated.as_ref().is_some_and(|generated| generated.contains(digest))
    }

    /// Makes a manifest the last one that was made from this file. The one before goes into the record, from which
    /// manifests go that `index.json` no longer lists.
    pub(crate) fn set_manifest(&mut self, manifest: StagedManifest, index: &Index) {
        let listed: HashSet<&Digest> = index.manifests.iter().map(|entry| &entry.digest).collect();
        let mut generated = self.generated.take().unwrap_or_default();
        if let Some(last) = self.manifest.take().filter(|last| !generated.contains(&last.digest)) {
            generated.push(last.digest);
        }
        generated.retain(|other| *other != manifest.digest && listed.contains(other));
        self.generated = (!generated.is_empty()).then_some(generated);
        if manifest.ref_name.is_none() {
            self.unnamed_manifest = Some(manifest.digest.clone());
        }
        self.manifest = Some(manifest);
    }

    /// Returns the staging file of an empty staging area, which keeps the records and the unknown fields of this one. The
    /// next build is another one: it does not replace the manifest without a name.
    pub(crate) fn emptied(&self) -> Self {
        let mut generated = self.generated.clone().unwrap_or_default();
        generated.extend(self.manifest.iter().map(|manifest| manifest.digest.clone()));
        generated.dedup();
        Self {
            generated: (!generated.is_empty()).then_some(generated),
            built: self.built.clone(),
            extra: self.extra.clone(),
            ..Self::empty()
        }
    }

    /// Adds manifests that a build made. Those go that `index.json` no longer lists.
    pub(crate) fn add_built<'d>(&mut self, digests: impl Iterator<Item = &'d Digest>, index: &Index) {
        let listed: HashSet<&Digest> = index.manifests.iter().map(|entry| &entry.digest).collect();
        let mut built = self.built.take().unwrap_or_default();
        for digest in digests {
            if !built.contains(digest) {
                built.push(digest.clone());
            }
        }
        built.retain(|digest| listed.contains(digest));
        self.built = (!built.is_empty()).then_some(built);
    }

    /// Returns whether nothing is staged.
    pub(crate) fn is_vacant(&self) -> bool {
        self.layers.is_empty() && self.config.is_none() && self.manifest.is_none() && self.base.is_none()
    }

    /// Returns the blobs that the staging file names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let layers = self.layers.iter().map(|layer| &layer.digest);
        let config = self.config.iter().map(|config| &config.digest);
        layers.chain(config).chain(self.manifest.iter().map(|manifest| &manifest.digest))
    }
}

/// The result of a change, and its consequence for earlier results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Updated<T> {
    /// The changed value.
    pub value: T,
    /// Whether a manifest was generated that does not have the change.
    pub outdates_manifest: bool,
}
