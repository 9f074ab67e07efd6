//! Comparing the files of two images, or of two layers.

use std::collections::{HashMap, HashSet};

use super::content_digests::{ContentDigests, FileKey};
use super::ignored::Ignored;
use super::image_files::ImageFiles;
use super::layer_tree::LayerTree;
use super::merge::{TreeEntry, entry_of};
use super::node::{Attributes, Node, NodeKind, Path};
use super::pairs::{Pair, Pairs};
use crate::error::Result;
use crate::oci::Digest;

/// A path at which the files of two images differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileChange {
    /// The path, without a slash at its beginning; the root is empty.
    pub path: Vec<u8>,
    /// The entry of the first image, if it has one.
    pub before: Option<ComparedEntry>,
    /// The entry of the second image, if it has one.
    pub after: Option<ComparedEntry>,
    /// The attributes that differ, if both images have the path. Where the types differ, no other attribute is compared.
    pub differs: Vec<FileAttribute>,
}

/// An entry of one of two images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ComparedEntry {
    /// The entry.
    pub entry: TreeEntry,
    /// The digest of the content of a regular file. `None` for one that both images have in the same layer, and for sparse
    /// files.
    pub content: Option<Digest>,
    /// The first of the names that the file has in both images, if this is another one.
    pub first_name: Option<Vec<u8>>,
}

/// An attribute of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileAttribute {
    /// The type.
    Type,
    /// The permissions, and the setuid, setgid and sticky bits. Those of symbolic links mean nothing.
    Mode,
    /// The user.
    User,
    /// The group.
    Group,
    /// The size of a regular file.
    Size,
    /// The content of a regular file.
    Content,
    /// The target of a link.
    Target,
    /// The numbers of a device.
    Device,
    /// The extended attributes.
    Xattrs,
    /// The modification time.
    Modified,
    /// Which other names of the file are hard links to it, of those that both images have.
    HardLinks,
}

/// One of two images: its files, and the digests of their contents.
pub(super) struct Hashes<'a> {
    pub(super) files: &'a ImageFiles,
    pub(super) digests: &'a mut ContentDigests,
}

/// Two images whose trees are compared.
pub(super) struct Comparison<'a> {
    pub(super) before: Hashes<'a>,
    pub(super) after: Hashes<'a>,
    pub(super) ignored: &'a Ignored,
}

