//! The options and the report of a validation.

use crate::compress::Bounds;
use crate::error::{Error, Result};
use crate::graph::finding::Finding;
use crate::graph::severity::FaultKind;
use crate::metrics::Progress;
use crate::options::setters;
use crate::tally::Tally;

/// Options of a validation.
///
/// ```
/// use regshape::compress::Bounds;
/// use regshape::check::ValidateOptions;
///
/// let bounds = Bounds::default().max_size(1 << 30);
/// let options = ValidateOptions::default().deep(true).bounds(bounds);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ValidateOptions<'a> {
    /// Whether to read the layers of images. Each must decompress to the last byte, be a well-formed tar and match the
    /// diff_id in the config.
    pub deep: bool,
    /// The limit on the decompressed size of layers.
    pub bounds: Bounds,
    /// The reference of the only image to check: a tag, an image name or a digest. The whole layout by default.
    pub only: Option<&'a str>,
    /// Called with the number of bytes read since the last call.
    pub progress: Progress<'a>,
}

impl<'a> ValidateOptions<'a> {
    setters! {
        deep: [bool],
        bounds: [Bounds],
        only: [option &'a str],
        progress: [into Progress<'a>],
    }
}

/// The findings of a validation, or about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Report {
    /// The faults that make the layout invalid, or the image unfit.
    pub errors: Vec<Finding>,
    /// Legal content that may be a mistake.
    pub warnings: Vec<Finding>,
    /// The verified blobs. Each counts once.
    pub checked: Tally,
}

/// Whether a missing blob is an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingParts {
    Error,
    Fine,
}

impl Report {
    /// Returns the report for a directory that cannot be opened because its `oci-layout` file is missing or not valid.
    ///
    /// # Errors
    ///
    /// The given error, if it has another cause.
    pub fn from_unopened(error: Error) -> Result<Self> {
        let is_about_marker =
            matches!(error, Error::NotALayout { .. } | Error::MalformedMarker { .. } | Error::LayoutVersion { .. });
        if !is_about_marker || !FaultKind::Marker.is_error() {
            return Err(error);
        }
        Ok(Self { errors: vec![Finding::new(error.report(), "oci-layout")], ..Self::default() })
    }

    /// Returns whether there are no errors: the layout is valid. Warnings do not count.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}
