//! Checking that a layout is whole: that everything that `index.json` leads to is there and is what it is said to be.
//!
//! `follow` goes through the documents (read by `json`, checked by `schema` and `fields`), `verify` through the blobs
//! (and by `tar` and `layer` through what layers are), `stray` through what nothing leads to; `compare` knows what must agree.

use super::follow::Validation;
use super::report::{Report, ValidateOptions};
use crate::check::verify::verify_blobs;
use crate::error::{Error, Result};
use crate::layout::handle::Layout;

impl Layout {
    /// Checks `index.json`, everything that it leads to, and every digest and size on the way.
    ///
    /// Each blob is read once, the largest first, on as many threads as there are cores.
    ///
    /// # Errors
    ///
    /// What is wrong with the layout is in the report; an error is what keeps the checks from being made, such as
    /// [`Error::Io`].
    pub fn validate(&self, options: &ValidateOptions<'_>) -> Result<Report> {
        self.read_unlocked(|| validate_once(self, options), Report::is_valid)
    }
}

fn validate_once(layout: &Layout, options: &ValidateOptions<'_>) -> Result<Report> {
    let mut validation = Validation::new(layout, options.deep);
    match layout.read_index_bytes() {
        Ok(content) => validation.follow(&content),
        Err(error @ Error::MalformedIndex { .. }) => validation.cannot_read_index(&error),
        Err(error) => return Err(error),
    }
    let verified = verify_blobs(layout, validation.jobs(), *options);
    Ok(validation.report(layout, &verified))
}
