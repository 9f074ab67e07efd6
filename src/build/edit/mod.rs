//! Changes images that are in a layout: one engine for every verb (images, section 0).

mod base;
mod change;
mod engine;
mod index;
mod index_change;
mod outcome;
mod place;
mod referrers;
mod staged;

pub use change::ImageChange;
pub use engine::{add_layers, edit_image, layers_to_edit};
pub use index::{IndexChange, IndexImage, IndexOptions, edit_index, generate_index};
pub use outcome::{EditOptions, EditWarning, Edited};
pub use staged::{move_staged_layer, remove_staged_layer};
