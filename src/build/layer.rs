//! Adds layers, and annotates staged layers.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

use super::input::{LayerInput, LayerOptions, LayerPlan};
use super::pipeline::StoredLayer;
use crate::build::pipeline::store_layer;
use crate::error::{Error, Result};
use crate::graph::finding::Finding;
use crate::layout::blobs::PendingBlob;
use crate::layout::commit::write_stage;
use crate::layout::document_files::ReadDocument;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::staging_file::{Stage, StagedLayer, Updated};
use crate::metrics::Progress;
use crate::oci::{AnnotationChange, Digest, MediaType, UnknownFields};
use crate::tar::fault::TarReport;
use crate::tar::layer::Look;

/// The most threads that compress a layer. More threads take memory without being faster on today's machines.
const MAX_JOBS: usize = 256;

/// The key of a staged layer for the command that made it, for the image's history. The original program does not write
/// it.
pub(crate) const CREATED_BY: &str = "created_by";

/// The key of a staged layer of a base for the places from which its blob can be downloaded (image-spec, descriptor.md). The
/// original program does not write it.
pub(crate) const URLS: &str = "urls";

/// A layer with the plan of how it is stored, and the staging file to which it will be appended.
pub struct PreparedLayer<'a> {
    layout: &'a Layout,
    input: LayerInput,
    options: LayerOptions,
    plan: LayerPlan,
    stage: Option<ReadDocument<Stage>>,
    progress: Progress<'a>,
}

impl fmt::Debug for PreparedLayer<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, options, plan, .. } = self;
        formatter
            .debug_struct("PreparedLayer")
            .field("input", input)
            .field("options", options)
            .field("plan", plan)
            .finish_non_exhaustive()
    }
}

impl<'a> PreparedLayer<'a> {
    /// Returns how the layer will be stored.
    pub fn plan(&self) -> &LayerPlan {
        &self.plan
    }

    /// Returns the content to be read.
    pub fn input(&self) -> &LayerInput {
        &self.input
    }

    /// Plans the layer with another media type.
    ///
    /// # Errors
    ///
    /// Those of [`LayerInput::plan`].
    pub fn plan_as(&self, media_type: MediaType) -> Result<LayerPlan> {
        self.input.plan(&self.options.clone().media_type(media_type))
    }

    /// Replaces the plan, for example with that of [`PreparedLayer::plan_as`].
    #[must_use]
    pub fn with_plan(self, plan: LayerPlan) -> Self {
        Self { plan, ..self }
    }

    /// Sets a callback that is called with the number of bytes read since the last call.
    #[must_use]
    pub fn with_progress(self, progress: impl Into<Progress<'a>>) -> Self {
        Self { progress: progress.into(), ..self }
    }

    /// Stores the layer and appends it to the staging file.
    ///
    /// # Errors
    ///
    /// [`Error::CorruptStream`], [`Error::TrailingBytes`], [`Error::BeyondBound`]; [`Error::TruncatedTar`];
    /// [`Error::Compress`]; [`Error::MalformedStage`]; [`Error::Io`]. After an error the layout is unchanged.
    pub fn stage(mut self) -> Result<AddedLayer> {
        let (layout, stage) = (self.layout, self.stage.take());
        self.store()?.stage_after(layout, stage)
    }

    /// Stores the layer. Nothing refers to it yet.
    ///
    /// # Errors
    ///
    /// Those of [`PreparedLayer::stage`].
    #[expect(clippy::missing_panics_doc, reason = "texts can be written")]
    pub fn store(self) -> Result<NewLayer> {
        let Self { layout, input, options, plan, progress, .. } = self;
        let jobs = options.jobs.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get).min(MAX_JOBS);
        let path = input.path.clone();
        let look = if plan.media_type.layer_encoding().is_some() { Look::Entries } else { Look::Format };
        let stored = store_layer(layout, input, plan.treatment, jobs, options.bounds, look, progress)?;
        let StoredLayer { blob, diff_id, tar } = stored;
        let mut extra = UnknownFields::new();
        if let Some(created_by) = &options.created_by {
            extra.insert(CREATED_BY, created_by).expect("texts can be written");
        }
        let layer = StagedLayer {
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: plan.media_type,
            annotations: options.annotations,
            diff_id: Some(diff_id),
            extra,
        };
        let looks_like_images = tar.as_ref().is_some_and(|tar| tar.looks_like_images);
        let warnings = tar.map_or_else(Vec::new, |tar| warnings_of(&tar, &path));
        Ok(NewLayer { blob, below: options.below, added: AddedLayer { layer, warnings, looks_like_images } })
    }
}

