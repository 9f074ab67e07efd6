//! The options and the report of looking for faults of an image.

use super::report::Report;
use crate::compress::Bounds;
use crate::metrics::Progress;
use crate::oci::{Digest, Platform};
use crate::options::setters;
use crate::view::index_view::View;

/// Options of looking for faults of an image.
///
/// ```
/// use regshape::check::LintOptions;
/// use regshape::compress::Bounds;
///
/// let options = LintOptions::default().bounds(Bounds::default().max_size(1 << 30));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LintOptions<'a> {
    /// The limit on the decompressed size of layers.
    pub bounds: Bounds,
    /// The view of which the image is a part, whose other entries may refer to images that are gone; by default the image
    /// alone.
    pub listed_in: Option<&'a View>,
    /// The part of that view whose indexes may list attestations of images that are gone; by default the image alone.
    pub part: Option<&'a View>,
    /// Called with the number of bytes read since the last call.
    pub progress: Progress<'a>,
}

impl<'a> LintOptions<'a> {
    setters! {
        bounds: [Bounds],
        listed_in: [option &'a View],
        part: [option &'a View],
        progress: [into Progress<'a>],
    }
}

/// The faults of an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LintReport {
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The platform of the image, if it is known.
    pub platform: Option<Platform>,
    /// The findings. The layers of the image are counted as checked.
    pub report: Report,
}
