//! The merged tree as one tar: depth first, siblings sorted by bytes, layout format 1.
//!
//! The first name of a file carries its content, all others are hard links to that name. Links are data: their targets are
//! written as they are, wherever they lead (images, rules A4 to A7, I4).

use std::io::{self, Read, Write};
use std::path::Path;

use super::contents::Contents;
use super::hard_links::{Names, names_of};
use super::image_files::shown_path;
use super::merge::MergedTree;
use super::node::{Attributes, Node, NodeKind, Path as Place};
use super::walk::Walk;
use crate::error::{Error, FilesError, Result, UnpackError};
use crate::metrics::{Metrics, Phase, Progress};
use crate::tally::Tally;
use crate::tar::write::TarWriter;
use crate::tar::written_entry::{EntryKind, TarEntry};

/// The bytes that are read and written at a time.
const PIECE: usize = 256 * 1024;

/// The highest number of a user or group: the one above means none.
const HIGHEST_OWNER: u64 = 0xffff_fffe;

/// A merged tree that can be written as a tar: each entry was checked.
pub(crate) struct TreeTar {
    tree: MergedTree,
    names: Names,
    tally: Tally,
}

impl TreeTar {
    /// Takes a tree. Markers of other formats in its root are left out.
    ///
    /// # Errors
    ///
    /// [`FilesError::LostHardLink`]; [`UnpackError::TooHigh`].
    pub(crate) fn new(mut tree: MergedTree) -> Result<Self> {
        tree.remove_markers();
        let names = names_of(tree.root());
        let mut tally = Tally::default();
        let mut walk = Walk::at(tree.root(), &Place::new());
        while let Some(node) = walk.current {
            if is_written(&walk.path, node, &tree) {
                check(&walk.path, node)?;
                tally.add(if is_first(&walk.path, node, &names) { content_size(node) } else { 0 });
            }
            walk.advance();
        }
        Ok(Self { tree, names, tally })
    }

    /// Returns the number of entries, and the bytes of the content of files.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Writes the tar. Errors show `path` as its name. `progress` is called with the bytes of content that are written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn write(
        &self,
        contents: &Contents,
        writer: impl Write,
        path: &Path,
        (metrics, progress): (&Metrics, Progress<'_>),
    ) -> Result<()> {
        let failed = || Error::io("write", path);
        let mut tar = TarWriter::new(writer);
        let mut walk = Walk::at(self.tree.root(), &Place::new());
        while let Some(node) = walk.current {
            if is_written(&walk.path, node, &self.tree) {
                let name = name_of(&walk.path, node);
                let kind = self.kind_of(&walk.path, node);
                metrics.time(Phase::Write, || write_entry(&mut tar, (&name, kind, node), contents, &failed))?;
                if let EntryKind::File { size } = kind {
                    metrics.count_written(usize::try_from(size).unwrap_or(usize::MAX));
                    progress.add(size);
                }
            }
            walk.advance();
        }
        tar.finish().map_err(failed())?;
        Ok(())
    }

    fn kind_of<'a>(&'a self, path: &[u8], node: &'a Node) -> EntryKind<'a> {
        let first = self.names.get(&node.inode).map(|(_, first)| first.as_slice());
        kind_of(node, first.filter(|first| *first != path))
    }
}

/// Returns the type of an entry. `first` is the name of the entry with its content, if it is another one.
pub(super) fn kind_of<'a>(node: &'a Node, first: Option<&'a [u8]>) -> EntryKind<'a> {
    match (&node.kind, first) {
        (NodeKind::Directory { .. }, _) => EntryKind::Directory,
        (_, Some(target)) => EntryKind::HardLink { target },
        (NodeKind::File { .. } | NodeKind::HardLink { .. }, None) => EntryKind::File { size: node.attributes.size },
        (NodeKind::Link { target }, None) => EntryKind::SymbolicLink { target },
        (NodeKind::Special { flag: b'3', device }, None) => EntryKind::CharacterDevice(*device),
        (NodeKind::Special { flag: b'4', device }, None) => EntryKind::BlockDevice(*device),
        (NodeKind::Special { .. }, None) => EntryKind::Pipe,
    }
}

/// Writes an entry with its content. `failed` makes the error of the writer.
pub(super) fn write_entry<W: Write, F: FnOnce(io::Error) -> Error>(
    tar: &mut TarWriter<W>,
    (name, kind, node): (&[u8], EntryKind<'_>, &Node),
    contents: &Contents,
    failed: &dyn Fn() -> F,
) -> Result<()> {
    tar.begin(&entry_of(name, kind, &node.attributes)).map_err(failed())?;
    let EntryKind::File { size } = kind else { return Ok(()) };
    let mut content = contents.reader(node.layer, node.offset);
    let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut left = size;
    while left > 0 {
        let read = read_some(&mut content, &mut buffer);
        let read = read.map_err(Error::io("read the temporary file in", contents.directory()))?;
        left = left.saturating_sub(read as u64);
        tar.write_all(&buffer[..read]).map_err(failed())?;
    }
    tar.end_content(size).map_err(failed())
}

/// Returns whether an entry is written. The root is if it has attributes of its own: another mode or owner than a directory
/// that no layer has an entry for, or extended attributes (images, rule A2).
fn is_written(path: &[u8], node: &Node, tree: &MergedTree) -> bool {
    let own = |root: &Attributes| Attributes { modified: 0, size: 0, ..root.clone() } != Attributes::implied();
    !path.is_empty() || node.children().is_none() || tree.root_attributes().is_some_and(own)
}

/// Returns whether an entry is not another name of an earlier one.
fn is_first(path: &[u8], node: &Node, names: &Names) -> bool {
    names.get(&node.inode).is_none_or(|(_, first)| first == path)
}

fn content_size(node: &Node) -> u64 {
    if matches!(node.kind, NodeKind::File { .. }) { node.attributes.size } else { 0 }
}

/// Checks that a tar can have an entry.
fn check(path: &[u8], node: &Node) -> Result<()> {
    if let NodeKind::HardLink { target } = &node.kind {
        let target = shown_path(&target.join(&b'/'));
        return Err(FilesError::LostHardLink { path: shown_path(path), target }.into());
    }
    for (kind, id) in [("user", node.attributes.uid), ("group", node.attributes.gid)] {
        if id > HIGHEST_OWNER {
            return Err(UnpackError::TooHigh { kind, id, path: shown_path(path) }.into());
        }
    }
    Ok(())
}

/// Returns the name of an entry in a tar: that of a directory ends with a slash.
fn name_of(path: &[u8], node: &Node) -> Vec<u8> {
    match (node.children(), path) {
        (Some(_), b"") => b"./".to_vec(),
        (Some(_), path) => [path, b"/"].concat(),
        (None, path) => path.to_vec(),
    }
}

/// Returns an entry of a tar.
pub(super) fn entry_of<'a>(path: &'a [u8], kind: EntryKind<'a>, attributes: &'a Attributes) -> TarEntry<'a> {
    let Attributes { mode, uid, gid, modified, xattrs, .. } = attributes;
    // The attributes of another name are those of the file. Links have a mode that means nothing (images, rule A7).
    let xattrs = match kind {
        EntryKind::HardLink { .. } => &[],
        _ => xattrs.as_deref().unwrap_or_default(),
    };
    let mode = if matches!(kind, EntryKind::SymbolicLink { .. }) { 0o777 } else { *mode };
    TarEntry { path, kind, mode, uid: *uid, gid: *gid, modified: *modified, xattrs }
}

/// Reads at least one byte.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
