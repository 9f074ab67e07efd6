//! `layout blob`: blobs by digest.

mod delete;
mod get;
mod head;
mod mount;
mod output;
mod upload;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Blob {
    Head(head::Args),
    Get(get::Args),
    Upload(upload::Args),
    Mount(mount::Args),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
}

impl Blob {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Head(args) => execute(args, invocation),
            Self::Get(args) => execute(args, invocation),
            Self::Upload(args) => execute(args, invocation),
            Self::Mount(args) => execute(args, invocation),
            Self::Delete(args) => execute(args, invocation),
        }
    }
}
