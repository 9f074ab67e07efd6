//! Makes layers of files and directories.

mod attributes;
mod below;
mod capability;
mod collect;
mod diff;
mod mode;
mod mtree;
mod note;
mod old;
mod open;
mod options;
mod owner;
mod plan;
mod rules;
mod tree;
mod write;

pub use attributes::{CopyAttributes, OwnerRule, TimeRule};
pub use capability::{Capabilities, CapabilityError};
pub use diff::DiffOptions;
pub use mode::{ModeChange, ModeError};
pub use note::{CopyNote, Counted};
pub use old::OldFiles;
pub use options::{CopyOptions, CopySource, Destination};
pub use owner::{OwnerError, OwnerSpec};
pub use plan::{CopiedLayer, CopyPlan};
pub use rules::{GlobError, ImageGlob, PathRule};
