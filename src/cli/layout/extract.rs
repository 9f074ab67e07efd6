//! `layout extract`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::unpack::UnpackOptions;

use super::image_source::ImagePath;
use super::unpack_output::UnpackPlan;
use crate::cli::args::{BoundsArgs, PathFlag, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};

/// Write files and directories of an image into a directory
///
/// Each PATH gets its last name in the directory, as with cp, and / gives its entries. Links to the directories of a PATH are followed inside
/// the image, and with a slash at its end its last link too. Nothing that is there is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape extract -p ./my-image:latest /etc/nginx /usr/bin/app --output ./files")]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Path in the image; repeatable
    #[arg(value_name = "PATH", required = true, value_parser = ImagePath::parser())]
    files: Vec<ImagePath>,
    /// Output directory; it is made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    bounds: BoundsArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = UnpackOptions::default().interrupt(context.interrupt.clone());
        let paths: Vec<Vec<u8>> = self.files.iter().map(|path| path.as_bytes().to_vec()).collect();
        let plan = UnpackPlan {
            title: "Extracted from image:",
            source: &self.path.path_beside(&self.files)?,
            platform: self.platform.platform()?,
            bounds: self.bounds.bounds(),
            output: &self.output,
        };
        plan.run(context, |mut files| files.extract(&paths, &self.output, &options))
    }
}
