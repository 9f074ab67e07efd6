//! Arguments that several commands share.

use std::fmt;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use regshape::Error;
use regshape::compress::Bounds;
use regshape::layout::Layout;
use regshape::oci::{
    AnnotationChange, Annotations, Platform, PlatformError, PlatformWordError, check_architecture, check_os,
};
use regshape::registry::Page;

use super::output::printable;
use super::telemetry::TelemetryArgs;
use super::template::Template;
use super::usage::Usage;

/// The variable that names the layout where the command line does not.
pub(crate) const LAYOUT_VARIABLE: &str = "REGSHAPE_LAYOUT";

/// The arguments of a command on one layout without positional arguments of its own: the path may stand without its flag.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Layout [default: $REGSHAPE_LAYOUT or .]
    #[arg(short, long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Layout, instead of --path
    #[arg(id = "dir", value_name = "DIR", conflicts_with = "path")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    _base: Base,
}

/// The arguments of a command on one layout that has positional arguments of its own.
#[derive(Debug, Args)]
pub(crate) struct PathFlag {
    /// Layout [default: $REGSHAPE_LAYOUT or .]
    #[arg(short, long, value_name = "DIR")]
    path: Option<PathBuf>,
    #[command(flatten)]
    _base: Base,
}

impl Common {
    /// Returns the path of the layout.
    ///
    /// # Errors
    ///
    /// [`Usage`] if neither the command line nor the environment names one, and the working directory is no layout.
    pub(crate) fn path(&self) -> Result<PathBuf, Usage> {
        layout_path(self.path.as_ref().or(self.directory.as_ref()))
    }

    /// Returns the path of a layout that is made: the working directory is not taken for it.
    pub(crate) fn new_path(&self) -> Result<PathBuf, Usage> {
        let given = self.path.clone().or_else(|| self.directory.clone()).or_else(named_by_environment);
        given.ok_or_else(|| Usage(format!("which directory? name it with -p DIR or {LAYOUT_VARIABLE}")))
    }
}

impl PathFlag {
    /// Returns the path of the layout, as [`Common::path`] does.
    pub(crate) fn path(&self) -> Result<PathBuf, Usage> {
        layout_path(self.path.as_ref())
    }

    /// Adds to the error of a missing layout or reference that a word that may be one was read as an argument.
    pub(crate) fn explain(&self, error: anyhow::Error, word: &str, argument: &str) -> anyhow::Error {
        let may_be_path = word.contains([':', '@', '/']) || Layout::is_at(word);
        match error.downcast_ref::<Usage>() {
            Some(Usage(text)) if self.path.is_none() && may_be_path => {
                let word = printable(word);
                Usage(format!("{text}; '{word}' was read as {argument}: use -p {word} if it is the layout")).into()
            }
            _ => error,
        }
    }
}

/// Returns the path of a layout: as given, or as the environment has it, or the working directory if that is a layout.
pub(crate) fn layout_path(given: Option<&PathBuf>) -> Result<PathBuf, Usage> {
    let here = || Some(PathBuf::from(".")).filter(|here| Layout::is_at(here));
    let path = given.cloned().or_else(named_by_environment).or_else(here);
    path.ok_or_else(|| {
        Usage(format!("which layout? name it with -p DIR or {LAYOUT_VARIABLE}, or run the command in a layout"))
    })
}

fn named_by_environment() -> Option<PathBuf> {
    std::env::var_os(LAYOUT_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The arguments of every command on layouts. They stand among its own in `--help`; their values are read from the matches, in
/// one place, before the command runs.
#[derive(Debug, Args)]
pub(crate) struct Base {
    /// Print the result as JSON
    #[arg(long, display_order = 900)]
    pub(crate) json: bool,
    /// Print the result by a template, e.g. '{digest} {size}'
    #[arg(long, value_name = "TEMPLATE", display_order = 901, hide_short_help = true, conflicts_with = "json")]
    pub(crate) template: Option<Template>,
    /// Do not shorten digests and lines on a terminal
    #[arg(long, display_order = 902, hide_short_help = true)]
    pub(crate) no_trunc: bool,
    /// Allow blobs/ to be a symlink to a store outside the layout
    #[arg(long, help_heading = "Storage", hide_short_help = true)]
    pub(crate) shared_blobs: bool,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// Annotations, which a command may require.
#[derive(Debug, Args)]
pub(crate) struct AnnotationArgs {
    /// Annotation to set; repeatable
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
}

/// Annotations to set and to remove: at least one of either.
#[derive(Debug, Args)]
pub(crate) struct AnnotationEditArgs {
    /// Annotation to set; repeatable
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    #[arg(required_unless_present = "unset_annotation")]
    annotation: Vec<(String, String)>,
    /// Annotation to remove; repeatable
    #[arg(long, value_name = "KEY", conflicts_with = "replace")]
    unset_annotation: Vec<String>,
    /// Remove the other annotations
    #[arg(long)]
    replace: bool,
}

impl AnnotationEditArgs {
    /// Returns how the annotations change.
    pub(crate) fn change(&self) -> AnnotationChange {
        let annotations: Annotations = self.annotation.iter().cloned().collect();
        match (self.replace, self.unset_annotation.is_empty()) {
            (true, _) => AnnotationChange::Replace(annotations),
            (false, true) => AnnotationChange::Merge(annotations),
            (false, false) => AnnotationChange::Remove(self.unset_annotation.clone(), annotations),
        }
    }
}

/// The flags of commands that write.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Skip fsync: faster, but a power cut can corrupt the layout
    #[arg(long, help_heading = "Storage", hide_short_help = true)]
    pub(crate) no_sync: bool,
    /// Wait at most this long for another writer, e.g. 30s [default: no limit]
    #[arg(
        long,
        help_heading = "Storage",
        hide_short_help = true,
        value_name = "DURATION",
        value_parser = humantime::parse_duration
    )]
    pub(crate) lock_timeout: Option<Duration>,
}

