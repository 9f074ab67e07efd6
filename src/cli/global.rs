//! The flags that every command takes.

use std::path::PathBuf;

use clap::Args;

/// The flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Show causes of errors and defaults that were chosen
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// Print digests and names only
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Also append telemetry to FILE
    #[arg(long, global = true, value_name = "FILE", help_heading = "Telemetry", hide_short_help = true)]
    pub(crate) log_file: Option<PathBuf>,
    /// Speak plain HTTP to registries
    #[cfg(feature = "remote")]
    #[arg(id = "root_insecure", long = "insecure", hide = true)]
    pub(crate) insecure: bool,
}
