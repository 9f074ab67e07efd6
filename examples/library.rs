//! Builds an image with the library: `cargo run --example library -- ./my-image ./rootfs.tar`.

use std::error::Error;
use std::path::Path;

use regshape::build::{ConfigChanges, ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
use regshape::check::ValidateOptions;
use regshape::layout::Layout;
use regshape::oci::{AnnotationChange, Annotations};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let (Some(path), Some(tar)) = (words.next(), words.next()) else {
        return Err("usage: library LAYOUT TAR".into());
    };
    build(path.as_ref(), tar.as_ref())
}

/// Builds an image of one layer, and then changes it.
pub fn build(path: &Path, tar: &Path) -> Result<(), Box<dyn Error>> {
    let layout = Layout::init(path)?;
    layout.stage_layer(LayerInput::open(tar)?, &LayerOptions::default())?;
    layout.generate_config(&ConfigOptions::default())?;
    let latest = ManifestOptions::default().ref_name("latest".parse()?);
    layout.generate_manifest(&latest)?;

    // Layers and configs can change after that; the manifest is then generated again, under the same name.
    let role = Annotations::from([("com.example.role".to_owned(), "base".to_owned())]);
    layout.update_layer_annotations(0, &AnnotationChange::Merge(role))?;
    layout.update_config(&ConfigChanges::default().architecture("arm64"))?;
    layout.generate_manifest(&latest)?;

    let version = Annotations::from([("org.opencontainers.image.version".to_owned(), "1.0.0".to_owned())]);
    let manifest = layout.update_manifest_annotations(&AnnotationChange::Merge(version))?;

    let index = layout.read_index()?;
    assert_eq!(index.manifests.len(), 1);
    assert_eq!(index.manifests[0].digest, manifest.digest);
    let report = layout.validate(&ValidateOptions::default())?;
    if let Some(finding) = report.errors.first() {
        return Err(format!("{}: {}", finding.location(), finding.message()).into());
    }
    Ok(())
}
