//! The files and layers of a build, in the order of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::layer_args::{SourceArgs, SourceWord, in_order, positions};
use super::usage::Usage;

/// A layer of a build.
#[derive(Clone, Debug)]
pub(crate) enum LayerWord {
    /// Files and directories that make one layer.
    Files(Vec<SourceWord>),
    /// A tar, or a compressed tar.
    Tar(PathBuf),
}

/// `--copy`, `--mtree`, `--layer` and `--next-layer`, in the order of the command line.
#[derive(Debug, Default)]
pub(crate) struct BuildInputs {
    words: Vec<Word>,
}

#[derive(Clone, Debug)]
enum Word {
    Source(SourceWord),
    Tar(PathBuf),
    NextLayer,
}

const LAYER: &str = "layer";
const NEXT_LAYER: &str = "next_layer";

impl BuildInputs {
    /// Returns the layers: sources that follow each other make one.
    ///
    /// # Errors
    ///
    /// [`Usage`] if a layer has no files.
    pub(crate) fn layers(self) -> Result<Vec<LayerWord>, Usage> {
        let mut layers = Vec::new();
        let mut files: Vec<SourceWord> = Vec::new();
        let end = |files: &mut Vec<SourceWord>, layers: &mut Vec<LayerWord>| {
            if !files.is_empty() {
                layers.push(LayerWord::Files(std::mem::take(files)));
            }
        };
        // A separator ends the sources before it.
        let mut is_begun = false;
        for word in self.words {
            match word {
                Word::Source(source) => files.push(source),
                Word::Tar(path) => {
                    end(&mut files, &mut layers);
                    layers.push(LayerWord::Tar(path));
                }
                Word::NextLayer if files.is_empty() => return Err(empty_layer()),
                Word::NextLayer => {
                    end(&mut files, &mut layers);
                    is_begun = true;
                    continue;
                }
            }
            is_begun = false;
        }
        if is_begun {
            return Err(empty_layer());
        }
        end(&mut files, &mut layers);
        Ok(layers)
    }
}

fn empty_layer() -> Usage {
    Usage("--next-layer stands between --copy or --mtree of two layers; the layer here is empty".to_owned())
}

impl clap::Args for BuildInputs {
    fn augment_args(command: Command) -> Command {
        SourceArgs::augment_args(command)
            .arg(
                Arg::new(LAYER)
                    .long("layer")
                    .value_name("TAR")
                    .help("Tar or compressed tar to add as a layer; repeatable")
                    .action(ArgAction::Append)
                    .value_parser(clap::value_parser!(PathBuf)),
            )
            .arg(
                Arg::new(NEXT_LAYER)
                    .long("next-layer")
                    .help("Begin another layer with the next --copy or --mtree")
                    .action(ArgAction::Append)
                    .num_args(0)
                    .default_missing_value("true")
                    .value_parser(clap::value_parser!(OsString))
                    .hide_short_help(true),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for BuildInputs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let sources = SourceArgs::with_positions(matches).into_iter().map(|(at, word)| (at, Word::Source(word)));
        let tars = matches.get_many::<PathBuf>(LAYER).into_iter().flatten();
        let tars = positions(matches, LAYER).zip(tars.map(|path| Word::Tar(path.clone())));
        let next = positions(matches, NEXT_LAYER).map(|at| (at, Word::NextLayer));
        Ok(Self { words: in_order(sources.chain(tars).chain(next)) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
