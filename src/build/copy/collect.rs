//! Walks sources: chooses the entries of a layer, and gives them their attributes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::attributes::{EntryAttributes, ResolvedAttributes};
use super::mtree::{self, Mtree, MtreeEntry, MtreeKind};
use super::note::{CopyNote, Notes};
use super::options::{COMPONENT_LIMIT, CopyOptions, PATH_LIMIT};
use super::rules::{Decision, Rules, unmatched};
use super::tree::{
    Children, Merge, Node, NodeKind, OPAQUE_WHITEOUT, Origin, Place, SourceFile, SourcePlace, WHITEOUT, text_of,
};
use crate::error::{CopyError, Error, Result};
use crate::fs::walk::{SourceDirectory, SourceKind, SourceStat, as_path, open_target, stat_target};
use crate::fs::xattr::{XattrFilter, Xattrs};
use crate::fs::{FileIdentity, is_called_temporary, is_temporary};
use crate::rootfs::MergedTree;
use crate::tar::written_entry::DeviceNumber;

/// The depth up to which the directories above the current one stay open. Deeper ones are opened again.
const OPEN_DEPTH: usize = 128;

/// The entries of the sources.
pub(super) struct Collected {
    pub(super) root: Children,
    /// The attributes of the root directory, if a source has it.
    pub(super) root_attributes: Option<(Origin, EntryAttributes)>,
    pub(super) places: Vec<SourcePlace>,
    /// The files that mtree files name.
    pub(super) paths: Vec<PathBuf>,
    pub(super) notes: Notes,
}

/// Walks all sources.
pub(super) fn collect(options: &CopyOptions, filter: &XattrFilter, below: &MergedTree) -> Result<Collected> {
    let merge = Merge { sources: &options.sources, overwrites: options.overwrites, parent_time: options.parent_time };
    let outputs = options.outputs.iter().filter_map(|path| stat_target(path).ok());
    let outputs: HashSet<_> = outputs.map(|stat| stat.identity).collect();
    let mut collected = Collected {
        root: Children::new(),
        root_attributes: None,
        places: Vec::new(),
        paths: Vec::new(),
        notes: Notes::default(),
    };
    let shared = Rules::shared(&options.rules);
    let (mut unreadable, mut has_files) = (Vec::new(), false);
    for (position, source) in options.sources.iter().enumerate() {
        let position = u32::try_from(position).expect("a command line is shorter");
        let attributes = source.attributes.or(&options.attributes);
        if source.is_mtree {
            let list =
                MtreeSource { options, path: &source.path, source: position, attributes: attributes.resolve(below)? };
            list.collect(&merge, &mut collected, &mut unreadable)?;
            has_files = true;
            continue;
        }
        let stat = match readable(&source.path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if options.skips_unreadable {
                    collected.notes.unreadable.add(source.path.clone());
                } else {
                    unreadable.push(source.path.clone());
                }
                continue;
            }
            stat => stat.map_err(|error| missing(&source.path, error))?,
        };
        let mut walk = Walk {
            options,
            filter,
            outputs: &outputs,
            rules: Rules::new(&shared, &source.rules),
            attributes: attributes.resolve(below)?,
            root_path: &source.path,
            source: position,
            device: stat.device,
            collected: &mut collected,
            unreadable: &mut unreadable,
        };
        let given = source.destination.as_ref();
        match stat.kind {
            SourceKind::File => {
                has_files = true;
                let node = walk.file(Place::Source, &stat);
                let mut components = given.map_or_else(Vec::new, |given| given.components.clone());
                if given.is_none_or(|given| given.is_directory) {
                    components.push(file_name(&source.path)?);
                }
                check_component(components.last().map_or(b"", |name| name), &source.path)?;
                merge.add_file(&mut collected.root, &components, node)?;
            }
            SourceKind::Directory => {
                let (attributes, children) = walk.source()?;
                has_files |= !children.is_empty();
                // Includes of all sources need to match in one of them.
                let may_be_empty = options.allows_empty || !shared.is_empty() && shared[0].0.is_include;
                if children.is_empty() && unreadable.is_empty() && !may_be_empty {
                    return Err(CopyError::Empty { path: source.path.clone() }.into());
                }
                let mut path = given.map_or_else(Vec::new, |given| given.components.clone());
                let kind = NodeKind::Directory { children, origin: Origin::Destination };
                let node = Node { kind, attributes, source: position, owner: None };
                merge_directory(&merge, &mut collected, node, &mut path)?;
            }
            kind => return Err(CopyError::SourceKind { path: source.path.clone(), kind: kind.name() }.into()),
        }
    }
    if !unreadable.is_empty() {
        return Err(CopyError::Unreadable { paths: unreadable }.into());
    }
    if let Some(glob) = unmatched(&shared) {
        let paths = options.sources.iter().map(|source| source.path.clone()).collect();
        return Err(CopyError::UnmatchedInclude { glob: glob.as_str().to_owned(), paths }.into());
    }
    // All sources may have been left out.
    if let (false, false, Some(last)) = (has_files, options.allows_empty, options.sources.last()) {
        return Err(CopyError::Empty { path: last.path.clone() }.into());
    }
    Ok(collected)
}

