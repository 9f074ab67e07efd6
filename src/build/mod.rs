//! Builds images from layers, configs and manifests, with the staging file.

pub(crate) mod artifact;
pub(crate) mod attach;
pub(crate) mod base;
pub(crate) mod config;
pub(crate) mod copied;
pub mod copy;
pub mod edit;
pub(crate) mod input;
pub(crate) mod layer;
pub(crate) mod manifest;
pub(crate) mod pipeline;
pub(crate) mod reset;
pub mod rewrite;
pub(crate) mod scratch;
pub(crate) mod writer;

pub use artifact::Subject;
pub use attach::{AttachOptions, Attached, attach};
pub use base::{AddedBase, BaseImage};
pub use config::{ConfigChanges, ConfigOptions, PreparedConfig, ProcessChanges};
pub use input::{CompressionScope, LayerInput, LayerOptions, LayerPlan, Treatment};
pub use layer::{AddedLayer, NewLayer, PreparedLayer};
pub use manifest::{ManifestOptions, PreparedManifest};
pub use reset::{Reset, reset};
pub use scratch::Scratch;
pub use writer::LayerWriter;
