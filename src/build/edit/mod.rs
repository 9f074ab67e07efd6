//! Changes images that are in a layout: one engine for every verb (images, section 0).

mod base;
mod change;
mod engine;
mod outcome;
mod place;
mod referrers;
mod staged;

pub use change::ImageChange;
pub use engine::{add_layers, edit_image, layers_to_edit};
pub use outcome::{EditOptions, EditWarning, Edited};
pub use staged::{move_staged_layer, remove_staged_layer};