/// Returns the kind and the attributes of a source. A file is opened, so that all that cannot be read are found at once
/// (images, rule A15).
fn readable(path: &Path) -> io::Result<SourceStat> {
    let stat = stat_target(path)?;
    if stat.kind == SourceKind::File {
        open_target(path)?;
    }
    Ok(stat)
}

/// Merges a source directory into the tree at its destination.
fn merge_directory(merge: &Merge<'_>, collected: &mut Collected, node: Node, path: &mut Vec<Box<[u8]>>) -> Result<()> {
    if !path.is_empty() {
        return merge.merge_directory(&mut collected.root, path, node);
    }
    let NodeKind::Directory { children, origin } = node.kind else { return Ok(()) };
    if collected.root_attributes.is_none() || merge.overwrites {
        collected.root_attributes = Some((origin, node.attributes));
    }
    merge.merge(&mut collected.root, children, path)
}

/// An mtree file.
struct MtreeSource<'a> {
    options: &'a CopyOptions,
    path: &'a Path,
    source: u32,
    attributes: ResolvedAttributes<'a>,
}

impl MtreeSource<'_> {
    /// Adds the entries of the file to the tree.
    fn collect(&self, merge: &Merge<'_>, collected: &mut Collected, unreadable: &mut Vec<PathBuf>) -> Result<()> {
        let text = fs::read(self.path).map_err(|error| missing(self.path, error))?;
        let Mtree { entries, unknown } = mtree::parse(self.path, &text)?;
        if entries.is_empty() && !self.options.allows_empty {
            return Err(CopyError::Empty { path: self.path.to_owned() }.into());
        }
        for (keyword, line) in unknown {
            collected.notes.keywords.push(CopyNote::Keyword { path: self.path.to_owned(), line, keyword });
        }
        for entry in entries {
            let line = entry.line;
            self.entry(entry, merge, collected, unreadable).map_err(|error| self.at_lines(error, &text, line))?;
        }
        Ok(())
    }

    /// Names the lines of two entries for one path, if both are in this file. It is parsed again for that.
    fn at_lines(&self, error: Error, text: &[u8], second: usize) -> Error {
        let Error::Copy(CopyError::Twice { path, first, second: _ }) = &error else { return error };
        let entries = mtree::parse(self.path, text).map_or_else(|_| Vec::new(), |mtree| mtree.entries);
        let mut earlier = entries.iter().take_while(|entry| entry.line < second);
        let earlier = earlier.find(|entry| first == self.path && text_of(&entry.components) == *path);
        match earlier {
            Some(MtreeEntry { line: first, .. }) => {
                CopyError::MtreeTwice { path: path.clone(), file: self.path.to_owned(), first: *first, second }.into()
            }
            None => error,
        }
    }

    fn entry(
        &self,
        entry: MtreeEntry,
        merge: &Merge<'_>,
        collected: &mut Collected,
        unreadable: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let MtreeEntry { mut components, kind, mode, uid, gid, modified, contents, is_optional, xattrs, .. } = entry;
        let inode = entry.inode.map(|(device, number)| FileIdentity::new(device, number));
        let new = |kind| self.attributes.of_new(kind, self.options.parent_time);
        let (kind, attributes) = match kind {
            MtreeKind::Directory => (NodeKind::empty_directory(Origin::Entry), new(SourceKind::Directory)),
            MtreeKind::Link(target) => (NodeKind::Link { target, inode }, new(SourceKind::Link)),
            MtreeKind::Device { is_block, number } => {
                (NodeKind::Device { is_block, number, inode }, new(SourceKind::CharacterDevice))
            }
            MtreeKind::Pipe => (NodeKind::Pipe { inode }, new(SourceKind::Pipe)),
            MtreeKind::Socket => {
                collected.notes.sockets.add(as_path(&components.join(&b'/')).into_owned());
                return Ok(());
            }
            MtreeKind::File => {
                let stat = match readable(&contents) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && is_optional => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        if self.options.skips_unreadable {
                            collected.notes.unreadable.add(contents);
                        } else {
                            unreadable.push(contents);
                        }
                        return Ok(());
                    }
                    stat => stat.map_err(|error| missing(&contents, error))?,
                };
                if stat.kind != SourceKind::File {
                    return Err(CopyError::SourceKind { path: contents, kind: stat.kind.name() }.into());
                }
                let place = Place::Path(u32::try_from(collected.paths.len()).expect("memory ends earlier"));
                collected.paths.push(contents);
                // Entries that share a content are files of their own, unless the mtree file has one inode for them.
                let file = SourceFile { inode, ..SourceFile::new(place, &stat) };
                (NodeKind::File(file), self.attributes.of(&stat))
            }
        };
        let is_link = matches!(kind, NodeKind::Link { .. });
        let attributes = EntryAttributes {
            uid: uid.unwrap_or(attributes.uid),
            gid: gid.unwrap_or(attributes.gid),
            mode: mode.filter(|_| !is_link).unwrap_or(attributes.mode),
            modified: modified.unwrap_or(attributes.modified),
            xattrs: (!xattrs.is_empty()).then(|| Box::new(xattrs)),
        };
        let node = Node { kind, attributes, source: self.source, owner: None };
        if matches!(node.kind, NodeKind::Directory { .. }) {
            merge_directory(merge, collected, node, &mut components)
        } else {
            merge.add_file(&mut collected.root, &components, node)
        }
    }
}

