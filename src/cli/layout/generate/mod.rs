//! `layout generate`: the documents of an image.

mod config;
mod manifest;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    Config(config::Args),
    Manifest(manifest::Args),
}

impl Generate {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Config(args) => execute(args, global),
            Self::Manifest(args) => execute(args, global),
        }
    }
}
