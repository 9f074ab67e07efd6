//! `layout catalog`: the repositories of a layout.

mod list;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    #[command(visible_alias = "ls")]
    List(list::Args),
}

impl Catalog {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, invocation),
        }
    }
}
