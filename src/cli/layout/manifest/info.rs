//! `layout manifest info`

use std::process::ExitCode;

use regshape::oci::{Annotations, Digest, MediaType};
use regshape::registry::ManifestInfo;
use serde::Serialize;

use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::config_info::ConfigInfo;
use crate::cli::layout::place::ManifestArgs;
use crate::cli::layout::source::LowerVariant;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// Show digest, platform, tags, annotations and config of an image
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape manifest info ./my-image:latest\n  regshape manifest info ./my-image:latest --platform linux/arm64"
)]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
}

#[derive(Serialize)]
struct Info {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_variant: Option<LowerVariant>,
    /// Of an index: those of its manifests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_names: Vec<String>,
    /// Those in the manifest.
    annotations: Annotations,
    /// Those of its entry in index.json, or in a nested index.
    descriptor_annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigInfo>,
}

impl Screen for Info {
    fn text(&self, style: &Style) -> String {
        let lines = [
            ("artifact-type", self.artifact_type.clone()),
            ("platform", self.platform.clone()),
            ("platforms", Some(self.platforms.join(", ")).filter(|platforms| !platforms.is_empty())),
            ("subject", self.subject.as_ref().map(|subject| style.digest(subject).to_owned())),
            ("tags", Some(self.tags.join(", ")).filter(|tags| !tags.is_empty())),
            ("image-names", Some(self.image_names.join(", ")).filter(|names| !names.is_empty())),
        ];
        let mut block = Block::new("Manifest:", 13)
            .line("digest", style.digest(&self.digest))
            .line("size", self.size)
            .line("media-type", &self.media_type);
        for (label, value) in lines {
            if let Some(value) = value {
                block = block.line(label, value);
            }
        }
        if !self.annotations.is_empty() {
            block = block.annotations(&self.annotations);
        }
        let mut text = block.finish();
        if let Some(config) = self.config.as_ref().and_then(ConfigInfo::text) {
            text.push_str("\n\n");
            text.push_str(&config);
        }
        text
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (place, platform) = self.manifest.place(context)?;
        let ManifestInfo {
            descriptor,
            artifact_type,
            platform,
            platforms,
            subject,
            annotations,
            tags,
            image_names,
            choice,
            config,
            ..
        } = place.repository.info((&*place.image()?, platform.as_ref()))?;
        context.ui.result(&Info {
            digest: descriptor.digest,
            size: descriptor.size,
            media_type: descriptor.media_type,
            artifact_type,
            platform: platform.map(|platform| platform.to_string()),
            lower_variant: choice.and_then(|choice| context.lower_variant(&choice)),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            subject: subject.map(|subject| subject.digest),
            tags: tags.iter().map(|tag| place.called(tag)).collect(),
            image_names,
            annotations,
            descriptor_annotations: descriptor.annotations.unwrap_or_default(),
            config: config.as_ref().map(ConfigInfo::new).filter(|config| config.text().is_some()),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
