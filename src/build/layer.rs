//! Adding layers, and annotating those that were added.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

use super::input::{CompressionScope, LayerInput};
use super::pipeline::StoredLayer;
use crate::build::pipeline::store_layer;
use crate::compress::{Bounds, Compression};
use crate::error::{Error, Result};
use crate::graph::finding::Finding;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::stage::{Stage, StagedLayer, Updated};
use crate::metrics::Progress;
use crate::oci::{Annotations, MediaType, UnknownFields};
use crate::tar::fault::TarReport;
use crate::tar::layer::Look;

/// The most threads that compress one layer. More are no faster on any machine of today, and each takes memory.
const MAX_JOBS: usize = 256;

/// How a layer is added.
#[derive(Default)]
pub struct LayerOptions<'a> {
    /// What a layer that comes uncompressed is compressed with.
    pub compression: Compression,
    /// What is compressed.
    pub scope: CompressionScope,
    /// How many threads compress it; by default as many as there are cores. The bytes do not depend on it.
    pub jobs: Option<NonZeroUsize>,
    /// The media type; by default the one that [`LayerInput::plan`] proposes.
    pub media_type: Option<MediaType>,
    /// The annotations of the layer's descriptor.
    pub annotations: Annotations,
    /// How much a layer that comes compressed may decompress to.
    pub bounds: Bounds,
    /// Who is told of the bytes that were read.
    pub progress: Option<Progress<'a>>,
}

/// A layer that was added, and what was found out about it on the way.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AddedLayer {
    /// The layer as it is staged.
    pub layer: StagedLayer,
    /// What is wrong with its tar, though not so wrong that it was refused.
    pub warnings: Vec<Finding>,
    /// Whether its tar holds images rather than the files of one.
    pub looks_like_images: bool,
}

/// Returns the warnings about a tar that is added as a layer.
fn warnings_of(tar: &TarReport, path: &Path) -> Vec<Finding> {
    let location = path.display().to_string();
    tar.faults().map(|(_, text)| Finding::new(format!("{location}: {text}"), location.clone())).collect()
}

impl Layout {
    /// Checks what [`Layout::stage_layer`] needs of the layout, before anybody is asked anything.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedStage`], [`Error::StageVersion`]; [`Error::Io`].
    pub fn check_stage_layer(&self) -> Result<()> {
        self.check_stage()
    }

    /// Stores a layer and appends it to the staging file, which a layout of another program gets by this.
    ///
    /// The content is read once, in small pieces, whatever its size.
    ///
    /// # Errors
    ///
    /// Those of [`LayerInput::plan`]; [`Error::CorruptStream`], [`Error::TrailingBytes`], [`Error::BeyondBound`];
    /// [`Error::TruncatedTar`]; [`Error::Compress`]; [`Error::MalformedStage`]; [`Error::Io`]. After an error the layout is as
    /// it was.
    pub fn stage_layer(&self, input: LayerInput, options: LayerOptions<'_>) -> Result<StagedLayer> {
        self.add_layer(input, options).map(|added| added.layer)
    }

    /// Stages a layer, as [`Layout::stage_layer`] does, and tells what was found out about it too.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::stage_layer`].
    pub fn add_layer(&self, input: LayerInput, options: LayerOptions<'_>) -> Result<AddedLayer> {
        let plan = input.plan_within(options.scope, options.compression, options.media_type.as_ref())?;
        // What would fail at the end fails before the work.
        self.check_stage()?;
        let jobs = options.jobs.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get).min(MAX_JOBS);
        let path = input.path.clone();
        let look = if plan.media_type.layer_encoding().is_some() { Look::Entries } else { Look::Format };
        let stored = store_layer(self, input, plan.treatment, jobs, options.bounds, look, options.progress)?;
        let StoredLayer { blob, diff_id, tar } = stored;

        let lock = take_lock(self)?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let blob = blob.commit(&lock)?;
        let layer = StagedLayer {
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: plan.media_type,
            annotations: options.annotations,
            diff_id: Some(diff_id),
            extra: UnknownFields::new(),
        };
        stage.layers.push(layer.clone());
        self.write_stage(&lock, &stage, [blob])?;
        let looks_like_images = tar.as_ref().is_some_and(|tar| tar.looks_like_images);
        Ok(AddedLayer { layer, warnings: tar.map_or_else(Vec::new, |tar| warnings_of(&tar, &path)), looks_like_images })
    }

    /// Merges annotations into those of a staged layer, or replaces them.
    ///
    /// # Errors
    ///
    /// [`Error::LayerIndex`]; [`Error::NoStage`], [`Error::MalformedStage`]; [`Error::Io`].
    pub fn update_layer_annotations(
        &self,
        index: usize,
        annotations: Annotations,
        replace: bool,
    ) -> Result<Updated<StagedLayer>> {
        let lock = take_lock(self)?;
        let mut stage = self.read_stage()?;
        let count = stage.layers.len();
        let out_of_range = || Error::LayerIndex { index: i64::try_from(index).unwrap_or(i64::MAX), count };
        let layer = stage.layers.get_mut(index).ok_or_else(out_of_range)?;
        let before = layer.annotations.clone();
        if replace {
            layer.annotations = annotations;
        } else {
            layer.annotations.extend(annotations);
        }
        let has_changed = layer.annotations != before;
        let layer = layer.clone();
        if has_changed {
            self.write_stage(&lock, &stage, [])?;
        }
        Ok(Updated { outdates_manifest: has_changed && stage.manifest.is_some(), value: layer })
    }
}
