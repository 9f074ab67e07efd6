//! From an error to its report: "Error: …", the way out, and the exit status.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use regshape::layout::Layout;
use regshape::{
    ArtifactError, BaseError, ConfigError, ConnectionFault, CopyError, EditError, Error, ErrorCode, ErrorKind,
    FilesError, LayerError, PushError, Referrer, RemoteError, UnpackError,
};
use serde::Serialize;

use super::error_code::{OTHER_CODE, code_of};
use super::output::{ReaderGone, json_line, printable};
use super::style::Label;
use super::usage::Usage;

/// Ctrl-C at a prompt.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// The exit status of a wrong command line, as clap has it.
const WRONG_USAGE: u8 = 2;

/// An error that is reported with the code of registries.
#[derive(Debug)]
struct Coded {
    error: Error,
    code: ErrorCode,
}

impl fmt::Display for Coded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Adds the code of registries to an error, if they have one.
pub(crate) fn with_code(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(error) => match error.code() {
            Some(code) => Coded { error, code }.into(),
            None => error.into(),
        },
        Err(error) => error,
    }
}

/// The exit status after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error of the library, with the way out that the command knows.
#[derive(Debug)]
pub(crate) struct Advised {
    pub(crate) error: Error,
    pub(crate) hint: String,
}

impl Advised {
    /// Returns an error with another way out after the usual one.
    pub(crate) fn and(error: Error, other: String) -> Self {
        let hint = hint(&error).map_or_else(|| other.clone(), |usual| format!("{usual}; {other}"));
        Self { error, hint }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Advised {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// An error about the image for one of several platforms.
#[derive(Debug)]
pub(crate) struct ForPlatform {
    pub(crate) error: anyhow::Error,
    /// The platform, as it is printed.
    pub(crate) platform: String,
}

impl fmt::Display for ForPlatform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (for {})", self.error, self.platform)
    }
}

impl std::error::Error for ForPlatform {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// An error of `ping`: its JSON names the registry.
#[cfg(feature = "remote")]
#[derive(Debug)]
pub(crate) struct BesideRegistry {
    pub(crate) error: anyhow::Error,
    pub(crate) registry: String,
}

#[cfg(feature = "remote")]
impl fmt::Display for BesideRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

#[cfg(feature = "remote")]
impl std::error::Error for BesideRegistry {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// How an error is reported.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReportOptions {
    /// Causes that the message leaves out are shown.
    pub(crate) verbose: bool,
    /// The report is a JSON object on one line.
    pub(crate) json: bool,
    /// The command is one of the ten whose failures end with status 1, as the command reference has it.
    pub(crate) is_of_the_reference: bool,
    /// The command compares: status 1 is that of things that differ, and failures end with status 2.
    pub(crate) is_comparison: bool,
}

/// Reports an error on stderr, and returns the exit status.
pub(crate) fn report(error: &anyhow::Error, options: ReportOptions) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    if error.is::<Interrupted>() {
        return ExitCode::from(INTERRUPTED);
    }
    let text = if options.json && !error.is::<Usage>() { json_of(error) } else { text_of(error, options.verbose) };
    // There is nowhere left to report that stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(status_of(error, options))
}

/// Returns the exit status.
fn status_of(error: &anyhow::Error, options: ReportOptions) -> u8 {
    const FAILURE: u8 = 1;
    const FAILURE_TO_COMPARE: u8 = 2;
    const NOT_FOUND: u8 = 3;
    /// EX_TEMPFAIL of sysexits.h: try again later.
    const BUSY: u8 = 75;
    match known(error) {
        _ if error.is::<Usage>() => WRONG_USAGE,
        Some(error) if error.kind() == ErrorKind::Busy => BUSY,
        Some(missing) if !options.is_of_the_reference && is_named_and_missing(missing) => NOT_FOUND,
        // Commands on tags and manifests choose the platform that is asked for; others may meet one in an index.
        Some(Error::PlatformNotStored { .. }) if error.is::<Coded>() => NOT_FOUND,
        _ if options.is_comparison => FAILURE_TO_COMPARE,
        _ => FAILURE,
    }
}

/// Returns whether an error says that an object named on the command line does not exist: not a file or a layout, and
/// not the target of a reference in a document.
fn is_named_and_missing(error: &Error) -> bool {
    match error {
        Error::Remote(RemoteError::NotFound { .. })
        | Error::UnknownRepository { .. }
        | Error::UnknownManifest { .. }
        | Error::UnknownTag { .. }
        | Error::UnknownBlob { .. }
        | Error::UnknownPlatform { .. }
        | Error::LayerIndex { .. }
        | Error::Artifact(ArtifactError::NoReferrer { .. })
        | Error::Edit(EditError::LayerIndex { .. } | EditError::NotListed { .. })
        | Error::Config(ConfigError::UnsetField { .. })
        | Error::Files(
            FilesError::NoPath { .. }
            | FilesError::BrokenLink { .. }
            | FilesError::TooManyLinks { .. }
            | FilesError::NotADirectory { .. }
            | FilesError::NoLayer { .. },
        ) => true,
        Error::MissingBlob { referrer, .. } => matches!(referrer, Referrer::Caller(_)),
        _ => false,
    }
}

/// Returns the error of the library, if it is one.
fn known(error: &anyhow::Error) -> Option<&Error> {
    let error = of_one_platform(error).map_or(error, |of| &of.error);
    let coded = error.downcast_ref::<Coded>().map(|coded| &coded.error);
    let advised = || error.downcast_ref::<Advised>().map(|advised| &advised.error);
    coded.or_else(advised).or_else(|| error.downcast_ref())
}

/// Returns the error with its platform, if it is about one of several.
fn of_one_platform(error: &anyhow::Error) -> Option<&ForPlatform> {
    error.downcast_ref()
}

/// Returns the way out, if there is one.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    let error = of_one_platform(error).map_or(error, |of| &of.error);
    let advised = error.downcast_ref::<Advised>().map(|advised| advised.hint.clone());
    let advised = advised.or_else(|| match known(error) {
        Some(Error::PlatformWord(error)) => Some(format!("use {}", error.right())),
        _ => None,
    });
    advised.or_else(|| known(error).and_then(hint).map(str::to_owned))
}

