//! `layout index`: the images that an index lists, and its annotations.

mod add;
mod annotate;
mod remove;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    Add(add::Args),
    Remove(remove::Args),
    Annotate(annotate::Args),
}

impl Index {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(args) => execute(args, invocation),
            Self::Remove(args) => execute(args, invocation),
            Self::Annotate(args) => execute(args, invocation),
        }
    }
}
