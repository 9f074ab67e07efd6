//! `layout blob upload`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::registry::Expected;

use crate::cli::args::open_input;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::{BlobAction, BlobScreen};
use crate::cli::layout::place::{Need, RegistryArgs, parse_digest};

/// Store a blob
///
/// Creates the layout if necessary. 'layout gc' deletes the blob unless a manifest refers to it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape blob upload ./my-image --file ./sbom.json\n  curl https://example.com/layer.tar.gz |\n      regshape blob upload ./my-image --file -"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Content; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Expected digest; also selects the algorithm [default: SHA-256]
    #[arg(short, long, value_name = "DIGEST")]
    digest: Option<String>,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let digest = self.digest.as_deref().map(parse_digest).transpose()?;
        let place = context.to_change(&self.common.path()?, &self.registry, None, Need::Made, &self.write)?;
        place.without_reference(context)?;
        let (content, size) = open_input(&self.file)?;
        let progress = context.ui.progress("Storing", &self.file, size);
        let mut expected = Expected::default();
        expected.digest = digest;
        let blob = place.repository.push_blob(progress.reader(content), &expected);
        drop(progress);
        context.ui.result(&BlobScreen::new(BlobAction::Stored, blob?))?;
        Ok(ExitCode::SUCCESS)
    }
}
