//! `layout move layer`

use std::process::ExitCode;

use regshape::build::edit::{ImageChange, move_staged_layer};

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::EditArgs;
use crate::cli::layout::layer_output::LayerScreen;

/// Move a layer of an image, or a staged one, to another place
///
/// The diff_id and the entry in the history move with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape move layer ./my-image:latest --index 2 --to 0")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Index of the layer, from 0 at the bottom
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    index: usize,
    /// Its index afterwards
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    to: usize,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        if let Some(image) = context.image_to_edit(&path, &self.write)? {
            return image.edit(context, &ImageChange::MoveLayer { from: self.index, to: self.to }, &self.edit);
        }
        let staged = context.stage_to_edit(&path, &self.write, &self.edit)?;
        let updated = staged.change(|layout| move_staged_layer(layout, self.index, self.to))?;
        context.ui.result(&LayerScreen::new(
            format!("Moved layer [{}] to [{}]:", self.index, self.to),
            self.to,
            updated,
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
