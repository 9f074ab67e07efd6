//! The words of the command line that is being completed. clap gives a completer the current word alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Command;
use regshape::layout::Layout;

use crate::cli::args::LAYOUT_VARIABLE;
use crate::cli::path_reference::PathReference;

/// The words of a command line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    words: Vec<OsString>,
    /// The flags of all commands that have a value.
    value_flags: BTreeSet<String>,
}

impl Line {
    /// Takes the words after the first `--`, as the scripts of shells pass them; the last one is being completed.
    pub(crate) fn of(words: &[OsString], command: &Command) -> Self {
        let start = words.iter().position(|word| word == "--").map_or(words.len(), |at| at + 1);
        // Without the name of the program.
        let words = words[start..].iter().skip(1).cloned().collect();
        let mut value_flags = BTreeSet::new();
        collect_value_flags(command, &mut value_flags);
        Self { words, value_flags }
    }

    /// Returns the layout of the command: that of the flag, of the first positional path, of the environment, or the working
    /// directory.
    pub(crate) fn layout(&self) -> Option<Layout> {
        let by_environment = || std::env::var_os(LAYOUT_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let paths =
            self.flag().into_iter().chain(self.positionals()).chain(by_environment()).chain([PathBuf::from(".")]);
        paths.map(|path| PathReference::find(&path, false).directory).find_map(|path| Layout::open(path).ok())
    }

    /// Returns the value of `--path`.
    fn flag(&self) -> Option<PathBuf> {
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            if word == "-p" || word == "--path" {
                return words.next().map(PathBuf::from);
            }
            let value = word.to_str().and_then(|word| word.strip_prefix("--path=").or_else(|| word.strip_prefix("-p")));
            if let Some(value) = value {
                return Some(value.into());
            }
        }
        None
    }

    /// Returns the words that may be paths: no flags and no values of flags. The names of commands are among them.
    fn positionals(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut is_value = false;
        for word in self.words.iter().rev().skip(1).rev() {
            let is_flag = word.as_encoded_bytes().starts_with(b"-") && word.len() > 1;
            if !is_flag && !is_value {
                found.push(PathBuf::from(word));
            }
            is_value = word.to_str().is_some_and(|word| self.value_flags.contains(word));
        }
        found
    }
}

fn collect_value_flags(command: &Command, flags: &mut BTreeSet<String>) {
    for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
        flags.extend(arg.get_short().map(|short| format!("-{short}")));
        flags.extend(arg.get_long().map(|long| format!("--{long}")));
    }
    command.get_subcommands().for_each(|subcommand| collect_value_flags(subcommand, flags));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn line(words: &str) -> Line {
        let export = Command::new("export").arg(Arg::new("output").short('o')).arg(Arg::new("ref").long("ref"));
        let words: Vec<_> = words.split(' ').map(OsString::from).collect();
        Line::of(&words, &Command::new("regshape").subcommand(export))
    }

    #[test]
    fn the_path_is_found_among_the_words() {
        let flag = |words: &str| line(words).flag();
        assert_eq!(flag("regshape -- regshape tag delete -p app v"), Some("app".into()));
        assert_eq!(flag("regshape -- regshape tag delete --path=app v"), Some("app".into()));
        assert_eq!(flag("regshape -- regshape tag delete -papp v"), Some("app".into()));
        assert_eq!(flag("regshape -- regshape ls app"), None);
        let words = "regshape -- regshape export app -o out.tar --ref v";
        assert_eq!(line(words).positionals(), ["export", "app"].map(PathBuf::from));
    }
}
