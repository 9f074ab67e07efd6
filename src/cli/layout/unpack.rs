//! `layout unpack`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::metrics::Progress;
use regshape::unpack::{IdMap, IdRange, UnpackOptions};

use super::unpack_output::UnpackPlan;
use crate::cli::args::{BoundsArgs, Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::usage::Usage;

/// Write all files of an image to a directory
///
/// The directory must be new or empty, and appears when all layers are verified and all files are written. Root keeps owners, devices and
/// capabilities; another user's files are that user's, and notes count the attributes and devices that are missing.
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
    /// Write the digest of the image, and the losses of a plain user, to this file
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
        let mut options = UnpackOptions::default()
            .keep_setuid(self.keep_setuid)
            .sync(self.sync)
            .uid_map(map(&self.uid_map)?)
            .gid_map(map(&self.gid_map)?)
            .interrupt(context.interrupt.clone());
        options.state = self.state.clone();
        let plan = UnpackPlan {
            title: "Unpacked image:",
            source: &self.common.path()?,
            platform: self.platform.platform()?,
            bounds: self.bounds.bounds(),
            output: &self.output,
        };
        plan.run(context, |files| {
            let progress = context.ui.progress("Unpacking", &self.output, Some(files.size()));
            let mut files = files.through_links(self.through_links);
            files.unpack(&self.output, &options, Progress::new(&|bytes| progress.advance(bytes)))
        })
    }
}

fn map(ranges: &[String]) -> Result<IdMap, Usage> {
    let parsed = ranges.iter().map(|range| range.parse::<IdRange>().map_err(|error| Usage(error.to_string())));
    IdMap::new(parsed.collect::<Result<_, _>>()?).map_err(|error| Usage(error.to_string()))
}
