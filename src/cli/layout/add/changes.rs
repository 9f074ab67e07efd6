//! Layers of the differences between an image, or a directory, and a directory: `add layer --diff-from`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use regshape::Error;
use regshape::build::LayerOptions;
use regshape::build::copy::{CopyOptions, CopyPlan, Destination, DiffOptions, OldFiles};
use regshape::build::edit::{add_layers, layers_to_edit};
use regshape::layout::Layout;
use regshape::metrics::Progress;
use regshape::oci::{Digest, UnknownFields, from_json};
use regshape::rootfs::ImageFiles;
use regshape::unpack::UnpackState;
use regshape::view::View;

use super::target::{TRIES, Target, note_of_history, staged, tell};
use crate::cli::layer_args::LayerArgs;
use crate::cli::time::source_seconds;
use crate::cli::usage::Usage;

/// The step of such a layer in the history. Part of the bytes on disk.
const STEP: &str = "regshape add layer --diff";

/// The flags of a layer of differences.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// Make a layer of the changes from this image or directory to --to
    #[arg(long, value_name = "SOURCE[:REF]", group = "files", conflicts_with_all = ["copy", "mtree"], requires = "to", hide_short_help = true)]
    pub(crate) diff_from: Option<PathBuf>,
    /// Directory with the changed files
    #[arg(long, value_name = "DIR", requires = "diff_from", hide_short_help = true)]
    to: Option<PathBuf>,
    /// State file of 'unpack' for the directory
    ///
    /// Owners, capabilities and devices that a plain user's 'unpack' could not make are those of the image.
    #[arg(long, value_name = "FILE", requires = "diff_from", hide_short_help = true)]
    state: Option<PathBuf>,
    /// Hide all that the layers below have in this directory; repeatable
    #[arg(long, value_name = "PATH", requires = "diff_from", hide_short_help = true)]
    opaque: Vec<Destination>,
    /// Take files with other modification times for changed
    #[arg(long, requires = "diff_from", hide_short_help = true)]
    compare_times: bool,
    /// Also compare the volumes of the image
    #[arg(long, requires = "diff_from", hide_short_help = true)]
    no_mask_volumes: bool,
}

/// The files that are compared, and the paths that are not.
struct Old {
    files: OldFiles,
    layers: Option<Vec<Digest>>,
    masks: Vec<Destination>,
}

impl DiffArgs {
    /// Adds the layer to the staging area or to an image.
    pub(super) fn add(
        &self,
        target: &Target<'_>,
        flags: &LayerArgs,
        mut options: LayerOptions,
    ) -> anyhow::Result<ExitCode> {
        let Target { context, layout, image } = target;
        let from = self.diff_from.as_deref().context("no image is given")?;
        let to = self.to.as_deref().context("no directory is given")?;
        target.expect_other_than_windows()?;
        let source_date = source_seconds()?.map(u64::cast_signed);
        let copies = flags.changes(source_date)?.outputs(vec![layout.path().to_owned()]);
        options.created_by.get_or_insert_with(|| STEP.to_owned());
        let mut tries = 1;
        loop {
            let old = self.old(target, from, &copies, &options)?;
            let mut diff = DiffOptions::default().opaque(self.opaque.clone()).compares_times(self.compare_times);
            diff.masks = old.masks;
            diff.state = self.state.as_deref().map(UnpackState::read).transpose()?;
            let mut plan = CopyPlan::changes(&old.files, to, &copies, &diff)?;
            let below = match image {
                Some((image, edit)) => {
                    layers_to_edit(layout, &image.reference, edit).map_err(|error| image.advise(error))?
                }
                None => vec![staged_layers(layout)?],
            };
            // A layer of changes of the image that it is added to fits on no other.
            if let Some(layers) = old.layers.filter(|layers| below.contains(layers)) {
                plan = plan.only_on(layers);
            }
            let progress = context.ui.progress("Adding", to, Some(plan.size()));
            let advance = |bytes| progress.advance(bytes);
            let (layer, notes) = plan.store(layout, &options, Progress::new(&advance))?;
            drop(progress);
            let added = layer.added().clone();
            let done = match image {
                Some((image, edit)) => add_layers(layout, &image.reference, vec![layer], edit).map(Some),
                None => layer.stage(layout).map(|_| None),
            };
            match done {
                Err(Error::Changed { .. }) if tries < TRIES => tries += 1,
                Err(error) => {
                    return Err(match image {
                        Some((image, _)) => image.advise(error),
                        None => error.into(),
                    });
                }
                Ok(edited) => {
                    let warnings = tell(context, &notes);
                    if let (Some(edited), Some((image, edit))) = (edited, image) {
                        note_of_history(context, &edited, flags.created_by.is_some());
                        return image.report(context, edit, &edited, warnings);
                    }
                    let first = warnings.first().cloned();
                    warnings.into_iter().for_each(|warning| context.ui.warn_at_the_end(warning));
                    context.ui.result(&staged(added.layer, first))?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }

    /// Reads the files that are compared.
    fn old(
        &self,
        target: &Target<'_>,
        from: &Path,
        copies: &CopyOptions,
        options: &LayerOptions,
    ) -> anyhow::Result<Old> {
        if from.is_dir() && !Layout::is_at(from) {
            if self.state.is_some() {
                return Err(Usage("--state needs an image: --diff-from names a directory".to_owned()).into());
            }
            let files = OldFiles::of_directory(from, copies)?;
            return Ok(Old { files, layers: None, masks: Vec::new() });
        }
        let platform = target.image.as_ref().and_then(|(_, edit)| match edit.platforms.as_slice() {
            [platform] => Some(platform.clone()),
            _ => None,
        });
        let context = target.context;
        let ((files, layers, masks), _) = context.read_image(from, platform, |view, _| {
            let mut files = ImageFiles::of(view, options.bounds)?;
            if let Some(state) = &self.state {
                UnpackState::read(state)?.expect_image(state, files.manifest())?;
            }
            let masks = if self.no_mask_volumes { Vec::new() } else { volumes(view)? };
            let progress = context.ui.progress("Reading", from, Some(files.size()));
            let layers: Vec<Digest> = files.layers().cloned().collect();
            Ok((OldFiles::of_image(&mut files, Progress::new(&|bytes| progress.advance(bytes)))?, layers, masks))
        })?;
        Ok(Old { files, layers: Some(layers), masks })
    }
}

/// Returns the volumes of the image of a view.
fn volumes(view: &View) -> anyhow::Result<Vec<Destination>> {
    let images = view.images()?;
    let config = images.first().map(|image| from_json::<UnknownFields>(&image.config)).transpose()?;
    let section = config.and_then(|config| config.get::<UnknownFields>("config").ok().flatten());
    let volumes = section.and_then(|section| section.get::<UnknownFields>("Volumes").ok().flatten());
    let paths = volumes.iter().flat_map(UnknownFields::iter).map(|(path, _)| path.into_owned());
    // A relative path is no volume for engines.
    Ok(paths.filter_map(|path| Destination::new(path).ok()).collect())
}

/// Returns the staged layers.
fn staged_layers(layout: &Layout) -> regshape::Result<Vec<Digest>> {
    match layout.read_stage() {
        Ok(stage) => Ok(stage.layers.into_iter().map(|layer| layer.digest).collect()),
        Err(Error::NoStage { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
