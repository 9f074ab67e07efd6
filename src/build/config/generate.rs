//! Generates and updates the image config.

use super::changes::ConfigChanges;
use super::fault::Fault;
use super::history::{self, Steps};
use crate::build::pipeline::{complete_diff_ids, diff_ids};
use crate::error::{ConfigError, Error, Reason, Referrer, Result};
use crate::layout::commit::write_stage;
use crate::layout::document_files::ReadDocument;
use crate::layout::handle::{Layout, Lock};
use crate::layout::lock::take_lock;
use crate::layout::staging_file::{Stage, StagedConfig, Updated};
use crate::layout::unreferenced::remove_unreferenced;
use crate::oci::{self, Annotations, Digest, Index, MediaType, RootFs, UnknownFields, check_architecture, check_os};
use crate::options::setters;

/// Options for a new image config.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConfigOptions {
    /// The CPU architecture, in Go's spelling; by default that of the base, or amd64.
    pub architecture: Option<String>,
    /// The operating system, in Go's spelling; by default that of the base, or linux.
    pub os: Option<String>,
    /// The media type of the config.
    pub media_type: MediaType,
    /// The labels of the image.
    pub labels: Annotations,
    /// The creation time of the image (RFC 3339). Omitted by default, so that equal layers give equal configs.
    pub created: Option<String>,
    /// Further fields, and the history. An image gets a history if a text is given here, or if the staging file says of
    /// a layer how it was made.
    pub changes: ConfigChanges,
    /// Whether a new entrypoint keeps the arguments of the base (`Cmd`). By default it removes them, as in a Dockerfile.
    pub keep_cmd: bool,
}

impl Default for ConfigOptions {
    /// Options for an image of the base's platform, or Linux on amd64, with the OCI config type.
    fn default() -> Self {
        Self {
            architecture: None,
            os: None,
            media_type: MediaType::config(),
            labels: Annotations::new(),
            created: None,
            changes: ConfigChanges::default(),
            keep_cmd: false,
        }
    }
}

impl ConfigOptions {
    setters! {
        architecture: [some String],
        os: [some String],
        keep_cmd: [bool],
        media_type: [MediaType],
        labels: [Annotations],
        created: [some String],
        changes: [ConfigChanges],
    }

    /// Checks the values that do not depend on the layers.
    fn check(&self) -> Result<()> {
        // Those of a given config count before these.
        let changes = &self.changes;
        let is_given = |name| changes.given.as_ref().is_some_and(|given| given.contains_key(name));
        if changes.architecture.is_none() && !is_given("architecture") {
            self.architecture.as_deref().map_or(Ok(()), check_architecture)?;
        }
        if changes.os.is_none() && !is_given("os") {
            self.os.as_deref().map_or(Ok(()), check_os)?;
        }
        changes.check()
    }

    /// Returns the config of the staged image.
    fn config_of(&self, stage: &Stage) -> Result<UnknownFields> {
        let rootfs = RootFs::new(stage.layers.iter().filter_map(|layer| layer.diff_id.clone()).collect());
        let make = || {
            let mut config = stage.base.as_ref().map(|base| base.config.clone()).unwrap_or_default();
            // The time of the base is not that of this image.
            config.remove("created");
            if drops_cmd(stage, self) {
                let mut section: UnknownFields = config.get("config")?.unwrap_or_default();
                section.remove("Cmd");
                config.insert("config", &section)?;
            }
            for (name, value, usual) in [("architecture", &self.architecture, "amd64"), ("os", &self.os, "linux")] {
                match value {
                    Some(value) => config.insert(name, value)?,
                    None if !config.contains_key(name) => config.insert(name, usual)?,
                    None => {}
                }
            }
            config.insert("rootfs", &rootfs)?;
            if let Some(created) = &self.created {
                config.insert("created", created)?;
            }
            if !self.changes.drop_history {
                history::check_base(stage)?;
            }
            let steps = Steps::of(stage);
            let mut changes = self.changes.clone();
            for (name, value) in &self.labels {
                changes.labels.entry(name.clone()).or_insert_with(|| value.clone());
            }
            changes.apply(&mut config, &steps)?;
            if history::is_wanted(stage) && !self.changes.drop_history {
                history::add_history(&mut config, &steps)?;
            }
            Ok(config)
        };
        let invalid = |reason: Reason| ConfigError::Invalid { reason: reason.to_string() }.into();
        make().map_err(|fault: Fault| fault.into_error(invalid))
    }
}

