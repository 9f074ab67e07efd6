//! `layout manifest descriptor`

use std::process::ExitCode;

use regshape::oci::Descriptor;
use serde::Serialize;

use super::registry::{RefArgs, RegistryArgs};
use super::{Common, Context, Leaf};
use crate::cli::args::PlatformArg;
use crate::cli::ui::{Screen, json};

/// Print the descriptor of a manifest, as it stands in index.json or in a nested index
///
/// It can be used as it is in another document: as a subject, or as an entry of an index.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape layout manifest descriptor --path ./my-image --ref latest")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
}

/// A descriptor; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Descriptor);

impl Screen for Shown {
    fn text(&self) -> String {
        json(self).expect("a descriptor can be written: it was read")
    }
}

impl Leaf for Args {
    const NAME: &'static str = "layout manifest descriptor";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        let place = context.to_read(&self.common, &self.registry, self.reference.given())?;
        let descriptor = place.repository.resolve_for(place.reference()?, platform.as_ref())?;
        context.ui.result(&Shown(descriptor))?;
        Ok(ExitCode::SUCCESS)
    }
}