/// How large layers may be without compression.
#[derive(Debug, Args)]
pub(crate) struct BoundsArgs {
    /// Refuse layers of more than this, decompressed [default: 1 TiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits", hide_short_help = true)]
    max_layer_size: Option<u64>,
    /// Refuse layers that decompress to more than 8 GiB and N times their size [default: 200]
    #[arg(long, value_name = "N", help_heading = "Limits", hide_short_help = true)]
    max_ratio: Option<u64>,
}

impl BoundsArgs {
    /// Returns the first of the flags that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let size = self.max_layer_size.map(|_| "--max-layer-size");
        size.or(self.max_ratio.map(|_| "--max-ratio"))
    }

    /// Returns the bounds, the usual ones where nothing else is given.
    pub(crate) fn bounds(&self) -> Bounds {
        let usual = Bounds::default();
        usual
            .max_size(self.max_layer_size.unwrap_or(usual.max_size))
            .max_ratio(self.max_ratio.unwrap_or(usual.max_ratio))
    }
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// List at most N names
    #[arg(long, alias = "n", value_name = "N")]
    limit: Option<usize>,
    /// List names after this one
    #[arg(long, alias = "last", value_name = "NAME")]
    after: Option<String>,
}

impl PageArgs {
    /// Returns the part of the list.
    pub(crate) fn page(&self) -> Page {
        let mut page = Page::default();
        (page.after, page.limit) = (self.after.clone(), self.limit);
        page
    }
}

/// Which image of an index.
#[derive(Debug, Args)]
pub(crate) struct PlatformArg {
    /// Platform of an index's image, e.g. linux/arm64/v8
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
}

impl PlatformArg {
    /// Returns the platform.
    pub(crate) fn platform(&self) -> anyhow::Result<Option<Platform>> {
        self.platform.as_deref().map(parse_platform).transpose()
    }
}

/// The flag of commands that take the images for several platforms.
#[derive(Debug, Args)]
pub(crate) struct PlatformsArg {
    /// Take only images for this platform, e.g. linux/arm64; repeatable
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<String>,
}

impl PlatformsArg {
    /// Returns the platforms.
    pub(crate) fn platforms(&self) -> anyhow::Result<Vec<Platform>> {
        self.platforms.iter().map(|platform| parse_platform(platform)).collect()
    }
}

/// Reads a platform. An operating system alone could mean any architecture.
pub(crate) fn parse_platform(text: &str) -> anyhow::Result<Platform> {
    text.parse().map_err(|error: PlatformError| match &error {
        PlatformError::OsAlone(os) => Usage(format!("{error}; use {os}/ARCHITECTURE, such as {os}/amd64")).into(),
        _ => error.into(),
    })
}

/// A CPU architecture that is to be written, in the word that configs have for it.
#[derive(Debug)]
pub(crate) struct Architecture(pub(crate) String);

impl FromStr for Architecture {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        check_architecture(word).map_err(|error| with_right_word(&error))?;
        Ok(Self(said("--architecture", word.to_owned())?))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operating system that is to be written, in the word that configs have for it.
#[derive(Debug)]
pub(crate) struct Os(pub(crate) String);

impl FromStr for Os {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        check_os(word).map_err(|error| with_right_word(&error))?;
        Ok(Self(said("--os", word.to_owned())?))
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn with_right_word(error: &PlatformWordError) -> anyhow::Error {
    Usage(format!("{error}; use {}", error.right())).into()
}

/// Opens a file that is to be read, and tells its size where that is known; `-` is standard input.
pub(crate) fn open_input(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        ensure!(!io::stdin().is_terminal(), "standard input is a terminal; pipe the content into it");
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let (file, size) = regshape::internals::open_input(path)?;
    Ok((Box::new(file), size))
}

/// Reads a document from a path; `-` is standard input.
pub(crate) fn read_document(path: &Path) -> anyhow::Result<Vec<u8>> {
    /// More than any document may have.
    const LIMIT: u64 = 64 * 1024 * 1024;
    let (reader, _) = open_input(path)?;
    let mut content = Vec::new();
    let read = reader.take(LIMIT + 1).read_to_end(&mut content);
    read.map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    if content.len() as u64 > LIMIT {
        return Err(Error::TooLarge { what: path.display().to_string(), limit: LIMIT }.into());
    }
    Ok(content)
}

/// The flag of commands that ask questions.
#[derive(Debug, Args)]
pub(crate) struct YesArg {
    /// Ask nothing, accept the defaults
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl AnnotationArgs {
    /// Returns whether there are annotations.
    pub(crate) fn is_given(&self) -> bool {
        !self.annotation.is_empty()
    }

    /// Returns the annotations; of a key that is given twice the last counts.
    pub(crate) fn annotations(self) -> Annotations {
        self.annotation.into_iter().collect()
    }
}

/// Reads `KEY=VALUE`. The value may be empty and may hold more equal signs.
pub(crate) fn parse_annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the key is empty; expected KEY=VALUE".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Returns the value of a flag, which must say something.
fn said(flag: &str, value: String) -> anyhow::Result<String> {
    anyhow::ensure!(!value.trim().is_empty(), "the value of {flag} is empty");
    Ok(value)
}
