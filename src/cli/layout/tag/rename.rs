//! `layout tag move`

use std::process::ExitCode;

use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};

/// Rename a tag, or name a manifest that has none, in one step
///
/// If another manifest has the new tag, it is taken from it. That one is kept, without a tag if it has no other.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout tag move --path ./my-image --ref candidate v1\n  regshape layout tag move --path ./my-image --ref sha256:96eaf28b v1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// The new tag
    #[arg(value_name = "TAG")]
    tag: String,
}

#[derive(Serialize)]
struct Moved {
    digest: Digest,
    from: Option<String>,
    to: String,
}

impl Screen for Moved {
    fn text(&self) -> String {
        let mut block = Block::new("Moved tag:", 6).line("digest", &self.digest);
        if let Some(from) = &self.from {
            block = block.line("from", from);
        }
        block.line("to", &self.to).finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context)?;
        let moved = place.repository.move_tag(place.manifest()?, &self.tag)?;
        context.ui.result(&Moved {
            digest: moved.descriptor.digest,
            from: moved.from.map(|tag| place.called(&tag)),
            to: place.called(&self.tag),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
