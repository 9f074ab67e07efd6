//! The flags of a config, which the commands that make or change one share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use regshape::build::{ConfigChanges, ProcessChanges};
use regshape::oci::{
    Annotations, ConfigField, ExposedPort, Healthcheck, Platform, ProcessUser, StopSignal, UnknownFields,
    check_platform, check_variant, from_json, is_known_architecture, is_known_os,
};

use super::args::{parse_annotation, parse_platform, read_document};
use super::layer_args::{in_order, positions};
use super::output::{Ui, printable};
use super::time::Time;
use super::usage::Usage;

/// The flags of the process that an image starts, and of the other fields of its config.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Program to start; repeatable, or a JSON array
    #[arg(long, value_name = "ARG", help_heading = "Process", allow_hyphen_values = true)]
    #[arg(value_parser = parse_entrypoint, conflicts_with = "no_entrypoint")]
    entrypoint: Vec<String>,
    /// Remove the entrypoint
    #[arg(long, help_heading = "Process", hide_short_help = true)]
    no_entrypoint: bool,
    /// Default arguments; repeatable, or a JSON array
    #[arg(long, value_name = "ARG", help_heading = "Process", allow_hyphen_values = true)]
    #[arg(value_parser = parse_cmd, conflicts_with_all = ["shell_cmd", "no_cmd"])]
    cmd: Vec<String>,
    /// Default arguments that run a command in /bin/sh
    #[arg(long, value_name = "COMMAND", help_heading = "Process", hide_short_help = true, allow_hyphen_values = true)]
    #[arg(value_parser = parse_cmd, conflicts_with = "no_cmd")]
    shell_cmd: Option<String>,
    /// Remove the default arguments
    #[arg(long, help_heading = "Process", hide_short_help = true)]
    no_cmd: bool,
    /// Environment variable to set; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Process", value_parser = parse_annotation)]
    env: Vec<(String, String)>,
    /// Environment variable to remove; repeatable
    #[arg(long, value_name = "KEY", help_heading = "Process", hide_short_help = true, value_parser = parse_key)]
    unset_env: Vec<String>,
    /// Replace ${NAME} in --env by the variable's earlier value
    #[arg(long, help_heading = "Process", hide_short_help = true, requires = "env")]
    expand_env: bool,
    /// Working directory
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    workdir: Option<String>,
    /// User name or ID, with a group after a colon
    #[arg(long, value_name = "USER[:GROUP]", help_heading = "Process")]
    user: Option<ProcessUser>,
    /// Port that the process listens on; repeatable
    #[arg(long, value_name = "PORT[/PROTO]", help_heading = "Process")]
    expose: Vec<ExposedPort>,
    /// Port to expose no longer; repeatable
    #[arg(long, value_name = "PORT[/PROTO]", help_heading = "Process", hide_short_help = true)]
    unexpose: Vec<ExposedPort>,
    /// Directory whose data outlives the container; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Process", hide_short_help = true)]
    volume: Vec<String>,
    /// Directory to be a volume no longer; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Process", hide_short_help = true)]
    remove_volume: Vec<String>,
    /// Signal that ends the process, e.g. SIGTERM
    #[arg(long, value_name = "SIGNAL", help_heading = "Process", hide_short_help = true)]
    stop_signal: Option<StopSignal>,
    /// Health check: a command for the shell, or Docker's JSON
    #[arg(long, value_name = "COMMAND", help_heading = "Process", hide_short_help = true, allow_hyphen_values = true)]
    #[arg(conflicts_with = "no_healthcheck")]
    healthcheck: Option<Healthcheck>,
    /// Remove the health check
    #[arg(long, help_heading = "Process", hide_short_help = true)]
    no_healthcheck: bool,
    /// Label to remove; repeatable
    #[arg(long, value_name = "KEY", help_heading = "Config", hide_short_help = true)]
    unset_label: Vec<String>,
    /// Author
    #[arg(long, value_name = "TEXT", help_heading = "Config", hide_short_help = true)]
    author: Option<String>,
    /// Creation time: RFC 3339, @SECONDS or now
    #[arg(long, value_name = "TIME", help_heading = "Config", hide_short_help = true, allow_hyphen_values = true)]
    created: Option<Time>,
    /// Variant of the CPU, e.g. v8
    #[arg(long, value_name = "VARIANT", help_heading = "Config", hide_short_help = true)]
    variant: Option<Variant>,
    /// Version of the operating system, e.g. 10.0.17763.1
    #[arg(long, value_name = "VERSION", help_heading = "Config", hide_short_help = true)]
    os_version: Option<String>,
    /// Feature that the operating system must have; repeatable
    #[arg(long, value_name = "FEATURE", help_heading = "Config", hide_short_help = true)]
    os_feature: Vec<String>,
    /// Text of a history entry without a layer; repeatable
    #[arg(long, value_name = "TEXT", help_heading = "Config", hide_short_help = true, allow_hyphen_values = true)]
    #[arg(conflicts_with = "no_history")]
    history: Vec<String>,
    /// Remove the history
    #[arg(long, help_heading = "Config", hide_short_help = true)]
    no_history: bool,
    /// Image config whose fields replace all but those of layers
    ///
    /// Its rootfs, history and created are not taken. The other flags change the result. - reads standard input.
    #[arg(long, value_name = "FILE", help_heading = "Config", hide_short_help = true)]
    config_file: Option<PathBuf>,
    /// Field to remove, e.g. Entrypoint or os.version; repeatable
    #[arg(long, value_name = "FIELD", help_heading = "Config", hide_short_help = true, value_parser = parse_cleared)]
    clear: Vec<ConfigField>,
}

