//! Checking that a layout is whole: that everything that `index.json` leads to is there and is what it is said to be.
//!
//! `follow` goes through the documents (read by `json`, checked by `schema` and `fields`), `verify` through the blobs
//! (and by `tar` and `layer` through what layers are), `stray` through what nothing leads to; `compare` knows what must agree.

use std::fmt;

use serde::Serialize;

use super::follow::Validation;
use crate::compress::Bounds;
use crate::error::{Error, Result};
use crate::graph::finding::Finding;
use crate::graph::policy::FaultKind;
use crate::layout::handle::Layout;
use crate::metrics::Progress;

/// How a layout is validated.
///
/// ```
/// use regshape::compress::Bounds;
/// use regshape::check::ValidateOptions;
///
/// let bounds = Bounds { max_size: 1 << 30, ..Bounds::default() };
/// let options = ValidateOptions { deep: true, bounds, ..ValidateOptions::default() };
/// ```
#[derive(Clone, Copy, Default)]
pub struct ValidateOptions<'a> {
    /// Whether the layers of images are looked into: that they can be decompressed to the last byte, are well-formed tars,
    /// and have the diff_ids that their config says.
    pub deep: bool,
    /// How much the layers that are looked into may decompress to.
    pub bounds: Bounds,
    /// Is told how many more bytes of blobs were read.
    pub progress: Option<Progress<'a>>,
}

impl fmt::Debug for ValidateOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deep, bounds, progress: _ } = self;
        f.debug_struct("ValidateOptions").field("deep", deep).field("bounds", bounds).finish_non_exhaustive()
    }
}

/// What a validation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What makes the layout invalid.
    pub errors: Vec<Finding>,
    /// What is legal, but may not be meant.
    pub warnings: Vec<Finding>,
    /// What was looked at.
    pub checked: Checked,
}

/// How much was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The number of blobs, each counted once.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// What a missing blob counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Error,
    Fine,
}

impl Report {
    /// Returns the report of a directory that cannot be opened because its marker is not that of a layout.
    ///
    /// # Errors
    ///
    /// The error, if it is about something else.
    pub fn of_unopened(error: Error) -> Result<Self> {
        let is_about_marker =
            matches!(error, Error::NotALayout { .. } | Error::MalformedMarker { .. } | Error::LayoutVersion { .. });
        if !is_about_marker || !FaultKind::Marker.is_error() {
            return Err(error);
        }
        Ok(Self { errors: vec![Finding::new(error.to_string(), "oci-layout")], ..Self::default() })
    }

    /// Tells whether the layout is valid. Warnings do not matter.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

impl Layout {
    /// Checks `index.json`, everything that it leads to, and every digest and size on the way.
    ///
    /// Each blob is read once, the largest first, on as many threads as there are cores.
    ///
    /// # Errors
    ///
    /// What is wrong with the layout is in the report; an error is what keeps the checks from being made, such as
    /// [`Error::Io`].
    pub fn validate(&self, options: ValidateOptions<'_>) -> Result<Report> {
        self.read_unlocked(|| self.validate_once(options), Report::is_valid)
    }

    fn validate_once(&self, options: ValidateOptions<'_>) -> Result<Report> {
        let mut validation = Validation::new(self, options.deep);
        match self.read_index_bytes() {
            Ok(content) => validation.follow(&content),
            Err(error @ Error::MalformedIndex { .. }) => validation.cannot_read_index(&error),
            Err(error) => return Err(error),
        }
        let verified = self.verify_blobs(validation.jobs(), options);
        Ok(validation.report(self, &verified))
    }
}
