//! The nodes and totals of a layout's tree.

use serde::Serialize;

use crate::oci::{Digest, MediaType, Platform};
use crate::tally::Tally;

/// The content of a layout.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
/// # std::fs::write(&tar, [0; 1024])?;
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # use regshape::layout::Layout;
/// # let layout = Layout::init(&path)?;
/// # layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
/// # layout.generate_config(&ConfigOptions::default())?;
/// # layout.generate_manifest(&ManifestOptions::default().ref_name("latest".parse()?))?;
/// use regshape::check::{NodeKind, NodeState};
///
/// let tree = layout.tree()?;
/// let image = &tree.roots[0];
/// assert_eq!((image.kind, image.ref_names.as_slice()), (NodeKind::Manifest, &["latest".to_owned()][..]));
/// let kinds: Vec<_> = image.children.iter().map(|child| child.kind).collect();
/// assert_eq!(kinds, [NodeKind::Config, NodeKind::Layer]);
/// assert!(image.children.iter().all(|child| child.state == NodeState::Present));
/// assert_eq!((tree.totals.images, tree.totals.blobs, tree.totals.missing), (1, 3, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// The entries of `index.json` in its order; then manifests that only a subject refers to; then nodes that are
    /// nested too deep to be drawn in place.
    pub roots: Vec<Node>,
    /// How much all of it is.
    pub totals: Totals,
    /// The blobs that neither a document nor the staging file refers to; `None` if that is not known, because a document
    /// or the directory cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "Tally::serialize_blobs_if_known")]
    pub unreferenced: Option<Tally>,
}

/// A descriptor and its children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The kind of the content.
    pub kind: NodeKind,
    /// The ref names that `index.json` has for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ref_names: Vec<String>,
    /// The image names that `index.json` has for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_names: Vec<String>,
    /// The platform that the descriptor states, or else the image's config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Box<Platform>>,
    /// The media type that the descriptor says.
    pub media_type: MediaType,
    /// The type of an artifact: as the descriptor or the manifest says, or else the type of its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The digest.
    pub digest: Digest,
    /// The size that the descriptor says.
    pub size: u64,
    /// Whether the blob is there.
    #[serde(flatten)]
    pub state: NodeState,
    /// Whether the index says that this is an attestation of BuildKit: a manifest that is no image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_attestation: bool,
    /// How many documents refer to it, `index.json` among them, if more than one does. Its referrers do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_by: Option<u64>,
    /// The subject, if it is not in the layout. Otherwise the node is among the referrers of its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_subject: Option<Digest>,
    /// Where its children and its referrers are.
    #[serde(skip_serializing_if = "ChildrenAt::is_here")]
    pub drawn: ChildrenAt,
    /// The parts, in order: the entries of an index; the config of a manifest, then its layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
    /// The referrers: manifests and indexes whose subject this node is, by digest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Node>,
}

/// The kind of content that a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeKind {
    /// An image index.
    Index,
    /// An image manifest.
    Manifest,
    /// The config of a manifest.
    Config,
    /// A layer of a manifest.
    Layer,
    /// An entry of an index that is no document.
    Blob,
}

/// Whether a blob is stored and matches its descriptor. Layers are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeState {
    /// It is there.
    Present,
    /// It is not.
    Missing,
    /// It is not, and need not be: the descriptor names another place (`urls`), or embeds it, or the layer is one that
    /// is not distributed.
    Elsewhere,
    /// It is there, with another size than the descriptor says.
    WrongSize {
        /// The size of the file.
        actual_size: u64,
    },
    /// It is there and of no use.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// Where the children and the referrers of a node are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChildrenAt {
    /// At the node.
    #[default]
    Here,
    /// At an earlier node of the same digest.
    Above,
    /// At a root of the same digest that comes later: here they would be too deep.
    Below,
}

/// How much a layout holds. Each digest counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The images, as [`Manifest::is_image`](crate::oci::Manifest::is_image) tells them from artifacts and attestations.
    pub images: u64,
    /// The blobs that something refers to, and that are there and not unreadable.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many more bytes it would be if each document had blobs of its own.
    pub shared_bytes: u64,
    /// The blobs that should be there and are not.
    pub missing: u64,
}

impl ChildrenAt {
    pub(crate) fn is_here(&self) -> bool {
        *self == Self::Here
    }
}
