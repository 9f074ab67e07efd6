//! Immutable views: an index and a way to read the blobs that it refers to.
//!
//! A view is created from a layout, an archive or a directory, and can be joined, filtered, wrapped and searched. This
//! module never writes.

pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod index_view;
pub(crate) mod listing;
pub(crate) mod multi_platform;
pub(crate) mod named;
pub(crate) mod origin;
pub(crate) mod reach;
pub(crate) mod reading;
pub(crate) mod rewrite;
pub(crate) mod select;
pub(crate) mod source;
pub(crate) mod store;

pub use content::{Content, ContentReader};
pub use files::{FileSystem, FileType, Stat};
pub use images::{ArchiveImage, ImageLayer, LayerReader};
pub use index_view::View;
pub use listing::{Listing, ListingKind};
pub use reading::Reading;
pub use select::{Selected, Selection};
pub use source::BlobSource;
pub use store::ContentStore;
