//! Reading all layers of an image once, the lowest first, with the effect of each on those below.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::image_files::ImageFiles;
use super::layer_tree::{LayerFile, LayerTree};
use super::merge::MergedTree;
use super::node::{Node, NodeKind, Path};
use super::read_layer::Failure;
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::metrics::Progress;
use crate::tar::reader::TarReader;

/// The entries of a layer that do not do to the layers below what they seem to.
pub(crate) struct Effect {
    /// The paths of whiteouts that remove nothing: the layers below do not have them.
    pub(crate) stray: Vec<Path>,
    /// The links of the layers below that are hidden by entries below them, for which the layer has no directory, and the
    /// positions of their layers (images, rule E5).
    pub(crate) hidden_links: Vec<(Path, u32)>,
}

impl ImageFiles {
    /// Reads each layer once, the lowest first, and returns the merged tree. Calls `file` with each regular file, those
    /// among them that an upper layer or a later entry replaces; and `layer` with the position of each layer that was read,
    /// its effect on those below, and the tree of them all.
    ///
    /// A file of users or groups to which `/etc/passwd` or `/etc/group` is a link is read again: which file it is is known
    /// only then.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`], and of the function.
    pub(crate) fn examine<W>(
        &mut self,
        progress: Progress<'_>,
        work: &mut W,
        file: impl Fn(&mut W, &LayerFile<'_>, &mut TarReader<&mut dyn Read>) -> Result<(), Failure>,
        layer: impl Fn(&mut W, u32, Effect, &MergedTree),
    ) -> Result<MergedTree> {
        let mut tree = MergedTree::default();
        for number in 0..self.layer_count() {
            self.read_with(number, progress, |found, content| file(work, &found, content))?;
            let entries = self.layer_tree(number)?;
            let (number, effect) = (entries.layer(), tree.effect_of(&entries));
            tree.apply_tree(entries);
            layer(work, number, effect, &tree);
        }
        for unread in tree.unread_accounts() {
            let mut content = Vec::new();
            self.read_again(unread.layer, &HashSet::from([unread.offset]), |_, file| {
                file.read_to_end(&mut content).map(drop).map_err(Error::io("read", self.path()))
            })?;
            tree.keep_accounts(&unread, content);
        }
        Ok(tree)
    }
}

impl MergedTree {
    /// Returns the effect that a layer will have.
    fn effect_of(&self, layer: &LayerTree) -> Effect {
        let is_stray = |path: &&Path| self.find(path).is_none();
        let stray: HashSet<&Path> = layer.whiteouts.iter().filter(is_stray).collect();
        let mut stray: Vec<Path> = stray.into_iter().cloned().collect();
        stray.sort_unstable();
        let mut hidden_links = Vec::new();
        let mut pending = vec![(Path::new(), self.root(), &layer.root)];
        while let Some((path, below, above)) = pending.pop() {
            for (name, node) in above.children().into_iter().flatten() {
                let NodeKind::Directory { is_implied, .. } = node.kind else { continue };
                let Some(old) = below.children().and_then(|children| children.get(name)) else { continue };
                let path = [&*path, std::slice::from_ref(name)].concat();
                if !matches!(old.kind, NodeKind::Link { .. }) {
                    pending.push((path, old, node));
                } else if is_implied && !layer.removes(&path) {
                    hidden_links.push((path, old.layer));
                }
            }
        }
        hidden_links.sort_unstable();
        Effect { stray, hidden_links }
    }

    /// Returns the first path of each of some files, which are named by their layers and the offsets of their entries
    /// there. Files that are hidden have none.
    pub(crate) fn paths_of(&self, files: &HashSet<(u32, u64)>) -> HashMap<(u32, u64), Vec<u8>> {
        let mut paths = HashMap::new();
        let mut walk = Walk::at(self.root(), &Path::new());
        while let Some(Node { kind, layer, offset, .. }) = walk.current {
            let key = (*layer, *offset);
            if matches!(kind, NodeKind::File { .. }) && files.contains(&key) {
                paths.entry(key).or_insert_with(|| walk.path.clone());
            }
            walk.advance();
        }
        paths
    }
}
