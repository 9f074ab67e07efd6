//! Errors of writing the files of images.

use std::path::PathBuf;

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
    /// The files of a hard link are not there.
    #[error("'{path}' is a hard link to '{target}', which is not there")]
    LostHardLink {
        /// The path in the image.
        path: String,
        /// The target.
        target: String,
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
    /// The system cannot do this.
    #[error("files of images can be written on Linux only")]
    Unsupported,
}
