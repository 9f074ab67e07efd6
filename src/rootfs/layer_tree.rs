//! The entries of one layer, before they are applied to the layers below.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::node::{Attributes, Children, Node, NodeKind};
use crate::tar::reader::{ReadEntry, TarReader};
use crate::text::shown;

/// The prefix of whiteouts (image-spec, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// The name of the whiteout of all that the layers below have in a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The prefix of files that aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// The files whose content is kept.
const KEPT: [&[&[u8]]; 2] = [&[b"etc", b"passwd"], &[b"etc", b"group"]];

/// The largest content that is kept.
pub(super) const KEPT_LIMIT: u64 = 1024 * 1024;

/// The bytes of an ELF header up to the machine.
const ELF_HEAD: usize = 20;

/// Returns the machine that an ELF file is for (`e_machine`), by its first bytes.
fn machine_of(head: &[u8]) -> Option<u16> {
    let machine = head.strip_prefix(b"\x7fELF").and(head.get(18..20))?;
    let bytes = [machine[0], machine[1]];
    // The sixth byte says the order of bytes.
    Some(if head[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
}

/// The path of an entry: its components.
pub(super) type Path = Vec<Box<[u8]>>;

/// A hard link: its path, its target, and its own attributes.
pub(super) struct HardLink {
    pub(super) path: Path,
    pub(super) target: Path,
}

/// The entries of a layer.
#[derive(Default)]
pub(super) struct LayerTree {
    pub(super) root: Children,
    /// The attributes of the root directory, if the layer has an entry for it.
    pub(super) root_attributes: Option<Attributes>,
    /// The paths that the layer removes from those below.
    pub(super) whiteouts: Vec<Path>,
    /// The directories whose entries below are removed.
    pub(super) opaque: HashSet<Path>,
    /// Hard links to files of layers below.
    pub(super) links_below: Vec<HardLink>,
}

impl LayerTree {
    /// Reads the entries of a layer.
    ///
    /// # Errors
    ///
    /// Those of [`TarReader::next`]; of kind `InvalidData` for a name that leaves the root.
    pub(super) fn read(tar: impl Read, layer: u32, inodes: &mut u64) -> io::Result<Self> {
        let is_kept = |path: &Path, _| KEPT.iter().any(|kept| path.iter().map(|part| &**part).eq(kept.iter().copied()));
        Self::read_with(tar, layer, inodes, is_kept)
    }

    /// Reads the layer again. Returns the content of the file that got a number at the first time, if it is small. The
    /// number that was given last before this layer is the same again.
    ///
    /// # Errors
    ///
    /// Those of [`LayerTree::read`].
    pub(super) fn content_of(tar: impl Read, inode: u64, mut inodes: u64) -> io::Result<Option<Arc<[u8]>>> {
        let tree = Self::read_with(tar, 0, &mut inodes, |_, next| next == inode)?;
        Ok(find_content(&tree.root, inode))
    }

    /// Reads the entries of a layer. `is_kept` says by its path and number whether the content of a file is kept.
    fn read_with(
        tar: impl Read,
        layer: u32,
        inodes: &mut u64,
        is_kept: impl Fn(&Path, u64) -> bool,
    ) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut reader = TarReader::new(tar);
        while let Some(entry) = reader.next()? {
            let path = components(&entry.path)?;
            let is_kept = is_kept(&path, *inodes + 1);
            let may_run = matches!(entry.flag, b'0' | b'7') && entry.mode & 0o111 != 0;
            let (content, machine) = match (is_kept, may_run) {
                (true, _) => (reader.content(KEPT_LIMIT)?, None),
                (false, true) => (None, machine_of(&reader.head(ELF_HEAD)?)),
                (false, false) => (None, None),
            };
            tree.add(path, entry, NodeKind::File { content: content.map(Arc::from), machine }, layer, inodes)?;
        }
        Ok(tree)
    }

    fn add(
        &mut self,
        mut path: Path,
        entry: ReadEntry,
        file: NodeKind,
        layer: u32,
        inodes: &mut u64,
    ) -> io::Result<()> {
        let ReadEntry { flag, mode, uid, gid, modified, size, target, xattrs, .. } = entry;
        let xattrs = (!xattrs.is_empty()).then(|| xattrs.into());
        let attributes = Attributes { mode, uid, gid, modified, size, xattrs };
        let Some(name) = path.last() else {
            if flag == b'5' {
                self.root_attributes = Some(attributes);
            }
            return Ok(());
        };
        if **name == *OPAQUE {
            path.pop();
            self.directory(&path, layer);
            self.opaque.insert(path);
            return Ok(());
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if !hidden.is_empty() {
                let hidden = hidden.into();
                path.pop();
                self.directory(&path, layer);
                path.push(hidden);
                self.whiteouts.push(path);
            }
            return Ok(());
        }
        let kind = match flag {
            b'1' => {
                let target = components(&target)?;
                match self.find(&target).cloned() {
                    Some(node) if node.children().is_none() => self.insert(&path, node, layer),
                    _ => self.links_below.push(HardLink { path, target }),
                }
                return Ok(());
            }
            b'2' => NodeKind::Link { target: target.into() },
            b'5' => NodeKind::Directory { children: Children::new(), is_implied: false },
            b'3' | b'4' | b'6' => NodeKind::Special(flag),
            _ => file,
        };
        *inodes += 1;
        self.insert(&path, Node { kind, attributes, layer, inode: *inodes }, layer);
        Ok(())
    }

    /// Returns the node at a path.
    fn find(&self, path: &[Box<[u8]>]) -> Option<&Node> {
        let (last, parents) = path.split_last()?;
        let mut here = &self.root;
        for name in parents {
            here = here.get(name)?.children()?;
        }
        here.get(last).map(|node| &**node)
    }

    /// Adds a node. A directory over a directory keeps its entries; otherwise the last entry for a path counts.
    fn insert(&mut self, path: &[Box<[u8]>], mut node: Node, layer: u32) {
        let Some((name, parents)) = path.split_last() else { return };
        let here = self.directory(parents, layer);
        if let NodeKind::Directory { children, .. } = &mut node.kind
            && let Some(NodeKind::Directory { children: old, .. }) = here.get_mut(name).map(|old| &mut old.kind)
        {
            *children = std::mem::take(old);
        }
        here.insert(name.clone(), Box::new(node));
    }

    /// Returns the directory at a path. What is in its way is replaced: in the layer alone, a file has no entries.
    fn directory(&mut self, path: &[Box<[u8]>], layer: u32) -> &mut Children {
        let mut here = &mut self.root;
        for name in path {
            let node = here.entry(name.clone()).or_insert_with(|| Box::new(Node::implied_directory(layer)));
            if node.children().is_none() {
                **node = Node::implied_directory(layer);
            }
            let NodeKind::Directory { children, .. } = &mut node.kind else { unreachable!("it was just made one") };
            here = children;
        }
        here
    }
}

/// Finds the content of a file by its number.
fn find_content(children: &Children, inode: u64) -> Option<Arc<[u8]>> {
    children.values().find_map(|node| match &node.kind {
        NodeKind::Directory { children, .. } => find_content(children, inode),
        NodeKind::File { content, .. } if node.inode == inode => content.clone(),
        _ => None,
    })
}

/// Splits a path of a tar into its components. Slashes at its beginning and `.` mean nothing.
fn components(path: &[u8]) -> io::Result<Path> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let text = format!("the tar is malformed: '{}' leads out of its directory", shown(path));
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            _ => components.push(component.into()),
        }
    }
    Ok(components)
}
