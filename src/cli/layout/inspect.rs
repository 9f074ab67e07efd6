//! `layout inspect`

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(feature = "remote")]
use std::sync::Arc;

use regshape::oci::{Annotations, Descriptor, Digest, MediaType};
#[cfg(feature = "remote")]
use regshape::remote::Client;
#[cfg(feature = "remote")]
use regshape::transfer::{RemoteImages, RemoteReferences};
use regshape::view::{ArchiveImage, View};
use serde::Serialize;

use crate::cli::args::{Base, PlatformArg, layout_path};
#[cfg(feature = "remote")]
use crate::cli::connection_args::{ConnectionArgs, parse_one_reference};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::source::{ImageSource, LowerVariant};
use crate::cli::output::{Block, Screen, counted};
use crate::cli::style::Style;
#[cfg(feature = "remote")]
use crate::cli::usage::Usage;

/// Show the images of an archive or a layout
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape inspect ./my-image.tar.gz\n  regshape inspect -s ghcr.io/example/app:v1\n  regshape inspect ./my-image:v1 --platform linux/arm64 --json"
)]
#[group(id = "place", multiple = false, args = ["file", "path", "input"])]
pub(crate) struct Args {
    /// Archive; - for standard input
    #[arg(short, long, value_name = "ARCHIVE")]
    file: Option<PathBuf>,
    /// Layout; DIR:TAG for one of its images
    #[arg(short, long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Layout or archive, instead of --path or --file
    #[arg(value_name = "DIR")]
    input: Option<PathBuf>,
    /// Show the image with this tag, image name, digest or TAG@DIGEST; repeatable [default: all]
    #[arg(long = "ref", value_name = "REF")]
    references: Vec<String>,
    #[command(flatten)]
    platform: PlatformArg,
    /// Image in a registry: HOST/REPOSITORY[:TAG][@DIGEST]; only its documents are fetched
    #[cfg(feature = "remote")]
    #[arg(short, long, value_name = "SOURCE", conflicts_with_all = ["file", "path", "input", "references"])]
    source: Option<String>,
    #[cfg(feature = "remote")]
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    _base: Base,
}

#[derive(Serialize)]
struct Inspected {
    path: String,
    tag: Option<String>,
    /// That of the first entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_name: Option<String>,
    multi_platform: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    digest: Digest,
    media_type: MediaType,
    /// The size of the manifest.
    size: u64,
    ref_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    config: Part,
    layers: Vec<Part>,
    /// The size of the manifest, the config and the layers.
    total_size: u64,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Part {
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
}

impl From<&Descriptor> for Part {
    fn from(descriptor: &Descriptor) -> Self {
        let Descriptor { digest, size, media_type, .. } = descriptor.clone();
        Self { digest, size, media_type: Some(media_type) }
    }
}

impl Image {
    fn new(image: ArchiveImage, entries: &HashMap<&Digest, Vec<&Descriptor>>) -> Self {
        // Names of its own, and those of the index that it is in.
        let is_in_index = image.listed != image.manifest_digest;
        let listed = is_in_index.then(|| entries.get(&image.listed)).flatten();
        let leads_here = || entries.get(&image.manifest_digest).into_iter().chain(listed).flatten();
        let ref_names = distinct(leads_here().filter_map(|entry| entry.ref_name()));
        let image_names = distinct(leads_here().filter_map(|entry| entry.image_name()));
        let config = Part { digest: image.config_digest, size: image.config.len() as u64, media_type: None };
        let layers: Vec<Part> = image.layers.iter().map(|layer| layer.descriptor().into()).collect();
        let size = image.manifest.len() as u64;
        Self {
            digest: image.manifest_digest,
            media_type: image.entry.media_type.clone(),
            size,
            ref_names,
            image_names,
            platform: image.platform.map(|platform| platform.to_string()),
            total_size: layers.iter().map(|layer| layer.size).fold(size + config.size, u64::saturating_add),
            config,
            layers,
            annotations: image.annotations,
        }
    }
}

impl Screen for Inspected {
    fn text(&self, style: &Style) -> String {
        let mut blocks = Vec::new();
        for image in &self.images {
            let mut block = Block::new("Image:", 8)
                .line("digest", style.digest(&image.digest))
                .line("size", image.total_size)
                .line("type", &image.media_type);
            if !image.ref_names.is_empty() {
                block = block.line("ref-name", image.ref_names.join(", "));
            }
            if !image.image_names.is_empty() {
                block = block.line("name", image.image_names.join(", "));
            }
            if let Some(platform) = &image.platform {
                block = block.line("platform", platform);
            }
            block = block.line("config", part(&image.config, style));
            for layer in &image.layers {
                block = block.line("layer", part(layer, style));
            }
            if !image.annotations.is_empty() {
                block = block.annotations(&image.annotations);
            }
            blocks.push(block.finish());
        }
        if self.multi_platform
            && let Some(tag) = &self.tag
        {
            let mut block = Block::new("Images:", 8).line("tag", tag);
            if let Some(name) = self.image_name.as_ref().filter(|name| *name != tag) {
                block = block.line("name", name);
            }
            blocks.insert(0, block.line("count", self.images.len()).finish());
        }
        blocks.join("\n")
    }
}

/// Returns names, each once.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

fn part(part: &Part, style: &Style) -> String {
    let shown = |media_type: &MediaType| format!(", {}", style.media_type(media_type.as_str()));
    let media_type = part.media_type.as_ref().map(shown).unwrap_or_default();
    format!("{} ({}{media_type})", style.digest(&part.digest), counted(part.size, "byte"))
}

impl Args {
    fn local_source(&self, context: &Context) -> anyhow::Result<(PathBuf, ImageSource)> {
        #[cfg(feature = "remote")]
        if let Some(flag) = self.connection.given() {
            return Err(Usage(format!("{flag} is for images of registries; name one with -s")).into());
        }
        let path = match &self.file {
            Some(file) => file.clone(),
            None => layout_path(self.path.as_ref().or(self.input.as_ref()))?,
        };
        let source = context.source(&path, &self.references)?;
        Ok((path, source))
    }

