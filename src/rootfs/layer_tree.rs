//! The entries of one layer, before they are applied to the layers below.
//!
//! The layer is taken alone, as engines unpack it for overlayfs: links of the layer itself are followed where the path of
//! an entry goes through them, those of the layers below are not (images, rule E5).

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::node::{Attributes, Children, Node, NodeKind, Path};
use super::resolve::{Missing, PATH_LIMIT, resolve};
use crate::tar::fault::TarError;
use crate::tar::read_header::Header;
use crate::tar::reader::TarReader;
use crate::text::shown;

/// The prefix of whiteouts (image-spec, layer.md, "Whiteouts"). No file of an image may have such a name.
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

/// The entries of a layer.
pub(super) struct LayerTree {
    /// The number of the layer.
    layer: u32,
    pub(super) root: Node,
    /// The attributes of the root directory, if the layer has an entry for it.
    pub(super) root_attributes: Option<Attributes>,
    /// The paths that the layer removes from those below.
    pub(super) whiteouts: Vec<Path>,
    /// The directories whose entries below are removed.
    pub(super) opaque: Vec<Path>,
    /// The hard links whose targets did not come before them: their paths and identities.
    pending: Vec<(Path, u64)>,
    /// Whether there are names that no file of an image may have.
    has_reserved: bool,
}

impl LayerTree {
    /// Reads the entries of a layer. `below` returns the file at a path of the layers below, for hard links.
    ///
    /// # Errors
    ///
    /// Those of [`TarReader::next`]; a [`TarError`] for an entry that no image can have.
    pub(super) fn read(
        tar: impl Read,
        layer: u32,
        inodes: &mut u64,
        below: impl Fn(&[Box<[u8]>]) -> Option<Node>,
    ) -> io::Result<Self> {
        let mut tree = Self {
            layer,
            root: Node::implied_directory(layer),
            root_attributes: None,
            whiteouts: Vec::new(),
            opaque: Vec::new(),
            pending: Vec::new(),
            has_reserved: false,
        };
        let mut reader = TarReader::new(tar);
        while let Some(header) = reader.next()? {
            let path = components(&header.path)?;
            let is_kept = KEPT.iter().any(|kept| path.iter().map(|part| &**part).eq(kept.iter().copied()));
            let may_run = header.is_file() && header.mode() & 0o111 != 0;
            let (content, machine) = match (is_kept, may_run) {
                (true, _) => (reader.content(KEPT_LIMIT)?, None),
                (false, true) => (None, machine_of(&reader.head(ELF_HEAD)?)),
                (false, false) => (None, None),
            };
            tree.add(path, &header, NodeKind::File { content: content.map(Arc::from), machine }, inodes)?;
        }
        tree.settle_links(below);
        tree.settle_whiteouts();
        if tree.has_reserved {
            prune(&mut tree.root);
        }
        Ok(tree)
    }

    fn add(&mut self, mut path: Path, header: &Header, file: NodeKind, inodes: &mut u64) -> io::Result<()> {
        let flag = header.flag();
        let Some(name) = path.pop() else {
            if flag != b'5' {
                // A link there would move the layers above out of the image (CVE-2021-29136).
                let text = format!("its entry '{}' is for the root, and not a directory", shown(&header.path));
                return Err(TarError::Malformed(text).into());
            }
            self.root_attributes = Some(attributes_of(header));
            return Ok(());
        };
        self.has_reserved |= name.starts_with(AUFS) || path.iter().any(|part| part.starts_with(WHITEOUT));
        // Whiteouts are for the layers below, wherever they stand in the layer.
        if *name == *OPAQUE {
            self.opaque.push(path);
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| !name.starts_with(AUFS)) {
            // One without a name hides nothing.
            if !hidden.is_empty() {
                path.push(hidden.into());
                self.whiteouts.push(path);
            }
            return Ok(());
        }
        let mut path = self.place(&path).into_owned();
        path.push(name);
        let kind = match flag {
            b'1' => {
                let target = components(header.target())?;
                let there = self.root.find(&self.place_of_file(&target)).filter(|node| node.can_be_linked());
                if let Some(node) = there.cloned() {
                    self.insert(&path, node);
                    return Ok(());
                }
                self.pending.push((path.clone(), *inodes + 1));
                NodeKind::HardLink { target }
            }
            b'2' => NodeKind::Link { target: header.target().into() },
            b'5' => NodeKind::Directory { children: Children::new(), is_implied: false },
            b'3' | b'4' | b'6' => NodeKind::Special { flag, device: header.device() },
            _ => file,
        };
        *inodes += 1;
        let attributes = attributes_of(header);
        self.insert(&path, Node { kind, attributes, layer: self.layer, offset: header.start, inode: *inodes });
        Ok(())
    }

