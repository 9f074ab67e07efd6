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
    #[command(visible_alias = "ls")]
    List(list::Args),
    #[command(visible_alias = "cp")]
    Add(add::Args),
    #[command(visible_aliases = ["move", "mv"])]
    Rename(rename::Args),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
}

impl Tag {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, invocation),
            Self::Add(args) => execute(args, invocation),
            Self::Rename(args) => execute(args, invocation),
            Self::Delete(args) => execute(args, invocation),
        }
    }
}
