//! `layout annotate manifest`

use std::process::ExitCode;

use regshape::build::edit::ImageChange;

use crate::cli::args::{AnnotationEditArgs, Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::EditArgs;
use crate::cli::layout::manifest_output::ManifestScreen;

/// Set annotations of the manifest of an image, or of the generated one
///
/// The manifest gets a new digest; its entry in index.json is updated.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape annotate manifest ./my-image \\\n      --annotation org.opencontainers.image.version=1.0.0\n  regshape annotate manifest ./my-image \\\n      --annotation \"org.opencontainers.image.title=My Image\" --replace\n  regshape annotate manifest ./my-image:latest --annotation com.example.a=b"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
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
            return image.edit(context, &ImageChange::Manifest(change), &self.edit);
        }
        let staged = context.stage_to_edit(&path, &self.write, &self.edit)?;
        let manifest = staged.change(|layout| layout.update_manifest_annotations(&change))?;
        context.ui.result(&ManifestScreen::updated(manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
