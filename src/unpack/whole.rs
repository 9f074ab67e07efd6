//! Unpacking: the whole tree of an image.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::attributes::{Maker, Rules};
use super::content::{Fate, Filling, Pool};
use super::destination::Destination;
use super::options::UnpackOptions;
use super::pool_directory::Key;
use super::report::Unpacked;
use super::state_file::StateFile;
use super::tree::{Top, TreeMaker};
use crate::error::{Error, Result};
use crate::fs::made::{own_ids, set_attributes};
use crate::metrics::Progress;
use crate::rootfs::UnpackState;
use crate::rootfs::{Attributes, Failure, ImageFiles, Node, NodeKind};

impl ImageFiles {
    /// Writes all files of the image below a directory, which must be new or empty. It appears when all layers are verified
    /// and all entries are made. `progress` is called with the bytes that are read of the layers.
    ///
    /// # Errors
    ///
    /// [`UnpackError`](crate::UnpackError); those of [`ImageFiles::entries`]; [`Error::Io`]. After an error nothing is there.
    pub fn unpack(&mut self, destination: &Path, options: &UnpackOptions, progress: Progress<'_>) -> Result<Unpacked> {
        let mut destination = Destination::of_tree(destination)?;
        let mut maker = Maker::new(options)?;
        let place = destination.path().to_owned();
        let state = options.state.as_deref();
        let mut state = state.map(|state| StateFile::create(state, &place, &options.interrupt)).transpose()?;
        let scratch = destination.scratch(&options.interrupt)?;
        let failed = || Error::io("write to", &place);
        let pool = Pool::new(scratch.content().map_err(failed())?, &place, &options.interrupt)?;
        let mut pool = pool.with_shelves();
        let store = |filling: &mut Filling<'_>| self.tree_with(progress, |file, content| filling.store(&file, content));
        let tree = pool.fill(&maker.rules, store)?;
        let top: Top<'_> =
            tree.root().children().into_iter().flatten().map(|(name, node)| (name.clone(), &**node)).collect();
        store_rest(self, &top, &mut pool, &maker.rules)?;
        settle_shelves(&top, &mut pool)?;
        let implied = Attributes::implied();
        let of_root = tree.root_attributes().unwrap_or(&implied);
        // An owner that has no place is an error before anything appears.
        maker.rules.owner_of(b"", of_root)?;
        let root = scratch.root().map_err(failed())?;
        let mut made = TreeMaker::new(root, &place, &pool, &mut maker, &options.interrupt);
        made.make(&top, Some(of_root))?;
        let (entries, bytes) = (made.entries, made.bytes);
        if let Some(state) = &mut state {
            let owner = maker.has_one_owner().then(own_ids);
            let is_complete = (owner.is_none() || options.keep_setuid, owner.is_none());
            state.write(&UnpackState::new(self.manifest().clone(), owner, is_complete, &maker.skipped.devices))?;
        }
        if let Some(stays) = destination.take(&scratch, options, || state.map(StateFile::persist).transpose())? {
            // A mount point may belong to another user.
            let set = maker.with(b"", of_root, |made, refused| set_attributes(&stays, made, refused));
            let _ = set?;
        }
        maker.refused.add(pool.refused());
        Ok(Unpacked { entries, bytes, skipped: maker.into_skipped() })
    }
}

/// Leaves on the shelves of a pool those files alone that stand where the tree has them.
fn settle_shelves(top: &Top<'_>, pool: &mut Pool) -> Result<()> {
    let mut fates: HashMap<Key, Fate> = HashMap::new();
    let entries = top.iter().map(|(name, node)| (&**name, *node)).collect::<Vec<_>>();
    let mut pending = vec![(Vec::new(), entries)];
    while let Some((path, entries)) = pending.pop() {
        let shelf = pool.shelf_of(&path);
        for (name, node) in entries {
            if let Some(children) = node.children() {
                let path = if path.is_empty() { name.to_vec() } else { [&path, &b"/"[..], name].concat() };
                pending.push((path, children.iter().map(|(name, node)| (&**name, &**node)).collect()));
            } else if matches!(node.kind, NodeKind::File { .. }) {
                let on_shelf = pool.on_shelf(node.layer, node.offset);
                let is_here = on_shelf.is_some_and(|on| Some(on.shelf) == shelf && *on.name == *name);
                let fate = if is_here { Fate::Stays } else { Fate::IsMoved };
                // A file with several names gets them by links.
                fates.entry((node.layer, node.offset)).and_modify(|fate| *fate = Fate::IsMoved).or_insert(fate);
            }
        }
    }
    pool.clear_shelves(|key| fates.get(&key).copied().unwrap_or(Fate::IsDeleted))
}

/// Stores the content of the files of a tree that the pool does not have: hard links to files that other layers hide. Checks
/// that no file of the tree is one that cannot be written.
pub(super) fn store_rest(files: &ImageFiles, top: &Top<'_>, pool: &mut Pool, rules: &Rules<'_>) -> Result<()> {
    let mut missing: HashMap<u32, HashSet<u64>> = HashMap::new();
    let mut contents = Vec::new();
    let mut pending: Vec<&Node> = top.iter().map(|(_, node)| *node).collect();
    while let Some(node) = pending.pop() {
        match &node.kind {
            NodeKind::Directory { children, .. } => pending.extend(children.values().map(|node| &**node)),
            NodeKind::File { .. } => {
                contents.push((node.layer, node.offset));
                if !pool.knows(node.layer, node.offset) {
                    missing.entry(node.layer).or_default().insert(node.offset);
                }
            }
            _ => {}
        }
    }
    let store = |filling: &mut Filling<'_>| {
        missing.iter().try_for_each(|(layer, offsets)| {
            files.read_again(*layer, offsets, |header, content| {
                filling.write((*layer, header), None, b"", content).map_err(|failure| match failure {
                    Failure::Work(error) => error,
                    Failure::Layer(error) => Error::io("read", files.path())(error),
                })
            })
        })
    };
    if !missing.is_empty() {
        pool.fill(rules, store)?;
    }
    match contents.into_iter().find_map(|(layer, offset)| pool.take_error(layer, offset)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
