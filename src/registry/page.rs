//! Pages of lists (distribution-spec, "Listing tags").

use crate::options::setters;

/// A part of a list that is in the order of its bytes; by default all of it.
///
/// ```
/// use regshape::registry::Page;
///
/// let second = Page::default().after("v1").limit(10);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Page {
    /// The name before the first.
    pub after: Option<String>,
    /// The most names that are wanted.
    pub limit: Option<usize>,
}

impl Page {
    setters! {
        after: [some String],
        limit: [option usize],
    }

    /// Returns whether a name comes after the one before the first.
    pub(crate) fn begins_before(&self, name: &str) -> bool {
        self.after.as_deref().is_none_or(|after| name > after)
    }

    /// Returns the most names that are wanted.
    pub(crate) fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}
