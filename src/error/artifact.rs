//! Errors of artifacts: making them, and getting their files.

use std::path::PathBuf;

use super::words::some_of;
use crate::oci::Digest;

/// An artifact cannot be made, or its files cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file to attach is a pipe, a device or a socket.
    #[error("{} is not a regular file", .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The path of the file ends in no name, or in one that is not UTF-8.
    #[error("{} has no name in UTF-8, and a file of an artifact is named in JSON", .path.display())]
    NoName {
        /// The file.
        path: PathBuf,
    },
    /// Two files have one name.
    #[error("two files are named '{}': {} and {}", .name.escape_debug(), .one.display(), .other.display())]
    SameName {
        /// The name.
        name: String,
        /// The first file.
        one: PathBuf,
        /// The second one.
        other: PathBuf,
    },
    /// The title of a staged layer is not the name of a file.
    #[error("the title of layer {index} is '{}', which is not the name of a file", .title.escape_debug())]
    StagedTitle {
        /// The layer, from 0.
        index: usize,
        /// The title.
        title: String,
    },
    /// Two staged layers have one title.
    #[error("layers {one} and {other} have one title, '{}'", .title.escape_debug())]
    SameTitle {
        /// The title.
        title: String,
        /// The first layer, from 0.
        one: usize,
        /// The second one.
        other: usize,
    },
    /// The subject is neither an image nor an index nor an artifact.
    #[error("'{}' is neither a manifest nor an index", .reference.escape_debug())]
    NotASubject {
        /// The subject, as it was named.
        reference: String,
    },
    /// Files would be written into a layout.
    #[error("files of an artifact are not written into a layout, as {} is", .layout.display())]
    InLayout {
        /// The layout.
        layout: PathBuf,
    },
    /// The manifest has no referrer of that kind.
    #[error("{subject} has no referrer{}{}", of_kind(.artifact_type, .digest), unreadable(.unread))]
    NoReferrer {
        /// The manifest.
        subject: Digest,
        /// The artifact type that was asked for.
        artifact_type: Option<String>,
        /// The digest that was asked for, or its beginning.
        digest: Option<String>,
        /// The documents that could not be read, and might be referrers.
        unread: Vec<String>,
    },
    /// The manifest has several referrers of that kind.
    #[error("{subject} has {count} referrers{}: {}", of_kind(.artifact_type, &None), some_of(.referrers, *.count))]
    SeveralReferrers {
        /// The manifest.
        subject: Digest,
        /// The artifact type that was asked for.
        artifact_type: Option<String>,
        /// The first ones: digest, artifact type and files of each.
        referrers: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The referrer is an index, or has no layers.
    #[error("referrer {digest} has no files")]
    NoFiles {
        /// The referrer.
        digest: Digest,
    },
    /// One file is asked for, and the referrer has several.
    #[error("referrer {digest} has {count} files: {}", some_of(.files, *.count))]
    SeveralFiles {
        /// The referrer.
        digest: Digest,
        /// The first files.
        files: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The title of a file leads out of the directory, or cannot be a path.
    #[error("'{}' of referrer {digest} is not a path below a directory", .title.escape_debug())]
    UnsafeTitle {
        /// The referrer.
        digest: Digest,
        /// The title.
        title: String,
    },
    /// Two files of a referrer would be written to one place.
    #[error("'{}' and '{}' of referrer {digest} cannot both be written", .one.escape_debug(), .other.escape_debug())]
    Colliding {
        /// The referrer.
        digest: Digest,
        /// The first path.
        one: String,
        /// The second one.
        other: String,
    },
    /// Files would be overwritten.
    #[error("{} has these files already: {}", .directory.display(), some_of(.files, *.count))]
    FilesExist {
        /// The directory.
        directory: PathBuf,
        /// The first files.
        files: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// Something else than a directory, or than a regular file, is in the place of one.
    #[error("{} is {found}, not {expected}", .path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
        /// The kind of the file, such as "a link".
        found: &'static str,
        /// The expected kind.
        expected: &'static str,
    },
}

/// Describes the referrers that were asked for.
fn of_kind(artifact_type: &Option<String>, digest: &Option<String>) -> String {
    let artifact_type = artifact_type.iter().map(|kind| format!(" of type '{}'", kind.escape_debug()));
    let digest = digest.iter().map(|digest| format!(" with digest '{}'", digest.escape_debug()));
    artifact_type.chain(digest).collect()
}

/// Tells of documents that could not be read.
fn unreadable(documents: &[String]) -> String {
    documents.first().map_or_else(String::new, |first| match documents.len() {
        1 => format!(" that can be read: {first}"),
        count => format!(" that can be read: {first}, and {} more errors", count - 1),
    })
}
