//! The flags of layers that are made of files: sources, and the attributes of their entries.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use regshape::build::copy::{
    Capabilities, CopyAttributes, CopyOptions, CopySource, Destination, ImageGlob, ModeChange, OwnerRule, OwnerSpec,
    PathRule, TimeRule,
};

use super::args::open_input;
use super::time::Time;
use super::usage::Usage;

/// The group of the flags that name files for a layer.
const FILES: &str = "files";

/// The flags of a layer that is made of files.
#[derive(Debug, clap::Args)]
pub(crate) struct LayerArgs {
    /// Owner [default: 0:0]
    ///
    /// A number alone is the group too.
    #[arg(long, value_name = "UID[:GID]", requires = FILES, conflicts_with = "preserve_owner", allow_hyphen_values = true)]
    owner: Option<OwnerSpec>,
    /// Keep the owners that files have on disk
    #[arg(long, requires = FILES, hide_short_help = true)]
    preserve_owner: bool,
    /// Change of modes, e.g. go=u-w or 0755
    #[arg(long, value_name = "MODE", requires = FILES, hide_short_help = true, allow_hyphen_values = true)]
    chmod: Option<ModeChange>,
    /// Modification time [default: SOURCE_DATE_EPOCH, else 0]
    ///
    /// RFC 3339, @SECONDS since 1970, or now.
    #[arg(long, value_name = "TIME", requires = FILES, hide_short_help = true, allow_hyphen_values = true)]
    mtime: Option<Time>,
    /// Keep modification times up to this one
    #[arg(long, value_name = "TIME", requires = FILES, hide_short_help = true, conflicts_with = "mtime")]
    #[arg(allow_hyphen_values = true)]
    clamp_mtime: Option<Time>,
    /// Keep modification times
    #[arg(long, requires = FILES, hide_short_help = true, conflicts_with_all = ["mtime", "clamp_mtime"])]
    preserve_times: bool,
    #[command(flatten)]
    rules: RuleArgs,
    /// Extended attributes to keep besides capabilities, e.g. 'user.*'; repeatable
    #[arg(long, value_name = "GLOB", requires = FILES, hide_short_help = true, value_parser = parse_xattr)]
    xattr: Vec<String>,
    /// Capabilities of a file, e.g. /bin/ping=cap_net_raw+ep; repeatable
    #[arg(long, value_name = "PATH=CAPS", requires = FILES, hide_short_help = true, value_parser = parse_capability)]
    cap: Vec<(Destination, Capabilities)>,
    /// Owner of paths in the image, e.g. '/var/lib/app/**=33:33'; repeatable
    #[arg(long, value_name = "GLOB=UID:GID", requires = FILES, hide_short_help = true, value_parser = parse_owner_of)]
    owner_of: Vec<(ImageGlob, OwnerSpec)>,
    /// Turn the marks of overlayfs for deleted files into whiteouts
    #[arg(long, requires = FILES, hide_short_help = true)]
    overlay: bool,
    /// Let the last of several sources for one path win
    #[arg(long, requires = FILES, hide_short_help = true)]
    overwrite: bool,
    /// Replace links of the layers below by directories, instead of following them
    #[arg(long, requires = FILES, hide_short_help = true)]
    replace_links: bool,
    /// Enter directories on other devices
    #[arg(long, requires = FILES, hide_short_help = true)]
    cross_devices: bool,
    /// Leave out files that cannot be read
    #[arg(long, requires = FILES, hide_short_help = true)]
    skip_unreadable: bool,
    /// Allow a source without files
    #[arg(long, requires = FILES, hide_short_help = true)]
    allow_empty: bool,
    /// Write an entry for the root directory
    #[arg(long, requires = FILES, hide_short_help = true)]
    root_entry: bool,
    /// Command for the image's history
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub(crate) created_by: Option<String>,
}

