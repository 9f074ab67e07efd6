//! The tree of `layout show --tree`.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use regshape::check::{ChildrenAt, Node, NodeKind, NodeState, Tree};
use serde::{Serialize, Serializer};

use crate::cli::layout::tree_json::ShownTree;
use crate::cli::output::{Screen, counted, printable};
use crate::cli::style::Style;

/// The greatest width of a column. Longer text shifts the rest of its own line, not that of every other.
const COLUMN: usize = 60;

/// The name of the keys of a tree's JSON.
pub(crate) const TREE_KEYS: &str = "show --tree";

/// The tree of a layout.
pub(crate) struct DrawnTree {
    layout_path: String,
    tree: Tree,
}

impl Serialize for DrawnTree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ShownTree::new(&self.layout_path, &self.tree).serialize(serializer)
    }
}

/// A node as it is drawn. The digest comes last: where a terminal is too narrow, its beginning is enough.
struct Line<'a> {
    name: String,
    size: String,
    marks: String,
    digest: &'a str,
    /// The content is missing or wrong.
    is_faulty: bool,
}

impl DrawnTree {
    pub(crate) fn new(layout_path: String, tree: Tree) -> Self {
        Self { layout_path, tree }
    }

    fn totals(&self) -> String {
        let totals = &self.tree.totals;
        let mut text = format!(
            "{}, {}, {}",
            counted(totals.images, "image"),
            counted(totals.blobs, "blob"),
            HumanBytes(totals.bytes)
        );
        if totals.shared_bytes > 0 {
            let _ = write!(text, "; sharing saves {}", HumanBytes(totals.shared_bytes));
        }
        if totals.missing > 0 {
            let _ = write!(text, "; {} missing", counted(totals.missing, "blob"));
        }
        text
    }

    /// Adds the lines of the tree, in columns. There may be a million of them: each is made twice, to be measured and to be
    /// added, and none is kept.
    fn table(&self, text: &mut String, style: &Style) {
        let (mut names, mut sizes, mut marks) = (0, 0, 0);
        draw(&self.tree.roots, &[], "", style, &mut |line| {
            for (width, column) in [(&mut names, &line.name), (&mut sizes, &line.size), (&mut marks, &line.marks)] {
                let length = column.chars().count();
                *width = if length <= COLUMN { length.max(*width) } else { *width };
            }
        });
        draw(&self.tree.roots, &[], "", style, &mut |Line { name, size, marks: said, digest, is_faulty }| {
            let start = text.len();
            let _ = write!(text, "\n{name:<names$}  {size:>sizes$}  ");
            if marks > 0 || !said.is_empty() {
                let _ = write!(text, "{said:<marks$}  ");
            }
            text.push_str(digest);
            let line = style.cut(&text[start + 1..]);
            text.truncate(start + 1);
            text.push_str(&if is_faulty { style.fault(&line) } else { line });
        });
    }

    fn unreferenced(&self) -> Option<String> {
        match self.tree.unreferenced {
            None => Some("Some documents could not be read: unreferenced blobs are not known".to_owned()),
            Some(unreferenced) if unreferenced.count > 0 => {
                let (is, them) = if unreferenced.count == 1 { ("is", "it") } else { ("are", "them") };
                let (blobs, bytes) = (counted(unreferenced.count, "blob"), HumanBytes(unreferenced.bytes));
                Some(format!("{blobs} ({bytes}) {is} not referenced; 'layout gc' deletes {them}"))
            }
            Some(_) => None,
        }
    }
}

impl Screen for DrawnTree {
    fn keys(&self) -> Option<&'static str> {
        Some(TREE_KEYS)
    }

    /// Each line of the tree is cut before it is coloured.
    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, style: &Style) -> String {
        let path = printable(&self.layout_path);
        let mut text = if self.tree.roots.is_empty() {
            format!("The layout at {path} holds no images.")
        } else {
            let mut text = style.cut(&path);
            self.table(&mut text, style);
            let _ = write!(text, "\n\n{}", self.totals());
            text
        };
        if let Some(unreferenced) = self.unreferenced() {
            let _ = write!(text, "\n{unreferenced}");
        }
        text
    }
}

/// Calls back with the lines of some nodes, which are followed by referrers, under a line that began with an indent.
fn draw(nodes: &[Node], referrers: &[Node], indent: &str, style: &Style, each: &mut dyn FnMut(Line<'_>)) {
    let branches = style.branches();
    let all = nodes.iter().map(|node| (node, false)).chain(referrers.iter().map(|node| (node, true)));
    let count = nodes.len() + referrers.len();
    for (at, (node, is_referrer)) in all.enumerate() {
        let (branch, below) = match at + 1 == count {
            true => (branches.last, branches.below_last),
            false => (branches.inner, branches.below_inner),
        };
        each(Line {
            name: format!("{indent}{branch}{}", name(node, is_referrer)),
            size: HumanBytes(node.size).to_string(),
            marks: marks(node).join(", "),
            digest: style.digest(&node.digest),
            is_faulty: !matches!(node.state, NodeState::Present | NodeState::Elsewhere),
        });
        if !node.children.is_empty() || !node.referrers.is_empty() {
            draw(&node.children, &node.referrers, &format!("{indent}{below}"), style, each);
        }
    }
}

/// Returns the name of a node: its kind, its ref names, its type where the kind does not imply it, its platform.
fn name(node: &Node, is_referrer: bool) -> String {
    let media_type = &node.media_type;
    let (kind, is_told) = match node.kind {
        NodeKind::Index => ("index", true),
        NodeKind::Manifest => ("manifest", true),
        NodeKind::Config => ("config", media_type.is_image_config()),
        NodeKind::Layer => ("layer", media_type.layer_encoding().is_some()),
        _ => ("blob", false),
    };
    let mut name = if is_referrer { format!("referrer {kind}") } else { kind.to_owned() };
    let image_names = node.image_names.iter().filter(|name| !node.ref_names.contains(name));
    let names: Vec<&str> = node.ref_names.iter().chain(image_names).map(String::as_str).collect();
    if !names.is_empty() {
        let _ = write!(name, " {}", printable(&names.join(", ")));
    }
    let media_type = (!is_told).then(|| if media_type.is_empty() { "empty" } else { media_type.as_str() });
    if let Some(part) = node.artifact_type.as_deref().or(media_type) {
        let _ = write!(name, "  {}", printable(part));
    }
    if let Some(platform) = &node.platform {
        let _ = write!(name, "  {}", printable(&platform.to_string()));
    }
    name
}

/// Returns the remarks on a node.
fn marks(node: &Node) -> Vec<String> {
    let mut marks = Vec::new();
    match &node.state {
        NodeState::Missing => marks.push("missing".to_owned()),
        NodeState::Elsewhere => marks.push("stored elsewhere".to_owned()),
        NodeState::WrongSize { actual_size } => {
            marks.push(format!("wrong size: expected {}, got {actual_size}", node.size));
        }
        NodeState::Unreadable { reason } => marks.push(format!("unreadable: {}", printable(reason))),
        _ => {}
    }
    if node.is_attestation {
        marks.push("attestation".to_owned());
    }
    if node.missing_subject.is_some() {
        marks.push("subject not in the layout".to_owned());
    }
    if let Some(documents) = node.shared_by {
        marks.push(format!("shared by {documents}"));
    }
    match node.drawn {
        ChildrenAt::Above => marks.push("see above".to_owned()),
        ChildrenAt::Below => marks.push("see below".to_owned()),
        _ => {}
    }
    marks
}
