//! `layout annotate manifest`

use std::process::ExitCode;

use crate::cli::args::AnnotationArgs;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::manifest_output::ManifestScreen;

/// Add or replace annotations of the generated manifest
///
/// The manifest gets a new digest, and its entry in index.json follows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout annotate manifest --path ./my-image --annotation org.opencontainers.image.version=1.0.0\n  regshape layout annotate manifest --path ./my-image --annotation org.opencontainers.image.title=\"My Image\" --replace"
)]
#[command(mut_arg("annotation", |annotation| annotation.required(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Replace the annotations that are there
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
