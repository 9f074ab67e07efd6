//! Checks that a layout is complete and correct: everything reachable from `index.json` is stored and matches its
//! descriptors.
//!
//! `follow` walks the documents (parsed by `json`, checked by `schema` and `fields`). `verify` reads the blobs, and the
//! content of layers as `tar::check` and `tar::layer` do. `layout::unreferenced` finds blobs that no document names.
//! `compare` checks that documents agree; `graph::severity` says which fault is an error.

use super::follow::{Part, Validation};
use super::report::{Report, ValidateOptions};
use crate::check::verify::verify_blobs;
use crate::error::{Error, Result};
use crate::graph::names::Names;
use crate::graph::resolve::{Meant, Resolver};
use crate::layout::handle::Layout;

impl Layout {
    /// Checks `index.json`, everything reachable from it, and every digest and size.
    ///
    /// Each blob is read once, the largest first, on as many threads as there are cores.
    ///
    /// # Errors
    ///
    /// Faults of the layout are in the report. Errors are returned if the check itself is not possible: [`Error::Io`]
    /// for example, or [`Error::UnknownManifest`] for a reference in the options.
    pub fn validate(&self, options: &ValidateOptions<'_>) -> Result<Report> {
        self.site().read_unlocked(|| validate_once(self, options), Report::is_valid)
    }
}

fn validate_once(layout: &Layout, options: &ValidateOptions<'_>) -> Result<Report> {
    let mut validation = Validation::new(layout, options.deep);
    let only = options.only.map(|reference| find_image(layout, reference)).transpose()?;
    match layout.read_index_bytes() {
        Ok(content) => validation.follow(&content, only.as_ref()),
        Err(error @ Error::MalformedIndex { .. }) => validation.cannot_read_index(&error),
        Err(error) => return Err(error),
    }
    let verified = verify_blobs(layout, validation.jobs(), *options);
    Ok(validation.report(layout, &verified, *options))
}

/// Finds the part of `index.json` that a reference names.
fn find_image(layout: &Layout, reference: &str) -> Result<Part> {
    let index = layout.read_index()?;
    let names = Names::AsTheyStand { default: None };
    let found = Resolver { names, index: &index, documents: layout, path: layout.path() }.find(reference)?;
    Ok(match found.meant {
        Meant::Named { places, .. } => Part::Entries(places),
        Meant::Manifest(descriptor) => {
            let has_digest = |at: &usize| index.manifests[*at].digest == descriptor.digest;
            let places: Vec<usize> = (0..index.manifests.len()).filter(has_digest).collect();
            if places.is_empty() { Part::Nested(descriptor) } else { Part::Entries(places) }
        }
    })
}
