//! `layout annotate manifest`

use std::process::ExitCode;

use crate::cli::args::AnnotationArgs;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::manifest_output::ManifestScreen;

/// Set annotations of the generated manifest
///
/// The manifest gets a new digest; its entry in index.json is updated.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape annotate manifest ./my-image \\\n      --annotation org.opencontainers.image.version=1.0.0\n  regshape annotate manifest ./my-image \\\n      --annotation \"org.opencontainers.image.title=My Image\" --replace"
)]
#[command(mut_arg("annotation", |annotation| annotation.required(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Remove the other annotations
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let manifest = layout.update_manifest_annotations(&self.annotations.change(self.replace))?;
        context.ui.result(&ManifestScreen::updated(manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
