//! `layout manifest`: manifests and indexes.

mod delete;
mod descriptor;
mod get;
mod info;
mod put;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    Get(get::Args),
    Descriptor(descriptor::Args),
    Info(info::Args),
    Put(put::Args),
    Delete(delete::Args),
}

impl Manifest {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Get(args) => execute(args, global),
            Self::Descriptor(args) => execute(args, global),
            Self::Info(args) => execute(args, global),
            Self::Put(args) => execute(args, global),
            Self::Delete(args) => execute(args, global),
        }
    }
}
