//! The root command, its global flags, and their use.

mod args;
mod build_args;
mod completion;
mod compression_args;
mod config_args;
#[cfg(feature = "remote")]
mod connection_args;
mod context;
mod error;
mod error_code;
mod global;
mod layer_args;
mod layout;
mod man;
mod man_page;
mod output;
mod path_reference;
mod printable;
mod progress;
mod prompt;
#[cfg(feature = "remote")]
mod registry;
mod result_keys;
mod signals;
mod style;
mod telemetry;
mod template;
mod time;
#[cfg(feature = "remote")]
mod transfer_progress;
mod usage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use context::Invocation;
use error::ReportOptions;
use global::Global;

/// Build, edit, check, merge and move OCI image layouts on the local disk.
///
/// No daemon and no root: a layout is a directory. Only push, pull, ping, auth and inspect -s connect to a registry.
#[derive(Debug, Parser)]
#[command(
    name = "regshape",
    version,
    arg_required_else_help = true,
    after_help = concat!(
        "Example:\n  regshape init ./my-image\n  regshape add layer ./my-image --file ./rootfs.tar\n\n",
        "Docs:   ",
        env!("CARGO_PKG_REPOSITORY"),
        "/tree/main/docs\nIssues: ",
        env!("CARGO_PKG_REPOSITORY"),
        "/issues"
    )
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Layout(Box<layout::Group>),
    #[cfg(feature = "remote")]
    Ping(Box<registry::ping::Args>),
    /// Store and remove credentials for registries
    #[cfg(feature = "remote")]
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape auth login -r ghcr.io -u me --password-stdin < token.txt"
    )]
    Auth(Box<registry::auth::Auth>),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  regshape completions bash > /etc/bash_completion.d/regshape")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands
    #[command(after_help = "Example:\n  regshape man ./man1")]
    Man {
        /// Write one page for each command into this directory
        directory: Option<PathBuf>,
    },
}

/// Returns the command tree. The commands on layouts stand at the root too, hidden: `regshape init` is `regshape layout init`, and
/// a mistyped one is corrected.
fn command() -> clap::Command {
    let root = Cli::command();
    let on_layouts: Vec<_> = layout_command(&root).get_subcommands().cloned().collect();
    let takes_name = |name: &str| root.find_subcommand(name).is_none();
    let hidden: Vec<_> = on_layouts
        .into_iter()
        .filter(|command| takes_name(command.get_name()))
        .map(|command| command.hide(true))
        .collect();
    root.subcommands(hidden)
}

fn layout_command(root: &clap::Command) -> &clap::Command {
    root.find_subcommand("layout").expect("it is there")
}

/// Puts the word `layout` before a command on layouts that stands without it.
fn with_layout_word(mut words: Vec<OsString>, root: &clap::Command) -> Vec<OsString> {
    let mut at = 1;
    // The flags of the root, one of which has a value.
    while let Some(word) = words.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        at += if word == "--log-file" { 2 } else { 1 };
    }
    let is_on_layouts = words.get(at).and_then(|word| word.to_str()).is_some_and(|word| {
        root.find_subcommand(word).is_none() && layout_command(root).find_subcommand(word).is_some()
    });
    if is_on_layouts {
        words.insert(at, "layout".into());
    }
    words
}

/// Runs the program: parses the words, does the work, reports errors, and returns the exit status.
pub(crate) fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    signals::survive_file_limit();
    let words: Vec<OsString> = words.into_iter().collect();
    if completion::answer(&words, command) {
        return ExitCode::SUCCESS;
    }
    let root = Cli::command();
    let words = with_layout_word(words, &root);
    let is_comparison = words.iter().skip_while(|word| *word != "layout").nth(1).is_some_and(|word| word == "diff");
    // The hidden commands are there for suggestions, and making them takes longer than many commands.
    let matches = root.try_get_matches_from(&words).or_else(|_| command().try_get_matches_from(words));
    let parsed = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and the version are results; clap knows which stream and which status is right.
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            return match error.print() {
                Err(failure) if status == 0 => {
                    let options = ReportOptions { is_comparison, ..ReportOptions::default() };
                    error::report(&output::stdout_error(failure), options)
                }
                _ => ExitCode::from(status),
            };
        }
    };
    let mut options = ReportOptions { verbose: cli.global.verbose, ..ReportOptions::default() };
    let result = match cli.command {
        Command::Layout(group) => {
            let invocation = Invocation::from_matches(&matches, cli.global).map_err(anyhow::Error::from);
            invocation.and_then(|invocation| {
                options.json = invocation.base.json;
                options.is_of_the_reference = group.is_of_the_reference();
                options.is_comparison = group.is_comparison();
                group.run(&invocation)
            })
        }
        #[cfg(feature = "remote")]
        Command::Ping(args) => run_alone(*args, &matches, cli.global, &mut options),
        #[cfg(feature = "remote")]
        Command::Auth(auth) => match *auth {
            registry::auth::Auth::Login(args) => run_alone(*args, &matches, cli.global, &mut options),
            registry::auth::Auth::Logout(args) => run_alone(args, &matches, cli.global, &mut options),
        },
        Command::Completions { shell } => {
            completion::script(shell).map_err(anyhow::Error::from).and_then(|script| output::write_stdout(&script))
        }
        Command::Man { directory } => man::run(Cli::command(), directory.as_deref()),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            signals::let_end();
            error::report(&error, options)
        }
    }
}

/// Runs a command that is not about layouts.
#[cfg(feature = "remote")]
fn run_alone(
    command: impl context::LayoutCommand,
    matches: &clap::ArgMatches,
    global: Global,
    options: &mut ReportOptions,
) -> anyhow::Result<ExitCode> {
    let invocation = Invocation::from_matches(matches, global)?;
    options.json = invocation.base.json;
    context::execute(command, &invocation)
}
