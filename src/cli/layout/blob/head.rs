//! `layout blob head`

use std::process::ExitCode;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::{BlobAction, BlobScreen, DigestArg};
use crate::cli::layout::place::RegistryArgs;

/// Tell whether a blob is there, and its size
///
/// It is not read. Any blob of the layout counts, whichever repository is named.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape layout blob head --path ./my-image --digest sha256:4dda0e5833c9d3d867741c582e57d42735d5563be5b40de88166636322b9fdb1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    digest: DigestArg,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = context.to_read(&self.common.path()?, &self.registry, None)?;
        place.without_reference(context)?;
        let digest = self.digest.digest(&place.repository)?;
        context.ui.result(&BlobScreen::new(BlobAction::Shown, place.repository.resolve_blob(&digest)?))?;
        Ok(ExitCode::SUCCESS)
    }
}