impl LayerArgs {
    /// Returns the options of a layer of the given sources.
    ///
    /// # Errors
    ///
    /// A file of excludes that cannot be read.
    pub(crate) fn options(&self, sources: Vec<CopySource>, source_date: i64) -> anyhow::Result<CopyOptions> {
        let mut attributes = CopyAttributes::default();
        attributes.owner = match &self.owner {
            Some(owner) => Some(OwnerRule::Set(owner.clone())),
            None => self.preserve_owner.then_some(OwnerRule::Preserve),
        };
        attributes.mode = self.chmod.clone();
        let clamp = self.clamp_mtime.map(Time::seconds);
        attributes.modified = Some(match (self.mtime, clamp) {
            (Some(time), _) => TimeRule::Set(time.seconds()),
            (None, Some(time)) => TimeRule::Clamp(time),
            (None, None) if self.preserve_times => TimeRule::Preserve,
            (None, None) => TimeRule::Set(source_date),
        });
        let parent_time = self.mtime.map(Time::seconds).or(clamp).unwrap_or(source_date);
        Ok(CopyOptions::default()
            .sources(sources)
            .attributes(attributes)
            .parent_time(parent_time)
            .rules(self.rules.read()?)
            .xattrs(self.xattr.clone())
            .capabilities(self.cap.clone())
            .owners(self.owner_of.clone())
            .converts_overlay(self.overlay)
            .overwrites(self.overwrite)
            .replaces_links(self.replace_links)
            .crosses_devices(self.cross_devices)
            .skips_unreadable(self.skip_unreadable)
            .allows_empty(self.allow_empty)
            .has_root_entry(self.root_entry))
    }
}

impl LayerArgs {
    /// Returns the options of a layer of changes: owners and times are those on disk, times up to SOURCE_DATE_EPOCH.
    ///
    /// # Errors
    ///
    /// Those of [`LayerArgs::options`].
    pub(crate) fn changes(&self, source_date: Option<i64>) -> anyhow::Result<CopyOptions> {
        let mut options = self.options(Vec::new(), source_date.unwrap_or(0))?;
        options.attributes.owner.get_or_insert(OwnerRule::Preserve);
        if self.mtime.is_none() && self.clamp_mtime.is_none() && !self.preserve_times {
            options.attributes.modified = Some(source_date.map_or(TimeRule::Preserve, TimeRule::Clamp));
        }
        Ok(options)
    }
}

/// `--copy` and `--mtree` in the order of the command line.
#[derive(Debug, Default)]
pub(crate) struct SourceArgs {
    words: Vec<SourceWord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceWord {
    Copy(OsString),
    Mtree(PathBuf),
}

const COPY: &str = "copy";
const MTREE: &str = "mtree";

impl SourceArgs {
    /// Returns the sources.
    pub(crate) fn sources(&self) -> Result<Vec<CopySource>, Usage> {
        self.words.iter().map(SourceWord::source).collect()
    }