/// The documents that an image config is generated from.
#[derive(Debug)]
pub struct PreparedConfig<'a> {
    layout: &'a Layout,
    stage: ReadDocument<Stage>,
    index: ReadDocument<Index>,
}

/// Returns whether a new entrypoint removes the arguments of the base (images, rule D3).
fn drops_cmd(stage: &Stage, options: &ConfigOptions) -> bool {
    let process = &options.changes.process;
    let section = || stage.base.as_ref()?.config.get::<UnknownFields>("config").ok().flatten();
    !options.keep_cmd
        && process.entrypoint.is_some()
        && process.cmd.is_none()
        && section().is_some_and(|section| section.contains_key("Cmd"))
}

impl PreparedConfig<'_> {
    /// Returns the config of the base, if the image is built on one.
    pub fn base_config(&self) -> Option<&UnknownFields> {
        self.stage.document.base.as_ref().map(|base| &base.config)
    }

    /// Returns whether a new entrypoint removes the arguments of the base.
    pub fn drops_cmd(&self, options: &ConfigOptions) -> bool {
        drops_cmd(&self.stage.document, options)
    }

    /// Returns whether the image gets no history because its base has none.
    pub fn lacks_history(&self) -> bool {
        let stage = &self.stage.document;
        stage.base.as_ref().is_some_and(|base| base.layers > 0) && !history::is_wanted(stage)
    }

    /// Returns whether a layer was staged with a text of the user for the history.
    pub fn has_created_by(&self) -> bool {
        history::has_given_step(&self.stage.document)
    }

    /// Generates the image config of the staged layers.
    ///
    /// # Errors
    ///
    /// [`Error::PlatformWord`], [`Error::Config`]; [`Error::NoLayers`]; [`Error::MissingBlob`] or [`Error::CorruptStream`] if a layer
    /// staged by another program must be read to compute its diff_id, but cannot be read; [`Error::MalformedStage`],
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn generate(self, options: &ConfigOptions) -> Result<StagedConfig> {
        let Self { layout, stage, index } = self;
        options.check()?;
        // Reading layers takes long, so it is done before the layout is locked.
        let mut diff_ids = diff_ids(layout, &stage.document)?;
        let lock = take_lock(layout)?;
        let mut stage = layout.find_stage_again(Some(stage))?.unwrap_or_else(Stage::empty);
        if stage.layers.is_empty() {
            return Err(Error::NoLayers);
        }
        let index = layout.read_index_again(Some(index))?;
        complete_diff_ids(layout, &mut stage.layers, &mut diff_ids)?;
        let config = options.config_of(&stage)?;
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
        options.check()?;
        self.prepare_config()?.generate(options)
    }

    /// Changes the generated image config. Other fields keep their values, unknown fields included.
    ///
    /// # Errors
    ///
    /// [`Error::PlatformWord`], [`Error::Config`]; [`Error::NoConfig`]; [`Error::MissingBlob`], [`Error::DigestMismatch`] or
    /// [`Error::MalformedDocument`] if the config cannot be read; [`Error::MalformedStage`], [`Error::MalformedIndex`];
    /// [`Error::Io`].
    pub fn update_config(&self, changes: &ConfigChanges) -> Result<Updated<StagedConfig>> {
        changes.check()?;
        let lock = take_lock(self)?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let config = stage.config.clone().ok_or(Error::NoConfig)?;
        let index = self.read_index()?;
        let content = self.read_document_blob(&config.digest, &Referrer::Stage)?;
        let malformed =
            |reason| Error::MalformedDocument { digest: config.digest.clone(), kind: "image config", reason };
        let before: UnknownFields = oci::from_json(&content).map_err(|error| malformed(Reason::from(error)))?;
        let mut after = before.clone();
        let steps = Steps::of(&stage);
        changes.apply(&mut after, &steps).map_err(|fault| fault.into_error(malformed))?;
        if after == before {
            return Ok(Updated { value: config, outdates_manifest: false });
        }
        let staged = |digest, size| StagedConfig { digest, size, ..config };
        let config = replace_config(self, &lock, &index, &mut stage, &oci::to_blob(&after), staged)?;
        Ok(Updated { value: config, outdates_manifest: stage.manifest.is_some() })
    }
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
    write_stage(layout, lock, stage, [blob])?;
    remove_unreferenced(layout, lock, index, stage, old.map(|old| old.digest).into_iter().collect());
    Ok(config)
}
