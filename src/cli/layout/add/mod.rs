//! `layout add`: staging content.

mod base;
mod changes;
mod layer;
mod target;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a process makes one")]
pub(crate) enum Add {
    Layer(layer::Args),
    Base(base::Args),
}

impl Add {
    /// Returns whether this is a command of the command reference.
    pub(crate) fn is_of_the_reference(&self) -> bool {
        matches!(self, Self::Layer(_))
    }

    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Layer(args) => execute(args, invocation),
            Self::Base(args) => execute(args, invocation),
        }
    }
}