    /// Returns the sources with their positions in the command line.
    pub(crate) fn with_positions(matches: &ArgMatches) -> Vec<(usize, SourceWord)> {
        let copies = matches.get_many::<OsString>(COPY).into_iter().flatten();
        let mtrees = matches.get_many::<PathBuf>(MTREE).into_iter().flatten();
        let copies = positions(matches, COPY).zip(copies.map(|word| SourceWord::Copy(word.clone())));
        copies.chain(positions(matches, MTREE).zip(mtrees.map(|path| SourceWord::Mtree(path.clone())))).collect()
    }
}

impl SourceWord {
    /// Returns the source.
    pub(crate) fn source(&self) -> Result<CopySource, Usage> {
        match self {
            Self::Copy(word) => copy_source(word),
            Self::Mtree(path) => Ok(CopySource::mtree(path)),
        }
    }
}

impl clap::Args for SourceArgs {
    fn augment_args(command: Command) -> Command {
        let arg = |id, name, help| {
            let arg = Arg::new(id).long(id).value_name(name).help(help);
            arg.action(ArgAction::Append).group(FILES)
        };
        let copy = arg(COPY, "SRC[:DST]", "File or directory to copy; repeatable").short('c');
        let mtree = arg(MTREE, "FILE", "mtree file whose entries are copied; repeatable").hide_short_help(true);
        command
            .group(ArgGroup::new(FILES).multiple(true))
            .arg(copy.value_parser(clap::value_parser!(OsString)))
            .arg(mtree.value_parser(clap::value_parser!(PathBuf)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SourceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { words: in_order(Self::with_positions(matches).into_iter()) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the positions of the values of an argument in the command line.
pub(crate) fn positions<'m>(matches: &'m ArgMatches, id: &str) -> impl Iterator<Item = usize> + use<'m> {
    let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
    matches.indices_of(id).filter(|_| is_given).into_iter().flatten()
}

/// Returns words in the order of their positions.
pub(crate) fn in_order<T>(words: impl Iterator<Item = (usize, T)>) -> Vec<T> {
    let mut words: Vec<_> = words.collect();
    words.sort_by_key(|(at, _)| *at);
    words.into_iter().map(|(_, word)| word).collect()
}

/// `--exclude`, `--include` and `--exclude-from` in the order of the command line.
#[derive(Debug, Default)]
struct RuleArgs {
    rules: Vec<RuleWord>,
}

#[derive(Clone, Debug)]
enum RuleWord {
    Rule(PathRule),
    File(PathBuf),
}

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";
const EXCLUDE_FROM: &str = "exclude_from";

impl RuleArgs {
    /// Returns the rules, with those of files in the place of the files.
    fn read(&self) -> anyhow::Result<Vec<PathRule>> {
        let mut rules = Vec::new();
        for word in &self.rules {
            match word {
                RuleWord::Rule(rule) => rules.push(rule.clone()),
                RuleWord::File(path) => rules.extend(read_excludes(path)?),
            }
        }
        Ok(rules)
    }
}

/// Reads a file of excludes: a glob a line. Empty lines and lines that begin with `#` are skipped.
fn read_excludes(path: &Path) -> anyhow::Result<Vec<PathRule>> {
    let (mut reader, _) = open_input(path)?;
    let mut text = String::new();
    let read = reader.read_to_string(&mut text);
    read.map_err(|source| regshape::Error::Io { action: "read", path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()));
    let globs = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let rule = |(number, line): (usize, &str)| match line.parse() {
        Ok(glob) => Ok(PathRule::exclude(glob)),
        Err(error) => Err(anyhow::anyhow!("line {number} of {}: {error}", path.display())),
    };
    globs.map(rule).collect()
}

impl clap::Args for RuleArgs {
    fn augment_args(command: Command) -> Command {
        let glob = |id, help| {
            let arg = Arg::new(id).long(id).value_name("GLOB").help(help);
            arg.action(ArgAction::Append).requires(FILES).value_parser(str::parse::<ImageGlob>)
        };
        command
            .arg(glob(EXCLUDE, "Leave out paths below SRC; repeatable"))
            .arg(
                glob(INCLUDE, "Take paths below SRC; the last rule that matches counts")
                    .long_help("Take paths below SRC; of excludes and includes the last one that matches a path or a directory above it counts.\nWhere the first rule is an include, all other paths are left out")
                    .hide_short_help(true),
            )
            .arg(
                Arg::new(EXCLUDE_FROM)
                    .long("exclude-from")
                    .value_name("FILE")
                    .help("Leave out the globs in a file, one a line")
                    .action(ArgAction::Append)
                    .requires(FILES)
                    .hide_short_help(true)
                    .value_parser(clap::value_parser!(PathBuf)),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for RuleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let globs = |id: &str| matches.get_many::<ImageGlob>(id).into_iter().flatten().cloned();
        let excludes = globs(EXCLUDE).map(|glob| RuleWord::Rule(PathRule::exclude(glob)));
        let includes = globs(INCLUDE).map(|glob| RuleWord::Rule(PathRule::include(glob)));
        let files = matches.get_many::<PathBuf>(EXCLUDE_FROM).into_iter().flatten();
        let files = files.map(|path| RuleWord::File(path.clone()));
        let words = positions(matches, EXCLUDE).zip(excludes);
        let words = words.chain(positions(matches, INCLUDE).zip(includes));
        Ok(Self { rules: in_order(words.chain(positions(matches, EXCLUDE_FROM).zip(files))) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn parse_xattr(text: &str) -> Result<String, String> {
    text.parse::<ImageGlob>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn parse_capability(text: &str) -> Result<(Destination, Capabilities), String> {
    let (path, capabilities) = text.split_once('=').ok_or("expected PATH=CAPS")?;
    let path = path.parse().map_err(|error: regshape::CopyError| error.to_string())?;
    let capabilities =
        capabilities.parse().map_err(|error: regshape::build::copy::CapabilityError| error.to_string())?;
    Ok((path, capabilities))
}

fn parse_owner_of(text: &str) -> Result<(ImageGlob, OwnerSpec), String> {
    let (glob, owner) = text.rsplit_once('=').ok_or("expected GLOB=UID:GID")?;
    let glob = glob.parse().map_err(|error: regshape::build::copy::GlobError| error.to_string())?;
    Ok((glob, owner.parse().map_err(|error: regshape::build::copy::OwnerError| error.to_string())?))
}

/// Parses the value of `--copy`: `SRC`, `SRC:DST`, or a list of keys that begins with `src=`.
///
/// # Errors
///
/// [`Usage`].
fn copy_source(word: &OsStr) -> Result<CopySource, Usage> {
    let bytes = word.as_encoded_bytes();
    if bytes.starts_with(b"src=") {
        return keys(word);
    }
    if bytes.is_empty() {
        return Err(Usage("the value of --copy is empty; expected SRC[:DST]".to_owned()));
    }
    let colon = bytes.windows(2).rposition(|pair| pair == b":/");
    // A letter and a colon are a drive.
    let colon = colon.filter(|at| !(cfg!(windows) && *at == 1));
    let Some(at) = colon else {
        expect_no_destination(word)?;
        return Ok(CopySource::new(word));
    };
    if at == 0 {
        return Err(Usage(format!("--copy {} has no source; expected SRC[:DST]", word.display())));
    }
    let destination = Destination::new(&bytes[at + 1..]).map_err(|error| Usage(format!("--copy: {error}")))?;
    Ok(CopySource::new(part(word, 0, at)).destination(destination))
}

/// Checks that a source without a destination is not one with a relative destination.
fn expect_no_destination(word: &OsStr) -> Result<(), Usage> {
    let colon = word.as_encoded_bytes().iter().rposition(|byte| *byte == b':').filter(|at| *at > 0);
    let Some(at) = colon.filter(|_| fs::symlink_metadata(word).is_err()) else { return Ok(()) };
    if fs::symlink_metadata(part(word, 0, at)).is_err() {
        return Ok(());
    }
    let destination = Destination::new(&word.as_encoded_bytes()[at + 1..]);
    destination.map(drop).map_err(|error| Usage(format!("--copy: {error}")))
}

/// Returns a part of a word that ends at ASCII characters.
#[cfg(unix)]
fn part(word: &OsStr, start: usize, end: usize) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(&word.as_bytes()[start..end]).to_owned()
}

/// Returns a part of a word that ends at ASCII characters.
#[cfg(not(unix))]
fn part(word: &OsStr, start: usize, end: usize) -> OsString {
    String::from_utf8_lossy(&word.as_encoded_bytes()[start..end]).into_owned().into()
}

/// Parses a list of keys, parted by commas. A part in double quotes may hold commas, as in CSV.
fn keys(word: &OsStr) -> Result<CopySource, Usage> {
    let usage = |text: String| Usage(format!("--copy: {text}"));
    let text = word.to_str().ok_or_else(|| usage("a list of keys must be UTF-8".to_owned()))?;
    let mut source = CopySource::new("");
    let mut seen = Vec::new();
    for part in split(text).map_err(usage)? {
        let (key, value) = part.split_once('=').ok_or_else(|| usage(format!("'{part}' is not KEY=VALUE")))?;
        if !matches!(key, "exclude" | "include") && seen.iter().any(|other| other == key) {
            return Err(usage(format!("the key '{key}' is given twice")));
        }
        seen.push(key.to_owned());
        let failed = |error: &dyn std::fmt::Display| usage(format!("{key}: {error}"));
        match key {
            "src" if value.is_empty() => return Err(usage("src is empty".to_owned())),
            "src" => source.path = value.into(),
            "dst" => source.destination = Some(value.parse().map_err(|error| failed(&error as &regshape::CopyError))?),
            "owner" => {
                let owner = value.parse().map_err(|error: regshape::build::copy::OwnerError| failed(&error))?;
                source.attributes.owner = Some(OwnerRule::Set(owner));
            }
            "chmod" => {
                let mode = value.parse().map_err(|error: regshape::build::copy::ModeError| failed(&error))?;
                source.attributes.mode = Some(mode);
            }
            "mtime" => {
                let time: Time = value.parse().map_err(|error: String| failed(&error))?;
                source.attributes.modified = Some(TimeRule::Set(time.seconds()));
            }
            "exclude" | "include" => {
                let glob = value.parse().map_err(|error: regshape::build::copy::GlobError| failed(&error))?;
                let rule = if key == "include" { PathRule::include(glob) } else { PathRule::exclude(glob) };
                source.rules.push(rule);
            }
            _ => {
                let known = "src, dst, owner, chmod, mtime, exclude, include";
                return Err(usage(format!("unknown key '{key}'; the keys are {known}")));
            }
        }
    }
    Ok(source)
}

/// Splits a list at its commas, except in double quotes. Two double quotes within quotes are one.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut part = String::new();
                let mut quoted = quoted;
                loop {
                    let end = quoted.find('"').ok_or("a double quote is not closed")?;
                    part.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('"') {
                        Some(more) => {
                            part.push('"');
                            quoted = more;
                        }
                        None => break (part, quoted),
                    }
                }
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        parts.push(part);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(parts),
            None => return Err("a comma is missing after a double quote".to_owned()),
        }
    }
}

/// Returns the command that makes a layer of sources, for the history: with the places in the image, without paths of
/// this machine.
pub(crate) fn history_of(sources: &[CopySource]) -> String {
    let mut words = vec!["regshape add layer".to_owned()];
    let copies: Vec<_> = sources.iter().filter(|source| !source.is_mtree()).map(place_of).collect();
    if !copies.is_empty() {
        words.push("--copy".to_owned());
        words.extend(copies);
    }
    if sources.iter().any(CopySource::is_mtree) {
        words.push("--mtree".to_owned());
    }
    words.join(" ")
}

/// Returns the place of a source in the image.
fn place_of(source: &CopySource) -> String {
    match &source.destination {
        Some(destination) => destination.to_string(),
        None if fs::metadata(&source.path).is_ok_and(|metadata| metadata.is_dir()) => "/".to_owned(),
        None => format!("/{}", source.path.file_name().unwrap_or_default().to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(word: &str) -> String {
        copy_source(OsStr::new(word)).expect_err(word).to_string()
    }

    #[test]
    fn a_source_is_split_at_the_last_colon_before_a_slash() {
        for (word, path, destination) in [
            ("app", "app", None),
            ("app:/usr/bin/", "app", Some("/usr/bin/")),
            ("a:/b:/c", "a:/b", Some("/c")),
            ("a:b", "a:b", None),
            ("./a:b:/c", "./a:b", Some("/c")),
        ] {
            let source = copy_source(OsStr::new(word)).expect(word);
            assert_eq!(source.path, Path::new(path));
            assert_eq!(source.destination.map(|destination| destination.to_string()).as_deref(), destination);
        }
    }

    #[test]
    fn a_list_of_keys_has_quotes_as_csv() {
        let word = "src=a,dst=/b,owner=33,\"chmod=u=rwX,go=rX\",mtime=@5,exclude=*.o,include=\"x\"";
        let source = copy_source(OsStr::new(word)).expect(word);
        assert_eq!(source.path, Path::new("a"));
        assert_eq!(source.attributes.mode, Some("u=rwX,go=rX".parse().expect("a mode")));
        assert_eq!(source.attributes.modified, Some(TimeRule::Set(5)));
        assert_eq!(source.attributes.owner, Some(OwnerRule::Set("33".parse().expect("an owner"))));
        assert_eq!(source.rules.iter().map(|rule| rule.glob.as_str()).collect::<Vec<_>>(), ["*.o", "\"x\""]);
        let quoted = copy_source(OsStr::new("src=a,\"dst=/a\"\"b,c\"")).expect("a source");
        assert_eq!(quoted.destination.expect("one").to_string(), "/a\\\"b,c");
    }

    #[test]
    fn a_source_that_cannot_be_read_is_wrong_usage() {
        for (word, expected) in [
            ("", "the value of --copy is empty; expected SRC[:DST]"),
            (":/a", "--copy :/a has no source; expected SRC[:DST]"),
            ("a:/../b", "--copy: destination '/../b' contains '..'"),
            ("src=", "--copy: src is empty"),
            ("src=a,dst=b", "--copy: dst: destination 'b' is not absolute"),
            ("src=a,src=b", "--copy: the key 'src' is given twice"),
            ("src:a", "--copy: destination 'a' is not absolute"),
            ("src=a,mod=1", "--copy: unknown key 'mod'; the keys are src, dst, owner, chmod, mtime, exclude, include"),
            ("src=a,x", "--copy: 'x' is not KEY=VALUE"),
            ("src=a,\"dst=/b", "--copy: a double quote is not closed"),
            ("src=a,\"dst=/b\"c", "--copy: a comma is missing after a double quote"),
            (
                "src=a,owner=-1",
                "--copy: owner: '-1' is not an owner; expected UID[:GID], with numbers from 0 to 4294967294 or names",
            ),
        ] {
            assert_eq!(report(word), expected);
        }
    }
}
