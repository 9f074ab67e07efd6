//! Errors about base images.

use std::path::PathBuf;

use super::words::{counted, list};

/// An image cannot be the base of another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The source has no image: it is empty, or an artifact.
    #[error("{} has no image to build on", .path.display())]
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
    /// The config of the base does not have a diff_id for each layer.
    #[error("the base in {} has {}, but its config has {}", .path.display(), counted(*.layers, "layer"), counted(*.diff_ids, "diff_id"))]
    DiffIds {
        /// The source.
        path: PathBuf,
        /// The number of layers.
        layers: usize,
        /// The number of diff_ids.
        diff_ids: usize,
    },
    /// The staging area is not empty.
    #[error("the staging area of {} is not empty", .path.display())]
    Staged {
        /// The layout.
        path: PathBuf,
    },
}
