//! The entries of one layer, before they are applied to the layers below.
//!
//! The layer is taken alone, as engines unpack it for overlayfs: links of the layer itself are followed where the path of
//! an entry goes through them, those of the layers below are not (images, rule E5).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::node::{Attributes, Children, Node, NodeKind, Path, merge};
use super::program::{self, Program};
use super::resolve::{Missing, PATH_LIMIT, resolve};
use crate::tar::fault::TarError;
use crate::tar::read_header::Header;
use crate::tar::reader::TarReader;
use crate::text::shown;

/// The prefix of whiteouts (image-spec, layer.md, "Whiteouts"). No file of an image may have such a name.
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// The name of the whiteout of all that the layers below have in a directory.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";

/// The prefix of files that aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// The files whose content is kept.
const KEPT: [&[&[u8]]; 2] = [&[b"etc", b"passwd"], &[b"etc", b"group"]];

/// The largest content that is kept.
pub(super) const KEPT_LIMIT: u64 = 1024 * 1024;

/// Returns whether the path of an entry is that of a whiteout.
pub(crate) fn is_whiteout(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty()).unwrap_or_default();
    name.starts_with(WHITEOUT)
}

/// A regular file of a layer that is being read.
pub(crate) struct LayerFile<'a> {
    /// The number of the layer.
    pub(crate) layer: u32,
    /// The path in the tree of the layer.
    pub(crate) place: &'a [Box<[u8]>],
    pub(crate) header: &'a Header,
    /// The beginning of the content, which was read already.
    pub(crate) begun: &'a [u8],
}

/// An entry of a layer that is being read.
pub(super) struct ReadEntry<'a> {
    /// The path in the tree of the layer; `None` for the root and for whiteouts.
    pub(super) place: Option<&'a [Box<[u8]>]>,
    pub(super) header: &'a Header,
    /// The beginning of the content, which was read already.
    begun: &'a [u8],
}

/// Returns whether an entry is a regular file for readers: unknown types are.
fn has_content(header: &Header) -> bool {
    !matches!(header.flag(), b'1'..=b'6')
}

/// The entries of a layer.
#[derive(Debug)]
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
    /// The hard links to files of the layers below, by identity: their paths and their targets.
    links_below: HashMap<u64, (Path, Path)>,
    /// Whether there are names that no file of an image may have.
    has_reserved: bool,
}

impl LayerTree {
    /// Reads the entries of a layer. Hard links to files of the layers below are not resolved yet.
    ///
    /// # Errors
    ///
    /// Those of [`TarReader::next`]; a [`TarError`] for an entry that no image can have.
    pub(super) fn read(tar: impl Read, layer: u32, inodes: &mut u64) -> io::Result<Self> {
        Self::read_with(tar, layer, inodes, |_, _| Ok(()))
    }

