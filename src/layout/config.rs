//! Generating and updating the image config.

use std::collections::HashMap;
use std::slice;

use serde_json::{Map, Value};

use super::error::{Error, Reason, Result};
use super::handle::{Layout, Lock};
use super::layer::Updated;
use super::stage::{Stage, StagedConfig, StagedLayer};
use crate::compress::{Encoding, peek};
use crate::oci::{self, Annotations, Digest, ImageConfig, Index, MediaType, RootFs, UnknownFields};

/// What an image config says.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigOptions {
    /// The CPU architecture, in Go's words.
    pub architecture: String,
    /// The operating system, in Go's words.
    pub os: String,
    /// The media type of the config.
    pub media_type: MediaType,
    /// The labels of the image.
    pub labels: Annotations,
    /// When the image was made (RFC 3339). By default the config does not say, and equal layers give equal configs.
    pub created: Option<String>,
}

impl Default for ConfigOptions {
    /// An image for Linux on amd64, of the OCI config type.
    fn default() -> Self {
        Self {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            media_type: MediaType::config(),
            labels: Annotations::new(),
            created: None,
        }
    }
}

/// What to change in an image config; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigChanges {
    /// The new CPU architecture.
    pub architecture: Option<String>,
    /// The new operating system.
    pub os: Option<String>,
    /// Labels to add.
    pub labels: Annotations,
    /// Whether the labels that are there go first.
    pub replace_labels: bool,
}

impl Layout {
    /// Generates the image config of the staged layers.
    ///
    /// # Errors
    ///
    /// [`Error::NoLayers`]; [`Error::MissingBlob`] or [`Error::CorruptStream`] if a layer that another program staged
    /// must be read for its diff_id and cannot be; [`Error::MalformedStage`], [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn generate_config(&self, options: ConfigOptions) -> Result<StagedConfig> {
        // Reading layers takes long: it is done before the layout is locked.
        let mut known = self.missing_diff_ids(&self.staged_layers()?)?;
        let lock = self.lock()?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        if stage.layers.is_empty() {
            return Err(Error::NoLayers);
        }
        let index = self.read_index()?;
        let mut diff_ids = Vec::with_capacity(stage.layers.len());
        for layer in &mut stage.layers {
            if layer.diff_id.is_none() {
                // Nearly always known; not if another program staged it just now.
                known.extend(self.missing_diff_ids_not_in(slice::from_ref(layer), &known)?);
                layer.diff_id = known.get(&layer.digest).cloned();
            }
            diff_ids.extend(layer.diff_id.clone());
        }
        let labels = (!options.labels.is_empty()).then(|| labels_object(options.labels));
        let config = ImageConfig {
            created: options.created,
            architecture: options.architecture,
            os: options.os,
            os_version: None,
            os_features: None,
            variant: None,
            config: labels.map(|labels| Map::from_iter([("Labels".to_owned(), labels)])),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids, extra: UnknownFields::new() },
            extra: UnknownFields::new(),
        };
        self.replace_config(&lock, &index, &mut stage, &oci::to_blob(&config), options.media_type)
    }

    /// Changes the generated image config; fields that are not named stay as they are, known or not.
    ///
    /// # Errors
    ///
    /// [`Error::NoConfig`]; [`Error::MissingBlob`], [`Error::DigestMismatch`] or [`Error::MalformedDocument`] if the
    /// config cannot be read; [`Error::MalformedStage`], [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn update_config(&self, changes: ConfigChanges) -> Result<Updated<StagedConfig>> {
        let lock = self.lock()?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let config = stage.config.clone().ok_or(Error::NoConfig)?;
        let index = self.read_index()?;
        let content = self.read_document_blob(&config.digest, "the staging file")?;
        let malformed =
            |reason| Error::MalformedDocument { digest: config.digest.clone(), kind: "image config", reason };
        let before: Map<String, Value> =
            serde_json::from_slice(&content).map_err(|error| malformed(Reason::from(error)))?;
        let mut after = before.clone();
        changes.apply(&mut after).map_err(malformed)?;
        if after == before {
            return Ok(Updated { value: config, outdates_manifest: false });
        }
        let content = oci::to_blob(&after);
        let config = self.replace_config(&lock, &index, &mut stage, &content, config.media_type)?;
        Ok(Updated { value: config, outdates_manifest: stage.manifest.is_some() })
    }

    /// Stores a config, makes it the staged one, and deletes the one before unless something still names it.
    fn replace_config(
        &self,
        lock: &Lock,
        index: &Index,
        stage: &mut Stage,
        content: &[u8],
        media_type: MediaType,
    ) -> Result<StagedConfig> {
        let blob = self.store_bytes(lock, content)?;
        let extra = stage.config.as_ref().map(|config| config.extra.clone()).unwrap_or_default();
        let config = StagedConfig { digest: blob.digest.clone(), size: blob.size, media_type, extra };
        let old = stage.config.replace(config.clone());
        self.write_stage(lock, stage)?;
        blob.keep();
        self.remove_unreferenced(lock, index, stage, old.map(|old| old.digest).into_iter().collect());
        Ok(config)
    }

    /// Returns the staged layers, at least one.
    ///
    /// # Errors
    ///
    /// [`Error::NoLayers`]; [`Error::MalformedStage`]; [`Error::Io`].
    pub fn staged_layers(&self) -> Result<Vec<StagedLayer>> {
        let layers = self.find_stage()?.map(|stage| stage.layers).unwrap_or_default();
        if layers.is_empty() { Err(Error::NoLayers) } else { Ok(layers) }
    }

    /// Computes the diff_ids of layers whose staging entries have none, from their blobs.
    pub(super) fn missing_diff_ids(&self, layers: &[StagedLayer]) -> Result<HashMap<Digest, Digest>> {
        self.missing_diff_ids_not_in(layers, &HashMap::new())
    }

    fn missing_diff_ids_not_in(
        &self,
        layers: &[StagedLayer],
        known: &HashMap<Digest, Digest>,
    ) -> Result<HashMap<Digest, Digest>> {
        let mut found = HashMap::new();
        for layer in layers.iter().filter(|layer| layer.diff_id.is_none()) {
            if known.contains_key(&layer.digest) || found.contains_key(&layer.digest) {
                continue;
            }
            let (file, _) = self.open_blob(&layer.digest, "the staging file")?;
            let path = self.blob_path(&layer.digest);
            let (sight, reader) = peek(file).map_err(Error::io("read", &path))?;
            let encoding = match sight.encoding {
                stored @ (Encoding::Gzip | Encoding::Zstd) => stored,
                _ => Encoding::Identity,
            };
            found.insert(layer.digest.clone(), self.diff_id_of(&path, encoding, reader)?);
        }
        Ok(found)
    }
}

