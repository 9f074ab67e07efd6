//! `layout blob`: blobs by digest.

mod delete;
mod get;
mod head;
mod mount;
mod output;
mod upload;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Blob {
    Head(head::Args),
    Get(get::Args),
    Upload(upload::Args),
    Mount(mount::Args),
    Delete(delete::Args),
}

impl Blob {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Head(args) => execute(args, global),
            Self::Get(args) => execute(args, global),
            Self::Upload(args) => execute(args, global),
            Self::Mount(args) => execute(args, global),
            Self::Delete(args) => execute(args, global),
        }
    }
}
