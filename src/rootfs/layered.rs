//! Looking up paths in layers that lie on each other, of which the lower ones may not have been read yet.

use std::cell::Cell;
use std::io;
use std::ops::Range;

use super::layer_tree::LayerTree;
use super::merge::{TreeEntry, entry_of};
use super::node::{Node, NodeKind, Path, split};
use super::resolve::{LINKS, PATH_LIMIT, components_of};

/// The layers of an image. What a lookup finds is that of the merged tree.
pub(super) struct Layered {
    /// By position, the lowest first.
    trees: Vec<Option<LayerTree>>,
}

/// The most hard links to hard links of lower layers that are followed: more than images have layers.
const DEPTH: usize = 1000;

/// The limits of one resolution.
struct Limits {
    /// The lowest layer.
    lowest: usize,
    /// The lookups that may still be made: links to links must not make work without end.
    left: Cell<u32>,
}

/// The most lookups for a path: its components, and those of as many links as are followed.
const LOOKUPS: u32 = 100_000;

/// The result of a lookup.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    /// An entry, with its path without links.
    Entry(Path, &'a Node),
    /// There is no entry at a path without links.
    Nothing(Path),
    /// The path leads through more links than are followed.
    TooManyLinks,
    /// This layer must be read first.
    Unread(usize),
}

/// The links that were followed: their paths and targets.
pub(super) type Links = Vec<(Vec<u8>, Vec<u8>)>;

impl Layered {
    pub(super) fn new(count: usize) -> Self {
        Self { trees: (0..count).map(|_| None).collect() }
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.trees[number].is_some()
    }

    pub(super) fn tree(&self, number: usize) -> Option<&LayerTree> {
        self.trees[number].as_ref()
    }

    pub(super) fn put(&mut self, number: usize, tree: LayerTree) {
        self.trees[number] = Some(tree);
    }

    /// Takes a layer, if it was read.
    pub(super) fn take_layer(&mut self, number: usize) -> Option<LayerTree> {
        self.trees[number].take()
    }

    /// Resolves a path in some layers: follows links to directories, and the last component too if `follow`. Absolute links and `..` stay
    /// inside.
    pub(super) fn resolve_in(&self, layers: Range<usize>, path: &[Box<[u8]>], follow: bool) -> (Seen<'_>, Links) {
        let limits = Limits { lowest: layers.start, left: Cell::new(LOOKUPS) };
        let mut links = Links::new();
        let seen = self.resolve_below(&limits, layers.end, (path, follow), &mut links, 0);
        (seen, links)
    }

