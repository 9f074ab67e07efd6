//! `layout update config`

use std::process::ExitCode;

use regshape::build::edit::ImageChange;

use crate::cli::args::{Architecture, Common, Os, WriteArgs};
use crate::cli::config_args::{ConfigArgs, LabelArgs, SetPlatformArg, warn_of_words};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_output::ConfigScreen;
use crate::cli::layout::edit::EditArgs;
use crate::cli::time::{date, source_seconds};

/// Change the config of an image, or the generated one
///
/// Fields without a flag stay. DIR:TAG is an image, whose manifest and entry follow; --platform picks images of an index. With DIR alone
/// the generated config changes: generate the manifest again afterwards, because it still refers to the old config.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape update config ./my-image --architecture arm64\n  regshape update config ./my-image --env DEBUG=1 --clear Cmd\n  regshape update config ./my-image --replace-annotations \\\n      --annotation \"org.opencontainers.image.title=My Image\"\n  regshape update config ./my-image:latest --env DEBUG=1"
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
    labels: LabelArgs,
    /// Remove the other labels; alone, remove all
    #[arg(long)]
    replace_annotations: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let architecture = self.architecture.as_deref().map(str::parse).transpose()?;
        let os = self.os.as_deref().map(str::parse).transpose()?;
        let adds_history = self.config.adds_history();
        let mut changes = self.config.changes(SetPlatformArg::default())?;
        changes.architecture = architecture.map(|Architecture(word)| word).or(changes.architecture);
        changes.os = os.map(|Os(word)| word).or(changes.os);
        warn_of_words(&context.ui, changes.architecture.as_deref(), changes.os.as_deref());
        changes.labels = self.labels.labels();
        let mut changes = changes.replace_labels(self.replace_annotations);
        if let Some(image) = context.image_to_edit(&path, &self.write)? {
            return image.edit(context, &ImageChange::Config(Box::new(changes)), &self.edit);
        }
        if adds_history && changes.created.is_none() {
            changes.created = source_seconds()?.map(date);
        }
        let staged = context.stage_to_edit(&path, &self.write, &self.edit)?;
        let updated = staged.change(|layout| layout.update_config(&changes))?;
        context.ui.result(&ConfigScreen::new("Updated config:", updated.value, updated.outdates_manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
