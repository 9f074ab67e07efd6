//! Entries of a layer on the layers below it: parents get the attributes that they have there, and links of directories
//! are followed inside the image (images, rules B3 and B4).

use super::attributes::EntryAttributes;
use super::options::CopySource;
use super::tree::{Children, Merge, Node, NodeKind, text_of};
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
        let is_directory_below = matches!(below, Some(BelowKind::Directory { .. }));
        let NodeKind::Directory { children, is_implied } = &mut node.kind else {
            if is_directory_below && !self.merge.overwrites && !matches!(node.kind, NodeKind::Whiteout) {
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
            Some(BelowKind::File { .. } | BelowKind::Special(_)) if *is_implied => {
                return Err(CopyError::BelowFile {
                    source_path: self.path_of(&node),
                    path: text_of(path),
                    file: text_of(path),
                }
                .into());
            }
            _ => {}
        }
        self.merge.add_node(placed, path, node)?;
        self.place_in(children, path, placed)
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
            if let NodeKind::Directory { children, is_implied } = &mut node.kind {
                let below = self.tree.find(path).filter(|below| below.children().is_some());
                if let (true, Some(below)) = (*is_implied, below) {
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

fn of_below(attributes: &Attributes) -> EntryAttributes {
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX - 1);
    EntryAttributes {
        uid: id(attributes.uid),
        gid: id(attributes.gid),
        mode: attributes.mode,
        modified: attributes.modified,
        xattrs: attributes.xattrs.as_ref().map(|xattrs| Box::new(xattrs.to_vec())),
    }
}
