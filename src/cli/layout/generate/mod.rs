//! `layout generate`: the documents of an image.

mod config;
mod manifest;

pub(crate) use config::notes_of_base;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    Config(Box<config::Args>),
    Manifest(manifest::Args),
}

impl Generate {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Config(args) => execute(*args, invocation),
            Self::Manifest(args) => execute(args, invocation),
        }
    }
}
