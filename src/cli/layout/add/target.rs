//! Where a layer goes, and the result of adding it.

use regshape::CopyError;
use regshape::build::copy::CopyNote;
use regshape::build::edit::{EditOptions, Edited};
use regshape::layout::{Layout, StagedLayer};
use regshape::oci::MediaType;
use regshape::view::{ArchiveImage, Selection, View};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::layout::edit::ImageToEdit;
use crate::cli::layout::generate::note_no_history;
use crate::cli::output::{Block, Screen, printable};
use crate::cli::style::Style;

/// How often a layer is made for the layers below it, while other processes change these.
pub(super) const TRIES: usize = 3;

/// The image that a layer is for: a staged one, or one that is there.
pub(super) struct Target<'a> {
    pub(super) context: &'a Context,
    pub(super) layout: &'a Layout,
    pub(super) image: Option<(ImageToEdit, EditOptions)>,
}

impl Target<'_> {
    /// Checks that the image is not one for Windows, as far as it is known (images, rule A18).
    pub(super) fn expect_other_than_windows(&self) -> regshape::Result<()> {
        let is_windows = match &self.image {
            None => {
                let base = self.layout.read_stage().ok().and_then(|stage| stage.base);
                base.and_then(|base| base.config.get::<String>("os").ok().flatten()).as_deref() == Some("windows")
            }
            Some((image, options)) => {
                let selection = Selection::default().references(vec![image.reference.clone()]);
                let selection = selection.platforms(options.platforms.clone()).no_attestations(true);
                let images =
                    View::of(self.layout.clone())?.selected(&selection).and_then(|chosen| chosen.view.images());
                let of_windows =
                    |image: ArchiveImage| image.platform.is_some_and(|of| of.os.as_deref() == Some("windows"));
                // Another error is told with the edit.
                images.is_ok_and(|images| images.into_iter().any(of_windows))
            }
        };
        if is_windows { Err(CopyError::Windows.into()) } else { Ok(()) }
    }
}

#[derive(Serialize)]
pub(super) struct Staged {
    digest: String,
    size: u64,
    media_type: MediaType,
    annotations: regshape::oci::Annotations,
    diff_id: Option<String>,
    /// The first of the warnings, all of which are given to the `Ui`.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Screen for Staged {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.clone())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        Block::new("Staged layer:", 6)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("type", &self.media_type)
            .finish()
    }
}

/// Notes that a changed image gets no history.
pub(super) fn note_of_history(context: &Context, edited: &Edited, has_created_by: bool) {
    if edited.lacks_history {
        note_no_history(context, "it has none", has_created_by);
    }
}

/// Shows the notes about a layer, and returns those that are warnings.
pub(super) fn tell(context: &Context, notes: &[CopyNote]) -> Vec<String> {
    let (warnings, notes): (Vec<_>, Vec<_>) = notes.iter().partition(|note| matches!(note, CopyNote::Keyword { .. }));
    notes.iter().for_each(|note| context.ui.note(&format!("Note: {}", printable(&note.to_string()))));
    warnings.iter().map(|note| printable(&note.to_string())).collect()
}

pub(super) fn staged(layer: StagedLayer, warning: Option<String>) -> Staged {
    Staged {
        digest: layer.digest.to_string(),
        size: layer.size,
        media_type: layer.media_type,
        annotations: layer.annotations,
        diff_id: layer.diff_id.map(|diff_id| diff_id.to_string()),
        warning,
    }
}
