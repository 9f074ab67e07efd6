//! A layer of the differences between the files of an image and a directory (images, rules C1 to C9).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;

use super::attributes::EntryAttributes;
use super::collect::{Collected, collect};
use super::note::Counted;
use super::old::{OldFiles, OldKind, OldNode, attributes_of, digest_and_xattrs, filter_of, joined, path_in};
use super::open::Opener;
use super::options::{CopyOptions, CopySource, Destination};
use super::plan::CopyPlan;
use super::tree::{Children, Node, NodeKind, OPAQUE_WHITEOUT, Origin, SourceFile, SourcePlace, WHITEOUT};
use crate::error::{CopyError, Error, Result};
use crate::fs::FileIdentity;
use crate::fs::walk::{as_path, stat_target};
use crate::fs::xattr::{XattrFilter, Xattrs};
use crate::options::setters;
use crate::rootfs::{MergedTree, UnpackState};

/// How a directory is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DiffOptions {
    /// The state of the directory, if `unpack` made it as a plain user: owners, capabilities and devices that it does not
    /// have because of that are no changes.
    pub state: Option<UnpackState>,
    /// Directories that hide all that the layers below have in them, instead of deleting entries one by one.
    pub opaque: Vec<Destination>,
    /// Whether another modification time is a change.
    pub compares_times: bool,
    /// Paths that are left out with all below them, such as volumes.
    pub masks: Vec<Destination>,
}

impl DiffOptions {
    setters! {
        state: [some UnpackState],
        opaque: [Vec<Destination>],
        compares_times: [bool],
        masks: [Vec<Destination>],
    }
}

impl CopyPlan {
    /// Plans a layer of what changes some files to those of a directory: changed files, and whiteouts of those that are
    /// gone. The sources of the options are not used. The files of the directory are read where their sizes are equal.
    ///
    /// # Errors
    ///
    /// [`CopyError::NoChanges`], [`CopyError::NotADirectory`], [`CopyError::OpaqueTarget`]; those of [`CopyPlan::new`].
    pub fn changes(old: &OldFiles, new: &Path, options: &CopyOptions, diff: &DiffOptions) -> Result<Self> {
        let sources = vec![CopySource::new(new)];
        let may_be_empty = options.allows_empty;
        let options = &CopyOptions { sources, allows_empty: true, ..options.clone() };
        let filter = filter_of(options)?;
        let Collected { mut root, root_attributes, places, paths, mut notes } =
            collect(options, &filter, &MergedTree::default())?;
        let not_a_directory = || CopyError::NotADirectory { path: new.to_owned() };
        let (_, mut root_attributes) = root_attributes.ok_or_else(not_a_directory)?;
        let mut work = Comparison {
            old,
            new,
            diff,
            options,
            filter: &filter,
            places: &places,
            groups: groups_of(&root),
            openers: (Opener::default(), Opener::default()),
            changed: HashSet::new(),
            inodes: HashSet::new(),
            masked: Counted::default(),
        };
        for opaque in &diff.opaque {
            mark_opaque(&mut root, opaque)?;
        }
        work.adopt(&mut root_attributes, Some(&old.root), true);
        let has_root = differ(&old.root, &root_attributes) || options.has_root_entry;
        work.compare(&mut root, Some(&old.root), &[])?;
        work.prune(&mut root, Some(&old.root), &[])?;
        notes.masked = std::mem::take(&mut work.masked);
        if root.is_empty() && !has_root && !may_be_empty {
            return Err(CopyError::NoChanges { path: new.to_owned() }.into());
        }
        let root_attributes = has_root.then_some(root_attributes);
        Self::of_changes(options, root, root_attributes, (places, paths), (filter, notes))
    }
}

