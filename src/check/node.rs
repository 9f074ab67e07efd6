//! The nodes and totals of a layout's tree.

use crate::oci::{Digest, MediaType, Platform};
use crate::tally::Tally;

/// The contents of a layout.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tree {
    /// The entries of `index.json`, in order; then the documents reachable only as subjects; then the documents that
    /// are nested too deeply to be drawn in place.
    pub roots: Vec<Node>,
    /// The totals over all blobs.
    pub totals: Totals,
    /// The unreferenced blobs; `None` if a document or the directory could not be read.
    pub unreferenced: Option<Tally>,
}

/// A descriptor and the documents and blobs below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Node {
    /// The kind of the node.
    pub kind: NodeKind,
    /// The ref names of the entries in `index.json`.
    pub ref_names: Vec<String>,
    /// The image names of the entries in `index.json`.
    pub image_names: Vec<String>,
    /// The platform in the descriptor, or else in the image's config.
    pub platform: Option<Box<Platform>>,
    /// The media type in the descriptor.
    pub media_type: MediaType,
    /// The type of an artifact, from the descriptor or the manifest; or else the media type of its config.
    pub artifact_type: Option<String>,
    /// The digest.
    pub digest: Digest,
    /// The size in the descriptor.
    pub size: u64,
    /// Whether the blob is stored.
    pub state: NodeState,
    /// Whether the index marks the manifest as an attestation of BuildKit, which is not an image.
    pub is_attestation: bool,
    /// The number of documents that refer to the blob, `index.json` included, if it is more than one. Referrers do not
    /// count.
    pub shared_by: Option<u64>,
    /// The subject, if it is not in the layout. Otherwise the node is among the referrers of its subject.
    pub missing_subject: Option<Digest>,
    /// Where the children and referrers are drawn.
    pub drawn: ChildrenAt,
    /// The parts of the document, in order: the entries of an index, or the config and the layers of a manifest.
    pub children: Vec<Node>,
    /// The manifests and indexes whose subject is this node, by digest.
    pub referrers: Vec<Node>,
}

/// The kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// An entry of an index that is not a document.
    Blob,
}

/// Whether a blob is stored and matches its descriptor. The content of layers is not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeState {
    /// The blob is stored.
    Present,
    /// The blob is missing.
    Missing,
    /// The blob is not stored and need not be: its descriptor has URLs or embeds the content, or the layer is of a
    /// non-distributable type.
    Elsewhere,
    /// The blob is stored, but its size differs from the descriptor.
    WrongSize {
        /// The size of the file.
        actual_size: u64,
    },
    /// The blob is stored, but cannot be read or is not valid.
    Unreadable {
        /// The reason.
        reason: String,
    },
}

/// Where the children and referrers of a node are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildrenAt {
    /// At the node itself.
    #[default]
    Here,
    /// At an earlier node with the same digest.
    Above,
    /// At a later root with the same digest, because the nesting is too deep here.
    Below,
}

/// The totals of a layout. Each digest counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Totals {
    /// The images, without artifacts and attestations; see [`Manifest::is_image`](crate::oci::Manifest::is_image).
    pub images: u64,
    /// The blobs that are referred to, stored and readable.
    pub blobs: u64,
    /// The size of these blobs in bytes.
    pub bytes: u64,
    /// The bytes saved by sharing: how much more would be stored if each document had its own copies.
    pub shared_bytes: u64,
    /// The blobs that should be stored and are missing.
    pub missing: u64,
}

impl ChildrenAt {
    pub(crate) fn is_here(&self) -> bool {
        *self == Self::Here
    }
}
