//! Results of commands that make or change images.

use regshape::graph::ImageSummary;
use regshape::oci::{Descriptor, Digest, Json, MediaType, from_json};
use regshape::view::View;
use serde::Serialize;

use super::source::LowerVariant;
use crate::cli::output::{Block, Screen, json, printable};
use crate::cli::style::Style;

/// An image that was made or changed: its entry, and its images if it is an index.
#[derive(Serialize)]
pub(crate) struct ImageScreen {
    #[serde(skip)]
    title: String,
    digest: String,
    size: u64,
    media_type: MediaType,
    ref_name: Option<String>,
    images: Vec<ImageRow>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Images for lower variants that were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
    /// The paths in the layers and the config of each image, for a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contents: Vec<ImageContents>,
}

/// The content of an image that would be built.
#[derive(Serialize)]
struct ImageContents {
    layers: Vec<Vec<String>>,
    config: Json,
}

/// An image of one platform.
#[derive(Serialize)]
struct ImageRow {
    platform: Option<String>,
    digest: Digest,
    config: Digest,
    layers: Vec<Digest>,
}

impl ImageScreen {
    /// Describes an entry with its images.
    pub(crate) fn new(
        title: String,
        entry: &Descriptor,
        images: Vec<ImageSummary>,
        warnings: Vec<String>,
        dry_run: bool,
    ) -> Self {
        let row = |image: ImageSummary| ImageRow {
            platform: image.platform.map(|platform| platform.to_string()),
            digest: image.manifest,
            config: image.config,
            layers: image.layers,
        };
        let Descriptor { digest, size, media_type, .. } = entry;
        Self {
            title,
            digest: digest.to_string(),
            size: *size,
            media_type: media_type.clone(),
            ref_name: entry.ref_name().map(str::to_owned),
            images: images.into_iter().map(row).collect(),
            warnings,
            dry_run,
            lower_variants: Vec::new(),
            contents: Vec::new(),
        }
    }

    /// Adds the images for lower variants that were taken.
    pub(crate) fn with_lower_variants(self, lower_variants: Vec<LowerVariant>) -> Self {
        Self { lower_variants, ..self }
    }

    /// Adds the paths in the layers and the config of each image.
    pub(crate) fn with_contents(mut self, view: &View, files: Vec<Vec<Vec<String>>>) -> anyhow::Result<Self> {
        for (image, layers) in view.images()?.iter().zip(files) {
            self.contents.push(ImageContents { layers, config: from_json(&image.config)? });
        }
        Ok(self)
    }
}

impl Screen for ImageScreen {
    fn lists_warnings(&self) -> bool {
        true
    }

    fn quiet(&self) -> Option<String> {
        Some(self.digest.clone())
    }

    fn text(&self, style: &Style) -> String {
        let mut block = Block::new(&self.title, 10)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("media-type", &self.media_type);
        block = self.ref_name.iter().fold(block, |block, name| block.line("ref-name", printable(name)));
        if self.images.len() > 1 || self.media_type.is_index() {
            for ImageRow { platform, digest, .. } in &self.images {
                let platform = platform.as_deref().map_or_else(|| "unknown".to_owned(), printable);
                block = block.line("image", format!("{platform} {}", style.digest(digest)));
            }
        }
        let mut text = block.finish();
        for ImageContents { layers, config } in &self.contents {
            for (at, paths) in layers.iter().enumerate() {
                text.push_str(&format!("\n\nLayer {at}:"));
                paths.iter().for_each(|path| text.push_str(&format!("\n  {path}")));
            }
            let config = json(config).unwrap_or_default();
            text.push_str(&format!("\n\nConfig:\n{}", config.trim_end()));
        }
        text
    }
}
