//! `layout diff`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use regshape::metrics::Progress;
use regshape::rootfs::{Ignored, ImagePair};

use super::diff_output::DiffScreen;
use crate::cli::args::{BoundsArgs, Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{ReaderGone, is_dash};
use crate::cli::usage::Usage;

/// The exit status of images that differ, as diff(1) has it.
const DIFFERENT: u8 = 1;

/// Show how two images differ
///
/// Compares configs by field, annotations, layers by diff_id, and the files that the layers make together. A line begins
/// with - for the first image alone, with + for the second alone, and with ~ for both with different values. Exits with 0 if
/// the images are equal, 1 if they differ, and 2 or more after an error. Layers are read only if diff_ids differ.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape diff -p ./my-image:v1 --with ./my-image:v2\n  regshape diff -p ./my-image:latest --with ./rebuilt.tar --ignore times --ignore created"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// The other image: a layout or an archive, with a reference
    #[arg(long, value_name = "SOURCE")]
    with: PathBuf,
    /// Ignore these differences; repeatable
    ///
    /// With times, owner, mode, xattrs or order, layers are compared by their entries where their diff_ids differ.
    #[arg(long, value_name = "WORD", value_enum, value_delimiter = ',')]
    ignore: Vec<Word>,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    bounds: BoundsArgs,
}

/// Differences that do not count.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    /// Modification times of files
    Times,
    /// Users and groups of files
    Owner,
    /// Permissions of files
    Mode,
    /// Extended attributes of files
    Xattrs,
    /// The order of Env, of os.features, and of entries in a layer
    Order,
    /// The history in the config
    History,
    /// Times of creation in config, history, labels and annotations
    Created,
    /// Media types, digests and sizes of the blobs of equal layers
    Compression,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        if is_dash(&path) && is_dash(&self.with) {
            return Err(Usage("only one of the two images can be read from standard input".to_owned()).into());
        }
        let (platform, ignored) = (self.platform.platform()?, ignored(&self.ignore));
        let (difference, lower_variants) =
            context.read_two_images([&path, &self.with], platform, |[one, other], _| {
                let pair = ImagePair::of(one, other, self.bounds.bounds())?;
                let progress = context.ui.progress("Comparing", &self.with, Some(pair.size()));
                Ok(pair.compare(&ignored, Progress::new(&|bytes| progress.advance(bytes)))?)
            })?;
        let status = if difference.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) };
        match context.ui.result(&DiffScreen::new(difference, lower_variants)) {
            // The reader has seen enough, and the images differ all the same.
            Err(error) if !error.is::<ReaderGone>() => Err(error),
            _ => Ok(status),
        }
    }
}

fn ignored(words: &[Word]) -> Ignored {
    words.iter().fold(Ignored::default(), |ignored, word| match word {
        Word::Times => ignored.times(true),
        Word::Owner => ignored.owner(true),
        Word::Mode => ignored.mode(true),
        Word::Xattrs => ignored.xattrs(true),
        Word::Order => ignored.order(true),
        Word::History => ignored.history(true),
        Word::Created => ignored.created(true),
        Word::Compression => ignored.compression(true),
    })
}