/// The labels, in the order of the command line. The command reference calls them annotations.
#[derive(Debug)]
pub(crate) struct LabelArgs {
    labels: Vec<(String, String)>,
}

/// The flags of labels. An error names the one that was typed, so neither is an alias.
#[derive(Debug, Args)]
struct LabelFlags {
    /// Label to set; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_annotation)]
    label: Vec<(String, String)>,
    /// Label to set, as --label does
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
}

impl Args for LabelArgs {
    fn augment_args(command: Command) -> Command {
        LabelFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        LabelFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for LabelArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let LabelFlags { label, annotation } = LabelFlags::from_arg_matches(matches)?;
        let labels = positions(matches, "label").zip(label);
        Ok(Self { labels: in_order(labels.chain(positions(matches, "annotation").zip(annotation))) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag that sets a platform as a whole.
#[derive(Debug, Default, Args)]
pub(crate) struct SetPlatformArg {
    /// Platform, instead of --architecture, --os and --variant
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", help_heading = "Config", hide_short_help = true)]
    #[arg(conflicts_with_all = ["architecture", "os", "variant"])]
    platform: Option<WrittenPlatform>,
}

impl LabelArgs {
    /// Returns the labels; of a key that is given twice the last counts.
    pub(crate) fn labels(self) -> Annotations {
        self.labels.into_iter().collect()
    }
}

impl ConfigArgs {
    /// Returns whether history entries are added: then the times of the image are written, too.
    pub(crate) fn adds_history(&self) -> bool {
        !self.history.is_empty()
    }

    /// Returns the changes, with those of a platform that is set as a whole.
    ///
    /// # Errors
    ///
    /// [`Usage`] for arguments that contradict each other; those of reading the config file.
    pub(crate) fn changes(self, platform: SetPlatformArg) -> anyhow::Result<ConfigChanges> {
        let mut process = ProcessChanges::default()
            .env(self.env)
            .unset_env(self.unset_env)
            .expand_env(self.expand_env)
            .exposed(self.expose)
            .unexposed(self.unexpose)
            .volumes(self.volume)
            .removed_volumes(self.remove_volume);
        process.entrypoint = words("--entrypoint", self.entrypoint)?;
        process.cmd = words("--cmd", self.cmd)?;
        if let Some(command) = self.shell_cmd {
            process.cmd = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), command]);
        }
        (process.workdir, process.user) = (self.workdir, self.user);
        (process.stop_signal, process.healthcheck) = (self.stop_signal, self.healthcheck);
        let mut cleared = self.clear;
        for (is_cleared, name) in
            [(self.no_entrypoint, "Entrypoint"), (self.no_cmd, "Cmd"), (self.no_healthcheck, "Healthcheck")]
        {
            cleared.extend(is_cleared.then(|| field(name)));
        }
        let mut changes = ConfigChanges::default()
            .process(process)
            .unset_labels(self.unset_label)
            .history(self.history)
            .drop_history(self.no_history);
        changes.given = self.config_file.map(|file| read_config(&file)).transpose()?;
        changes.author = self.author;
        changes.created = self.created.map(|time| time.to_string());
        changes.variant = self.variant.map(|Variant(word)| word);
        changes.os_version = self.os_version;
        changes.os_features = (!self.os_feature.is_empty()).then_some(self.os_feature);
        if let Some(WrittenPlatform(platform)) = platform.platform {
            if platform.variant.is_none() {
                cleared.push(field("variant"));
            }
            (changes.architecture, changes.os, changes.variant) =
                (platform.architecture, platform.os, platform.variant);
            changes.os_version = changes.os_version.or(platform.os_version);
            changes.os_features = changes.os_features.or(platform.os_features);
        }
        Ok(changes.cleared(cleared))
    }
}

/// Warns of words for a platform that Go does not know: there may be new ones, but most are typing errors.
pub(crate) fn warn_of_words(ui: &Ui, architecture: Option<&str>, os: Option<&str>) {
    let unknown = [
        architecture.filter(|word| !is_known_architecture(word)).map(|word| ("architecture", word)),
        os.filter(|word| !is_known_os(word)).map(|word| ("operating system", word)),
    ];
    for (kind, word) in unknown.into_iter().flatten() {
        ui.warn_at_the_end(format!("no {kind} is known as '{}': engines may not run the image", printable(word)));
    }
}

fn field(name: &str) -> ConfigField {
    name.parse().expect("it is in the image-spec's spelling")
}

/// Returns the words of a command: those of one JSON array, or one of each flag.
fn words(flag: &str, values: Vec<String>) -> Result<Option<Vec<String>>, Usage> {
    let array = |value: &String| from_json::<Vec<UnreadWord>>(value.as_bytes()).ok();
    match values.as_slice() {
        [] => Ok(None),
        [value] if array(value).is_some() => {
            let words = from_json::<Vec<String>>(value.as_bytes());
            words.map(Some).map_err(|_| Usage(format!("the JSON array of {flag} has values that are not strings")))
        }
        values if values.iter().any(|value| array(value).is_some()) => {
            Err(Usage(format!("{flag} takes one JSON array, or one argument a flag, not both")))
        }
        _ => Ok(Some(values)),
    }
}

/// An element of an array, of any type.
type UnreadWord = regshape::oci::Json;

fn read_config(file: &std::path::Path) -> anyhow::Result<UnknownFields> {
    let content = read_document(file)?;
    from_json(&content)
        .map_err(|error| anyhow::anyhow!("{} is not an image config: {error}", printable(&file.to_string_lossy())))
}

/// A variant of a CPU that is to be written, in the word that configs have for it.
#[derive(Clone, Debug)]
struct Variant(String);

impl FromStr for Variant {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        check_variant(word).map_err(|error| format!("{error}; use {}", error.right()))?;
        Ok(Self(word.to_owned()))
    }
}

