//! Changes images that are in a layout: one engine for every verb (images, section 0).

mod base;
mod change;
mod history;
mod index;
mod index_change;
mod new_layers;
mod outcome;
mod place;
mod rewrite;
mod staged;

pub use change::ImageChange;
pub(crate) use change::ImageDocuments;
pub(crate) use history::{entries_of_lowest, has_layer};
pub use index::{IndexChange, IndexImage, IndexOptions, edit_index, generate_index};
pub(crate) use new_layers::{LayerAfter, MadeLayer};
pub use outcome::{EditOptions, EditWarning, Edited};
pub use rewrite::{add_layers, edit_image, layers_to_edit};
pub(crate) use rewrite::{edit_with, manifests_to_edit, or_changed};
pub use staged::{move_staged_layer, remove_staged_layer};
