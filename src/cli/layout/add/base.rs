//! `layout add base`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::build::{AddedBase, BaseImage};
use regshape::view::Selection;
use serde::Serialize;

use crate::cli::args::{Common, PlatformArg, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Block, Screen, printable};
use crate::cli::style::Style;

/// Stage the layers, config and history of another image
///
/// Further layers go on top of them. 'generate config' starts from the config of the base. Only an empty staging area takes a base.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape add base ./my-image --from ./debian:stable --platform linux/amd64")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Layout or archive of the base; DIR:TAG for one of its images
    #[arg(long, value_name = "SOURCE[:REF]")]
    from: PathBuf,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Staged {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    layers: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Screen for Staged {
    fn lists_warnings(&self) -> bool {
        true
    }

    fn quiet(&self) -> Option<String> {
        Some(self.digest.clone())
    }

    fn text(&self, _style: &Style) -> String {
        let block = Block::new("Staged base:", 8).line("digest", &self.digest);
        let block = self.platform.iter().fold(block, |block, platform| block.line("platform", printable(platform)));
        block.line("layers", self.layers).finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let base = context.base_image(&self.from, self.platform.platform()?)?;
        let AddedBase { stage, warnings, .. } = base.stage(layout)?;
        let warnings: Vec<_> = warnings.iter().map(|warning| printable(warning.message())).collect();
        warnings.iter().cloned().for_each(|warning| context.ui.warn_at_the_end(warning));
        context.ui.result(&Staged {
            digest: base.digest().to_string(),
            name: base.name().map(str::to_owned),
            platform: base.platform().map(ToString::to_string),
            layers: stage.layers.len(),
            warnings,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Context {
    /// Reads the image at a path, which another image is built on.
    pub(crate) fn base_image(
        &self,
        path: &std::path::Path,
        platform: Option<regshape::oci::Platform>,
    ) -> anyhow::Result<BaseImage> {
        let named = self.source(path, &[])?.named()?;
        let selection = Selection::default().platforms(platform.into_iter().collect()).no_attestations(true);
        let (chosen, _) = self.select(&named, &selection)?;
        Ok(BaseImage::new(&named, &chosen)?)
    }
}
