//! `layout add`: staging content.

mod layer;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Add {
    Layer(layer::Args),
}

impl Add {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, global),
        }
    }
}
