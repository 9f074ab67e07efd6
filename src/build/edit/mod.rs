//! Changes images that are in a layout: one engine for every verb (images, section 0).

mod base;
mod change;
mod index;
mod index_change;
mod outcome;
mod place;
mod rewrite;
mod staged;

pub use change::ImageChange;
pub use index::{IndexChange, IndexImage, IndexOptions, edit_index, generate_index};
pub use outcome::{EditOptions, EditWarning, Edited};
pub use rewrite::{add_layers, edit_image, layers_to_edit};
pub use staged::{move_staged_layer, remove_staged_layer};
