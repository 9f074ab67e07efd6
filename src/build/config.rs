//! Generates and updates the image config.

use crate::build::pipeline::{complete_diff_ids, diff_ids};
use crate::error::{Error, Reason, Referrer, Result};
use crate::layout::documents::ReadDocument;
use crate::layout::handle::{Layout, Lock};
use crate::layout::lock::take_lock;
use crate::layout::reachable::remove_unreferenced;
use crate::layout::stage::{Stage, StagedConfig, Updated};
use crate::oci::{
    self, Annotations, Digest, ImageConfig, Index, MediaType, RootFs, UnknownFields, check_architecture, check_os,
};
use crate::options::setters;

/// Options for a new image config.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigOptions {
    /// The CPU architecture, in Go's spelling.
    pub architecture: String,
    /// The operating system, in Go's spelling.
    pub os: String,
    /// The media type of the config.
    pub media_type: MediaType,
    /// The labels of the image.
    pub labels: Annotations,
    /// The creation time of the image (RFC 3339). Omitted by default, so that equal layers give equal configs.
    pub created: Option<String>,
}

impl Default for ConfigOptions {
    /// Options for a Linux image on amd64, with the OCI config type.
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

/// Changes to an image config. Fields that are not set keep their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigChanges {
    /// The new CPU architecture.
    pub architecture: Option<String>,
    /// The new operating system.
    pub os: Option<String>,
    /// Labels to add.
    pub labels: Annotations,
    /// Whether to remove the existing labels first.
    pub replace_labels: bool,
}

impl ConfigOptions {
    setters! {
        architecture: [into String],
        os: [into String],
        media_type: [MediaType],
        labels: [Annotations],
        created: [some String],
    }
}

impl ConfigChanges {
    setters! {
        architecture: [some String],
        os: [some String],
        labels: [Annotations],
        replace_labels: [bool],
    }
}

/// The documents that an image config is generated from.
#[derive(Debug)]
pub struct PreparedConfig<'a> {
    layout: &'a Layout,
    stage: ReadDocument<Stage>,
    index: ReadDocument<Index>,
}

impl PreparedConfig<'_> {
    /// Generates the image config of the staged layers.
    ///
    /// # Errors
    ///
    /// [`Error::PlatformWord`]; [`Error::NoLayers`]; [`Error::MissingBlob`] or [`Error::CorruptStream`] if a layer
    /// staged by another program must be read to compute its diff_id, but cannot be read; [`Error::MalformedStage`],
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn generate(self, options: &ConfigOptions) -> Result<StagedConfig> {
        let Self { layout, stage, index } = self;
        check_architecture(&options.architecture)?;
        check_os(&options.os)?;
        // Reading layers takes long, so it is done before the layout is locked.
        let mut diff_ids = diff_ids(layout, &stage.document)?;
        let lock = take_lock(layout)?;
        let mut stage = layout.find_stage_again(Some(stage))?.unwrap_or_else(Stage::empty);
        if stage.layers.is_empty() {
            return Err(Error::NoLayers);
        }
        let index = layout.read_index_again(Some(index))?;
        complete_diff_ids(layout, &mut stage.layers, &mut diff_ids)?;
        let diff_ids = stage.layers.iter().filter_map(|layer| layer.diff_id.clone()).collect();
        let section = match &options.labels {
            labels if labels.is_empty() => None,
            labels => Some(with_field(UnknownFields::new(), "Labels", labels)),
        };
        let config = ImageConfig {
            created: options.created.clone(),
            architecture: options.architecture.clone(),
            os: options.os.clone(),
            os_version: None,
            os_features: None,
            variant: None,
            config: section,
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids, extra: UnknownFields::new() },
            extra: UnknownFields::new(),
        };
        let extra = stage.config.as_ref().map(|config| config.extra.clone()).unwrap_or_default();
        let staged = |digest, size| StagedConfig { digest, size, media_type: options.media_type.clone(), extra };
        replace_config(layout, &lock, &index, &mut stage, &oci::to_blob(&config), staged)
    }
}

