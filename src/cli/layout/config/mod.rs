//! `layout config`: the configs of images.

mod get;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Get(get::Args),
}

impl Config {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Get(args) => execute(args, invocation),
        }
    }
}