fn text_of(error: &anyhow::Error, verbose: bool) -> String {
    let mut message = match known(error) {
        Some(error) => error.report(),
        None => error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "),
    };
    if let Some(of) = of_one_platform(error).filter(|_| known(error).is_some()) {
        message.push_str(&format!(" (for {})", of.platform));
    }
    if let Some(coded) = error.downcast_ref::<Coded>() {
        message.push_str(&format!(" ({})", coded.code));
    }
    let message = printable(&message);
    let message = hint_of(error).map(|hint| format!("{message}; {hint}")).unwrap_or(message);
    let mut text = Label::Error.message(&message) + "\n";
    if verbose {
        for cause in error.chain().skip(1).map(|cause| printable(&cause.to_string())) {
            if !text.contains(&cause) {
                text.push_str(&format!("  caused by: {cause}\n"));
            }
        }
    }
    text
}

/// An error as `--json` has it.
#[derive(Serialize)]
struct JsonReport {
    error: JsonError,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reachable: Option<bool>,
}

#[derive(Serialize)]
struct JsonError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

/// Returns the registry that is not reachable, if the error is that of `ping`.
#[cfg(feature = "remote")]
fn registry_of(error: &anyhow::Error) -> Option<String> {
    error.downcast_ref::<BesideRegistry>().map(|beside| beside.registry.clone())
}

#[cfg(not(feature = "remote"))]
fn registry_of(_: &anyhow::Error) -> Option<String> {
    None
}

