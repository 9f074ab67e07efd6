//! `layout blob head`

use std::process::ExitCode;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::{BlobAction, BlobScreen, DigestArg};
use crate::cli::layout::place::RegistryArgs;

/// Check whether a blob is stored, and print its size
///
/// Does not read the blob. Finds any blob of the layout, with any --repo.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape blob head ./my-image --digest sha256:4dda0e58")]
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
