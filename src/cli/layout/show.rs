//! `layout show`

use std::process::ExitCode;

use regshape::layout::Layout;
use regshape::oci::{Index, Json, Manifest, from_json};
use regshape::registry::StoredManifest;
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::tree::{DrawnTree, TREE_KEYS};
use crate::cli::output::{Screen, json};
use crate::cli::path_reference::PathReference;
use crate::cli::style::Style;

/// Print index.json, the document of one image, or a tree
///
/// DIR prints index.json; DIR:TAG and DIR@DIGEST print the manifest or index of that image, indented.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape show ./my-image\n  regshape show ./my-image --tree\n  regshape show ./my-image:latest"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Draw a tree of tags, platforms, manifests, layers and referrers
    #[arg(long)]
    tree: bool,
}

/// A document; its text is its JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Index(Box<Index>),
    Manifest(Box<Manifest>),
    Other(Json),
}

impl Screen for Shown {
    fn is_json(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        json(self).expect("a document can be written: it was read")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let located = PathReference::find(&path, false);
        let Some(reference) = located.full_reference() else {
            let layout = context.open(&path)?;
            return self.shown(context, layout, None);
        };
        let layout = context.open(&located.directory)?;
        self.shown(context, layout, Some(&reference))
    }
}

impl Args {
    fn shown(&self, context: &Context, layout: &Layout, reference: Option<&str>) -> anyhow::Result<ExitCode> {
        if self.tree {
            context.ui.check_template(TREE_KEYS)?;
            let tree = reference.map_or_else(|| layout.tree(), |reference| layout.tree_of(reference))?;
            context.ui.result(&DrawnTree::new(layout.path().display().to_string(), tree))?;
            return Ok(ExitCode::SUCCESS);
        }
        let shown = match reference {
            None => Shown::Index(layout.read_index()?.into()),
            Some(reference) => document(&context.repository(layout)?.get(reference)?)?,
        };
        context.ui.result(&shown)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a document with its fields in the order of the image-spec.
fn document(StoredManifest { descriptor, content, .. }: &StoredManifest) -> anyhow::Result<Shown> {
    let (digest, media_type) = (&descriptor.digest, &descriptor.media_type);
    let read = if media_type.is_index() {
        from_json(content).map(|index| Shown::Index(Box::new(index)))
    } else if media_type.is_manifest() {
        from_json(content).map(|manifest| Shown::Manifest(Box::new(manifest)))
    } else {
        from_json(content).map(Shown::Other)
    };
    read.map_err(|error| anyhow::anyhow!("{digest} is not a valid document: {error}"))
}
