//! The entries of a layer before they are written, as a tree.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use super::attributes::EntryAttributes;
use super::options::CopySource;
use crate::error::{CopyError, Result};
use crate::fs::FileIdentity;
use crate::fs::walk::SourceStat;
use crate::tar::written_entry::DeviceNumber;
use crate::text::shown;

/// The entries of a directory by name. Each node has a box of its own: maps reserve space for eleven values.
pub(super) type Children = BTreeMap<Box<[u8]>, Box<Node>>;

/// The prefix of the names of whiteouts (image-spec, layer.md, "Whiteouts").
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// The name of the whiteout that hides all that the layers below have in a directory.
pub(super) const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

/// An entry of the layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) attributes: EntryAttributes,
    /// The position of the source that the entry comes from.
    pub(super) source: u32,
    /// The position of the last of the options' owners that matches the path that was asked for. Links of the layers
    /// below may have led the entry elsewhere.
    pub(super) owner: Option<u32>,
}

/// The type of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory { children: Children, origin: Origin },
    File(SourceFile),
    Link { target: Box<[u8]>, inode: Option<FileIdentity> },
    Device { is_block: bool, number: DeviceNumber, inode: Option<FileIdentity> },
    Pipe { inode: Option<FileIdentity> },
    Whiteout,
}

/// How a directory got into the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// No source has it: it is only a parent of others.
    Parent,
    /// It is the place of a source, whose own attributes count only where the directory is new (images, rule B2).
    Destination,
    /// A source has an entry for it.
    Entry,
}

/// A regular file of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) identity: FileIdentity,
    /// The inode, if it has several names.
    pub(super) inode: Option<FileIdentity>,
    pub(super) modified: (i64, u32),
}

impl SourceFile {
    pub(super) fn new(place: Place, stat: &SourceStat) -> Self {
        let inode = (stat.names > 1).then_some(stat.identity);
        Self { place, size: stat.size, identity: stat.identity, inode, modified: stat.modified }
    }
}

/// The place from which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The source itself.
    Source,
    /// A file that an mtree file names, by its position.
    Path(u32),
    /// A directory of the source, by its position. The file has the name of its node.
    In(u32),
}

/// A directory of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourcePlace {
    /// The position of the parent; `None` for the source itself.
    pub(super) parent: Option<u32>,
    pub(super) name: Box<[u8]>,
}

impl NodeKind {
    pub(super) fn empty_directory(origin: Origin) -> Self {
        Self::Directory { children: Children::new(), origin }
    }

    /// Returns the identity of an inode with several names.
    pub(super) fn inode(&self) -> Option<FileIdentity> {
        match self {
            Self::File(file) => file.inode,
            Self::Link { inode, .. } | Self::Device { inode, .. } | Self::Pipe { inode } => *inode,
            Self::Directory { .. } | Self::Whiteout => None,
        }
    }
}

/// The tree of a layer, into which sources are merged.
pub(super) struct Merge<'a> {
    pub(super) sources: &'a [CopySource],
    pub(super) overwrites: bool,
    pub(super) parent_time: i64,
}