impl Comparison<'_> {
    /// Returns the paths at which two trees differ.
    ///
    /// # Errors
    ///
    /// Those of reading the contents of files again.
    pub(super) fn changes(&mut self, before: &Node, after: &Node) -> Result<Vec<FileChange>> {
        self.hash_pairs(before, after)?;
        let mut names = [Names::of(before), Names::of(after)];
        let mut changes = Vec::new();
        for pair in Pairs::of(before, after) {
            changes.extend(self.change(pair, &mut names)?);
        }
        Ok(changes)
    }

    /// Returns whether two layers differ, as they are before they are applied to those below.
    ///
    /// # Errors
    ///
    /// Those of [`Comparison::changes`].
    pub(super) fn are_layers_different(&mut self, before: &LayerTree, after: &LayerTree) -> Result<bool> {
        let set = |paths: &[Path]| paths.iter().cloned().collect::<HashSet<Path>>();
        let (of_before, of_after) = (before.root_attributes.as_ref(), after.root_attributes.as_ref());
        let is_root_same = match (of_before, of_after) {
            (Some(before), Some(after)) => self.attributes(before, after, true).is_empty(),
            (before, after) => before.is_none() && after.is_none(),
        };
        if !is_root_same
            || set(&before.whiteouts) != set(&after.whiteouts)
            || set(&before.opaque) != set(&after.opaque)
            || Pairs::of(&before.root, &after.root).any(|pair| !has_same_entries(&pair))
        {
            return Ok(true);
        }
        Ok(!self.changes(&before.root, &after.root)?.is_empty())
    }

    /// Reads the contents of files that differ and are not known yet.
    fn hash_pairs(&mut self, before: &Node, after: &Node) -> Result<()> {
        let mut wanted: [HashSet<FileKey>; 2] = Default::default();
        for pair in Pairs::of(before, after).filter(|pair| !self.is_same_file(pair)) {
            for (node, wanted) in [pair.before, pair.after].into_iter().zip(&mut wanted) {
                wanted.extend(node.filter(|node| is_file(node)).map(|node| (node.layer, node.offset)));
            }
        }
        self.before.digests.add_missing(self.before.files, &wanted[0])?;
        self.after.digests.add_missing(self.after.files, &wanted[1])
    }

    /// Returns whether two files come from one entry of one layer that both images have.
    fn is_same_file(&self, pair: &Pair<'_>) -> bool {
        let (Some(before), Some(after)) = (pair.before, pair.after) else { return false };
        let layer = |files: &ImageFiles, node: &Node| files.layer(node.layer as usize).1.clone();
        is_file(before)
            && is_file(after)
            && before.offset == after.offset
            && layer(self.before.files, before) == layer(self.after.files, after)
    }

    fn change(&self, pair: Pair<'_>, names: &mut [Names; 2]) -> Result<Option<FileChange>> {
        let (mut differs, mut first_names, mut is_same_file) = (Vec::new(), [None, None], false);
        if let (Some(before), Some(after)) = (pair.before, pair.after) {
            if before.can_be_linked() && after.can_be_linked() {
                first_names = [names[0].first(before, &pair.path), names[1].first(after, &pair.path)];
            }
            is_same_file = self.is_same_file(&pair);
            if !is_same_file {
                differs = self.differing(&pair.path, before, after)?;
            }
            if first_names[0] != first_names[1] && differs.first() != Some(&FileAttribute::Type) {
                differs.push(FileAttribute::HardLinks);
            }
            if differs.is_empty() {
                return Ok(None);
            }
        }
        let Pair { path, before, after } = pair;
        let [first_before, first_after] = first_names;
        let entry = |hashes: &Hashes<'_>, node: &Node, first_name| ComparedEntry {
            entry: entry_of(&path, node),
            content: if is_file(node) && !is_same_file { hashes.digests.of(node).cloned() } else { None },
            first_name,
        };
        Ok(Some(FileChange {
            before: before.map(|node| entry(&self.before, node, first_before)),
            after: after.map(|node| entry(&self.after, node, first_after)),
            path,
            differs,
        }))
    }

    /// Returns the attributes that differ.
    fn differing(&self, path: &[u8], before: &Node, after: &Node) -> Result<Vec<FileAttribute>> {
        let type_of = |node: &Node| match &node.kind {
            NodeKind::Directory { .. } => b'5',
            NodeKind::File { .. } => b'0',
            NodeKind::HardLink { .. } => b'1',
            NodeKind::Link { .. } => b'2',
            NodeKind::Special { flag, .. } => *flag,
        };
        if type_of(before) != type_of(after) {
            return Ok(vec![FileAttribute::Type]);
        }
        let has_mode = !matches!(before.kind, NodeKind::Link { .. });
        let mut differs = self.attributes(&before.attributes, &after.attributes, has_mode);
        match (&before.kind, &after.kind) {
            (NodeKind::File { .. }, NodeKind::File { .. }) => {
                if before.attributes.size != after.attributes.size {
                    differs.extend([FileAttribute::Size, FileAttribute::Content]);
                } else if self.before.digests.expect(path, before)? != self.after.digests.expect(path, after)? {
                    differs.push(FileAttribute::Content);
                }
            }
            (NodeKind::Link { target: before }, NodeKind::Link { target: after }) if before != after => {
                differs.push(FileAttribute::Target);
            }
            (NodeKind::HardLink { target: before }, NodeKind::HardLink { target: after }) if before != after => {
                differs.push(FileAttribute::Target);
            }
            (NodeKind::Special { flag, device: before }, NodeKind::Special { device: after, .. })
                if *flag != b'6' && before != after =>
            {
                differs.push(FileAttribute::Device);
            }
            _ => {}
        }
        differs.sort_unstable();
        Ok(differs)
    }

    /// Returns the attributes that all types have and that differ.
    fn attributes(&self, before: &Attributes, after: &Attributes, has_mode: bool) -> Vec<FileAttribute> {
        let ignored = self.ignored;
        let xattrs = |attributes: &Attributes| attributes.xattrs.clone().unwrap_or_default();
        let compared = [
            (FileAttribute::Mode, has_mode && !ignored.mode && before.mode != after.mode),
            (FileAttribute::User, !ignored.owner && before.uid != after.uid),
            (FileAttribute::Group, !ignored.owner && before.gid != after.gid),
            (FileAttribute::Xattrs, !ignored.xattrs && xattrs(before) != xattrs(after)),
            (FileAttribute::Modified, !ignored.times && before.modified != after.modified),
        ];
        compared.into_iter().filter(|(_, differs)| *differs).map(|(attribute, _)| attribute).collect()
    }
}

fn is_file(node: &Node) -> bool {
    matches!(node.kind, NodeKind::File { .. })
}

/// Returns whether two layers both have an entry at a path, or neither has.
fn has_same_entries(pair: &Pair<'_>) -> bool {
    let has_entry = |node: Option<&Node>| {
        node.is_some_and(|node| !matches!(node.kind, NodeKind::Directory { is_implied: true, .. }))
    };
    // The roots are compared by their own attributes.
    pair.path.is_empty() || has_entry(pair.before) == has_entry(pair.after)
}

/// The first names of files that have several.
struct Names {
    /// The files, by identity, that have several names.
    shared: HashSet<u64>,
    first: HashMap<u64, Vec<u8>>,
}

impl Names {
    fn of(root: &Node) -> Self {
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        let mut pending = vec![root];
        while let Some(node) = pending.pop() {
            if node.can_be_linked() && !seen.insert(node.inode) {
                shared.insert(node.inode);
            }
            pending.extend(node.children().into_iter().flat_map(|all| all.values().map(|node| &**node)));
        }
        Self { shared, first: HashMap::new() }
    }

    /// Returns the first of the names of a file for which this was called, unless it is this one.
    fn first(&mut self, node: &Node, path: &[u8]) -> Option<Vec<u8>> {
        if !self.shared.contains(&node.inode) {
            return None;
        }
        let first = self.first.entry(node.inode).or_insert_with(|| path.to_vec());
        (*first != path).then(|| first.clone())
    }
}
