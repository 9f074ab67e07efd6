//! `layout blob delete`

use std::process::ExitCode;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::{BlobAction, BlobScreen, DigestArg};
use crate::cli::layout::place::{Need, RegistryArgs};

/// Delete an unreferenced blob
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape blob delete ./my-image --digest sha256:4dda0e58")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    digest: DigestArg,
    #[command(flatten)]
    write: WriteArgs,
    /// Print the result without deleting anything
    #[arg(long)]
    dry_run: bool,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let place = match self.dry_run {
            true => context.to_read(&path, &self.registry, None)?,
            false => context.to_change(&path, &self.registry, None, Need::There, &self.write)?,
        };
        place.without_reference(context)?;
        let digest = self.digest.digest(&place.repository)?;
        let screen = match self.dry_run {
            true => BlobScreen::new(BlobAction::WouldDelete, place.repository.plan_delete_blob(&digest)?),
            false => BlobScreen::new(BlobAction::Deleted, place.repository.delete_blob(&digest)?),
        };
        context.ui.result(&screen)?;
        Ok(ExitCode::SUCCESS)
    }
}
