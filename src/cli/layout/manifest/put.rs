//! `layout manifest put`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use regshape::Error;
use regshape::oci::{Digest, MediaType};
use regshape::registry::ManifestBody;
use serde::Serialize;

use crate::cli::args::read_document;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::{Need, RegistryArgs, parse_digest};
use crate::cli::output::{Block, Screen, is_dash};
use crate::cli::style::Style;

/// Store a manifest or index and add it to index.json
///
/// The config, the layers or the manifests that it refers to must be stored already. Creates the layout if necessary. Takes tags
/// from other manifests, which stay, untagged if they have no other tag.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape manifest put ./my-image --file ./manifest.json \\\n      --tag v1 --tag latest\n  regshape manifest put ./my-layout --repo example/app \\\n      --file - --tag v1 < ./manifest.json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Manifest; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Tag, unless the path has one; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Media type of the manifest [default: its mediaType, or by its fields]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    /// Expected digest
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Pushed {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    tags: Vec<String>,
}

impl Screen for Pushed {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn text(&self, style: &Style) -> String {
        let block = Block::new("Stored manifest:", 10)
            .line("digest", style.digest(&self.digest))
            .line("size", self.size)
            .line("media-type", &self.media_type);
        if self.tags.is_empty() { block.finish() } else { block.line("tags", self.tags.join(", ")).finish() }
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let digest = self.digest.as_deref().map(parse_digest).transpose()?;
        let place = context.to_change(&self.common.path()?, &self.registry, None, Need::Made, &self.write)?;
        let content = read_document(&self.file)?;
        let body = match &self.media_type {
            Some(media_type) => ManifestBody::parse_as(content, media_type.parse()?),
            None => ManifestBody::parse(content),
        };
        let body = body.map_err(|error| match error {
            Error::InvalidManifest { reason } if reason.is_syntax() || reason.is_byte_order_mark() => {
                let path = if is_dash(&self.file) { "standard input".into() } else { self.file.clone() };
                Error::NotJson { path, reason }
            }
            error => error,
        })?;
        let mut tags = self.tags;
        let (tag, path_digest) = place.path_reference().map_or(Ok((None, None)), parse_path_reference)?;
        if let Some(tag) = tag.map(str::to_owned).filter(|tag| !tags.contains(tag)) {
            tags.push(tag);
        }
        let digest = match (digest, path_digest) {
            (Some(one), Some(other)) if one != other => bail!("the path names '{other}' and --digest names '{one}'"),
            (one, other) => one.or(other),
        };
        let body = match digest {
            Some(digest) => body.with_digest(digest)?,
            None => body,
        };
        let names: Vec<&str> = tags.iter().map(String::as_str).collect();
        let manifest = place.repository.push_manifest(&body, &names)?;
        context.ui.result(&Pushed {
            digest: manifest.digest,
            size: manifest.size,
            media_type: manifest.media_type,
            tags: tags.iter().map(|tag| place.called(tag)).collect(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Parses the reference in a path for a new manifest: a tag, a digest, or both.
fn parse_path_reference(reference: &str) -> anyhow::Result<(Option<&str>, Option<Digest>)> {
    // `app:v1` is also a digest, of an unknown algorithm.
    if let Some(digest) = reference.parse::<Digest>().ok().filter(|digest| digest.algorithm().is_some()) {
        return Ok((None, Some(digest)));
    }
    Ok(match reference.split_once('@') {
        Some((tag, digest)) => (Some(tag), Some(parse_digest(digest)?)),
        None => (Some(reference), None),
    })
}
