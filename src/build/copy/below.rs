//! Entries of a layer on the layers below it: parents get the attributes that they have there, and links of directories
//! are followed inside the image (images, rules B3 and B4).

use super::attributes::EntryAttributes;
use super::options::CopySource;
use super::tree::{Children, Merge, Node, NodeKind, Origin, text_of};
use crate::error::{CopyError, Result};
use crate::rootfs::{Attributes, MergedTree, NodeKind as BelowKind, Unresolved};

/// The layers below, and the tree that is made on them.
pub(super) struct Below<'a> {
    pub(super) tree: &'a MergedTree,
    pub(super) sources: &'a [CopySource],
    pub(super) merge: Merge<'a>,
    /// Whether links of the layers below are replaced by directories.
    pub(super) replaces_links: bool,
}

type Path = Vec<Box<[u8]>>;

impl Below<'_> {
    /// Moves entries to the places that their parents have in the image, and gives implied directories the attributes
    /// that they have below.
    pub(super) fn place(&self, root: Children) -> Result<Children> {
        let mut placed = Children::new();
        self.place_in(root, &mut Vec::new(), &mut placed)?;
        self.take_attributes(&mut placed, &mut Vec::new());
        Ok(placed)
    }

    fn place_in(&self, children: Children, path: &mut Path, placed: &mut Children) -> Result<()> {
        for (name, node) in children {
            path.push(name);
            self.place_node(*node, path, placed)?;
            path.pop();
        }
        Ok(())
    }

    fn place_node(&self, mut node: Node, path: &mut Path, placed: &mut Children) -> Result<()> {
        let below = self.tree.find(path).map(|below| &below.kind);
        let NodeKind::Directory { children, origin } = &mut node.kind else {
            if !self.merge.overwrites && self.is_onto_directory(&node.kind, below, path) {
                return Err(CopyError::OntoDirectory { source_path: self.path_of(&node), path: text_of(path) }.into());
            }
            return self.merge.add_node(placed, path, node);
        };
        let children = std::mem::take(children);
        match below {
            Some(BelowKind::Link { .. }) if !self.replaces_links => {
                // The content goes to the directory that the link leads to, which stays as it is.
                let mut target = self.resolve(path, &node)?;
                self.merge.directory(placed, &target, node.source)?;
                return self.place_in(children, &mut target, placed);
            }
            Some(BelowKind::File { .. } | BelowKind::HardLink { .. } | BelowKind::Special { .. })
                if *origin != Origin::Entry =>
            {
                let file = text_of(path);
                path.extend(first_asked_for(*origin, &children));
                return Err(CopyError::BelowFile { source_path: self.path_of(&node), path: text_of(path), file }.into());
            }
            _ => {}
        }
        self.merge.add_node(placed, path, node)?;
        self.place_in(children, path, placed)
    }

    /// Returns whether an entry would replace a directory, or a link that leads to one and through which the image may
    /// reach its programs, such as `/bin`. A link may replace a link.
    fn is_onto_directory(&self, kind: &NodeKind, below: Option<&BelowKind>, path: &[Box<[u8]>]) -> bool {
        match (kind, below) {
            (NodeKind::Whiteout, _) => false,
            (_, Some(BelowKind::Directory { .. })) => true,
            (NodeKind::Link { .. }, _) => false,
            (_, Some(BelowKind::Link { .. })) if !self.replaces_links => {
                self.tree.resolve(path).is_ok_and(|(_, below)| below.children().is_some())
            }
            _ => false,
        }
    }

    /// Returns the place of an entry whose path may go through links of the layers below.
    pub(super) fn place_of(&self, path: &[Box<[u8]>]) -> Path {
        let mut place = Path::new();
        for (at, name) in path.iter().enumerate() {
            place.push(name.clone());
            let is_link = self.tree.find(&place).is_some_and(|below| matches!(below.kind, BelowKind::Link { .. }));
            if at + 1 < path.len()
                && is_link
                && !self.replaces_links
                && let Ok((target, _)) = self.tree.resolve(&place)
            {
                place = target;
            }
        }
        place
    }

    /// Returns the directory that a link leads to.
    fn resolve(&self, path: &[Box<[u8]>], node: &Node) -> Result<Path> {
        let leads = |to| CopyError::Link { source_path: self.path_of(node), path: text_of(path), to };
        match self.tree.resolve(path) {
            Ok((target, below)) if below.children().is_some() => Ok(target),
            Ok(_) | Err(Unresolved::File) => Err(leads("a file").into()),
            Err(Unresolved::Nowhere) => Err(leads("nothing").into()),
        }
    }

    fn take_attributes(&self, children: &mut Children, path: &mut Path) {
        for (name, node) in children {
            path.push(name.clone());
            if let NodeKind::Directory { children, origin } = &mut node.kind {
                let below = self.tree.find(path).filter(|below| below.children().is_some());
                if let (true, Some(below)) = (*origin != Origin::Entry, below) {
                    node.attributes = of_below(&below.attributes);
                }
                self.take_attributes(children, path);
            }
            path.pop();
        }
    }

    fn path_of(&self, node: &Node) -> std::path::PathBuf {
        self.sources[node.source as usize].path.clone()
    }
}

/// Returns the path below a directory of the first entry that is not only the parent of others.
fn first_asked_for(mut origin: Origin, mut children: &Children) -> Path {
    let mut path = Path::new();
    while origin == Origin::Parent
        && let Some((name, node)) = children.first_key_value()
    {
        path.push(name.clone());
        let NodeKind::Directory { children: below, origin: of_node } = &node.kind else { break };
        (origin, children) = (*of_node, below);
    }
    path
}

pub(super) fn of_below(attributes: &Attributes) -> EntryAttributes {
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX - 1);
    EntryAttributes {
        uid: id(attributes.uid),
        gid: id(attributes.gid),
        mode: attributes.mode,
        modified: attributes.modified,
        xattrs: attributes.xattrs.as_ref().map(|xattrs| Box::new(xattrs.to_vec())),
    }
}
