//! `layout update config`

use std::process::ExitCode;

use regshape::build::ConfigChanges;

use crate::cli::args::{AnnotationArgs, Architecture, Os};
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_output::ConfigScreen;

/// Change the generated image config
///
/// What is not given stays as it is. A manifest that was generated before does not have the change: generate it again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout update config --path ./my-image --architecture arm64\n  regshape layout update config --path ./my-image --annotation org.opencontainers.image.title=\"My Image\" --replace-annotations"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// New CPU architecture
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// New operating system
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Replace the labels that are there; alone it clears them
    #[arg(long)]
    replace_annotations: bool,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let mut changes = ConfigChanges::default().labels(self.annotations.annotations());
        changes.architecture = self.architecture.as_deref().map(str::parse).transpose()?.map(|Architecture(word)| word);
        changes.os = self.os.as_deref().map(str::parse).transpose()?.map(|Os(word)| word);
        let updated = layout.update_config(&changes.replace_labels(self.replace_annotations))?;
        context.ui.result(&ConfigScreen::new("Updated config:", updated.value, updated.outdates_manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
