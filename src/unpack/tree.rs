//! Makes the tree of the pool's files, and of directories, links and devices.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::attributes::Maker;
use super::content::Pool;
use super::pool_directory::name_of;
use super::shelves::shelf_name;
use crate::error::{Error, Result, UnpackError};
use crate::fs::beneath::Beneath;
use crate::fs::made::{
    Special, folds_case, link, make_directory, make_link, make_special, rename, set_attributes, set_attributes_at,
};
use crate::interrupt::Interrupt;
use crate::rootfs::{Attributes, Node, NodeKind, shown_path};
use crate::text::shown;

/// The entries at the top of a tree that is made: their names and nodes.
pub(super) type Top<'a> = Vec<(Box<[u8]>, &'a Node)>;

/// Makes a tree in an empty directory.
pub(super) struct TreeMaker<'a, 'o> {
    root: Beneath,
    path: PathBuf,
    pool: &'a Pool,
    maker: &'a mut Maker<'o>,
    interrupt: Interrupt,
    /// The names that are still to be made of each file, and whether its first is there.
    names: HashMap<u64, u32>,
    /// Files other than regular ones that have several names, and are in the pool by now.
    shared: HashMap<u64, bool>,
    pub(super) entries: u64,
    /// The bytes of the content of files.
    pub(super) bytes: u64,
}

impl<'a, 'o> TreeMaker<'a, 'o> {
    /// Takes the open directory. Errors name files of the destination.
    pub(super) fn new(
        root: File,
        destination: &Path,
        pool: &'a Pool,
        maker: &'a mut Maker<'o>,
        interrupt: &Interrupt,
    ) -> Self {
        Self {
            root: Beneath::new(root.into()),
            path: destination.to_owned(),
            pool,
            maker,
            interrupt: interrupt.clone(),
            names: HashMap::new(),
            shared: HashMap::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Makes entries and everything below them. `of_root` are the attributes of the directory itself.
    ///
    /// # Errors
    ///
    /// [`UnpackError::LostHardLink`], [`UnpackError::Folds`], [`UnpackError::NotMapped`]; [`Error::Io`].
    pub(super) fn make(&mut self, top: &Top<'_>, of_root: Option<&Attributes>) -> Result<()> {
        top.iter().for_each(|(_, node)| self.count(node));
        if folds_case(self.root.root()).map_err(Error::io("write to", &self.path))? {
            check_folding(top, &self.path, |name| String::from_utf8_lossy(name).to_lowercase().into_bytes())?;
        }
        let mut directories: Vec<(Vec<u8>, &Node)> = Vec::new();
        let here = self.open(b"")?;
        for (name, node) in top {
            self.make_entry(here.as_fd(), name.to_vec(), name, node, &mut directories)?;
        }
        let mut at = 0;
        while let Some((path, node)) = directories.get(at).cloned() {
            at += 1;
            let here = self.open(&path)?;
            for (name, child) in node.children().into_iter().flatten() {
                let below = [&path, &b"/"[..], name].concat();
                self.make_entry(here.as_fd(), below, name, child, &mut directories)?;
            }
        }
        // The deepest first: a directory that cannot be written or searched any more is left alone.
        for (path, node) in directories.iter().rev() {
            self.finish_directory(path, &node.attributes)?;
        }
        of_root.map_or(Ok(()), |attributes| self.finish_directory(b"", attributes))
    }

    fn open(&self, path: &[u8]) -> Result<File> {
        self.root.open_directory(path).map_err(|error| self.failed(path)(error))
    }

    fn failed(&self, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::io("write", self.path.join(shown(path)))(error)
    }

    fn failed_to_set(&self, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::io("set the attributes of", self.path.join(shown(path)))(error)
    }

    /// Counts the names of each file, its bytes, and the attributes that it does not get. No function calls itself for each
    /// directory: there may be thousands in each other.
    fn count(&mut self, node: &Node) {
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            if let Some(children) = node.children() {
                pending.extend(children.values().map(|node| &**node));
                self.maker.count(&node.attributes);
                continue;
            }
            let names = self.names.entry(node.inode).or_default();
            *names += 1;
            let is_device = matches!(node.kind, NodeKind::Special { flag: b'3' | b'4', .. });
            if *names == 1 && !is_device {
                self.maker.count(&node.attributes);
                self.bytes += if matches!(node.kind, NodeKind::File { .. }) { node.attributes.size } else { 0 };
            }
        }
    }

    fn finish_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<()> {
        let directory = self.open(path)?;
        let set = self.maker.with(path, attributes, |made, refused| set_attributes(&directory, made, refused));
        set?.map_err(self.failed_to_set(path))
    }

    fn make_entry<'n>(
        &mut self,
        here: BorrowedFd<'_>,
        path: Vec<u8>,
        name: &[u8],
        node: &'n Node,
        directories: &mut Vec<(Vec<u8>, &'n Node)>,
    ) -> Result<()> {
        let interrupt = self.interrupt.clone();
        // After the work is abandoned no entry is made any more: the tree is being deleted.
        let _section = interrupt.begin_section();
        let is_made = match &node.kind {
            NodeKind::Directory { .. } => {
                let made = match self.pool.shelf_of(&path) {
                    Some(shelf) => rename(self.pool.directory(), shelf_name(shelf).as_bytes(), here, name),
                    None => make_directory(here, name),
                };
                made.map_err(self.failed(&path))?;
                directories.push((path, node));
                true
            }
            NodeKind::File { .. } if self.pool.on_shelf(node.layer, node.offset).is_some() => true,
            NodeKind::File { .. } => {
                let stored = name_of((node.layer, node.offset));
                let has_more = self.names.get(&node.inode).is_some_and(|names| *names > 1);
                let place = if has_more { link } else { rename };
                place(self.pool.directory(), stored.as_bytes(), here, name).map_err(self.failed(&path))?;
                true
            }
            NodeKind::HardLink { target } => {
                let target = shown_path(&target.join(&b'/'));
                return Err(UnpackError::LostHardLink { path: shown_path(&path), target }.into());
            }
            NodeKind::Link { .. } | NodeKind::Special { .. } => self.make_other(here, path, name, node)?,
        };
        self.entries += u64::from(is_made);
        Ok(())
    }

    /// Makes a link, a device or a pipe. Returns whether this user may.
    fn make_other(&mut self, here: BorrowedFd<'_>, path: Vec<u8>, name: &[u8], node: &Node) -> Result<bool> {
        if self.names.get(&node.inode).is_none_or(|names| *names < 2) {
            return self.make_new(here, &path, name, node);
        }
        let stored = format!("i{}", node.inode);
        let is_made = match self.shared.entry(node.inode) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) => {
                let is_made = self.make_new(self.pool.directory(), &path, stored.as_bytes(), node)?;
                self.shared.insert(node.inode, is_made);
                is_made
            }
        };
        if is_made {
            link(self.pool.directory(), stored.as_bytes(), here, name).map_err(self.failed(&path))?;
        }
        Ok(is_made)
    }

    fn make_new(&mut self, here: BorrowedFd<'_>, path: &[u8], name: &[u8], node: &Node) -> Result<bool> {
        let is_link = matches!(node.kind, NodeKind::Link { .. });
        match &node.kind {
            NodeKind::Link { target } if target.is_empty() => {
                return Err(UnpackError::NoTarget { path: shown_path(path) }.into());
            }
            NodeKind::Link { target } => make_link(here, name, target).map_err(self.failed(path))?,
            NodeKind::Special { flag, device } => {
                let special = match flag {
                    b'3' => Special::CharacterDevice(device.major, device.minor),
                    b'4' => Special::BlockDevice(device.major, device.minor),
                    _ => Special::Pipe,
                };
                if special == Special::CharacterDevice(0, 0) {
                    self.maker.skipped.overlay_whiteouts.push(path.to_vec());
                    return Ok(false);
                }
                if !make_special(here, name, special).map_err(self.failed(path))? {
                    self.maker.skipped.devices.push(path.to_vec());
                    return Ok(false);
                }
            }
            _ => unreachable!("only links and special files come here"),
        }
        let set = self
            .maker
            .with(path, &node.attributes, |made, refused| set_attributes_at(here, name, made, is_link, refused));
        set?.map_err(self.failed_to_set(path))?;
        Ok(true)
    }
}

