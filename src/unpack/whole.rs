//! Unpacking: the whole tree of an image.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::attributes::Maker;
use super::content::Pool;
use super::destination::{Destination, expect_outside_layouts};
use super::options::UnpackOptions;
use super::report::Unpacked;
use super::state::UnpackState;
use super::tree::{Top, TreeMaker};
use crate::error::{Error, Result};
use crate::fs::made::{own_ids, set_attributes};
use crate::metrics::Progress;
use crate::rootfs::{Attributes, Failure, ImageFiles, Node, NodeKind};

impl ImageFiles {
    /// Writes all files of the image below a directory, which must be new or empty. It appears when all layers are verified
    /// and all entries are made. `progress` is called with the bytes that are read of the layers.
    ///
    /// # Errors
    ///
    /// [`UnpackError`](crate::UnpackError); those of [`ImageFiles::entries`]; [`Error::Io`]. After an error nothing is there.
    pub fn unpack(
        &mut self,
        destination: &Path,
        options: &UnpackOptions,
        progress: Option<Progress<'_>>,
    ) -> Result<Unpacked> {
        if let Some(state) = &options.state {
            expect_outside_layouts(state)?;
        }
        let mut destination = Destination::of_tree(destination)?;
        let scratch = destination.scratch(&options.interrupt)?;
        let mut maker = Maker::new(options);
        let mut pool = Pool::new(scratch.content(), &options.interrupt)?;
        let tree = self.tree_with(progress, |file, content| pool.store(&file, content, &mut maker))?;
        let top: Top<'_> =
            tree.root().children().into_iter().flatten().map(|(name, node)| (name.clone(), &**node)).collect();
        store_rest(self, &top, &mut pool, &mut maker)?;
        let implied = Attributes::implied();
        let of_root = tree.root_attributes().unwrap_or(&implied);
        let bytes = pool.bytes;
        let mut made = TreeMaker::new(&scratch.root(), &pool, &mut maker, &options.interrupt)?;
        let entries = {
            // The directory of entries that are moved up stays searchable until they are.
            made.make(&top, (!destination.stays()).then_some(of_root))?;
            made.entries
        };
        drop(pool);
        let mut state = None;
        if let Some(path) = &options.state {
            let skipped = &maker.skipped;
            let owner = skipped.owners.then(own_ids);
            let kept = (!skipped.owners || options.keep_setuid, !skipped.owners);
            let new = UnpackState::new(self.manifest().clone(), owner, kept, &skipped.devices);
            state = Some(new.prepare(path, &options.interrupt)?);
        }
        // An owner that has no place is an error before anything appears.
        maker.with(b"", of_root, true, |_, _| ())?;
        destination.take(scratch, options, state)?;
        if destination.stays() {
            let path = destination.path();
            // A mount point may belong to another user.
            if let Ok(directory) = std::fs::File::open(path) {
                let set = maker.with(b"", of_root, true, |made, refused| set_attributes(&directory, made, refused));
                let _ = set?;
            }
        }
        Ok(Unpacked { entries, bytes, skipped: maker.into_skipped() })
    }
}

/// Stores the content of the files of a tree that the pool does not have: hard links to files that other layers hide.
pub(super) fn store_rest(files: &ImageFiles, top: &Top<'_>, pool: &mut Pool, maker: &mut Maker<'_>) -> Result<()> {
    let mut missing: HashMap<u32, HashSet<u64>> = HashMap::new();
    let mut pending: Vec<&Node> = top.iter().map(|(_, node)| *node).collect();
    while let Some(node) = pending.pop() {
        match &node.kind {
            NodeKind::Directory { children, .. } => pending.extend(children.values().map(|node| &**node)),
            NodeKind::File { .. } if !pool.has(node.layer, node.offset) => {
                missing.entry(node.layer).or_default().insert(node.offset);
            }
            _ => {}
        }
    }
    for (layer, offsets) in missing {
        files.read_again(layer, &offsets, |header, mut content| {
            pool.write(layer, header, &mut content, maker).map_err(|failure| match failure {
                Failure::Work(error) => error,
                Failure::Layer(error) => Error::io("read", files.path())(error),
            })
        })?;
    }
    Ok(())
}
