//! Errors of writing the files of images.

use std::path::PathBuf;

use crate::oci::Digest;

/// The files of an image cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The destination has files.
    #[error("{} is not empty", .path.display())]
    NotEmpty {
        /// The destination.
        path: PathBuf,
    },
    /// The destination is no directory.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The destination.
        path: PathBuf,
    },
    /// The directory of the destination, or of the state file, does not exist.
    #[error("the directory of {} does not exist", .path.display())]
    NoParent {
        /// The destination or the state file.
        path: PathBuf,
    },
    /// The destination is a link that leads to nothing.
    #[error("{} is a link that leads to nothing", .path.display())]
    BrokenLink {
        /// The destination.
        path: PathBuf,
    },
    /// The destination is in a layout.
    #[error("{} is inside the layout {}", .path.display(), .layout.display())]
    InLayout {
        /// The destination.
        path: PathBuf,
        /// The layout.
        layout: PathBuf,
    },
    /// A name is taken in the destination.
    #[error("{} exists", .path.display())]
    Exists {
        /// The path in the destination.
        path: PathBuf,
    },
    /// Two paths would have one name in the destination.
    #[error("'{one}' and '{other}' would both be '{name}' in the destination")]
    SameName {
        /// A path in the image.
        one: String,
        /// Another path in the image.
        other: String,
        /// The name.
        name: String,
    },
    /// Two names of a directory are one on a file system that does not tell upper from lower case.
    #[error("'{one}' and '{other}' are one name on the file system of {}", .path.display())]
    Folds {
        /// A path in the image.
        one: String,
        /// Another path in the image.
        other: String,
        /// The destination.
        path: PathBuf,
    },
    /// An owner has no place in the map of users or groups.
    #[error("the {kind} {id} of '{path}' is not in the map")]
    NotMapped {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        id: u64,
        /// The path in the image.
        path: String,
    },
    /// An owner is a higher number than the system has.
    #[error("the {kind} {id} of '{path}' is more than Linux has, 4294967294")]
    TooHigh {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        id: u64,
        /// The path in the image.
        path: String,
    },
    /// The user namespace of this process does not have an owner.
    #[error("'{path}' belongs to the {kind} {id}, which this user namespace does not have")]
    NotInNamespace {
        /// `user` or `group`.
        kind: &'static str,
        /// The number, as it is on this system.
        id: u32,
        /// The path in the image.
        path: String,
    },
    /// Only root can set owners.
    #[error("only root can map users and groups")]
    MapNeedsRoot,
    /// The files of a hard link are not there.
    #[error("'{path}' is a hard link to '{target}', which is not there")]
    LostHardLink {
        /// The path in the image.
        path: String,
        /// The target.
        target: String,
    },
    /// A symbolic link leads nowhere, not even to a name.
    #[error("the link '{path}' has no target")]
    NoTarget {
        /// The path in the image.
        path: String,
    },
    /// The state file would be part of the tree.
    #[error("the state file {} would be in the tree", .path.display())]
    StateInTree {
        /// The state file.
        path: PathBuf,
    },
    /// The state file would replace a directory, a link or a device.
    #[error("{} is not a regular file", .path.display())]
    StateNotAFile {
        /// The state file.
        path: PathBuf,
    },
    /// A state file cannot be read.
    #[error("{} is not a state file of 'unpack': {reason}", .path.display())]
    MalformedState {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A state file was edited.
    #[error("{} was changed since 'unpack' wrote it", .path.display())]
    ChangedState {
        /// The file.
        path: PathBuf,
    },
    /// A state file is that of another image.
    #[error("{} is the state of image {image}, not of {manifest}", .path.display())]
    OtherState {
        /// The file.
        path: PathBuf,
        /// The digest of the manifest in the file.
        image: Digest,
        /// That of the image.
        manifest: Digest,
    },
    /// The system cannot do this.
    #[error("files of images can be written on Linux only")]
    Unsupported,
}