/// Returns the error for a source that cannot be read.
fn missing(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::FileNotFound { path: path.to_owned() },
        _ => Error::io("read", path)(error),
    }
}

/// Checks the name of an entry.
fn check_component(name: &[u8], path: &Path) -> Result<()> {
    if name.starts_with(WHITEOUT) {
        return Err(CopyError::WhiteoutName { path: path.to_owned() }.into());
    }
    if name.len() > COMPONENT_LIMIT {
        return Err(CopyError::PathLength { path: path.to_owned() }.into());
    }
    Ok(())
}

/// Returns the name of a source file, which it keeps in the image.
fn file_name(path: &Path) -> Result<Box<[u8]>> {
    let name = path.file_name().map(|name| name.as_encoded_bytes().into());
    name.ok_or_else(|| Error::FileNotFound { path: path.to_owned() })
}

/// The walk of one source.
struct Walk<'a> {
    options: &'a CopyOptions,
    filter: &'a XattrFilter,
    outputs: &'a HashSet<FileIdentity>,
    rules: Rules<'a>,
    attributes: ResolvedAttributes<'a>,
    root_path: &'a Path,
    source: u32,
    device: u64,
    collected: &'a mut Collected,
    unreadable: &'a mut Vec<PathBuf>,
}

impl Walk<'_> {
    /// Walks the source, a directory. Returns its attributes and entries.
    fn source(&mut self) -> Result<(EntryAttributes, Children)> {
        let path = self.root_path;
        let opened = SourceDirectory::open(path);
        let (directory, stat) = match opened {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.note_unreadable(path.to_owned());
                return Ok((EntryAttributes::of_parent(self.options.parent_time), Children::new()));
            }
            opened => opened.map_err(Error::io("read", path))?,
        };
        let xattrs = self.own_xattrs(&directory, path)?;
        let attributes = self.attributes_of(&stat, xattrs);
        let place = self.place(None, b"");
        let children = self.directory(directory, place, &mut Vec::new(), Decision::default(), 0)?;
        if let Some(glob) = self.rules.unmatched() {
            let glob = glob.as_str().to_owned();
            return Err(CopyError::UnmatchedInclude { glob, paths: vec![path.to_owned()] }.into());
        }
        Ok((attributes, children))
    }

    /// Walks a directory. Returns its entries.
    fn directory(
        &mut self,
        directory: SourceDirectory,
        place: u32,
        path: &mut Vec<u8>,
        above: Decision,
        depth: usize,
    ) -> Result<Children> {
        let mut children = Children::new();
        let entries = match directory.entries() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.note_unreadable(self.path_of(path));
                return Ok(children);
            }
            entries => entries.map_err(|error| Error::io("read", self.path_of(path))(error))?,
        };
        self.check_opaque(&directory, path, &mut children)?;
        let mut below = Vec::new();
        let length = path.len();
        for (name, stat) in entries {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend(&name);
            let decision = self.rules.decide(path, above);
            let stat = match stat {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    if self.rules.takes(decision) {
                        self.note_unreadable(self.path_of(path));
                    }
                    continue;
                }
                Err(error) => return Err(Error::io("read", self.path_of(path))(error)),
            };
            let is_taken = self.rules.takes(decision);
            if stat.kind == SourceKind::Directory {
                if is_taken || self.rules.could_take_below(path, decision) {
                    below.push((name, stat, decision));
                }
            } else if is_taken && let Some((name, node)) = self.entry(&directory, place, path, name, &stat)? {
                children.insert(name, Box::new(node));
            }
        }
        path.truncate(length);
        self.subdirectories(directory, place, path, below, depth, &mut children)?;
        Ok(children)
    }

    /// Walks the subdirectories of a directory.
    fn subdirectories(
        &mut self,
        directory: SourceDirectory,
        place: u32,
        path: &mut Vec<u8>,
        below: Vec<(Box<[u8]>, SourceStat, Decision)>,
        depth: usize,
        children: &mut Children,
    ) -> Result<()> {
        let length = path.len();
        let mut held = Some(directory);
        for (name, stat, decision) in below {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend(&name);
            let failed = |path: &[u8]| Error::io("read", self.path_of(path));
            let directory = match held.take() {
                Some(directory) => directory,
                None => open_again(self.root_path, &self.collected.places, place).map_err(failed(path))?,
            };
            if let Some(node) = self.subdirectory(&directory, place, path, &name, &stat, decision)? {
                let NewDirectory { opened, attributes } = node;
                if depth < OPEN_DEPTH {
                    held = Some(directory);
                } else {
                    drop(directory);
                }
                let entries = match opened {
                    None => Children::new(),
                    Some((child, place)) => self.directory(child, place, path, decision, depth + 1)?,
                };
                if self.rules.takes(decision) || !entries.is_empty() {
                    let kind = NodeKind::Directory { children: entries, origin: Origin::Entry };
                    children.insert(name, Box::new(Node { kind, attributes, source: self.source, owner: None }));
                }
            } else {
                held = Some(directory);
            }
        }
        path.truncate(length);
        Ok(())
    }

    /// Opens a subdirectory and reads its attributes; `None` if the directory is left out.
    fn subdirectory(
        &mut self,
        directory: &SourceDirectory,
        place: u32,
        path: &[u8],
        name: &[u8],
        stat: &SourceStat,
        decision: Decision,
    ) -> Result<Option<NewDirectory>> {
        let full = self.path_of(path);
        // Temporary files go as they came: only the output is known to the user.
        if self.is_ours(name, &full) {
            return Ok(None);
        }
        if self.outputs.contains(&stat.identity) {
            self.collected.notes.outputs.add(full);
            return Ok(None);
        }
        check_component(name, &full)?;
        self.check_length(path, &full)?;
        if stat.device != self.device && !self.options.crosses_devices {
            self.collected.notes.mounts.add(full);
            return Ok(Some(NewDirectory { opened: None, attributes: self.attributes_of(stat, None) }));
        }
        let child = match directory.child(name) {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if self.rules.takes(decision) {
                    self.note_unreadable(full);
                }
                return Ok(None);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(CopyError::Changed { path: full }.into());
            }
            Err(error) => return Err(Error::io("read", full)(error)),
        };
        let xattrs = self.own_xattrs(&child, &full)?;
        let place = self.place(Some(place), name);
        Ok(Some(NewDirectory { opened: Some((child, place)), attributes: self.attributes_of(stat, xattrs) }))
    }

    /// Makes a node of an entry that is not a directory; `None` if the entry is left out.
    fn entry(
        &mut self,
        directory: &SourceDirectory,
        place: u32,
        path: &[u8],
        name: Box<[u8]>,
        stat: &SourceStat,
    ) -> Result<Option<(Box<[u8]>, Node)>> {
        let full = || self.path_of(path);
        if stat.kind == SourceKind::CharacterDevice && stat.number == (0, 0) {
            if !self.options.converts_overlay {
                return Err(CopyError::OverlayMark { path: full(), meaning: "a deleted file" }.into());
            }
            return Ok(Some(([WHITEOUT, &*name].concat().into(), self.whiteout())));
        }
        if is_called_temporary(as_path(&name).as_os_str()) && self.is_ours(&name, &full()) {
            return Ok(None);
        }
        check_component(&name, &full())?;
        self.check_length(path, &full())?;
        let inode = (stat.names > 1).then_some(stat.identity);
        let device = DeviceNumber { major: stat.number.0, minor: stat.number.1 };
        let kind = match stat.kind {
            SourceKind::File => match directory.check_readable(&name) {
                Ok(()) => return Ok(Some((name, self.file(Place::In(place), stat)))),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.note_unreadable(full());
                    return Ok(None);
                }
                Err(error) => return Err(Error::io("read", full())(error)),
            },
            SourceKind::Link => {
                let target = directory.read_link(&name).map_err(|error| Error::io("read", full())(error))?;
                NodeKind::Link { target, inode }
            }
            SourceKind::CharacterDevice => NodeKind::Device { is_block: false, number: device, inode },
            SourceKind::BlockDevice => NodeKind::Device { is_block: true, number: device, inode },
            SourceKind::Pipe => NodeKind::Pipe { inode },
            SourceKind::Socket | SourceKind::Directory => {
                let full = full();
                self.collected.notes.sockets.add(full);
                return Ok(None);
            }
        };
        // Only regular files have capabilities.
        let xattrs = if self.filter.keeps_more() {
            Some(directory.xattrs_of(&name, self.filter).map_err(|error| Error::io("read", full())(error))?)
        } else {
            None
        };
        let attributes = self.attributes_of(stat, xattrs);
        Ok(Some((name, Node { kind, attributes, source: self.source, owner: None })))
    }

    /// Makes a node of a regular file.
    fn file(&mut self, place: Place, stat: &SourceStat) -> Node {
        let file = SourceFile::new(place, stat);
        let attributes = self.attributes_of(stat, None);
        Node { kind: NodeKind::File(file), attributes, source: self.source, owner: None }
    }

    fn whiteout(&self) -> Node {
        // The attributes of whiteouts mean nothing; equal ones give equal layers.
        let attributes = EntryAttributes { uid: 0, gid: 0, mode: 0, modified: 0, xattrs: None };
        Node { kind: NodeKind::Whiteout, attributes, source: self.source, owner: None }
    }

    fn attributes_of(&mut self, stat: &SourceStat, xattrs: Option<Xattrs>) -> EntryAttributes {
        let xattrs = xattrs.filter(|xattrs| !xattrs.is_empty()).map(Box::new);
        EntryAttributes { xattrs, ..self.attributes.of(stat) }
    }

    /// Returns the extended attributes of a directory.
    fn own_xattrs(&self, directory: &SourceDirectory, path: &Path) -> Result<Option<Xattrs>> {
        if !self.filter.keeps_more() {
            return Ok(None);
        }
        directory.own_xattrs(self.filter).map(Some).map_err(Error::io("read", path))
    }

    /// Turns the mark of overlayfs for a directory that hides the layers below into a whiteout.
    fn check_opaque(&self, directory: &SourceDirectory, path: &[u8], children: &mut Children) -> Result<()> {
        let is_opaque = directory.is_opaque().map_err(|error| Error::io("read", self.path_of(path))(error))?;
        if is_opaque && !self.options.converts_overlay {
            let meaning = "a directory that hides the layers below";
            return Err(CopyError::OverlayMark { path: self.path_of(path), meaning }.into());
        }
        if is_opaque {
            children.insert(OPAQUE_WHITEOUT.into(), Box::new(self.whiteout()));
        }
        Ok(())
    }

    /// Checks the length of the path of an entry in the image.
    fn check_length(&self, path: &[u8], full: &Path) -> Result<()> {
        let destination = self.options.sources[self.source as usize].destination.as_ref();
        let above: usize = destination
            .map_or(0, |destination| destination.components.iter().map(|component| component.len() + 1).sum());
        if above + path.len() > PATH_LIMIT {
            return Err(CopyError::PathLength { path: full.to_owned() }.into());
        }
        Ok(())
    }

    /// Returns whether a file or directory is one of this program's temporary ones.
    fn is_ours(&self, name: &[u8], full: &Path) -> bool {
        is_called_temporary(as_path(name).as_os_str()) && is_temporary(full)
    }

    fn note_unreadable(&mut self, path: PathBuf) {
        if self.options.skips_unreadable {
            self.collected.notes.unreadable.add(path);
        } else {
            self.unreadable.push(path);
        }
    }

    fn path_of(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.root_path.to_owned() } else { self.root_path.join(as_path(path)) }
    }

    fn place(&mut self, parent: Option<u32>, name: &[u8]) -> u32 {
        let places = &mut self.collected.places;
        places.push(SourcePlace { parent, name: name.into() });
        u32::try_from(places.len() - 1).expect("memory ends earlier")
    }
}

/// A subdirectory that was opened, with its place; it stays closed on another device.
struct NewDirectory {
    opened: Option<(SourceDirectory, u32)>,
    attributes: EntryAttributes,
}

/// Opens a directory of a source by its place, component by component.
pub(super) fn open_again(root: &Path, places: &[SourcePlace], place: u32) -> io::Result<SourceDirectory> {
    let mut names = Vec::new();
    let mut here = &places[place as usize];
    while let Some(parent) = here.parent {
        names.push(&*here.name);
        here = &places[parent as usize];
    }
    let (root, _) = SourceDirectory::open(root)?;
    names.iter().rev().try_fold(root, |directory, name| directory.child(name))
}
