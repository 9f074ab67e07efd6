//! `layout strip`

use std::process::ExitCode;

use regshape::build::rewrite::strip;

use super::image_source::ImagePath;
use super::rewrite_args::RewriteArgs;
use crate::cli::args::PathFlag;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::printable::printable_bytes;
use crate::cli::usage::Usage;

/// Remove files from all layers of an image
///
/// A directory is removed with all below it. Unlike a whiteout, which only hides a file, this removes its content from
/// the image. The old layers stay in the layout until 'layout gc'.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape strip -p ./my-image:latest /root/.netrc /var/cache/apt")]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Path in the image; repeatable
    #[arg(value_name = "PATH", required = true, value_parser = ImagePath::parser())]
    files: Vec<ImagePath>,
    #[command(flatten)]
    rewrite: RewriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let paths: Vec<Vec<u8>> = self.files.iter().map(|path| path.as_bytes().to_vec()).collect();
        if let Some(root) = paths.iter().find(|path| path.iter().all(|byte| matches!(byte, b'/' | b'.'))) {
            let root = printable_bytes(root);
            return Err(Usage(format!("'{root}' is the whole image; name files or directories in it")).into());
        }
        let image = self.rewrite.image(context, &self.path.path_beside(&self.files)?)?;
        self.rewrite.run(context, &image, "Rewriting", |options, progress| {
            strip(&image.layout, &image.reference, &paths, options, progress)
        })
    }
}
