//! A program that depends on regshape like the programs of users: `cargo run --locked` must print `sound`.
//!
//! Cargo gives all crates of a build the union of the requested features. With `arbitrary_precision` of `serde_json`,
//! numbers in untagged, flattened and tagged values become maps, and the values below cannot be read.

use std::error::Error;

use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
use regshape::check::ValidateOptions;
use regshape::layout::Layout;
use regshape::oci::Index;
use regshape::view::View;
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Setting {
    Count(u64),
    Share(f64),
    Name(String),
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    Size { bytes: u64 },
}

#[derive(Debug, Deserialize, PartialEq)]
struct Outer {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Inner {
    size: u64,
    ratio: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings: Vec<Setting> = serde_json::from_str(r#"[1, 0.5, "x"]"#)?;
    assert_eq!(settings, [Setting::Count(1), Setting::Share(0.5), Setting::Name("x".to_owned())]);
    let tagged: Tagged = serde_json::from_str(r#"{"kind": "Size", "bytes": 3}"#)?;
    assert_eq!(tagged, Tagged::Size { bytes: 3 });
    let outer: Outer = serde_json::from_str(r#"{"size": 7, "ratio": 1.5}"#)?;
    assert_eq!(outer, Outer { inner: Inner { size: 7, ratio: 1.5 } });

    // An image, made by the library, that keeps unknown fields to the last digit.
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("image");
    let layout = Layout::init(&path)?;
    layout.stage_layer(LayerInput::from_reader("layer.tar", &[0; 1024][..])?, &LayerOptions::default())?;
    layout.generate_config(&ConfigOptions::default().architecture("arm64"))?;
    layout.generate_manifest(&ManifestOptions::default().ref_name("v1".parse()?))?;
    assert!(layout.validate(&ValidateOptions::default())?.is_valid());
    let view = View::open(&path)?;
    assert_eq!(view.index().manifests[0].ref_name(), Some("v1"));
    let text = r#"{"schemaVersion":2,"manifests":[],"exact":123456789012345678901234567890.10}"#;
    let index: Index = regshape::oci::from_json(text.as_bytes())?;
    assert!(String::from_utf8(regshape::oci::to_blob(&index))?.contains("123456789012345678901234567890.10"));
    println!("sound");
    Ok(())
}
