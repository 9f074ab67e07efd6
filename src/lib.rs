//! Builds, edits and checks OCI image layouts on the local disk: no daemon, no registry, no network.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! use regshape::layout::{ConfigOptions, Layout, LayerInput, LayerOptions, ManifestOptions};
//!
//! let layout = Layout::init(&path)?;
//! layout.stage_layer(LayerInput::open(&tar)?, LayerOptions::default())?;
//! layout.generate_config(ConfigOptions { architecture: "arm64".to_owned(), ..ConfigOptions::default() })?;
//! let manifest = layout.generate_manifest(ManifestOptions { ref_name: Some("latest".parse()?), ..ManifestOptions::default() })?;
//!
//! let index = layout.read_index()?;
//! assert_eq!(index.manifests[0].digest, manifest.digest);
//! assert_eq!(index.manifests[0].ref_name(), Some("latest"));
//! assert!(layout.validate(None)?.is_valid());
//! # Ok(())
//! # }
//! ```
//!
//! What was generated can be changed:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! # use regshape::layout::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
//! # let layout = regshape::layout::Layout::init(&path)?;
//! # layout.stage_layer(LayerInput::open(&tar)?, LayerOptions::default())?;
//! # layout.generate_config(ConfigOptions::default())?;
//! # layout.generate_manifest(ManifestOptions::default())?;
//! use regshape::layout::{ConfigChanges, Layout};
//! use regshape::oci::Annotations;
//!
//! let layout = Layout::open(&path)?;
//! println!("{:?}", layout.read_stage()?);
//!
//! let role = Annotations::from([("com.example.role".to_owned(), "base".to_owned())]);
//! layout.update_layer_annotations(0, role, false)?;
//! let config = layout.update_config(ConfigChanges { architecture: Some("arm64".to_owned()), ..ConfigChanges::default() })?;
//! assert!(config.outdates_manifest);
//! layout.generate_manifest(ManifestOptions::default())?;
//!
//! let version = Annotations::from([("org.opencontainers.image.version".to_owned(), "1.0.0".to_owned())]);
//! layout.update_manifest_annotations(version, false)?;
//! assert_eq!(layout.read_index()?.manifests.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! [`layout`] is the directory and what is done with it, [`oci`] the documents in it, [`compress`] the streams that layers
//! are. The command line is a part of the binary; without the default feature `cli` nothing of it is built.

mod abandon;
pub mod compress;
mod fs;
pub mod layout;
pub mod oci;