    /// Resolves a path in the layers below a number.
    fn resolve_below(
        &self,
        limits: &Limits,
        number: usize,
        (path, follow): (&[Box<[u8]>], bool),
        links: &mut Links,
        depth: usize,
    ) -> Seen<'_> {
        let mut pending: Vec<Box<[u8]>> = path.iter().rev().cloned().collect();
        let mut done = Path::new();
        // The entry at that place, if it was looked at.
        let mut last = None;
        while let Some(name) = pending.pop() {
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    done.pop();
                    last = None;
                    continue;
                }
                _ => done.push(name),
            }
            let is_last = pending.iter().all(|name| matches!(&**name, b"" | b"."));
            let node = match self.look_through(limits, number, &done, depth) {
                Seen::Entry(_, node) => node,
                other => return other,
            };
            match &node.kind {
                NodeKind::Link { target } if follow || !is_last => {
                    let link = done.join(&b'/');
                    links.push((link, target.to_vec()));
                    if links.len() > LINKS || target.len() > PATH_LIMIT {
                        return Seen::TooManyLinks;
                    }
                    last = None;
                    done.pop();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    pending.extend(components_of(target).rev().map(Box::from));
                }
                _ if is_last || node.children().is_some() => last = Some(node),
                _ => return Seen::Nothing(done),
            }
        }
        match last {
            Some(node) => Seen::Entry(done, node),
            None => self.look_through(limits, number, &done, depth),
        }
    }

    /// Looks at a path as [`Layered::look`] does. For a hard link to a file of the layers below its own returns that file.
    fn look_through(&self, limits: &Limits, number: usize, path: &[Box<[u8]>], depth: usize) -> Seen<'_> {
        let seen = self.look(limits, number, path);
        let Seen::Entry(_, Node { kind: NodeKind::HardLink { .. }, layer, inode, .. }) = &seen else { return seen };
        let tree = self.trees[*layer as usize].as_ref();
        let target = tree.and_then(|tree| tree.link_below(*inode)).filter(|_| depth < DEPTH);
        let Some(target) = target else { return seen };
        match self.resolve_below(limits, *layer as usize, (target, false), &mut Links::new(), depth + 1) {
            Seen::Entry(_, node) if node.can_be_linked() => Seen::Entry(path.to_vec(), node),
            Seen::Entry(..) | Seen::Nothing(_) | Seen::TooManyLinks => seen,
            unread => unread,
        }
    }

    /// Looks at a path without links in the layers below a number.
    fn look(&self, limits: &Limits, number: usize, path: &[Box<[u8]>]) -> Seen<'_> {
        let Some(left) = limits.left.get().checked_sub(1) else { return Seen::TooManyLinks };
        limits.left.set(left);
        for (at, tree) in self.trees.iter().enumerate().take(number).skip(limits.lowest).rev() {
            let Some(tree) = tree else { return Seen::Unread(at) };
            let mut here = &tree.root;
            let mut is_found = true;
            for name in path {
                let Some(children) = here.children() else { return Seen::Nothing(path.to_vec()) };
                match children.get(name) {
                    Some(node) => here = node,
                    None => {
                        is_found = false;
                        break;
                    }
                }
            }
            if is_found && !path.is_empty() {
                return Seen::Entry(path.to_vec(), here);
            }
            if tree.removes(path) {
                return Seen::Nothing(path.to_vec());
            }
        }
        match (path.is_empty(), self.trees.get(limits.lowest)) {
            (true, Some(Some(tree))) => Seen::Entry(Path::new(), &tree.root),
            _ => Seen::Nothing(path.to_vec()),
        }
    }
}

