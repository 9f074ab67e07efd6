//! `layout generate config`

use std::process::ExitCode;

use regshape::build::{ConfigOptions, PreparedConfig};
use regshape::oci::MediaType;

use crate::cli::args::{Architecture, Common, Os, WriteArgs, YesArg};
use crate::cli::config_args::{ConfigArgs, LabelArgs, SetPlatformArg, warn_of_words};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_output::ConfigScreen;
use crate::cli::prompt::Prompt;
use crate::cli::time::{date, source_seconds};

/// Generate the image config from the staged layers
///
/// The creation time is --created, or SOURCE_DATE_EPOCH; without both the config has none, or that of 1970 if it has a history.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape generate config ./my-image --entrypoint /app --env PORT=8080 \\\n      --user 1000 --expose 8080"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// CPU architecture in Go's words [default: amd64]
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// Operating system in Go's words [default: linux]
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Media type of the config [default: application/vnd.oci.image.config.v1+json]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// Keep the default arguments of the base with a new entrypoint
    #[arg(long, help_heading = "Process", hide_short_help = true)]
    keep_cmd: bool,
    #[command(flatten)]
    platform: SetPlatformArg,
    #[command(flatten)]
    yes: YesArg,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let created = source_seconds()?.map(date);
        let media_type = self.media_type.map(|media_type| media_type.parse()).transpose()?;
        let architecture = self.architecture.as_deref().map(str::parse).transpose()?;
        let os = self.os.as_deref().map(str::parse).transpose()?;
        let mut changes = self.config.changes(self.platform)?;
        let architecture = architecture.or(changes.architecture.take().map(Architecture));
        let os = os.or(changes.os.take().map(Os));
        let given = |name: &str| changes.given.as_ref().and_then(|given| given.get::<String>(name).ok().flatten());
        let prepared = layout.prepare_config()?;
        let of_base = |name: &str| prepared.base_config().and_then(|base| base.get::<String>(name).ok().flatten());
        let proposed = [("architecture", "amd64"), ("os", "linux")];
        let [proposed_architecture, proposed_os] =
            proposed.map(|(name, usual)| given(name).or_else(|| of_base(name)).unwrap_or_else(|| usual.to_owned()));
        let prompt = Prompt::new(&context.ui, self.yes.yes);
        let Architecture(architecture) = match architecture {
            Some(architecture) => architecture,
            None => {
                let proposed = Architecture(proposed_architecture);
                prompt.value("Architecture", proposed, "architecture", "--architecture")?
            }
        };
        let Os(os) = match os {
            Some(os) => os,
            None => prompt.value("OS", Os(proposed_os), "OS", "--os")?,
        };
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => prompt.value("Config media type", MediaType::config(), "config media type", "--media-type")?,
        };
        drop(prompt);
        warn_of_words(&context.ui, Some(&architecture), Some(&os));
        // They count before those of a given config.
        (changes.architecture, changes.os) = (Some(architecture), Some(os));
        changes.labels = self.labels.labels();
        let mut options = ConfigOptions::default().media_type(media_type).changes(changes).keep_cmd(self.keep_cmd);
        options.created = created;
        notes_of_base(context, &prepared, &options);
        let config = prepared.generate(&options)?;
        context.ui.result(&ConfigScreen::new("Generated config:", config, false))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Notes that an image gets no history, and that the text of `--created-by` is not kept, if it is given.
pub(crate) fn note_no_history(context: &Context, reason: &str, has_created_by: bool) {
    let text = if has_created_by { "; the text of --created-by is not kept" } else { "" };
    context.ui.note(&format!("Note: the image gets no history, because {reason}{text}"));
}

/// Notes the parts of the base that the image does not take over.
pub(crate) fn notes_of_base(context: &Context, prepared: &PreparedConfig<'_>, options: &ConfigOptions) {
    if prepared.drops_cmd(options) {
        context.ui.note("Note: the new entrypoint removes the default arguments of the base; --keep-cmd keeps them");
    }
    if prepared.lacks_history() {
        note_no_history(context, "its base has none", prepared.has_created_by());
    }
}
