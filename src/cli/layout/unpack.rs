//! `layout unpack`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::rootfs::ImageFiles;
use regshape::unpack::{IdMap, IdRange, UnpackOptions};

use super::unpack_output::UnpackedScreen;
use crate::cli::args::{BoundsArgs, Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::usage::Usage;

/// Write all files of an image to a directory
///
/// The directory must be new or empty, and appears when all layers are verified and all files are written. Root keeps owners, devices and
/// capabilities; another user's files are that user's, and a note says what is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape unpack ./my-image:latest --output ./rootfs\n  regshape unpack ./my-image:latest --output ./rootfs --state ./rootfs.json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Output directory: new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    platform: PlatformArg,
    /// Write which image it is, and what could not be made, to this file; for 'add layer --diff-from'
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Keep setuid and setgid bits as a plain user
    #[arg(long)]
    keep_setuid: bool,
    /// Map users of the image to users of this system, e.g. 0:100000:65536; repeatable
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT")]
    uid_map: Vec<String>,
    /// Map groups of the image to groups of this system; repeatable
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT")]
    gid_map: Vec<String>,
    /// Unpack entries below a link of a lower layer through the link
    #[arg(long)]
    through_links: bool,
    /// Sync all files to disk
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    bounds: BoundsArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        let mut options = UnpackOptions::default()
            .keep_setuid(self.keep_setuid)
            .sync(self.sync)
            .uid_map(map(&self.uid_map)?)
            .gid_map(map(&self.gid_map)?)
            .interrupt(context.interrupt.clone());
        options.state = self.state;
        let (unpacked, lower_variants) = context.read_image(&self.common.path()?, platform, |image, _| {
            let mut files = ImageFiles::of(image, self.bounds.bounds())?.through_links(self.through_links);
            let size = files.size();
            let progress = context.ui.progress("Unpacking", &self.output, Some(size));
            let unpacked = files.unpack(&self.output, &options, Some(&|bytes| progress.advance(bytes)))?;
            Ok((unpacked, files.manifest().clone()))
        })?;
        let (unpacked, digest) = unpacked;
        context.ui.result(&UnpackedScreen::new(
            context,
            "Unpacked image:",
            digest,
            &self.output,
            unpacked,
            lower_variants,
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn map(ranges: &[String]) -> Result<IdMap, Usage> {
    ranges.iter().map(|range| range.parse::<IdRange>().map_err(|error| Usage(error.to_string()))).collect()
}
