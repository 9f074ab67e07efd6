//! `layout remove layer`

use std::process::ExitCode;

use regshape::build::edit::{ImageChange, remove_staged_layer};

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::EditArgs;
use crate::cli::layout::layer_output::LayerScreen;

/// Remove a layer of an image, or a staged one
///
/// The diff_id and the entry in the history go with it. The blob stays until 'layout gc'.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape remove layer ./my-image:latest --index 2\n  regshape remove layer ./my-image --index 0"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Index of the layer, from 0 at the bottom
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    index: usize,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        if let Some(image) = context.image_to_edit(&path, &self.write)? {
            return image.edit(context, &ImageChange::RemoveLayer(self.index), &self.edit);
        }
        let staged = context.stage_to_edit(&path, &self.write, &self.edit)?;
        let updated = staged.change(|layout| remove_staged_layer(layout, self.index))?;
        context.ui.result(&LayerScreen::new(format!("Removed layer [{}]:", self.index), self.index, updated))?;
        Ok(ExitCode::SUCCESS)
    }
}
