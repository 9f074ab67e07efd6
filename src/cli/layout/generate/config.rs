//! `layout generate config`

use std::process::ExitCode;

use regshape::build::ConfigOptions;
use regshape::oci::MediaType;

use crate::cli::args::{AnnotationArgs, Architecture, Os, YesArg};
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_output::ConfigScreen;
use crate::cli::prompt::Prompt;
use crate::cli::time::{date, source_seconds};

/// Generate the image config from the staged layers
///
/// The creation time is SOURCE_DATE_EPOCH; without that variable the config has none.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape generate config ./my-image --architecture arm64 \\\n      --annotation org.opencontainers.image.version=1.0.0"
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
    annotations: AnnotationArgs,
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
        let prepared = layout.prepare_config()?;
        let prompt = Prompt::new(&context.ui, self.yes.yes);
        let Architecture(architecture) = match architecture {
            Some(architecture) => architecture,
            None => prompt.value("Architecture", Architecture("amd64".to_owned()), "architecture", "--architecture")?,
        };
        let Os(os) = match os {
            Some(os) => os,
            None => prompt.value("OS", Os("linux".to_owned()), "OS", "--os")?,
        };
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => prompt.value("Config media type", MediaType::config(), "config media type", "--media-type")?,
        };
        let labels = self.annotations.annotations();
        drop(prompt);
        let mut options = ConfigOptions::default().architecture(architecture).os(os).media_type(media_type);
        options.created = created;
        let config = prepared.generate(&options.labels(labels))?;
        context.ui.result(&ConfigScreen::new("Generated config:", config, false))?;
        Ok(ExitCode::SUCCESS)
    }
}
