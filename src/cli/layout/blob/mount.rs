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
/// In one layout nothing needs to be copied. Between the layouts of --per-repo the blob is verified, and then cloned where the
/// file system can, linked where it cannot, and copied elsewhere.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape layout blob mount --path ./my-layouts --per-repo --repo example/app --from example/base --digest sha256:4dda0e5833c9d3d867741c582e57d42735d5563be5b40de88166636322b9fdb1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The repository that has the blob
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
