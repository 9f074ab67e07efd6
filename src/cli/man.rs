//! The manual pages, made from the command tree.

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

/// Prints the page of the root command, or writes those of all commands into a directory.
pub(crate) fn run(command: clap::Command, directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    // The pages of 'help' itself would say nothing.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match directory {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            super::output::write_stdout(&page)
        }
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory))
                .map_err(|error| anyhow!("failed to write manual pages to {}: {error}", directory.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