    /// Returns the place of a directory: links of the layer itself are followed if they lead to a directory, or to nothing
    /// in the layer. Other links are replaced when an entry below them is added.
    fn place<'a>(&self, path: &'a [Box<[u8]>]) -> Cow<'a, [Box<[u8]>]> {
        let mut here = &self.root;
        for name in path {
            match here.children().and_then(|children| children.get(name)) {
                Some(node) if matches!(node.kind, NodeKind::Link { .. }) => {
                    return match resolve(&self.root, path, Missing::IsPassed) {
                        Ok((place, node)) if node.is_none_or(|node| node.children().is_some()) => Cow::Owned(place),
                        _ => Cow::Borrowed(path),
                    };
                }
                Some(node) => here = node,
                None => break,
            }
        }
        Cow::Borrowed(path)
    }

    /// Returns the place of a file: links to its directory are followed, and it itself is not.
    fn place_of_file(&self, path: &[Box<[u8]>]) -> Path {
        let Some((name, parents)) = path.split_last() else { return Path::new() };
        let mut place = self.place(parents).into_owned();
        place.push(name.clone());
        place
    }

    /// Puts the files to which hard links lead in their places: files that come later in the layer, and those of the layers
    /// below as they are before the layer is applied.
    fn settle_links(&mut self, below: impl Fn(&[Box<[u8]>]) -> Option<Node>) {
        // Links that lead to nothing.
        let mut lost = HashSet::new();
        for (path, inode) in std::mem::take(&mut self.pending) {
            let mut chain = Vec::new();
            let mut at = path;
            let file = loop {
                match self.root.find(&at) {
                    Some(Node { kind: NodeKind::HardLink { target }, inode: found, .. }) => {
                        // A later entry may have taken the place of the link.
                        if lost.contains(found) || chain.is_empty() && *found != inode {
                            break None;
                        }
                        // Links in a circle come here again.
                        lost.insert(*found);
                        let next = self.place_of_file(target);
                        chain.push((at, *found));
                        // A link to its own name is to the file below.
                        if chain.last().is_some_and(|(at, _)| *at == next) {
                            break below(&next);
                        }
                        at = next;
                    }
                    Some(node) => break Some(node).filter(|node| !chain.is_empty() && node.can_be_linked()).cloned(),
                    None => break below(&at),
                }
            };
            let Some(file) = file else { continue };
            for (path, inode) in chain {
                lost.remove(&inode);
                if let Some(node) = self.root.find_mut(&path) {
                    *node = file.clone();
                }
            }
        }
    }

    /// Finds the places of whiteouts. Below a file of the layer there is nothing to hide.
    fn settle_whiteouts(&mut self) {
        for mut path in std::mem::take(&mut self.whiteouts) {
            let Some(name) = path.pop() else { continue };
            if let Some(mut place) = self.directory_for_whiteouts(&path) {
                place.push(name);
                self.whiteouts.push(place);
            }
        }
        for path in std::mem::take(&mut self.opaque) {
            let place = self.directory_for_whiteouts(&path);
            self.opaque.extend(place);
        }
    }

    fn directory_for_whiteouts(&mut self, path: &[Box<[u8]>]) -> Option<Path> {
        let place = self.place(path).into_owned();
        let mut here = &self.root;
        for name in &place {
            let Some(node) = here.children()?.get(name) else { break };
            here = node;
        }
        here.children()?;
        self.directory(&place);
        Some(place)
    }

    /// Adds a node. A directory over a directory keeps its entries; otherwise the last entry for a path counts.
    fn insert(&mut self, path: &[Box<[u8]>], mut node: Node) {
        let Some((name, parents)) = path.split_last() else { return };
        let here = self.directory(parents);
        if let Some(children) = node.children_mut()
            && let Some(old) = here.get_mut(name).and_then(|old| old.children_mut())
        {
            *children = std::mem::take(old);
        }
        here.insert(name.clone(), Box::new(node));
    }

    /// Returns the directory at a path. What is in its way is replaced: in the layer alone, a file has no entries.
    fn directory(&mut self, path: &[Box<[u8]>]) -> &mut Children {
        let layer = self.layer;
        let directory = path.iter().fold(&mut self.root, |here, name| {
            let children = here.children_mut().expect("it is made a directory");
            let node = children.entry(name.clone()).or_insert_with(|| Box::new(Node::implied_directory(layer)));
            if node.children().is_none() {
                **node = Node::implied_directory(layer);
            }
            node
        });
        directory.children_mut().expect("it is made a directory")
    }
}

fn attributes_of(header: &Header) -> Attributes {
    let xattrs = header.xattrs();
    Attributes {
        mode: header.mode(),
        uid: header.uid(),
        gid: header.gid(),
        modified: header.modified(),
        size: header.size,
        xattrs: (!xattrs.is_empty()).then(|| xattrs.into()),
    }
}

/// Removes the names that no file of an image may have: those that aufs kept for itself, and entries below whiteouts.
fn prune(root: &mut Node) {
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        if let Some(children) = node.children_mut() {
            children.retain(|name, _| !name.starts_with(WHITEOUT));
            pending.extend(children.values_mut().map(|node| &mut **node));
        }
    }
}

/// Returns the content of the file whose entry stands at an offset in a layer, if it is small.
///
/// # Errors
///
/// Those of [`TarReader::next`].
pub(super) fn content_at(tar: impl Read, offset: u64) -> io::Result<Option<Arc<[u8]>>> {
    let mut reader = TarReader::new(tar);
    while let Some(header) = reader.next()? {
        if header.start == offset {
            return Ok(reader.content(KEPT_LIMIT)?.map(Arc::from));
        }
    }
    Ok(None)
}

/// Splits a path of a tar into its components. Slashes at its beginning and `.` mean nothing.
fn components(path: &[u8]) -> io::Result<Path> {
    let malformed = |text: String| Err(TarError::Malformed(text).into());
    if path.len() > PATH_LIMIT {
        return malformed(format!("the path '{}' has more than {PATH_LIMIT} bytes", shown(path)));
    }
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return malformed(format!("'{}' leads out of its directory", shown(path))),
            _ => components.push(component.into()),
        }
    }
    Ok(components)
}
