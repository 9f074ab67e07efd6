//! `layout move`: changing the order of layers.

mod layer;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Move {
    Layer(layer::Args),
}

impl Move {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, invocation),
        }
    }
}
