//! `layout files`

use std::io::{self, Write};
use std::process::ExitCode;

use regshape::rootfs::{FileList, ImageFiles, ListOptions};

use super::files_mtree::write_mtree;
use super::files_output::{FilesScreen, LongLines, path_line};
use super::image_source::ImagePath;
use crate::cli::args::{BoundsArgs, PathFlag, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};

/// List the files of an image
///
/// Lists the files that the layers make together, one path a line, sorted, or those of one layer. Links of the directories
/// of a PATH are followed inside the image.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape files -p ./my-image:latest -l /etc\n  regshape files -p ./my-image:latest --mtree > files.mtree"
)]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Path in the image, with all below it; repeatable [default: /]
    #[arg(value_name = "PATH", value_parser = ImagePath::parser())]
    files: Vec<ImagePath>,
    /// Print modes, links, owners, sizes, times and layers, as ls -l
    #[arg(short, long)]
    long: bool,
    /// List this layer with its whiteouts, counted from 0 at the bottom
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// Also list files that upper layers delete
    #[arg(long, conflicts_with = "layer")]
    deleted: bool,
    /// Print an mtree(5) file, which add layer --mtree reads
    #[arg(long, conflicts_with_all = ["long", "layer", "deleted", "json", "template"])]
    mtree: bool,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    bounds: BoundsArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        let paths = self.files.iter().map(|path| path.as_bytes().to_vec()).collect();
        let mut options = ListOptions::default().paths(paths).deleted(self.deleted);
        options.layer = self.layer;
        let is_long = self.long && !context.ui.is_quiet();
        options.paths_alone = !is_long && !self.mtree && context.ui.value_flag().is_none();
        let ((list, layers), lower_variants) =
            context.read_image(&self.path.path_beside(&self.files)?, platform, |image, _| {
                let mut files = ImageFiles::of(image, self.bounds.bounds())?;
                let layers = files.layers().cloned().collect();
                Ok((files.list(&options)?, layers))
            })?;
        if context.ui.value_flag().is_some() {
            context.ui.result(&FilesScreen::new(list, layers, lower_variants))?;
        } else {
            context.ui.lines(|output| match (self.mtree, is_long) {
                (true, _) => write_mtree(&list, output),
                (false, true) => LongLines::of(&list).write(&list, output),
                (false, false) => write_paths(&list, output, !context.ui.is_quiet()),
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write_paths(list: &FileList, output: &mut dyn Write, has_notes: bool) -> io::Result<()> {
    list.entries().try_for_each(|entry| writeln!(output, "{}", path_line(&entry, has_notes)))
}