    /// Reads the entries of a layer, and calls a function with each regular file and the reader of its content.
    ///
    /// # Errors
    ///
    /// Those of [`LayerTree::read`] and of the function.
    pub(super) fn read_with<R: Read, E: From<io::Error>>(
        tar: R,
        layer: u32,
        inodes: &mut u64,
        mut file: impl FnMut(LayerFile<'_>, &mut TarReader<R>) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::read_each(tar, layer, inodes, |_, entry, reader| match entry.place {
            Some(place) if has_content(entry.header) => {
                file(LayerFile { layer, place, header: entry.header, begun: entry.begun }, reader)
            }
            _ => Ok(()),
        })
    }

    /// Reads the entries of a layer, and calls a function with the tree as it is by then, each entry, and the reader of its
    /// content.
    ///
    /// # Errors
    ///
    /// Those of [`LayerTree::read`] and of the function.
    pub(super) fn read_each<R: Read, E: From<io::Error>>(
        tar: R,
        layer: u32,
        inodes: &mut u64,
        mut each: impl FnMut(&Self, ReadEntry<'_>, &mut TarReader<R>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut tree = Self {
            layer,
            root: Node::implied_directory(layer),
            root_attributes: None,
            whiteouts: Vec::new(),
            opaque: Vec::new(),
            pending: Vec::new(),
            links_below: HashMap::new(),
            has_reserved: false,
        };
        let mut reader = TarReader::new(tar);
        while let Some(header) = reader.next()? {
            let path = components(&header.path)?;
            let is_kept = KEPT.iter().any(|kept| path.iter().map(|part| &**part).eq(kept.iter().copied()));
            let may_run = header.is_file() && header.mode() & 0o111 != 0;
            let (content, head) = match (is_kept, may_run) {
                (true, _) => (reader.content(KEPT_LIMIT)?, None),
                (false, true) => (None, Some(reader.head(program::HEAD)?)),
                (false, false) => (None, None),
            };
            let content: Option<Arc<[u8]>> = content.map(Arc::from);
            let program = head.as_deref().and_then(Program::of).map(Arc::new);
            let kind = NodeKind::File { content: content.clone(), program };
            let place = tree.add(path, &header, kind, inodes)?;
            let begun = content.as_deref().or(head.as_deref()).unwrap_or_default();
            each(&tree, ReadEntry { place: place.as_deref(), header: &header, begun }, &mut reader)?;
        }
        tree.settle_links();
        tree.settle_whiteouts();
        if tree.has_reserved {
            prune(&mut tree.root);
        }
        Ok(tree)
    }

    /// Returns the number of the layer.
    pub(super) fn layer(&self) -> u32 {
        self.layer
    }

    /// Gives the root directory the attributes of its entry. Returns whether the layer has one.
    pub(super) fn settle_root(&mut self) -> bool {
        let attributes = self.root_attributes.take();
        let has_entry = attributes.is_some();
        attributes.into_iter().for_each(|attributes| self.root.attributes = attributes);
        has_entry
    }

    /// Adds an entry, and returns its place if it is there to stay: it is not a whiteout, and not the root.
    fn add(&mut self, mut path: Path, header: &Header, file: NodeKind, inodes: &mut u64) -> io::Result<Option<Path>> {
        let flag = header.flag();
        let Some(name) = path.pop() else {
            if flag != b'5' {
                // A link there would move the layers above out of the image (CVE-2021-29136).
                let text = format!("its entry '{}' is for the root, and not a directory", shown(&header.path));
                return Err(TarError::Malformed(text).into());
            }
            self.root_attributes = Some(attributes_of(header));
            self.root.offset = header.start;
            return Ok(None);
        };
        self.has_reserved |= name.starts_with(AUFS) || path.iter().any(|part| part.starts_with(WHITEOUT));
        // Whiteouts are for the layers below, wherever they stand in the layer.
        if *name == *OPAQUE {
            self.opaque.push(path);
            return Ok(None);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| !name.starts_with(AUFS)) {
            // One without a name hides nothing.
            if !hidden.is_empty() {
                path.push(hidden.into());
                self.whiteouts.push(path);
            }
            return Ok(None);
        }
        let mut path = self.place(&path).into_owned();
        path.push(name);
        let kind = match flag {
            b'1' => {
                let target = components(header.target())?;
                let there = self.root.find(&self.place_of_file(&target)).filter(|node| node.can_be_linked());
                if let Some(node) = there.cloned() {
                    self.insert(&path, node);
                    return Ok(Some(path));
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
        Ok(Some(path))
    }

    /// Returns the place of a directory: links of the layer itself are followed if they lead to a directory, or to nothing
    /// in the layer. Other links are replaced when an entry below them is added.
    pub(super) fn place<'a>(&self, path: &'a [Box<[u8]>]) -> Cow<'a, [Box<[u8]>]> {
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
    pub(super) fn place_of_file(&self, path: &[Box<[u8]>]) -> Path {
        let Some((name, parents)) = path.split_last() else { return Path::new() };
        let mut place = self.place(parents).into_owned();
        place.push(name.clone());
        place
    }

    /// Puts the files of the layer to which hard links lead in their places. The others are to files of the layers below.
    fn settle_links(&mut self) {
        // Where the links lead that do not lead to a file of the layer: to a path of the layers below, or nowhere.
        let mut below: HashMap<u64, Option<Path>> = HashMap::new();
        let pending = std::mem::take(&mut self.pending);
        for (path, inode) in &pending {
            let mut chain = Vec::new();
            let mut at = path.clone();
            let (file, target) = loop {
                match self.root.find(&at) {
                    Some(Node { kind: NodeKind::HardLink { target }, inode: found, .. }) => {
                        // A later entry may have taken the place of the link.
                        if chain.is_empty() && found != inode {
                            break (None, None);
                        }
                        if let Some(known) = below.get(found) {
                            break (None, known.clone());
                        }
                        // Links in a circle come here again.
                        below.insert(*found, None);
                        let next = self.place_of_file(target);
                        chain.push((at, *found));
                        // A link to its own name is to the file below.
                        if chain.last().is_some_and(|(at, _)| *at == next) {
                            break (None, Some(next));
                        }
                        at = next;
                    }
                    Some(node) => {
                        break (Some(node).filter(|node| !chain.is_empty() && node.can_be_linked()).cloned(), None);
                    }
                    None => break (None, Some(at)),
                }
            };
            for (path, inode) in chain {
                match &file {
                    Some(file) => {
                        below.remove(&inode);
                        if let Some(node) = self.root.find_mut(&path) {
                            *node = file.clone();
                        }
                    }
                    None => drop(below.insert(inode, target.clone())),
                }
            }
        }
        let places: HashMap<u64, Path> = pending.into_iter().map(|(path, inode)| (inode, path)).collect();
        let link = |(inode, target): (u64, Option<Path>)| Some((inode, (places.get(&inode)?.clone(), target?)));
        self.links_below = below.into_iter().filter_map(link).collect();
    }

    /// Puts the files of the layers below to which hard links lead in their places, as they are before the layer is applied.
    pub(super) fn settle_links_below(&mut self, below: impl Fn(&[Box<[u8]>]) -> Option<Node>) {
        for (inode, (path, target)) in std::mem::take(&mut self.links_below) {
            let Some(node) = self.root.find_mut(&path).filter(|node| node.inode == inode) else { continue };
            if let Some(file) = below(&target) {
                *node = file;
            }
        }
    }

    /// Returns the path of the layers below to which a hard link leads.
    pub(super) fn link_below(&self, inode: u64) -> Option<&Path> {
        self.links_below.get(&inode).map(|(_, target)| target)
    }

    /// Returns the paths of the layers below to which hard links lead.
    pub(super) fn targets_below(&self) -> impl Iterator<Item = &Path> {
        self.links_below.values().map(|(_, target)| target)
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

    /// Returns whether the layer removes a path of the layers below, or the directory that it is in.
    pub(super) fn removes(&self, path: &[Box<[u8]>]) -> bool {
        self.whiteouts.iter().any(|removed| path.starts_with(removed))
            || self.opaque.iter().any(|opaque| path.len() > opaque.len() && path.starts_with(opaque))
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

    /// Moves the entries of a directory, and the whiteouts there, to another one.
    pub(super) fn move_directory(&mut self, from: &[Box<[u8]>], to: &[Box<[u8]>]) {
        let Some((name, parents)) = from.split_last() else { return };
        let Some(parent) = self.root.find_mut(parents).and_then(Node::children_mut) else { return };
        let Some(mut node) = parent.remove(name) else { return };
        if let Some(children) = node.children_mut() {
            let children = std::mem::take(children);
            merge(self.directory(to), children, None);
        }
        for path in self.whiteouts.iter_mut().chain(&mut self.opaque) {
            if path.starts_with(from) {
                *path = to.iter().chain(&path[from.len()..]).cloned().collect();
            }
        }
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

pub(crate) fn attributes_of(header: &Header) -> Attributes {
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
pub(super) fn content_at(tar: impl Read, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut reader = TarReader::new(tar);
    while let Some(header) = reader.next()? {
        if header.start == offset {
            return reader.content(KEPT_LIMIT);
        }
    }
    Ok(None)
}

/// Splits a path of a tar into its components. Slashes at its beginning and `.` mean nothing.
pub(super) fn components(path: &[u8]) -> io::Result<Path> {
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
