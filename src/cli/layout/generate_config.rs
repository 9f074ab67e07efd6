//! `layout generate config`

use std::process::ExitCode;

use anyhow::Context as _;
use regshape::build::ConfigOptions;
use regshape::oci::MediaType;

use super::config_screen::ConfigScreen;
use super::{Base, Common, Context, Leaf, WriteArgs};
use crate::cli::args::{AnnotationArgs, Architecture, Os, YesArg};
use crate::cli::prompt::Prompt;

/// Generate the image config from the staged layers
///
/// SOURCE_DATE_EPOCH, if it is set, becomes the time at which the image was made; otherwise the config does not say.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout generate config --path ./my-image\n  regshape layout generate config --path ./my-image --architecture arm64 --os linux --annotation org.opencontainers.image.version=1.0.0"
)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// CPU architecture, as Go names it [default: amd64]
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// Operating system, as Go names it [default: linux]
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

impl Leaf for Args {
    const NAME: &'static str = "layout generate config";

    fn base(&self) -> &Base {
        &self.common.base
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path, &self.write)?;
        let created = source_seconds()?.map(date);
        let media_type = self.media_type.map(|media_type| media_type.parse()).transpose()?;
        let architecture = self.architecture.as_deref().map(str::parse).transpose()?;
        let os = self.os.as_deref().map(str::parse).transpose()?;
        layout.check_generate_config()?;
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
        let config = layout.generate_config(ConfigOptions { architecture, os, media_type, labels, created })?;
        context.ui.result(&ConfigScreen::new("Generated config:", config, false))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the time that SOURCE_DATE_EPOCH says, in seconds since 1970.
pub(super) fn source_seconds() -> anyhow::Result<Option<u64>> {
    parse_seconds(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())
}

fn parse_seconds(seconds: Option<&str>) -> anyhow::Result<Option<u64>> {
    /// The last second of the year 9999: RFC 3339 has four digits for the year.
    const LAST: u64 = 253_402_300_799;
    let Some(text) = seconds.filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LAST).with_context(|| {
        format!("SOURCE_DATE_EPOCH is '{}', not a number of seconds since 1970", text.escape_debug())
    })?;
    Ok(Some(seconds))
}

/// Returns a time as configs have it.
fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_date_is_a_number_of_seconds() {
        let date = |text| parse_seconds(Some(text)).map(|seconds| seconds.map(date)).map_err(|error| error.to_string());
        assert_eq!(date("0"), Ok(Some("1970-01-01T00:00:00Z".to_owned())));
        assert_eq!(date("253402300799"), Ok(Some("9999-12-31T23:59:59Z".to_owned())));
        assert_eq!(date(""), Ok(None));
        for bad in ["253402300800", "-1", "today", "1.5", "99999999999999999999"] {
            assert_eq!(date(bad), Err(format!("SOURCE_DATE_EPOCH is '{bad}', not a number of seconds since 1970")));
        }
    }
}
