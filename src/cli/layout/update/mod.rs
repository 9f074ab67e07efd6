//! `layout update`: changing generated documents.

mod config;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    Config(Box<config::Args>),
}

impl Update {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Config(args) => execute(*args, invocation),
        }
    }
}
