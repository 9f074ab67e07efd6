//! The layout that a view shows, and whether it was changed since.

use crate::fs::FileVersion;
use crate::layout::handle::Layout;

/// The layout that a view shows, and its documents as they were when it was opened.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) layout: Layout,
    pub(crate) documents: [Option<FileVersion>; 2],
}

impl Origin {
    /// Notes the documents of a layout that is about to be read.
    pub(crate) fn of(layout: &Layout) -> Self {
        Self { layout: layout.clone(), documents: layout.document_versions() }
    }

    pub(crate) fn is_outdated(&self) -> bool {
        self.layout.document_versions() != self.documents
    }
}