/// A layer that is stored and that nothing refers to yet. It is deleted when this value is dropped.
pub struct NewLayer {
    pub(crate) blob: PendingBlob,
    /// The layers that it was made for; `None` if it fits on any.
    pub(crate) below: Option<Vec<Digest>>,
    pub(crate) added: AddedLayer,
}

impl fmt::Debug for NewLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { below, added, .. } = self;
        formatter.debug_struct("NewLayer").field("below", below).field("added", added).finish_non_exhaustive()
    }
}

impl NewLayer {
    /// Returns the layer, and the findings about its content.
    pub fn added(&self) -> &AddedLayer {
        &self.added
    }

    /// Returns whether the layer fits on others.
    pub(crate) fn fits_on<'d>(&self, layers: impl IntoIterator<Item = &'d Digest>) -> bool {
        self.below.as_ref().is_none_or(|below| below.iter().eq(layers))
    }

    /// Says which layers the layer was made for, the lowest first.
    #[must_use]
    pub fn only_on(mut self, below: Vec<Digest>) -> Self {
        self.below = Some(below);
        self
    }

    /// Appends the layer to the staging file.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if it was made for other layers than those that are staged; [`Error::MalformedStage`];
    /// [`Error::Io`]. After an error the layout is unchanged.
    pub fn stage(self, layout: &Layout) -> Result<AddedLayer> {
        self.stage_after(layout, None)
    }

    /// Appends the layer to the staging file, which may have been read before.
    fn stage_after(self, layout: &Layout, stage: Option<ReadDocument<Stage>>) -> Result<AddedLayer> {
        let lock = take_lock(layout)?;
        let mut stage = layout.find_stage_again(stage)?.unwrap_or_else(Stage::empty);
        if !self.fits_on(stage.layers.iter().map(|layer| &layer.digest)) {
            return Err(Error::Changed { path: layout.path().to_owned() });
        }
        let blob = self.blob.commit(&lock)?;
        stage.layers.push(self.added.layer.clone());
        write_stage(layout, &lock, &stage, [blob])?;
        Ok(self.added)
    }
}

/// An added layer, and the findings about its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AddedLayer {
    /// The staged layer.
    pub layer: StagedLayer,
    /// Faults of the tar that are not severe enough to refuse the layer.
    pub warnings: Vec<Finding>,
    /// Whether the tar is an image archive, not the files of an image.
    pub looks_like_images: bool,
}

/// Returns the warnings about a tar that is added as a layer.
fn warnings_of(tar: &TarReport, path: &Path) -> Vec<Finding> {
    let location = path.display().to_string();
    tar.faults().map(|(_, text)| Finding::new(format!("{location}: {text}"), location.clone())).collect()
}

impl Layout {
    /// Prepares a layer: plans how it is stored and reads the staging file, so that errors are reported before the work
    /// starts. Writes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`LayerInput::plan`]; [`Error::MalformedStage`], [`Error::StageVersion`]; [`Error::Io`].
    pub fn prepare_layer(&self, input: LayerInput, options: &LayerOptions) -> Result<PreparedLayer<'_>> {
        let plan = input.plan(options)?;
        let stage = self.find_stage_document(None)?;
        Ok(PreparedLayer { layout: self, input, options: options.clone(), plan, stage, progress: Progress::none() })
    }

    /// Stores a layer and appends it to the staging file. Creates the staging file in a layout of another program.
    ///
    /// The content is read once, in small pieces, regardless of its size.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::prepare_layer`] and of [`PreparedLayer::stage`]. After an error the layout is unchanged.
    pub fn stage_layer(&self, input: LayerInput, options: &LayerOptions) -> Result<StagedLayer> {
        self.prepare_layer(input, options)?.stage().map(|added| added.layer)
    }

    /// Changes the annotations of a staged layer: merges or replaces them.
    ///
    /// # Errors
    ///
    /// [`Error::LayerIndex`]; [`Error::NoStage`], [`Error::MalformedStage`]; [`Error::Io`].
    pub fn update_layer_annotations(&self, index: usize, change: &AnnotationChange) -> Result<Updated<StagedLayer>> {
        let lock = take_lock(self)?;
        let mut stage = self.read_stage()?;
        let count = stage.layers.len();
        let out_of_range = || Error::LayerIndex { index: i64::try_from(index).unwrap_or(i64::MAX), count };
        let layer = stage.layers.get_mut(index).ok_or_else(out_of_range)?;
        let before = std::mem::take(&mut layer.annotations);
        layer.annotations = change.apply(&before);
        let has_changed = layer.annotations != before;
        let layer = layer.clone();
        if has_changed {
            write_stage(self, &lock, &stage, [])?;
        }
        Ok(Updated { outdates_manifest: has_changed && stage.manifest.is_some(), value: layer })
    }
}
