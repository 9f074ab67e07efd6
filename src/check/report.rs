//! The options and the report of a validation.

use std::fmt;

use serde::Serialize;

use crate::compress::Bounds;
use crate::error::{Error, Result};
use crate::graph::finding::Finding;
use crate::graph::policy::FaultKind;
use crate::metrics::Progress;
use crate::options::setters;
use crate::tally::Tally;

/// How a layout is validated.
///
/// ```
/// use regshape::compress::Bounds;
/// use regshape::check::ValidateOptions;
///
/// let bounds = Bounds::default().max_size(1 << 30);
/// let options = ValidateOptions::default().deep(true).bounds(bounds);
/// ```
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct ValidateOptions<'a> {
    /// Whether the layers of images are looked into: that they can be decompressed to the last byte, are well-formed tars,
    /// and have the diff_ids that their config says.
    pub deep: bool,
    /// How much the layers that are looked into may decompress to.
    pub bounds: Bounds,
    /// The reference of the image to which the checks are limited: a tag, an image name, a digest. All of the layout by default.
    pub only: Option<&'a str>,
    /// Is told how many more bytes of blobs were read.
    pub progress: Option<Progress<'a>>,
}

impl<'a> ValidateOptions<'a> {
    setters! {
        deep: [bool],
        bounds: [Bounds],
        only: [option &'a str],
        progress: [option Progress<'a>],
    }
}

impl fmt::Debug for ValidateOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deep, bounds, only, progress: _ } = self;
        let mut debug = f.debug_struct("ValidateOptions");
        debug.field("deep", deep).field("bounds", bounds).field("only", only).finish_non_exhaustive()
    }
}

/// The findings of a validation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings that make the layout invalid.
    pub errors: Vec<Finding>,
    /// Findings that the specification allows but that are likely mistakes.
    pub warnings: Vec<Finding>,
    /// The blobs that were verified, each counted once.
    #[serde(serialize_with = "Tally::serialize_blobs")]
    pub checked: Tally,
}

/// The severity of a missing blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingParts {
    Error,
    Fine,
}

impl Report {
    /// Returns the report of a directory that cannot be opened because its marker is not that of a layout.
    ///
    /// # Errors
    ///
    /// The error, if it is about something else.
    pub fn from_unopened(error: Error) -> Result<Self> {
        let is_about_marker =
            matches!(error, Error::NotALayout { .. } | Error::MalformedMarker { .. } | Error::LayoutVersion { .. });
        if !is_about_marker || !FaultKind::Marker.is_error() {
            return Err(error);
        }
        Ok(Self { errors: vec![Finding::new(error.report(), "oci-layout")], ..Self::default() })
    }

    /// Returns whether the layout is valid. Warnings do not matter.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}
