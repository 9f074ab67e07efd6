//! `layout extract`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use regshape::rootfs::ImageFiles;
use regshape::unpack::UnpackOptions;

use super::unpack_output::UnpackedScreen;
use crate::cli::args::{BoundsArgs, PathFlag, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};

/// Write files and directories of an image into a directory
///
/// Each PATH gets its last name in the directory, as with cp; of / the entries. Links to the directories of a PATH are followed inside the
/// image. Nothing that is there is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape extract -p ./my-image:latest /etc/nginx /usr/bin/app --output ./files")]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Path in the image; repeatable
    #[arg(value_name = "PATH", required = true)]
    files: Vec<OsString>,
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
        let platform = self.platform.platform()?;
        let options = UnpackOptions::default().interrupt(context.interrupt.clone());
        let paths: Vec<Vec<u8>> = self.files.iter().map(|path| path.as_encoded_bytes().to_vec()).collect();
        let (extracted, lower_variants) = context.read_image(&self.path.path()?, platform, |image, _| {
            let mut files = ImageFiles::of(image, self.bounds.bounds())?;
            let extracted = files.extract(&paths, &self.output, &options)?;
            Ok((extracted, files.manifest().clone()))
        })?;
        let (extracted, digest) = extracted;
        context.ui.result(&UnpackedScreen::new(
            context,
            "Extracted from image:",
            digest,
            &self.output,
            extracted,
            lower_variants,
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
