//! The JSON of `layout show --tree`. A tree may have millions of nodes: they are written one by one, and none is copied.

use regshape::check::{ChildrenAt, Node, NodeKind, NodeState, Totals, Tree};
use regshape::oci::{Digest, MediaType, Platform};
use serde::{Serialize, Serializer};

use crate::cli::layout::tally_output::ShownBlobs;

/// The tree of a layout.
#[derive(Serialize)]
pub(crate) struct ShownTree<'a> {
    layout_path: &'a str,
    roots: Nodes<'a>,
    totals: ShownTotals,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreferenced: Option<ShownBlobs>,
}

impl<'a> ShownTree<'a> {
    pub(crate) fn new(layout_path: &'a str, tree: &'a Tree) -> Self {
        let Tree { roots, totals, unreferenced, .. } = tree;
        let unreferenced = unreferenced.as_ref().map(ShownBlobs::from);
        Self { layout_path, roots: Nodes(roots), totals: totals.into(), unreferenced }
    }
}

#[derive(Serialize)]
struct ShownTotals {
    images: u64,
    blobs: u64,
    bytes: u64,
    shared_bytes: u64,
    missing: u64,
}

impl From<&Totals> for ShownTotals {
    fn from(totals: &Totals) -> Self {
        let Totals { images, blobs, bytes, shared_bytes, missing, .. } = *totals;
        Self { images, blobs, bytes, shared_bytes, missing }
    }
}

struct Nodes<'a>(&'a [Node]);

impl Nodes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ShownNode::from))
    }
}

#[derive(Serialize)]
struct ShownNode<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ref_names: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    image_names: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a Platform>,
    media_type: &'a MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    digest: &'a Digest,
    /// The size in the descriptor.
    size: u64,
    state: &'static str,
    /// The size of a file of the wrong size.
    #[serde(skip_serializing_if = "Option::is_none")]
    actual_size: Option<u64>,
    /// Why a blob cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_attestation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_by: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_subject: Option<&'a Digest>,
    /// Where the children are, if not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<&'static str>,
    #[serde(skip_serializing_if = "Nodes::is_empty")]
    children: Nodes<'a>,
    #[serde(skip_serializing_if = "Nodes::is_empty")]
    referrers: Nodes<'a>,
}

impl<'a> From<&'a Node> for ShownNode<'a> {
    fn from(node: &'a Node) -> Self {
        let (state, actual_size, reason) = match &node.state {
            NodeState::Present => ("present", None, None),
            NodeState::Missing => ("missing", None, None),
            NodeState::Elsewhere => ("elsewhere", None, None),
            NodeState::WrongSize { actual_size } => ("wrong_size", Some(*actual_size), None),
            NodeState::Unreadable { reason } => ("unreadable", None, Some(reason.as_str())),
            _ => ("unknown", None, None),
        };
        Self {
            kind: kind(node.kind),
            ref_names: &node.ref_names,
            image_names: &node.image_names,
            platform: node.platform.as_deref(),
            media_type: &node.media_type,
            artifact_type: node.artifact_type.as_deref(),
            digest: &node.digest,
            size: node.size,
            state,
            actual_size,
            reason,
            is_attestation: node.is_attestation,
            shared_by: node.shared_by,
            missing_subject: node.missing_subject.as_ref(),
            drawn: drawn(node.drawn),
            children: Nodes(&node.children),
            referrers: Nodes(&node.referrers),
        }
    }
}

fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Index => "index",
        NodeKind::Manifest => "manifest",
        NodeKind::Config => "config",
        NodeKind::Layer => "layer",
        NodeKind::Blob => "blob",
        _ => "unknown",
    }
}

fn drawn(children: ChildrenAt) -> Option<&'static str> {
    match children {
        ChildrenAt::Here => None,
        ChildrenAt::Above => Some("above"),
        ChildrenAt::Below => Some("below"),
        _ => Some("unknown"),
    }
}
