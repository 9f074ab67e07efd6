//! Errors about the files of images.

use std::path::PathBuf;

use super::words::{counted, list};

/// The files of an image cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The source has no image: it is empty, or an artifact.
    #[error("{} has no image, so it has no files", .path.display())]
    NoImage {
        /// The source.
        path: PathBuf,
    },
    /// The source has images for several platforms.
    #[error("{} has images for {}", .path.display(), list(.platforms))]
    SeveralImages {
        /// The source.
        path: PathBuf,
        /// The platforms.
        platforms: Vec<String>,
    },
    /// The config does not have a diff_id for each layer.
    #[error("the image in {} has {}, but its config has {}", .path.display(), counted(*.layers, "layer"), counted(*.diff_ids, "diff_id"))]
    DiffIds {
        /// The source.
        path: PathBuf,
        /// The number of layers.
        layers: usize,
        /// The number of diff_ids.
        diff_ids: usize,
    },
    /// The image has no layer of this number.
    #[error("no layer {layer}: the image has {}", counted(*.count, "layer"))]
    NoLayer {
        /// The number that was asked for, from 0.
        layer: usize,
        /// The number of layers.
        count: usize,
    },
    /// A path is not in the image.
    #[error("'{path}' is not in the image")]
    NoPath {
        /// The path.
        path: String,
    },
    /// A path leads through more links than are followed.
    #[error("'{path}' is not in the image: it leads through more than 40 links")]
    TooManyLinks {
        /// The path.
        path: String,
    },
    /// A path ends with a slash, and its entry is not a directory.
    #[error("'{path}' is not a directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A path leads through links to nothing.
    #[error("'{path}' is not in the image: '{place}' is missing; the link '{link}' leads to '{target}'")]
    BrokenLink {
        /// The path.
        path: String,
        /// The last link that was followed.
        link: String,
        /// Its target.
        target: String,
        /// The path without links at which there is no entry.
        place: String,
    },
    /// A path is not a regular file.
    #[error("'{path}' is {found}, not a regular file")]
    NotAFile {
        /// The path.
        path: String,
        /// The type of the entry, with its article.
        found: &'static str,
    },
    /// A sparse file is larger than is read with all its holes.
    #[error("'{path}' is a sparse file of {size} bytes: too large to be read with its holes")]
    Sparse {
        /// The path.
        path: String,
        /// The size with the holes.
        size: u64,
    },
    /// A hard link is to a file that no layer has.
    #[error("'{path}' is a hard link to '{target}', which is not there")]
    LostHardLink {
        /// The path.
        path: String,
        /// The target.
        target: String,
    },
}