    /// Returns the image of a registry. Its layers are not fetched.
    #[cfg(feature = "remote")]
    fn remote_source(&self, source: &str, context: &Context) -> anyhow::Result<(PathBuf, ImageSource)> {
        let reference = parse_one_reference(source)?;
        let connection = self.connection.options(&reference.host, context)?;
        let client = Arc::new(Client::new(reference.host.clone(), Some(&reference.repository), &connection));
        let wanted = RemoteReferences::one(reference.tag().cloned(), reference.digest.clone());
        let images = RemoteImages::find(client, &reference.repository, &wanted, None)?;
        images.fetch_documents(images.view())?;
        let typed = PathBuf::from(reference.to_string());
        let source = ImageSource { view: images.view().clone(), references: Vec::new(), typed: typed.clone() };
        Ok((typed, source))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        #[cfg(feature = "remote")]
        let (path, source, is_remote) = match &self.source {
            Some(source) => self.remote_source(source, context).map(|(path, source)| (path, source, true))?,
            None => self.local_source(context).map(|(path, source)| (path, source, false))?,
        };
        #[cfg(not(feature = "remote"))]
        let (path, source, is_remote) = self.local_source(context).map(|(path, source)| (path, source, false))?;
        let selection = source.selection().platforms(platform.into_iter().collect());
        let reading = View::reading(vec![source.view], |views, _| -> anyhow::Result<_> {
            let (view, lower_variants) = context.select(&views[0], &selection)?;
            let images = if is_remote { view.images_without_layers()? } else { view.images()? };
            let multi_platform = view.is_multi_platform()?;
            Ok((view, lower_variants, images, multi_platform))
        });
        let (view, lower_variants, images, multi_platform) = reading?;
        let mut entries: HashMap<&Digest, Vec<&Descriptor>> = HashMap::new();
        for entry in &view.index().manifests {
            entries.entry(&entry.digest).or_default().push(entry);
        }
        context.ui.result(&Inspected {
            path: path.display().to_string(),
            tag: view.tag().map(str::to_owned),
            image_name: view.index().manifests.first().and_then(|entry| entry.image_name()).map(str::to_owned),
            multi_platform,
            lower_variants,
            images: images.into_iter().map(|image| Image::new(image, &entries)).collect(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
