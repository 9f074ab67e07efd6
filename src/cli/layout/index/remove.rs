//! `layout index remove`

use std::process::ExitCode;

use regshape::build::edit::{IndexChange, edit_index};
use regshape::oci::{Digest, is_short_digest};

use crate::cli::args::{Common, WriteArgs};
use crate::cli::config_args::WrittenPlatform;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::TagArgs;

/// Remove images from an index
///
/// The attestations of a removed image go with it. An index keeps one image at least: 'tag delete' deletes a whole index.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape index remove ./my-layout:v1 --platform linux/arm/v6\n  regshape index remove ./my-layout:v1 --digest sha256:5f7b4b3b"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Platform of the image; repeatable
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]", required_unless_present = "digests")]
    platforms: Vec<WrittenPlatform>,
    /// Digest of a manifest in the index, or its beginning; repeatable
    #[arg(long = "digest", value_name = "DIGEST")]
    digests: Vec<String>,
    #[command(flatten)]
    tag: TagArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        for digest in self.digests.iter().filter(|digest| !is_short_digest(digest)) {
            digest.parse::<Digest>().map_err(regshape::Error::from)?;
        }
        let options = self.tag.options()?;
        let index = context.image_of(&self.common.path()?, "index", &self.write)?;
        let platforms = self.platforms.into_iter().map(|WrittenPlatform(platform)| platform).collect();
        let change = IndexChange::Remove { platforms, digests: self.digests };
        let edited = edit_index(&index.layout, &index.reference, &change, &options);
        index.report(context, &options, &edited.map_err(|error| index.advise(error))?, Vec::new())
    }
}