/// A platform that is to be written, in the words that configs have for it.
#[derive(Clone, Debug)]
pub(crate) struct WrittenPlatform(pub(crate) Platform);

impl FromStr for WrittenPlatform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let platform = parse_platform(text).map_err(|error| error.to_string())?;
        check_platform(&platform).map_err(|error| format!("{error}; use {}", error.right()))?;
        Ok(Self(platform))
    }
}

/// The text is the platform in its usual form.
impl fmt::Display for WrittenPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn parse_entrypoint(text: &str) -> Result<String, String> {
    not_empty(text, "the argument is empty; use --no-entrypoint to remove the entrypoint")
}

fn parse_cmd(text: &str) -> Result<String, String> {
    not_empty(text, "the argument is empty; use --no-cmd to remove the default arguments")
}

fn not_empty(text: &str, otherwise: &str) -> Result<String, String> {
    if text.is_empty() { Err(otherwise.to_owned()) } else { Ok(text.to_owned()) }
}

fn parse_key(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the key is empty".to_owned()),
        text if text.contains('=') => Err("expected KEY, without a value".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn parse_cleared(text: &str) -> Result<ConfigField, String> {
    let field: ConfigField = text.parse().map_err(|error: regshape::oci::ConfigValueError| error.to_string())?;
    field.check_removable().map_err(|error| error.to_string())?;
    Ok(field)
}