impl Merge<'_> {
    /// Returns the directory at a path. Makes those that are missing.
    pub(super) fn directory<'t>(
        &self,
        root: &'t mut Children,
        components: &[Box<[u8]>],
        source: u32,
    ) -> Result<&'t mut Children> {
        self.above(root, components, components.len(), source)
    }

    /// Returns the directory at the first components of a path as [`Merge::directory`] does. The whole path is that of
    /// the entry that errors name.
    fn above<'t>(
        &self,
        root: &'t mut Children,
        path: &[Box<[u8]>],
        count: usize,
        source: u32,
    ) -> Result<&'t mut Children> {
        let mut here = root;
        for (depth, component) in path[..count].iter().enumerate() {
            let node = here.entry(component.clone()).or_insert_with(|| self.new_parent(source));
            let NodeKind::Directory { children, .. } = &mut node.kind else {
                return Err(CopyError::BelowFile {
                    source_path: self.path(source),
                    path: text_of(path),
                    file: text_of(&path[..=depth]),
                }
                .into());
            };
            here = children;
        }
        Ok(here)
    }

    /// Adds a node at a path, as sources are merged. The parents are made.
    pub(super) fn add_node(&self, root: &mut Children, components: &[Box<[u8]>], node: Node) -> Result<()> {
        let Some((name, parents)) = components.split_last() else { return Ok(()) };
        let children = self.above(root, components, parents.len(), node.source)?;
        self.add(children, name.clone(), Box::new(node), &mut parents.to_vec())
    }

    /// Adds a file at a path. The parents are made.
    pub(super) fn add_file(&self, root: &mut Children, components: &[Box<[u8]>], node: Node) -> Result<()> {
        let Some((name, parents)) = components.split_last() else {
            return Err(self.onto_directory(node.source, components));
        };
        let children = self.above(root, components, parents.len(), node.source)?;
        if let Some(Node { kind: NodeKind::Directory { .. }, .. }) = children.get(name).map(|node| &**node) {
            return Err(self.onto_directory(node.source, components));
        }
        self.add(children, name.clone(), Box::new(node), &mut parents.to_vec())
    }

    fn onto_directory(&self, source: u32, components: &[Box<[u8]>]) -> crate::error::Error {
        CopyError::OntoDirectory { source_path: self.path(source), path: text_of(components) }.into()
    }

    /// Merges a source directory into the tree at a path other than the root. The parents are made.
    pub(super) fn merge_directory(&self, root: &mut Children, path: &mut Vec<Box<[u8]>>, node: Node) -> Result<()> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        let (name, children) = (name.clone(), self.above(root, path, parents.len(), node.source)?);
        path.pop();
        self.merge(children, Children::from([(name, Box::new(node))]), path)
    }

    /// Adds the entries of a directory to those of another one at a path.
    pub(super) fn merge(&self, into: &mut Children, from: Children, path: &mut Vec<Box<[u8]>>) -> Result<()> {
        if into.is_empty() {
            *into = from;
            return Ok(());
        }
        from.into_iter().try_for_each(|(name, node)| self.add(into, name, node, path))
    }

    /// Adds an entry. Two directories are merged; other entries for one path are an error, or the last one stays.
    fn add(&self, into: &mut Children, name: Box<[u8]>, mut node: Box<Node>, path: &mut Vec<Box<[u8]>>) -> Result<()> {
        let old = match into.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(node);
                return Ok(());
            }
            Entry::Occupied(old) => old,
        };
        let name = old.key().clone();
        let old = old.into_mut();
        match (&mut old.kind, &mut node.kind) {
            (NodeKind::Directory { children: into, origin }, NodeKind::Directory { children: from, origin: new }) => {
                if *new != Origin::Parent && (*origin == Origin::Parent || self.overwrites) {
                    *origin = *new;
                    old.attributes = node.attributes;
                    old.source = node.source;
                }
                path.push(name);
                let from = std::mem::take(from);
                self.merge(into, from, path)?;
                path.pop();
                Ok(())
            }
            _ if self.overwrites => {
                *old = node;
                Ok(())
            }
            _ => {
                path.push(name);
                let [first, second] = [old.source, node.source].map(|source| self.path(source));
                Err(CopyError::Twice { path: text_of(path), first, second }.into())
            }
        }
    }

    fn new_parent(&self, source: u32) -> Box<Node> {
        let attributes = EntryAttributes::of_parent(self.parent_time);
        Box::new(Node { kind: NodeKind::empty_directory(Origin::Parent), attributes, source, owner: None })
    }

    fn path(&self, source: u32) -> PathBuf {
        self.sources[source as usize].path.clone()
    }
}

/// Returns the text of a path in the image.
pub(super) fn text_of(components: &[Box<[u8]>]) -> String {
    if components.is_empty() {
        return "/".to_owned();
    }
    components.iter().map(|component| format!("/{}", shown(component))).collect()
}