/// The comparison of a directory.
struct Comparison<'a> {
    old: &'a OldFiles,
    new: &'a Path,
    diff: &'a DiffOptions,
    options: &'a CopyOptions,
    filter: &'a XattrFilter,
    places: &'a [SourcePlace],
    /// The paths of files with several names.
    groups: HashMap<FileIdentity, BTreeSet<Vec<u8>>>,
    /// Those of the old files and of the new ones.
    openers: (Opener, Opener),
    /// The paths of entries that changed.
    changed: HashSet<Vec<u8>>,
    /// The files with several names that changed: all names are in the layer (images, rule C6).
    inodes: HashSet<FileIdentity>,
    masked: Counted,
}

impl Comparison<'_> {
    /// Finds the entries that changed, and gives entries the attributes of the image that they do not have because of the
    /// user who unpacked them.
    fn compare(&mut self, children: &mut Children, old: Option<&OldNode>, path: &[u8]) -> Result<()> {
        let is_opaque = children.contains_key(OPAQUE_WHITEOUT);
        let mut masked = Vec::new();
        for (name, node) in children.iter_mut() {
            let path = joined(path, name);
            if self.is_masked(&path) {
                masked.push(name.clone());
                continue;
            }
            let below = old.and_then(OldNode::children).filter(|_| !is_opaque);
            let below = below.and_then(|below| below.get(name));
            let same_type = below.filter(|old| is_same_type(old, node));
            let is_directory = matches!(node.kind, NodeKind::Directory { .. });
            self.adopt(&mut node.attributes, same_type, is_directory);
            if self.is_changed(node, same_type, &path)? {
                self.inodes.extend(node.kind.inode());
                self.changed.insert(path.clone());
            }
            if let NodeKind::Directory { children, .. } = &mut node.kind {
                self.compare(children, same_type, &path)?;
            }
        }
        for name in masked {
            self.masked.add(as_path(&joined(path, &name)).into_owned());
            children.remove(&name);
        }
        Ok(())
    }

    /// Removes the entries that did not change, and adds whiteouts of those that are gone.
    fn prune(&mut self, children: &mut Children, old: Option<&OldNode>, path: &[u8]) -> Result<()> {
        let is_opaque = children.contains_key(OPAQUE_WHITEOUT);
        let below = old.and_then(OldNode::children).filter(|_| !is_opaque);
        let mut whiteouts = Vec::new();
        for name in below.into_iter().flat_map(|below| below.keys()) {
            if !children.contains_key(name) && self.is_deleted(path, name)? {
                whiteouts.push([WHITEOUT, name].concat());
            }
        }
        let mut unchanged = Vec::new();
        for (name, node) in children.iter_mut() {
            let path = joined(path, name);
            let is_linked = node.kind.inode().is_some_and(|inode| self.inodes.contains(&inode));
            let is_changed = self.changed.contains(&path) || is_linked || matches!(node.kind, NodeKind::Whiteout);
            let same_type = below.and_then(|below| below.get(name)).filter(|old| is_same_type(old, node));
            if let NodeKind::Directory { children, origin } = &mut node.kind {
                self.prune(children, same_type, &path)?;
                if let Some(old) = same_type.filter(|_| !is_changed) {
                    // It is there for its entries, and changes nothing.
                    *origin = Origin::Parent;
                    node.attributes = attributes_of(old);
                    if children.is_empty() {
                        unchanged.push(name.clone());
                    }
                }
            } else if !is_changed {
                unchanged.push(name.clone());
            }
        }
        for name in unchanged {
            children.remove(&name);
        }
        for name in whiteouts {
            let attributes = EntryAttributes { uid: 0, gid: 0, mode: 0, modified: 0, xattrs: None };
            let whiteout = Node { kind: NodeKind::Whiteout, attributes, source: 0, owner: None };
            children.insert(name.into(), Box::new(whiteout));
        }
        Ok(())
    }

    /// Returns whether an entry that the directory does not list is gone. Sockets, excluded files, and mounted directories hide
    /// entries without deleting them.
    fn is_deleted(&self, directory: &[u8], name: &[u8]) -> Result<bool> {
        let path = joined(directory, name);
        if self.is_masked(&path) || self.is_unmade_device(&path) {
            return Ok(false);
        }
        let full = path_in(self.new, &path);
        match std::fs::symlink_metadata(&full) {
            Ok(_) => return Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Error::io("read", full)(error)),
        }
        if self.options.crosses_devices {
            return Ok(true);
        }
        let device = |path: &Path| stat_target(path).map(|stat| stat.device).map_err(Error::io("read", path));
        Ok(device(&path_in(self.new, directory))? == device(self.new)?)
    }

    fn is_masked(&self, path: &[u8]) -> bool {
        self.diff.masks.iter().any(|mask| {
            let mask = mask.components.join(&b'/');
            path.strip_prefix(&*mask).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }

    /// Returns whether `unpack` did not make a device, so that it is not gone.
    fn is_unmade_device(&self, path: &[u8]) -> bool {
        self.diff.state.as_ref().is_some_and(|state| state.lacks_device(path))
    }

    /// Gives an entry the attributes of the image that `unpack` could not set, unless they were changed since (images, rule
    /// C9).
    fn adopt(&self, attributes: &mut EntryAttributes, old: Option<&OldNode>, is_directory: bool) {
        let image = old.map(attributes_of);
        if let Some(state) = &self.diff.state {
            if let Some((uid, gid)) = state.owner {
                let own = image.as_ref().map_or((0, 0), |image| (image.uid, image.gid));
                if attributes.uid == uid {
                    attributes.uid = own.0;
                }
                if attributes.gid == gid {
                    attributes.gid = own.1;
                }
            }
            if let Some(image) =
                image.as_ref().filter(|image| !state.has_setuid && attributes.mode == image.mode & !0o6000)
            {
                attributes.mode = image.mode;
            }
        }
        // Attributes that this process cannot see stay those of the image.
        let lacks_privileged = self.diff.state.as_ref().is_some_and(|state| !state.has_privileged_xattrs);
        let is_unseen = |name: &[u8]| {
            let is_kept = std::str::from_utf8(name).is_ok_and(|name| self.filter.keeps(name))
                && (!is_directory || self.filter.keeps_more());
            !is_kept || lacks_privileged && !name.starts_with(b"user.")
        };
        let unseen: Xattrs = image
            .and_then(|image| image.xattrs)
            .map(|xattrs| xattrs.into_iter().filter(|(name, _)| is_unseen(name)).collect())
            .unwrap_or_default();
        if !unseen.is_empty() {
            let mut all = attributes.xattrs.take().map_or_else(Xattrs::new, |xattrs| *xattrs);
            all.extend(
                unseen.into_iter().filter(|(name, _)| all.iter().all(|(other, _)| other != name)).collect::<Vec<_>>(),
            );
            all.sort_unstable();
            attributes.xattrs = Some(Box::new(all));
        }
    }

    /// Returns whether an entry differs from the old one of its type.
    fn is_changed(&mut self, node: &Node, old: Option<&OldNode>, path: &[u8]) -> Result<bool> {
        let Some(old) = old else { return Ok(true) };
        let is_link = matches!(node.kind, NodeKind::Link { .. });
        if owners_differ(old, &node.attributes) || !is_link && old.mode != node.attributes.mode {
            return Ok(true);
        }
        if self.diff.compares_times && old.modified != node.attributes.modified {
            return Ok(true);
        }
        if self.names_differ(node, old) {
            return Ok(true);
        }
        match (&node.kind, &old.kind) {
            (NodeKind::File(file), OldKind::File { size, .. }) => {
                Ok(file.size != *size || self.is_content_changed(node, file, old, path)?)
            }
            (NodeKind::Link { target, .. }, OldKind::Link(old_target)) if target != old_target => Ok(true),
            (NodeKind::Device { number, .. }, OldKind::Device { number: old_number, .. }) if number != old_number => {
                Ok(true)
            }
            _ => Ok(xattrs_differ(&old.xattrs, node.attributes.xattrs.as_deref())),
        }
    }

    /// Returns whether a file has other names than it had.
    fn names_differ(&self, node: &Node, old: &OldNode) -> bool {
        if matches!(node.kind, NodeKind::Directory { .. }) {
            return false;
        }
        let names = node.kind.inode().and_then(|inode| self.groups.get(&inode));
        names != self.old.groups.get(&old.group)
    }

    /// Compares the contents and the extended attributes of two files.
    fn is_content_changed(&mut self, node: &Node, file: &SourceFile, old: &OldNode, path: &[u8]) -> Result<bool> {
        let OldKind::File { content, .. } = &old.kind else { return Ok(true) };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let failed = || Error::io("read", path_in(self.new, path));
        let opened = self.openers.1.open(self.new, (self.places, &[]), file.place, name).map_err(failed())?;
        let (digest, found) = digest_and_xattrs(&opened, self.filter).map_err(failed())?;
        let (old_digest, old_xattrs) = self.old.content(content, path, self.filter, &mut self.openers.0)?;
        let mut xattrs = node.attributes.xattrs.as_deref().cloned().unwrap_or_default();
        let known: Vec<_> = xattrs.iter().map(|(name, _)| name.clone()).collect();
        xattrs.extend(found.into_iter().filter(|(name, _)| !known.contains(name)));
        let old_xattrs = old_xattrs.as_ref().unwrap_or(&old.xattrs);
        Ok(old_digest != Some(digest) || xattrs_differ(old_xattrs, Some(&xattrs)))
    }
}

/// Returns whether two lists have other attributes, in any order.
fn xattrs_differ(old: &Xattrs, new: Option<&Xattrs>) -> bool {
    let sorted = |xattrs: &Xattrs| {
        let mut xattrs = xattrs.clone();
        xattrs.sort_unstable();
        xattrs
    };
    sorted(old) != new.map(sorted).unwrap_or_default()
}

fn owners_differ(old: &OldNode, new: &EntryAttributes) -> bool {
    (old.uid, old.gid) != (new.uid.into(), new.gid.into())
}

/// Returns whether two root directories differ (images, rule A2).
fn differ(old: &OldNode, new: &EntryAttributes) -> bool {
    owners_differ(old, new) || old.mode != new.mode
}

fn is_same_type(old: &OldNode, node: &Node) -> bool {
    match (&old.kind, &node.kind) {
        (OldKind::Directory(_), NodeKind::Directory { .. })
        | (OldKind::File { .. }, NodeKind::File(_))
        | (OldKind::Link(_), NodeKind::Link { .. })
        | (OldKind::Pipe, NodeKind::Pipe { .. }) => true,
        (OldKind::Device { is_block: old, .. }, NodeKind::Device { is_block: new, .. }) => old == new,
        _ => false,
    }
}

/// Marks a directory as one that hides all that the layers below have in it.
fn mark_opaque(root: &mut Children, opaque: &Destination) -> Result<()> {
    let missing = || CopyError::OpaqueTarget { path: opaque.to_string() };
    let mut here = root;
    for name in &opaque.components {
        let node = here.get_mut(name).ok_or_else(missing)?;
        let NodeKind::Directory { children, .. } = &mut node.kind else { return Err(missing().into()) };
        here = children;
    }
    let attributes = EntryAttributes { uid: 0, gid: 0, mode: 0, modified: 0, xattrs: None };
    let whiteout = Node { kind: NodeKind::Whiteout, attributes, source: 0, owner: None };
    here.insert(OPAQUE_WHITEOUT.into(), Box::new(whiteout));
    Ok(())
}

/// Returns the paths of files with several names.
fn groups_of(root: &Children) -> HashMap<FileIdentity, BTreeSet<Vec<u8>>> {
    let mut groups: HashMap<FileIdentity, BTreeSet<Vec<u8>>> = HashMap::new();
    let mut pending = vec![(Vec::new(), root)];
    while let Some((path, children)) = pending.pop() {
        for (name, node) in children {
            let path = joined(&path, name);
            if let NodeKind::Directory { children, .. } = &node.kind {
                pending.push((path, children));
            } else if let Some(inode) = node.kind.inode() {
                groups.entry(inode).or_default().insert(path);
            }
        }
    }
    groups.retain(|_, names| names.len() > 1);
    groups
}
