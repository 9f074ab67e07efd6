//! The flags that every command takes.

use std::path::PathBuf;

use clap::Args;

/// The flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Show causes of errors, and which defaults were taken
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// Print digests and names only
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Append telemetry to FILE too
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) log_file: Option<PathBuf>,
}
