//! Completion in shells: the scripts, and the candidates that they ask the program for.

mod line;
mod values;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_complete::engine::complete;
use clap_complete::env::{CompleteEnv, Elvish, EnvCompleter, Powershell, Shells};

use super::printable::is_obeyed;
use line::Line;
use values::with_completers;

/// The variable that asks the program for candidates; its value is the shell.
const VARIABLE: &str = "REGSHAPE_COMPLETE";

/// The index of the word to complete.
const INDEX_VARIABLE: &str = "_CLAP_COMPLETE_INDEX";

/// Returns the script of a shell, to be sourced.
pub(crate) fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let by_clap = |completer: &dyn EnvCompleter| {
        let mut script = Vec::new();
        completer.write_registration(VARIABLE, "regshape", "regshape", "regshape", &mut script)?;
        Ok(script)
    };
    match shell {
        Shell::Bash => Ok(include_bytes!("regshape.bash").to_vec()),
        Shell::Zsh => Ok(include_bytes!("regshape.zsh").to_vec()),
        Shell::Fish => Ok(include_bytes!("regshape.fish").to_vec()),
        Shell::Elvish => by_clap(&Elvish),
        Shell::PowerShell => by_clap(&Powershell),
        shell => Err(io::Error::other(format!("no script for {shell}"))),
    }
}

/// Prints candidates if a shell asks for them; returns whether it did.
pub(crate) fn answer(words: &[OsString], command: fn() -> Command) -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    let line = Line::of(words, &command());
    let shells = Shells(&[&Lines("bash"), &Lines("zsh"), &Lines("fish"), &Elvish, &Powershell]);
    let environment = CompleteEnv::with_factory(|| with_completers(command(), &line)).var(VARIABLE).shells(shells);
    let directory = std::env::current_dir().ok();
    // A shell has no place for errors: it then has no candidates.
    environment.try_complete(words.iter().cloned(), directory.as_deref()).is_ok_and(|is_done| is_done)
}

/// A shell whose script reads a candidate from each line: its value, a tab, its help.
struct Lines(&'static str);

impl EnvCompleter for Lines {
    fn name(&self) -> &'static str {
        self.0
    }

    fn is(&self, name: &str) -> bool {
        name == self.0
    }

    fn write_registration(&self, _: &str, _: &str, _: &str, _: &str, script: &mut dyn Write) -> io::Result<()> {
        let shell = match self.0 {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            _ => Shell::Fish,
        };
        script.write_all(&self::script(shell)?)
    }

    fn write_complete(
        &self,
        command: &mut Command,
        mut words: Vec<OsString>,
        directory: Option<&Path>,
        output: &mut dyn Write,
    ) -> io::Result<()> {
        let index = std::env::var(INDEX_VARIABLE).ok().and_then(|index| index.parse().ok());
        let index = index.unwrap_or(words.len().saturating_sub(1));
        // zsh leaves out an empty last word.
        words.resize_with(words.len().max(index + 1), OsString::new);
        let is_flag = |word: &OsStr| word.as_encoded_bytes().starts_with(b"-");
        let wants_flag = is_flag(&words[index]);
        let typed = words[index].to_string_lossy().into_owned();
        let mut candidates = complete(command, words.clone(), index, directory)?;
        // Flags are offered only where a word begins like one, or nothing else fits.
        if !wants_flag && candidates.iter().any(|candidate| !is_flag(candidate.get_value())) {
            candidates.retain(|candidate| !is_flag(candidate.get_value()));
        }
        let parent = words[1..index]
            .iter()
            .filter_map(|word| word.to_str())
            .fold(&*command, |command, word| command.find_subcommand(word).unwrap_or(command));
        for candidate in candidates {
            let value = candidate.get_value().to_string_lossy();
            // clap offers an alias in place of the name that sorts behind it.
            let name = parent.find_subcommand(&*value).map(Command::get_name);
            let value = name.filter(|name| name.starts_with(&*typed)).map_or(value, |name| name.to_owned().into());
            // Other programs may write any text as a tag; a terminal must not obey it.
            if value.chars().any(is_obeyed) {
                continue;
            }
            write!(output, "{value}")?;
            if let Some(help) = candidate.get_help().filter(|_| self.0 != "bash") {
                write!(output, "\t{}", help.to_string().lines().next().unwrap_or_default())?;
            }
            writeln!(output)?;
        }
        Ok(())
    }
}
