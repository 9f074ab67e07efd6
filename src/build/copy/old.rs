//! The files with which a directory is compared: those of an image, or of another directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::attributes::EntryAttributes;
use super::collect::{Collected, collect};
use super::open::Opener;
use super::options::{CopyOptions, CopySource};
use super::tree::{Children, Node, NodeKind, Place, SourcePlace};
use crate::error::{CopyError, Error, Result};
use crate::fs::FileIdentity;
use crate::fs::walk::{as_path, xattrs_of_file};
use crate::fs::xattr::{XattrFilter, Xattrs};
use crate::metrics::Progress;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::rootfs::{Attributes, ContentDigests, ImageFiles, MergedTree};
use crate::tar::written_entry::DeviceNumber;

/// The files of an image or a directory, to which another directory is compared.
pub struct OldFiles {
    pub(super) root: OldNode,
    /// The paths of files with several names, by their groups.
    pub(super) groups: HashMap<u64, BTreeSet<Vec<u8>>>,
    /// The directory that they are in, if it is one.
    source: Option<OldSource>,
    /// The digests of the layers, if they are those of an image.
    pub(super) layers: Option<Vec<Digest>>,
}

/// A directory whose files are read when they are compared.
struct OldSource {
    path: PathBuf,
    places: Vec<SourcePlace>,
}

/// A file or directory.
pub(super) struct OldNode {
    pub(super) kind: OldKind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) modified: i64,
    /// The extended attributes; those of a file in a directory are read with its content.
    pub(super) xattrs: Xattrs,
    /// The identity of the file: its other names have the same.
    pub(super) group: u64,
}

/// The type of an entry.
pub(super) enum OldKind {
    Directory(BTreeMap<Box<[u8]>, OldNode>),
    File { size: u64, content: OldContent },
    Link(Box<[u8]>),
    Device { is_block: bool, number: DeviceNumber },
    Pipe,
}

/// The content of a file.
pub(super) enum OldContent {
    /// Its digest; `None` if it cannot be read, as that of a sparse file.
    Digest(Option<Digest>),
    Place(Place),
}

impl fmt::Debug for OldFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OldFiles").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl OldNode {
    /// Returns the entries of a directory.
    pub(super) fn children(&self) -> Option<&BTreeMap<Box<[u8]>, Self>> {
        if let OldKind::Directory(children) = &self.kind { Some(children) } else { None }
    }
}

impl OldFiles {
    /// Reads the files of an image: each layer once.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`].
    pub fn of_image(files: &mut ImageFiles, progress: Progress<'_>) -> Result<Self> {
        let layers = files.layers().cloned().collect();
        let mut digests = ContentDigests::default();
        let tree = files.tree_with(progress, |file, content| {
            let key = (file.layer, file.header.start);
            Ok(digests.add(key, file.header, file.begun.chain(content))?)
        })?;
        digests.add_missing(files, &tree.files())?;
        let root = of_image(tree.root(), &digests);
        Ok(Self { groups: groups_of(&root), root, source: None, layers: Some(layers) })
    }

    /// Walks a directory.
    ///
    /// # Errors
    ///
    /// Those of [`CopyPlan::new`](super::CopyPlan::new).
    pub fn of_directory(path: impl Into<PathBuf>, options: &CopyOptions) -> Result<Self> {
        let path = path.into();
        let source = CopySource::new(&path);
        // Attributes that the layer is given are those of both.
        let options = CopyOptions { sources: vec![source], allows_empty: true, ..options.clone() };
        let filter = filter_of(&options)?;
        let Collected { root, root_attributes, places, .. } = collect(&options, &filter, &MergedTree::default())?;
        let attributes = root_attributes.map(|(_, attributes)| attributes);
        let attributes = attributes.ok_or_else(|| CopyError::NotADirectory { path: path.clone() })?;
        let mut numbers = Numbers::default();
        let kind = OldKind::Directory(of_children(&root, &mut numbers));
        let root = of_entry(kind, &attributes, 0);
        Ok(Self { groups: groups_of(&root), root, source: Some(OldSource { path, places }), layers: None })
    }

