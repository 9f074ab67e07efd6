//! `layout remove`: taking layers out.

mod layer;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Remove {
    Layer(layer::Args),
}

impl Remove {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, invocation),
        }
    }
}
