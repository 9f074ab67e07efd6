//! The manual pages, made from the command tree.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

/// Prints the page of the root command, or writes those of all commands into a directory.
pub(crate) fn run(mut command: clap::Command, directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    command.build();
    match directory {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            super::ui::write_stdout(&page)
        }
        Some(directory) => {
            let failed = || format!("failed to write manual pages to {}", directory.display());
            std::fs::create_dir_all(directory).with_context(failed)?;
            clap_mangen::generate_to(command, directory).with_context(failed)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