/// Returns the entries at paths of layers, the lowest first.
///
/// # Errors
///
/// Those of [`LayerTree::read`].
pub(crate) fn looked_up(layers: &[&[u8]], paths: &[&[u8]]) -> io::Result<Vec<Option<TreeEntry>>> {
    let mut layered = Layered::new(layers.len());
    let mut inodes = 0;
    for (number, layer) in layers.iter().enumerate() {
        let position = u32::try_from(number).expect("memory ends earlier");
        layered.put(number, LayerTree::read(*layer, position, &mut inodes)?);
    }
    let entry = |path: &&[u8]| match layered.resolve_in(0..layers.len(), &split(path), false) {
        (Seen::Entry(place, node), _) => Some(entry_of(&place.join(&b'/'), node)),
        _ => None,
    };
    Ok(paths.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::super::merge::MergedTree;
    use super::*;
    use crate::tar::write::TarWriter;
    use crate::tar::written_entry::{EntryKind, TarEntry};

    /// Numbers that are the same at every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }

        fn path(&mut self) -> String {
            let count = 1 + self.below(3);
            let names: Vec<_> = (0..count).map(|_| ["a", "b", "c"][self.below(3) as usize]).collect();
            names.join("/")
        }
    }

    fn random_layer(numbers: &mut Numbers) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for _ in 0..1 + numbers.below(6) {
            let (mut path, target) = (numbers.path(), numbers.path());
            let target = if numbers.below(2) == 0 { format!("/{target}") } else { target };
            let kind = match numbers.below(8) {
                0 | 1 => EntryKind::Directory,
                2 => EntryKind::SymbolicLink { target: target.as_bytes() },
                3 => EntryKind::HardLink { target: target.as_bytes() },
                _ => EntryKind::File { size: 0 },
            };
            match (kind, numbers.below(4)) {
                (EntryKind::Directory, _) => path.push('/'),
                (EntryKind::File { .. }, 0) => {
                    let at = path.rfind('/').map_or(0, |at| at + 1);
                    path.insert_str(at, ".wh.");
                }
                (EntryKind::File { .. }, 1) => path.push_str("/.wh..wh..opq"),
                _ => {}
            }
            let entry = TarEntry { path: path.as_bytes(), kind, mode: 0o644, uid: 0, gid: 0, modified: 0, xattrs: &[] };
            tar.file(&entry, b"").expect("written");
        }
        tar.finish().expect("written")
    }

    /// Finds a path, and reads layers when they are asked for. Returns how many were read.
    fn find<'a>(
        layered: &'a mut Layered,
        layers: &[Vec<u8>],
        path: &str,
        follow: bool,
    ) -> (Option<(Path, &'a Node)>, usize) {
        let mut inodes = 0;
        let wanted = split(path.as_bytes());
        while let (Seen::Unread(number), _) = layered.resolve_in(0..layers.len(), &wanted, follow) {
            let tree = LayerTree::read(layers[number].as_slice(), number as u32, &mut inodes).expect("read");
            layered.put(number, tree);
        }
        let read = layered.trees.iter().flatten().count();
        let Seen::Entry(path, node) = layered.resolve_in(0..layers.len(), &split(path.as_bytes()), follow).0 else {
            return (None, read);
        };
        (Some((path, node)), read)
    }

    #[test]
    fn lookups_from_the_top_find_the_entries_of_the_merged_tree() {
        let mut numbers = Numbers(7);
        let (mut found, mut linked) = (0, 0);
        for round in 0..600 {
            let layers: Vec<_> = (0..1 + numbers.below(4)).map(|_| random_layer(&mut numbers)).collect();
            let mut tree = MergedTree::default();
            layers.iter().for_each(|layer| tree.apply(layer.as_slice()).expect("applied"));
            for _ in 0..20 {
                let path = numbers.path();
                let expected = tree.resolve(&split(path.as_bytes())).ok();
                let mut layered = Layered::new(layers.len());
                let (actual, _) = find(&mut layered, &layers, &path, true);
                let place = |(path, node): &(Path, &Node)| {
                    let kind = std::mem::discriminant(&node.kind);
                    // Directories may have attributes of the layers below.
                    let entry = node.children().is_none().then_some((node.layer, node.offset));
                    (path.join(&b'/'), kind, entry)
                };
                assert_eq!(actual.as_ref().map(place), expected.as_ref().map(place), "round {round}: {path}");
                found += usize::from(expected.is_some());
                linked += usize::from(expected.is_some_and(|(place, _)| place.join(&b'/') != path.as_bytes()));
            }
        }
        assert!(found > 2_000 && linked > 100, "{found} {linked}");
    }

    #[test]
    fn layers_below_an_entry_are_not_read() {
        let layer = |names: &[&str]| {
            let mut tar = TarWriter::new(Vec::new());
            for name in names {
                let kind = EntryKind::File { size: 0 };
                let entry =
                    TarEntry { path: name.as_bytes(), kind, mode: 0o644, uid: 0, gid: 0, modified: 0, xattrs: &[] };
                tar.file(&entry, b"").expect("written");
            }
            tar.finish().expect("written")
        };
        let layers = [layer(&["a", "d/x"]), layer(&["b", "d/.wh..wh..opq"]), layer(&["c", ".wh.b"])];
        for (path, is_there, read) in
            [("c", true, 1), ("b", false, 1), ("d/x", false, 2), ("a", true, 3), ("c/x", false, 1), ("n", false, 3)]
        {
            let mut layered = Layered::new(layers.len());
            let (found, count) = find(&mut layered, &layers, path, true);
            assert_eq!((found.is_some(), count), (is_there, read), "{path}");
        }
    }
}
