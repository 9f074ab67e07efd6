//! `layout referrer`: manifests whose subject is another one.

mod get;
mod list;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::{Invocation, execute};

#[derive(Debug, Subcommand)]
pub(crate) enum Referrer {
    #[command(visible_alias = "ls")]
    List(list::Args),
    Get(get::Args),
}

impl Referrer {
    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, invocation),
            Self::Get(args) => execute(args, invocation),
        }
    }
}
