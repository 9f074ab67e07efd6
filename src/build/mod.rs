//! Building images: layers, configs and manifests, through the staging file.

pub(crate) mod config;
pub(crate) mod layer;
pub(crate) mod manifest;
pub(crate) mod pipeline;

pub use config::{ConfigChanges, ConfigOptions};
pub use layer::{AddedLayer, CompressionScope, LayerInput, LayerOptions, LayerPlan, Treatment};
pub use manifest::ManifestOptions;
