//! `layout blob mount`

use std::process::ExitCode;

use anyhow::Context as _;
use regshape::oci::RepositoryName;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::{BlobAction, BlobScreen, DigestArg};
use crate::cli::layout::place::{Need, RegistryArgs, name_error};

/// Make a blob of one repository available in another
///
/// Copies nothing within one layout. Between the layouts of --per-repo it verifies the blob, then clones it, or links or copies it
/// where the file system cannot clone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape blob mount ./my-layouts --per-repo \\\n      --repo example/app --from example/base --digest sha256:4dda0e58"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Repository that has the blob
    #[arg(long, value_name = "REPO")]
    from: String,
    #[command(flatten)]
    digest: DigestArg,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let from: RepositoryName = self.from.parse().map_err(name_error)?;
        let place = context.to_change(&self.common.path()?, &self.registry, None, Need::There, &self.write)?;
        place.without_reference(context)?;
        let digest = self.digest.digest(&place.registry.repository(from.clone()))?;
        let to = place.name.clone().context("no repository is named that is to have the blob; use --repo")?;
        let blob = place.registry.mount_blob(&from, &to, &digest)?;
        context.ui.result(&BlobScreen::new(BlobAction::Mounted, blob))?;
        Ok(ExitCode::SUCCESS)
    }
}