fn json_of(error: &anyhow::Error) -> String {
    let registry = registry_of(error);
    let report = JsonReport {
        reachable: registry.is_some().then_some(false),
        registry,
        error: JsonError {
            code: known(error).map_or(OTHER_CODE, code_of),
            message: error.to_string(),
            hint: hint_of(error),
            causes: error.chain().skip(1).map(ToString::to_string).collect(),
        },
    };
    json_line(&report) + "\n"
}

/// Returns the way out of an error of writing the files of an image.
fn unpack_hint(error: &UnpackError) -> Option<&'static str> {
    Some(match error {
        UnpackError::NotEmpty { .. } | UnpackError::NotADirectory { .. } | UnpackError::BrokenLink { .. } => {
            "name a new or an empty directory"
        }
        UnpackError::NoParent { .. } => "create it first",
        UnpackError::InLayout { .. } => "name a place outside",
        UnpackError::Exists { .. } => "nothing is replaced: remove it, or name another directory",
        UnpackError::SameName { .. } => "extract them one at a time",
        UnpackError::NotMapped { kind: "user", .. } => "add a range with --uid-map",
        UnpackError::NotMapped { .. } => "add a range with --gid-map",
        UnpackError::NotInNamespace { kind: "user", .. } => {
            "'unpack' maps it with --uid-map; or use a namespace that has it: /proc/self/uid_map lists its users"
        }
        UnpackError::NotInNamespace { .. } => {
            "'unpack' maps it with --gid-map; or use a namespace that has it: /proc/self/gid_map lists its groups"
        }
        UnpackError::StateInTree { .. } => "name a file outside of the output directory",
        _ => return None,
    })
}

/// Returns the way out of an error of a registry.
fn remote_hint(error: &RemoteError) -> Option<&'static str> {
    Some(match error {
        RemoteError::Upload { source, .. } | RemoteError::PushManifest { source, .. } => {
            let is_cut = |fault: &ConnectionFault| matches!(fault, ConnectionFault::Broken | ConnectionFault::Timeout);
            match &**source {
                RemoteError::Unreachable { fault, .. } if is_cut(fault) => {
                    "run the same command again; what was sent is not sent again"
                }
                source => return remote_hint(source),
            }
        }
        RemoteError::Download { source, .. } | RemoteError::Urls { source, .. } => return remote_hint(source),
        RemoteError::Unreachable { fault, .. } => match fault {
            ConnectionFault::PlainHttp => "use --insecure if it speaks plain HTTP",
            ConnectionFault::SpeaksTls => "leave out --insecure",
            ConnectionFault::Untrusted => "name the authority with --ca-file",
            ConnectionFault::ClientCertificate => "name a certificate with --cert-file and --key-file",
            ConnectionFault::Proxy => "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY",
            ConnectionFault::Broken | ConnectionFault::Timeout => "run the same command again",
            _ => return None,
        },
        RemoteError::Unauthorized { had_credentials: false, .. } => "run 'regshape auth login'",
        RemoteError::Status { status: 403, .. } => {
            "the credentials do not allow this, or the repository does not exist"
        }
        RemoteError::Status { status: 405, .. } => "the registry may be read-only",
        RemoteError::TagTaken { .. } => "leave out --no-clobber to replace it",
        RemoteError::Schema1 { .. } => "push it again with a newer client",
        _ => return None,
    })
}

