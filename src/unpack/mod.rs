//! Writes the files of an image below a directory.
//!
//! The layers are read once, the upper ones first. The content of files that no upper layer hides is written to a pool of files
//! meanwhile, with its attributes. When all layers are verified, the merged tree is made of the pool by renames and links, in a
//! directory beside the destination, and that directory is renamed. Most files need no rename of their own: they stand on a shelf, a
//! directory of the pool that becomes one of the tree. No path of an image is ever resolved: the tree is made
//! directory by directory, each opened beneath the root without following links (images, rules J1 to J12).

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "files of images are written on Linux alone")
)]

#[cfg(target_os = "linux")]
mod attributes;
#[cfg(target_os = "linux")]
mod content;
#[cfg(target_os = "linux")]
mod destination;
#[cfg(target_os = "linux")]
mod extract;
mod options;
#[cfg(target_os = "linux")]
mod pool_directory;
mod report;
#[cfg(target_os = "linux")]
mod scratch;
#[cfg(target_os = "linux")]
mod shelves;
#[cfg(target_os = "linux")]
mod small_files;
#[cfg(target_os = "linux")]
mod state_file;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(target_os = "linux")]
mod whole;

pub use crate::rootfs::UnpackState;
pub use options::{IdMap, IdRange, OverlapError, ParseIdRangeError, UnpackOptions};
pub use report::{Skipped, Unpacked};
