//! Building images: layers, configs and manifests, through the staging file.

pub(crate) mod config;
pub(crate) mod input;
pub(crate) mod layer;
pub(crate) mod manifest;
pub(crate) mod pipeline;

pub use config::{ConfigChanges, ConfigOptions};
pub use input::{CompressionScope, LayerInput, LayerPlan, Treatment};
pub use layer::{AddedLayer, LayerOptions};
pub use manifest::ManifestOptions;
