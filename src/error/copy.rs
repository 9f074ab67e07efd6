//! Errors of making a layer of files.

use std::path::{Path, PathBuf};

/// A layer of files cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source is a pipe, a device or a socket.
    #[error("{} is a {kind}, not a file or directory", .path.display())]
    SourceKind {
        /// The source.
        path: PathBuf,
        /// The type of the source.
        kind: &'static str,
    },
    /// The destination is not a path in an image.
    #[error("destination '{path}' {reason}")]
    Destination {
        /// The destination.
        path: String,
        /// The fault.
        reason: &'static str,
    },
    /// A directory of the destination is a file.
    #[error("{} cannot go to '{path}': '{file}' is not a directory", .source_path.display())]
    BelowFile {
        /// The source.
        source_path: PathBuf,
        /// The path in the image.
        path: String,
        /// The path of the file.
        file: String,
    },
    /// The destination of a file is a directory.
    #[error("{} is a file, and '{path}' is a directory", .source_path.display())]
    OntoDirectory {
        /// The source.
        source_path: PathBuf,
        /// The path in the image.
        path: String,
    },
    /// Two sources have an entry for one path.
    #[error("'{path}' is in {}", sources(.first, .second))]
    Twice {
        /// The path in the image.
        path: String,
        /// The first source.
        first: PathBuf,
        /// The other source.
        second: PathBuf,
    },
    /// An mtree file has two entries for one path.
    #[error("'{path}' is in lines {first} and {second} of {}", .file.display())]
    MtreeTwice {
        /// The path in the image.
        path: String,
        /// The file.
        file: PathBuf,
        /// The number of the first line.
        first: usize,
        /// The number of the other line.
        second: usize,
    },
    /// The name of a file is that of a whiteout.
    #[error("{} cannot be stored: its name is that of a whiteout", .path.display())]
    WhiteoutName {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory is marked by overlayfs.
    #[error("{} is a mark of overlayfs for {meaning}", .path.display())]
    OverlayMark {
        /// The file or directory.
        path: PathBuf,
        /// The meaning of the mark.
        meaning: &'static str,
    },
    /// A path is longer than Linux allows.
    #[error("{} has a path of more than 4095 bytes in the image", .path.display())]
    PathLength {
        /// The file.
        path: PathBuf,
    },
    /// A file changed between the first look at it and the end of reading it.
    #[error("{} changed while it was read", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Files cannot be read.
    #[error("cannot read {}", unreadable(.paths))]
    Unreadable {
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// A source has no files.
    #[error("{} has no files for a layer", .path.display())]
    Empty {
        /// The source.
        path: PathBuf,
    },
    /// A directory has the files that it is compared to.
    #[error("{} has no changes for a layer", .path.display())]
    NoChanges {
        /// The directory.
        path: PathBuf,
    },
    /// A source of changes is not a directory.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A path that is to hide the layers below is not a directory.
    #[error("'{path}' is not a directory, so it cannot be opaque")]
    OpaqueTarget {
        /// The path in the image.
        path: String,
    },
    /// An include matches nothing.
    #[error("--include {glob} matches nothing in {}", list(.paths, " or "))]
    UnmatchedInclude {
        /// The glob.
        glob: String,
        /// The sources.
        paths: Vec<PathBuf>,
    },
    /// A link of the layers below, in the path of an entry, leads to no directory.
    #[error("{} cannot go to '{path}': it is a link in the image, and leads to {to}", .source_path.display())]
    Link {
        /// The source.
        source_path: PathBuf,
        /// The path in the image.
        path: String,
        /// `a file` or `nothing`.
        to: &'static str,
    },
    /// No layer below says the number of a name.
    #[error("{kind} '{name}' is unknown: no layer below has it in /etc/{}", if *.kind == "user" { "passwd" } else { "group" })]
    UnknownName {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Capabilities are given for a path that is not a file of the layer.
    #[error("'{path}' is not a file of the layer, so it cannot have capabilities")]
    CapabilityTarget {
        /// The path in the image.
        path: String,
    },
    /// The image is for Windows, whose layers hold `Files/` and `Hives/`.
    #[error("layers of files cannot be made for Windows: those have the directories Files and Hives")]
    Windows,
    /// A line of an mtree file cannot be parsed.
    #[error("line {line} of {}: {reason}", .path.display())]
    Mtree {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: usize,
        /// The fault.
        reason: String,
    },
    /// A glob of extended attributes cannot be parsed.
    #[error("{reason}")]
    XattrGlob {
        /// The fault, with the glob.
        reason: String,
    },
}

/// Returns the list of files that cannot be read.
fn unreadable(paths: &[PathBuf]) -> String {
    match paths {
        [path] => format!("{}: permission denied", path.display()),
        paths => format!("{} files (permission denied): {}", paths.len(), list(paths, ", ")),
    }
}

fn list(paths: &[PathBuf], separator: &str) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(separator)
}

/// Returns the text for two sources that have one path.
fn sources(first: &Path, second: &Path) -> String {
    match first == second {
        true => format!("{}, which is given twice", first.display()),
        false => format!("{} and in {}", first.display(), second.display()),
    }
}
