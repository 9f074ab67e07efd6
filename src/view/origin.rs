//! The layout behind a view, with a check for changes.

use crate::fs::FileVersion;
use crate::layout::handle::Layout;

/// The layout behind a view, and the versions of its documents when it was opened.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) layout: Layout,
    pub(crate) documents: [Option<FileVersion>; 2],
}

impl Origin {
    /// Records the document versions of a layout that is about to be read.
    pub(crate) fn of(layout: &Layout) -> Self {
        Self { layout: layout.clone(), documents: layout.site().document_versions() }
    }

    pub(crate) fn is_outdated(&self) -> bool {
        self.layout.site().document_versions() != self.documents
    }
}