impl Layout {
    /// Reads the documents that an image config is generated from. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoLayers`]; [`Error::MalformedStage`], [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn prepare_config(&self) -> Result<PreparedConfig<'_>> {
        let stage = self.find_stage_document(None)?;
        let stage = stage.filter(|stage| !stage.document.layers.is_empty()).ok_or(Error::NoLayers)?;
        Ok(PreparedConfig { layout: self, stage, index: self.read_index_document(None)? })
    }

    /// Generates the image config of the staged layers.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::prepare_config`] and of [`PreparedConfig::generate`].
    pub fn generate_config(&self, options: &ConfigOptions) -> Result<StagedConfig> {
        // Report an invalid platform before any other error.
        check_architecture(&options.architecture)?;
        check_os(&options.os)?;
        self.prepare_config()?.generate(options)
    }

    /// Changes the generated image config. Other fields keep their values, unknown fields included.
    ///
    /// # Errors
    ///
    /// [`Error::PlatformWord`]; [`Error::NoConfig`]; [`Error::MissingBlob`], [`Error::DigestMismatch`] or
    /// [`Error::MalformedDocument`] if the config cannot be read; [`Error::MalformedStage`], [`Error::MalformedIndex`];
    /// [`Error::Io`].
    pub fn update_config(&self, changes: &ConfigChanges) -> Result<Updated<StagedConfig>> {
        changes.architecture.as_deref().map_or(Ok(()), check_architecture)?;
        changes.os.as_deref().map_or(Ok(()), check_os)?;
        let lock = take_lock(self)?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let config = stage.config.clone().ok_or(Error::NoConfig)?;
        let index = self.read_index()?;
        let content = self.read_document_blob(&config.digest, &Referrer::Stage)?;
        let malformed =
            |reason| Error::MalformedDocument { digest: config.digest.clone(), kind: "image config", reason };
        let before: UnknownFields = oci::from_json(&content).map_err(|error| malformed(Reason::from(error)))?;
        let mut after = before.clone();
        changes.apply(&mut after).map_err(malformed)?;
        if after == before {
            return Ok(Updated { value: config, outdates_manifest: false });
        }
        let staged = |digest, size| StagedConfig { digest, size, ..config };
        let config = replace_config(self, &lock, &index, &mut stage, &oci::to_blob(&after), staged)?;
        Ok(Updated { value: config, outdates_manifest: stage.manifest.is_some() })
    }
}

impl ConfigChanges {
    fn apply(&self, config: &mut UnknownFields) -> Result<(), Reason> {
        for (key, value) in [("architecture", &self.architecture), ("os", &self.os)] {
            if let Some(value) = value {
                config.insert(key, value)?;
            }
        }
        if self.labels.is_empty() && !self.replace_labels {
            return Ok(());
        }
        let is_not_object = |name: &str| Reason::new(format!("{name} is not an object"));
        let section = config.get::<Option<UnknownFields>>("config").map_err(|_| is_not_object("config"))?;
        let Some(mut section) = section.flatten().or((!self.labels.is_empty()).then(UnknownFields::new)) else {
            return Ok(());
        };
        let labels = section.get::<Option<UnknownFields>>("Labels").map_err(|_| is_not_object("config.Labels"))?;
        let mut labels = labels.flatten().filter(|_| !self.replace_labels).unwrap_or_default();
        labels.extend(&fields(&self.labels));
        if labels.is_empty() {
            section.remove("Labels");
        } else {
            section.insert("Labels", &labels)?;
        }
        if section.is_empty() {
            config.remove("config");
        } else {
            config.insert("config", &section)?;
        }
        Ok(())
    }
}

/// Converts labels to fields.
fn fields(labels: &Annotations) -> UnknownFields {
    let text = oci::to_blob(labels);
    oci::from_json(&text).expect("it was just written")
}

fn with_field(mut fields: UnknownFields, name: &str, value: &Annotations) -> UnknownFields {
    fields.insert(name, value).expect("texts can be written");
    fields
}

/// Stores a config and stages it. Deletes the previous config unless it is still referred to.
fn replace_config(
    layout: &Layout,
    lock: &Lock,
    index: &Index,
    stage: &mut Stage,
    content: &[u8],
    staged: impl FnOnce(Digest, u64) -> StagedConfig,
) -> Result<StagedConfig> {
    let blob = layout.store_document(lock, "the config", content)?;
    let config = staged(blob.digest.clone(), blob.size);
    let old = stage.config.replace(config.clone());
    layout.write_stage(lock, stage, [blob])?;
    remove_unreferenced(layout, lock, index, stage, old.map(|old| old.digest).into_iter().collect());
    Ok(config)
}