/// Returns the way out of an error of the library, where that is not obvious.
fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Artifact(error) => return artifact_hint(error),
        Error::Base(BaseError::Staged { .. }) => "run 'layout reset' first",
        Error::Base(BaseError::SeveralImages { .. }) | Error::Files(FilesError::SeveralImages { .. }) => {
            "choose one with --platform"
        }
        Error::Layer(LayerError::MalformedTar { .. } | LayerError::NotATar { .. }) => "create that layer again",
        Error::Base(BaseError::NoImage { .. }) => "an artifact has no root file system",
        Error::Unpack(error) => return unpack_hint(error),
        Error::Push(PushError::NoImages { .. }) => "run 'layout generate manifest' first",
        Error::Remote(error) => return remote_hint(error),
        Error::Edit(EditError::LayerOfBase { .. }) => "stage another base, or remove it from the image afterwards",
        Error::Edit(EditError::NoBase { .. }) => "name the base with --base, or the number of its layers with --keep",
        Error::Edit(EditError::NoOldBase { .. }) => "name it with --old-base",
        Error::Edit(EditError::OtherHistory { .. }) => "'update config --no-history' drops the history",
        Error::Edit(EditError::NotOnBase { .. }) => "name the base that the image was built on",
        Error::Edit(EditError::NeedsTag { .. }) => "give the result a tag with --tag",
        Error::Edit(EditError::SamePlatform { .. }) => "pick one image with --platform",
        Error::Edit(EditError::TwoForPlatform { .. }) => "leave one out, or take the other one out with 'index remove'",
        Error::Edit(EditError::NoIndex { .. }) => "'generate index' makes an index of images",
        Error::Edit(EditError::NotListed { .. }) => "'manifest get' shows the index",
        Error::Edit(EditError::LastImage { .. }) => "'tag delete' deletes the index",
        Error::Edit(EditError::NameOfEntry { .. }) => "use the commands of 'tag'",
        Error::Copy(error) => return copy_hint(error),
        Error::NoLayers => "run 'layout add layer' first",
        Error::NoConfig => "run 'layout generate config' first",
        Error::NoManifest => "run 'layout generate manifest' first",
        Error::ConfigMismatch => "run 'layout generate config' again",
        Error::ManifestNotListed { .. } => "run 'layout generate manifest' again",
        Error::UnknownMediaType { .. } => "use --media-type",
        Error::Locked { .. } => "try again, or raise --lock-timeout",
        Error::Changed { .. } => "try again",
        Error::NoStage { .. } => "run 'layout add layer' to start one",
        Error::BeyondBound { .. } | Error::Layer(LayerError::Bound { .. }) => {
            "raise --max-layer-size or --max-ratio if you trust the file"
        }
        Error::TruncatedTar { .. } => "check that the command that wrote it succeeded",
        Error::LinkOutside { .. } => "use --shared-blobs if its blobs are shared on purpose",
        Error::NoRepository { .. } => "use --repo",
        // No other command takes an archive.
        Error::UnknownManifest { path, .. } if !is_layout(path) => "'layout inspect' lists its images",
        Error::UnknownManifest { .. } | Error::UnknownTag { .. } => "'layout tag list' lists the tags",
        Error::MalformedIndex { path, reason } if reason.is_missing() && path.is_dir() => {
            "the file is missing: restore it, or list each manifest again with 'layout manifest put', which creates it"
        }
        Error::MalformedIndex { reason, .. } if reason.is_missing() => "the file is missing",
        Error::MalformedIndex { reason, .. } if reason.is_too_expansive() => {
            "its many short values would take more than 7 times its size of memory: remove annotations, or split it"
        }
        Error::MalformedIndex { reason, .. } if reason.is_byte_order_mark() => {
            "it begins with a byte order mark: save it without one"
        }
        Error::MalformedMarker { reason, .. }
        | Error::MalformedStage { reason, .. }
        | Error::NotJson { reason, .. }
            if reason.is_byte_order_mark() =>
        {
            "save it without one"
        }
        Error::NotAnArchive { reason, .. } if reason.is_byte_order_mark() => "create the archive again without it",
        Error::NoImages { .. } => "'layout add layer' adds a root file system as a layer",
        Error::BlobLinkOutside { .. } => {
            "replace the link with the file; --shared-blobs follows a link at 'blobs' only"
        }
        Error::AmbiguousName { candidates, by_platform, .. } => {
            let by_name = candidates.iter().any(|one| one.image_name != candidates[0].image_name);
            match (by_name, by_platform) {
                (true, true) => "choose one by its image name, as TAG@DIGEST or with --platform",
                (true, false) => "choose one by its image name or as TAG@DIGEST",
                (false, true) => "choose one as TAG@DIGEST or with --platform",
                (false, false) => "choose one as TAG@DIGEST",
            }
        }
        Error::NotValid { path, .. } if is_layout(path) => "'layout validate' lists all faults",
        Error::NotValid { .. } => "name another image as FILE:TAG",
        Error::InsideIndex { .. } => "name the index, or tag the image with 'layout tag add'",
        Error::UnknownRepository { .. } => "'layout catalog list' lists the repositories",
        Error::AmbiguousDigest { .. } => "give more of its digits",
        Error::NameTaken { .. } => "use --ref-name or --replace-tag",
        Error::TagTaken { .. } => "use --replace-tag, or another --ref-name",
        Error::Config(ConfigError::LongHistory { .. }) => "use --no-history to remove it",
        Error::Config(ConfigError::SeveralImages { .. }) => "choose one with --platform",
        Error::Config(ConfigError::UnknownVariable { .. }) => "set it first, or leave out --expand-env",
        Error::StillReferenced { .. } => "delete its referrer first",
        Error::Occupied { .. } => "remove it or choose another directory",
        Error::MediaTypeMismatch { .. } => "omit --media-type, or choose another one or another --compress-format",
        _ => return None,
    })
}

