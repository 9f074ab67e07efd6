//! `layout annotate`: annotations of staged content.

mod layer;
mod manifest;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Annotate {
    Layer(layer::Args),
    Manifest(manifest::Args),
}

impl Annotate {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, invocation),
            Self::Manifest(args) => execute(args, invocation),
        }
    }
}
