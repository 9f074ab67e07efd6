//! `layout catalog`: the repositories of a layout.

mod list;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::cli::context::execute;

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    List(list::Args),
}

impl Catalog {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, global),
        }
    }
}
