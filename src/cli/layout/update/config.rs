//! `layout update config`

use std::process::ExitCode;

use regshape::build::ConfigChanges;

use crate::cli::args::{AnnotationArgs, Architecture, Os};
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_output::ConfigScreen;

/// Change the generated image config
///
/// Fields without a flag stay. Generate the manifest again afterwards: it still refers to the old config.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape update config ./my-image --architecture arm64\n  regshape update config ./my-image --replace-annotations \\\n      --annotation \"org.opencontainers.image.title=My Image\""
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// CPU architecture in Go's words
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// Operating system in Go's words
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Remove the other labels; alone, remove all
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
