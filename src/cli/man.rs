//! `regshape man`: prints the manual page, opens it on a terminal, or writes the pages of all commands.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, ExitCode};
#[cfg(unix)]
use std::sync::Arc;

use anyhow::anyhow;

use super::man_page::page;
use super::output::write_stdout;

/// Shows the page of the root command, or writes those of all commands into a directory.
pub(crate) fn run(mut command: clap::Command, directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    command = command.disable_help_subcommand(true);
    command.build();
    match directory {
        None => {
            let page = page(&command, "regshape")?;
            match io::stdout().is_terminal() && is_opened(&page) {
                true => Ok(ExitCode::SUCCESS),
                false => write_stdout(&page),
            }
        }
        Some(directory) => {
            let failed = |error| anyhow!("failed to write manual pages to {}: {error}", directory.display());
            fs::create_dir_all(directory).map_err(failed)?;
            write_pages(&command, "regshape", directory).map_err(failed)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes the page of a command, and those of its subcommands.
fn write_pages(command: &clap::Command, words: &str, directory: &Path) -> io::Result<()> {
    fs::write(directory.join(format!("{}.1", words.replace(' ', "-"))), page(command, words)?)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, &format!("{words} {}", subcommand.get_name()), directory)?;
    }
    Ok(())
}

/// Opens a page with man(1); returns whether that was possible.
fn is_opened(page: &[u8]) -> bool {
    let Ok(directory) = tempfile::tempdir() else { return false };
    let path = directory.path().join("regshape.1");
    // Ctrl-C is for the pager, as with man(1) itself.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default());
    fs::write(&path, page).is_ok() && Command::new("man").arg(&path).status().is_ok()
}
