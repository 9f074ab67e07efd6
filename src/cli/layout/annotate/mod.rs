//! `layout annotate`: annotations of staged content.

mod layer;
mod manifest;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Annotate {
    Layer(layer::Args),
    Manifest(manifest::Args),
}

impl Annotate {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, global),
            Self::Manifest(args) => execute(args, global),
        }
    }
}
