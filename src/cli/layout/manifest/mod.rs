//! `layout manifest`: manifests and indexes.

mod delete;
mod descriptor;
mod get;
mod info;
mod put;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    Get(get::Args),
    Descriptor(descriptor::Args),
    Info(info::Args),
    Put(put::Args),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
}

impl Manifest {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Get(args) => execute(args, invocation),
            Self::Descriptor(args) => execute(args, invocation),
            Self::Info(args) => execute(args, invocation),
            Self::Put(args) => execute(args, invocation),
            Self::Delete(args) => execute(args, invocation),
        }
    }
}