/// Checks that no directory has two names that a file system takes for one (images, rule J9).
fn check_folding(top: &Top<'_>, destination: &Path, fold: impl Fn(&[u8]) -> Vec<u8>) -> Result<()> {
    type Entries<'n> = Vec<(&'n [u8], &'n Node)>;
    let top: Entries<'_> = top.iter().map(|(name, node)| (&**name, *node)).collect();
    let mut pending = vec![(Vec::new(), top)];
    while let Some((path, entries)) = pending.pop() {
        let mut known: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        for (name, node) in entries {
            let of = |name: &[u8]| [&path, &b"/"[..], name].concat();
            if let Some(other) = known.insert(fold(name), name) {
                let (one, other) = (shown_path(&of(other)), shown_path(&of(name)));
                return Err(UnpackError::Folds { one, other, path: destination.to_owned() }.into());
            }
            if let Some(children) = node.children() {
                pending.push((of(name), children.iter().map(|(name, node)| (&**name, &**node)).collect()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::MergedTree;
    use crate::tar::write::TarWriter;
    use crate::tar::written_entry::{EntryKind, TarEntry};

    #[test]
    fn j9_names_that_a_file_system_folds_are_found_before_anything_is_made() {
        let tree = |names: &[&str]| {
            let mut tar = TarWriter::new(Vec::new());
            for name in names {
                let kind = EntryKind::File { size: 0 };
                let entry =
                    TarEntry { path: name.as_bytes(), kind, mode: 0o644, uid: 0, gid: 0, modified: 0, xattrs: &[] };
                tar.file(&entry, b"").expect("written");
            }
            let mut tree = MergedTree::default();
            tree.apply(tar.finish().expect("written").as_slice()).expect("applied");
            tree
        };
        let check = |names: &[&str], fold: &dyn Fn(&[u8]) -> Vec<u8>| {
            let tree = tree(names);
            let top: Top<'_> =
                tree.root().children().into_iter().flatten().map(|(name, node)| (name.clone(), &**node)).collect();
            check_folding(&top, Path::new("out"), fold).map_err(|error| error.to_string())
        };
        let lower = |name: &[u8]| name.to_ascii_lowercase();
        let pam = ["usr/share/man/PAM.7.gz", "usr/share/man/pam.7.gz"];
        let says = "'/usr/share/man/PAM.7.gz' and '/usr/share/man/pam.7.gz' are one name on the file system of out";
        assert_eq!(check(&pam, &lower), Err(says.to_owned()));
        assert_eq!(
            check(&["A/x", "a/y"], &lower),
            Err("'/A' and '/a' are one name on the file system of out".to_owned())
        );
        assert_eq!(check(&["a/X", "b/x"], &lower), Ok(()));
        assert_eq!(check(&pam, &|name| name.to_vec()), Ok(()));
    }
}