/// Returns whether a path is that of a layout, or of nothing yet; otherwise it is an archive or a docker-dir directory.
fn is_layout(path: &Path) -> bool {
    Layout::is_at(path) || path.is_dir() && !path.join("manifest.json").exists()
}

/// Returns the way out of an error of artifacts.
fn artifact_hint(error: &ArtifactError) -> Option<&'static str> {
    Some(match error {
        ArtifactError::InLayout { .. } => "choose another --output",
        ArtifactError::NotRegular { .. } => "write its content to a file first",
        ArtifactError::NoName { .. } | ArtifactError::SameName { .. } => "rename a file, or make a link to it",
        ArtifactError::StagedTitle { .. } | ArtifactError::SameTitle { .. } => {
            "use 'layout annotate layer' to set another org.opencontainers.image.title"
        }
        ArtifactError::NoReferrer { .. } => "'layout referrer list' lists the referrers",
        ArtifactError::SeveralReferrers { .. } => "choose one with --digest or --artifact-type",
        ArtifactError::SeveralFiles { .. } => "write them into a directory with --output DIR",
        ArtifactError::UnsafeTitle { .. } | ArtifactError::Colliding { .. } => {
            "'layout blob get' writes one file by its digest"
        }
        ArtifactError::FilesExist { .. } => "use --overwrite, or another directory",
        _ => return None,
    })
}

/// Returns the way out of an error of copying.
fn copy_hint(error: &CopyError) -> Option<&'static str> {
    Some(match error {
        CopyError::Destination { .. } => "write it from the root of the image, e.g. /usr/bin/app",
        CopyError::BelowFile { .. } => "choose another destination, or leave the file out with --exclude",
        CopyError::OntoDirectory { .. } => {
            "end DST with / to copy into the directory, or give the file a name of its own"
        }
        CopyError::Twice { .. } | CopyError::MtreeTwice { .. } => "use --overwrite to let the last one win",
        CopyError::WhiteoutName { .. } => "leave it out with --exclude, or rename it",
        CopyError::OverlayMark { .. } => "use --overlay to make it a whiteout",
        CopyError::NoChanges { .. } => "--allow-empty makes a layer without files",
        CopyError::Changed { .. } => "run the command again when no other program changes the file",
        CopyError::Unreadable { .. } => "leave them out with --skip-unreadable, or run as another user",
        CopyError::Empty { .. } => "use --allow-empty if that is intended",
        CopyError::UnmatchedInclude { .. } => "globs match paths below the source; ** matches any directories",
        CopyError::Link { .. } => "choose another destination, or replace the link with --replace-links",
        CopyError::UnknownName { .. } => "use the number",
        CopyError::Windows => "add a tar that was made for Windows, with --file or --layer",
        _ => return None,
    })
}
