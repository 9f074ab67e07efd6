//! `layout generate`: the documents of an image, and indexes of images.

mod config;
mod index;
mod manifest;

pub(crate) use config::{note_no_history, notes_of_base};

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    Config(Box<config::Args>),
    Manifest(Box<manifest::Args>),
    Index(index::Args),
}

impl Generate {
    /// Returns whether this is a command of the command reference.
    pub(crate) fn is_of_the_reference(&self) -> bool {
        !matches!(self, Self::Index(_))
    }

    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::Config(args) => execute(*args, invocation),
            Self::Manifest(args) => execute(*args, invocation),
            Self::Index(args) => execute(args, invocation),
        }
    }
}