    /// Returns the digest of a file, and its extended attributes if it is in a directory.
    pub(super) fn content(
        &self,
        content: &OldContent,
        path: &[u8],
        filter: &XattrFilter,
        opener: &mut Opener,
    ) -> Result<(Option<Digest>, Option<Xattrs>)> {
        let (place, source) = match (content, &self.source) {
            (OldContent::Digest(digest), _) => return Ok((digest.clone(), None)),
            (OldContent::Place(place), Some(source)) => (*place, source),
            (OldContent::Place(_), None) => unreachable!("only files in directories have places"),
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let failed = || Error::io("read", source.path.join(as_path(path)));
        let file = opener.open(&source.path, (&source.places, &[]), place, name).map_err(failed())?;
        let (digest, xattrs) = digest_and_xattrs(&file, filter).map_err(failed())?;
        Ok((Some(digest), Some(xattrs)))
    }
}

/// Returns the digest of an open file and its extended attributes.
pub(super) fn digest_and_xattrs(mut file: &File, filter: &XattrFilter) -> io::Result<(Digest, Xattrs)> {
    let xattrs = xattrs_of_file(file, filter)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    io::copy(&mut file, &mut hasher)?;
    Ok((hasher.finish(), xattrs))
}

/// Returns the filter of the extended attributes of a layer.
pub(super) fn filter_of(options: &CopyOptions) -> Result<XattrFilter> {
    let wrong = |error| CopyError::XattrGlob { reason: format!("--xattr: {error}") };
    Ok(XattrFilter::new(&options.xattrs).map_err(wrong)?)
}

fn of_image(node: &crate::rootfs::Node, digests: &ContentDigests) -> OldNode {
    use crate::rootfs::NodeKind as Kind;
    let kind = match &node.kind {
        Kind::Directory { children, .. } => {
            OldKind::Directory(children.iter().map(|(name, node)| (name.clone(), of_image(node, digests))).collect())
        }
        Kind::File { .. } => {
            let digest = digests.of(node).cloned();
            OldKind::File { size: node.attributes.size, content: OldContent::Digest(digest) }
        }
        Kind::Link { target } => OldKind::Link((**target).into()),
        Kind::Special { flag: b'6', .. } => OldKind::Pipe,
        Kind::Special { flag, device } => OldKind::Device { is_block: *flag == b'4', number: *device },
        // A name of a file that is not there is like an empty file that cannot be read.
        Kind::HardLink { .. } => OldKind::File { size: 0, content: OldContent::Digest(None) },
    };
    let Attributes { mode, uid, gid, modified, xattrs, .. } = &node.attributes;
    let xattrs = xattrs.as_deref().unwrap_or_default().to_vec();
    OldNode { kind, mode: *mode, uid: *uid, gid: *gid, modified: *modified, xattrs, group: node.inode }
}

/// Numbers for the identities of files.
#[derive(Default)]
struct Numbers {
    known: HashMap<FileIdentity, u64>,
    last: u64,
}

impl Numbers {
    fn of(&mut self, node: &Node) -> u64 {
        match node.kind.inode() {
            Some(inode) => {
                let next = self.last + 1;
                let number = *self.known.entry(inode).or_insert(next);
                self.last = self.last.max(number);
                number
            }
            None => {
                self.last += 1;
                self.last
            }
        }
    }
}

fn of_children(children: &Children, numbers: &mut Numbers) -> BTreeMap<Box<[u8]>, OldNode> {
    let mut old = BTreeMap::new();
    for (name, node) in children {
        let kind = match &node.kind {
            NodeKind::Directory { children, .. } => OldKind::Directory(of_children(children, numbers)),
            NodeKind::File(file) => OldKind::File { size: file.size, content: OldContent::Place(file.place) },
            NodeKind::Link { target, .. } => OldKind::Link(target.clone()),
            NodeKind::Device { is_block, number, .. } => OldKind::Device { is_block: *is_block, number: *number },
            NodeKind::Pipe { .. } => OldKind::Pipe,
            NodeKind::Whiteout => continue,
        };
        let group = numbers.of(node);
        old.insert(name.clone(), of_entry(kind, &node.attributes, group));
    }
    old
}

fn of_entry(kind: OldKind, attributes: &EntryAttributes, group: u64) -> OldNode {
    let EntryAttributes { uid, gid, mode, modified, xattrs } = attributes;
    let xattrs = xattrs.as_deref().cloned().unwrap_or_default();
    OldNode { kind, mode: *mode, uid: (*uid).into(), gid: (*gid).into(), modified: *modified, xattrs, group }
}

/// Returns the names of files that have several.
fn groups_of(root: &OldNode) -> HashMap<u64, BTreeSet<Vec<u8>>> {
    let mut groups: HashMap<u64, BTreeSet<Vec<u8>>> = HashMap::new();
    let mut pending = vec![(Vec::new(), root)];
    while let Some((path, node)) = pending.pop() {
        for (name, node) in node.children().into_iter().flatten() {
            let path = joined(&path, name);
            if node.children().is_some() {
                pending.push((path, node));
            } else {
                groups.entry(node.group).or_default().insert(path);
            }
        }
    }
    groups.retain(|_, names| names.len() > 1);
    groups
}

/// Returns the path of an entry of a directory.
pub(super) fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Returns the attributes of an entry for a layer. Owners beyond 32 bits, which no system has, are cut off.
pub(super) fn attributes_of(old: &OldNode) -> EntryAttributes {
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    let xattrs = (!old.xattrs.is_empty()).then(|| Box::new(old.xattrs.clone()));
    EntryAttributes { uid: id(old.uid), gid: id(old.gid), mode: old.mode, modified: old.modified, xattrs }
}

/// Returns the path of a file of a source, for errors.
pub(super) fn path_in(source: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() { source.to_owned() } else { source.join(as_path(path)) }
}
