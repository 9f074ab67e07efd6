//! `layout referrer list`

use std::process::ExitCode;

use regshape::oci::{Descriptor, MediaType};
use regshape::registry::Referrers;
use serde::Serialize;

use crate::cli::args::{Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::{RefArgs, RegistryArgs};
use crate::cli::output::{Screen, Table, printable};
use crate::cli::style::Style;

/// List referrers of a manifest: signatures, SBOMs, attestations
///
/// Lists digest, artifact type and size of each manifest and index whose subject is the manifest, and of the entries of the index that
/// older programs tag with its digest.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape referrer list ./my-image:latest\n  regshape referrer list ./my-image:latest --json \\\n      --artifact-type application/spdx+json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
    /// List only referrers of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
}

/// An image index, as registries answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    schema_version: u32,
    media_type: MediaType,
    manifests: Vec<Listing>,
}

/// A referrer, and its image names in index.json.
#[derive(Serialize)]
struct Listing {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_names: Vec<String>,
}

impl Screen for Listed {
    fn quiet(&self) -> Option<String> {
        let digests = self.manifests.iter().map(|Listing { descriptor, .. }| descriptor.digest.to_string());
        Some(digests.collect::<Vec<_>>().join("\n"))
    }

    fn text(&self, style: &Style) -> String {
        let mut table = Table::default();
        for Listing { descriptor, image_names } in &self.manifests {
            let artifact_type = printable(descriptor.artifact_type.as_deref().unwrap_or("-"));
            let (digest, size) = (style.digest(&descriptor.digest).to_owned(), descriptor.size.to_string());
            table.row([digest, size, artifact_type, printable(&image_names.join(", "))]);
        }
        table.text(style, &[3, 2])
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = context.to_read(&self.common.path()?, &self.registry, self.reference.given())?;
        let digest = place.subject(context, self.platform.platform()?.as_ref())?;
        let Referrers { manifests, mut image_names, warnings, .. } =
            place.repository.referrers(&digest, self.artifact_type.as_deref())?;
        warnings.into_iter().for_each(|warning| context.ui.warn_at_the_end(warning));
        let listing = |descriptor: Descriptor| {
            let image_names = image_names.remove(&descriptor.digest).unwrap_or_default();
            Listing { descriptor, image_names }
        };
        let manifests = manifests.into_iter().map(listing).collect();
        context.ui.result(&Listed { schema_version: 2, media_type: MediaType::index(), manifests })?;
        Ok(ExitCode::SUCCESS)
    }
}
