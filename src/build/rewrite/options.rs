//! How the layers of images are rewritten.

use std::num::NonZeroUsize;

use crate::build::edit::EditOptions;
use crate::compress::Bounds;
use crate::options::setters;

/// How the layers of an image are rewritten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RewriteOptions {
    /// The images that change, and the tag of the result.
    pub edit: EditOptions,
    /// The limits on the uncompressed size of a layer.
    pub bounds: Bounds,
    /// The number of compression threads; by default the number of cores. Does not affect the output.
    pub jobs: Option<NonZeroUsize>,
}

impl RewriteOptions {
    setters! {
        edit: [EditOptions],
        bounds: [Bounds],
        jobs: [option NonZeroUsize],
    }
}