impl ConfigChanges {
    fn apply(self, config: &mut Map<String, Value>) -> Result<(), Reason> {
        for (key, value) in [("architecture", self.architecture), ("os", self.os)] {
            if let Some(value) = value {
                config.insert(key.to_owned(), value.into());
            }
        }
        if self.labels.is_empty() && !self.replace_labels {
            return Ok(());
        }
        let section = match config.get_mut("config") {
            Some(Value::Object(section)) => section,
            None | Some(Value::Null) if self.labels.is_empty() => return Ok(()),
            None | Some(Value::Null) => {
                config.insert("config".to_owned(), Value::Object(Map::new()));
                config["config"].as_object_mut().expect("it was just made")
            }
            Some(_) => return Err(Reason::new("config is not an object")),
        };
        let mut labels = match section.get("Labels") {
            Some(Value::Object(labels)) if !self.replace_labels => labels.clone(),
            Some(Value::Object(_) | Value::Null) | None => Map::new(),
            Some(_) => return Err(Reason::new("config.Labels is not an object")),
        };
        labels.extend(self.labels.into_iter().map(|(key, value)| (key, value.into())));
        if labels.is_empty() {
            section.remove("Labels");
        } else {
            section.insert("Labels".to_owned(), Value::Object(labels));
        }
        if section.is_empty() {
            config.remove("config");
        }
        Ok(())
    }
}

fn labels_object(labels: Annotations) -> Value {
    Value::Object(labels.into_iter().map(|(key, value)| (key, value.into())).collect())
}
