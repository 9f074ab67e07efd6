//! The files of an image: the tree that its layers make together.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "files of images are written on Linux alone")
)]

mod accounts;
mod compare;
mod conflicts;
mod content_digests;
mod contents;
mod cover;
mod deleted;
mod entries_at_paths;
mod examine;
mod file_list;
mod hard_links;
mod ignored;
mod image_files;
mod image_pair;
mod implied;
mod layer_tree;
mod layered;
mod merge;
mod node;
mod pairs;
mod placed;
mod program;
mod read_contents;
mod read_layer;
mod resolve;
mod squash;
mod stack;
mod start;
mod tree_tar;
mod unpack_state;
mod walk;

pub(crate) use accounts::Account;
pub use compare::{ComparedEntry, FileAttribute, FileChange};
pub use conflicts::Conflict;
pub(crate) use content_digests::ContentDigests;
pub(crate) use contents::{Contents, LoadContents};
pub(crate) use entries_at_paths::EntriesAtPaths;
pub(crate) use examine::Effect;
pub use file_list::{FileList, ListOptions, ListedEntry};
pub use ignored::Ignored;
pub use image_files::{FoundEntry, ImageFiles};
pub(crate) use image_files::{shown_path, sole_image};
pub use image_pair::{ComparedLayer, ImageDifference, ImagePair, LayerChange};
pub(crate) use layer_tree::{LayerFile, attributes_of, is_whiteout};
pub(crate) use layered::looked_up;
pub(crate) use merge::MergedTree;
pub use merge::TreeEntry;
pub(crate) use node::{Attributes, Node, NodeKind, Path, split};
pub(crate) use placed::Carrier;
pub(crate) use read_layer::Failure;
pub(crate) use resolve::Unresolved;
pub use stack::Stack;
pub(crate) use start::start_faults;
pub use start::{NeededBy, StartFault, StartProgram};
pub(crate) use tree_tar::TreeTar;
pub use unpack_state::UnpackState;
