//! `layout tag`: ref names of index.json.

mod add;
mod delete;
mod list;
mod rename;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Tag {
    List(list::Args),
    Add(add::Args),
    Move(rename::Args),
    Delete(delete::Args),
}

impl Tag {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, invocation),
            Self::Add(args) => execute(args, invocation),
            Self::Move(args) => execute(args, invocation),
            Self::Delete(args) => execute(args, invocation),
        }
    }
}
