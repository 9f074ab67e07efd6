//! `layout annotate layer`

use std::process::ExitCode;

use regshape::Error;
use regshape::build::edit::ImageChange;

use crate::cli::args::{AnnotationEditArgs, Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::EditArgs;
use crate::cli::layout::layer_output::LayerScreen;

/// Set annotations of a layer of an image, or of a staged one
///
/// The next manifest that is generated has those of staged layers; the layer itself does not change.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape annotate layer ./my-image --index 0 \\\n      --annotation com.example.role=base\n  regshape annotate layer ./my-image --index 1 \\\n      --annotation com.example.role=patches --replace\n  regshape annotate layer ./my-image:latest --index 0 --unset-annotation com.example.role"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Index of the layer, from 0, as 'layout status' shows it
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    index: i64,
    #[command(flatten)]
    annotations: AnnotationEditArgs,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let change = self.annotations.change();
        if let Some(image) = context.image_to_edit(&path, &self.write)? {
            let index = usize::try_from(self.index).unwrap_or(usize::MAX);
            return image.edit(context, &ImageChange::Layer { index, annotations: change }, &self.edit);
        }
        let staged = context.stage_to_edit(&path, &self.write, &self.edit)?;
        let (index, updated) = staged.change(|layout| match usize::try_from(self.index) {
            Ok(index) => Ok((index, layout.update_layer_annotations(index, &change)?)),
            Err(_) => Err(Error::LayerIndex { index: self.index, count: layout.read_stage()?.layers.len() }),
        })?;
        context.ui.result(&LayerScreen::new(format!("Updated layer [{index}]:"), index, updated))?;
        Ok(ExitCode::SUCCESS)
    }
}
