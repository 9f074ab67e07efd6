//! The merged tree: the layers of an image applied in order, as overlayfs shows them (images, rule E5).

use std::collections::HashSet;
use std::io::{self, Read};

use super::accounts::{Account, find_account};
use super::deleted::Deleted;
use super::layer_tree::{KEPT_LIMIT, LayerTree, content_at};
use super::node::{Attributes, Children, Node, NodeKind, Path, merge};
use super::resolve::{LINKS, Missing, Unresolved, resolve};
use super::walk::Walk;

/// The files that the layers of an image make together: names, types and attributes, without content.
#[derive(Debug)]
pub(crate) struct MergedTree {
    root: Node,
    has_root_entry: bool,
    layers: u32,
    inodes: u64,
    /// The entries that layers delete, if they are asked for.
    deleted: Option<Deleted>,
}

/// The files of users and groups in the image, which may be links.
const ACCOUNTS: [&str; 2] = ["passwd", "group"];

/// Markers of layers (stargz-snapshotter, estargz/types.go).
const MARKERS: [&[u8]; 3] = [b"stargz.index.json", b".prefetch.landmark", b".no.prefetch.landmark"];

/// Removes the files in a root directory with which other formats mark layers: they say how one layer is laid out, and nothing
/// of the tree (images, rule E4).
pub(super) fn remove_markers(root: &mut Node) {
    if let Some(children) = root.children_mut() {
        children.retain(|name, node| node.children().is_some() || !MARKERS.contains(&&**name));
    }
}

/// A file that names users or groups, whose content is not known yet.
pub(crate) struct UnreadAccounts {
    /// The position of its layer.
    pub(crate) layer: u32,
    path: Path,
    /// The offset of its entry in the tar of the layer.
    pub(super) offset: u64,
}

/// An entry of the tree, for programs that list it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TreeEntry {
    /// The path, without a slash at its beginning.
    pub path: Vec<u8>,
    /// The type flag, as in a tar: `0` a file, `1` a hard link whose target no layer has, `2` a symbolic link, `3` and `4`
    /// devices, `5` a directory, `6` a pipe.
    pub flag: u8,
    /// The permissions, and the setuid, setgid and sticky bits.
    pub mode: u32,
    /// The user.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The modification time in seconds since 1970.
    pub modified: i64,
    /// The size of the content; that of a sparse file with its holes.
    pub size: u64,
    /// The target of a link; empty for others.
    pub target: Vec<u8>,
    /// The major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// The extended attributes with their values, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The identity of the file: names that are hard links have the same.
    pub inode: u64,
    /// The position of the layer that the entry comes from, from the lowest on. Names that are hard links have that of the
    /// entry with the content.
    pub layer: u32,
    /// The offset of the entry in the tar of that layer: that of its header, or of the extended headers before it. 0 for
    /// directories that no entry has.
    pub offset: u64,
}

impl Default for MergedTree {
    fn default() -> Self {
        Self { root: Node::implied_directory(0), has_root_entry: false, layers: 0, inodes: 0, deleted: None }
    }
}

impl MergedTree {
    /// Returns an empty tree that keeps the entries that layers delete.
    pub(crate) fn with_deleted() -> Self {
        Self { deleted: Some(Deleted::default()), ..Self::default() }
    }

    /// Takes the entries that layers delete and that are not in the tree.
    pub(super) fn take_deleted(&mut self) -> Deleted {
        let mut deleted = self.deleted.take().unwrap_or_default();
        deleted.leave_out(&self.root);
        deleted
    }

    /// Returns the paths of the entries that layers delete.
    pub(crate) fn deleted_paths(&mut self) -> Vec<Vec<u8>> {
        self.take_deleted().entries.into_keys().map(|path| path.0.into()).collect()
    }

    /// Returns the root directory.
    pub(super) fn into_root(self) -> Node {
        self.root
    }

    /// Applies the next layer, a tar.
    ///
    /// # Errors
    ///
    /// Those of reading the tar. The tree is unusable after an error.
    pub(crate) fn apply(&mut self, tar: impl Read) -> io::Result<()> {
        let tree = LayerTree::read(tar, self.layers, &mut self.inodes)?;
        self.apply_tree(tree);
        Ok(())
    }

    /// Returns the number of the next layer, and the last identity of a file.
    pub(super) fn next(&mut self) -> (u32, &mut u64) {
        (self.layers, &mut self.inodes)
    }

    /// Applies the next layer, whose entries were read.
    pub(super) fn apply_tree(&mut self, mut tree: LayerTree) {
        self.layers += 1;
        // A hard link is to the file that is there before anything is removed.
        tree.settle_links_below(|path| self.linked(path).cloned());
        // A whiteout removes entries of the layers below only, wherever it stands in the layer.
        let layer = tree.layer();
        for path in &tree.whiteouts {
            self.remove(path, layer);
        }
        for path in &tree.opaque {
            if let Some(children) = self.root.find_mut(path).and_then(Node::children_mut) {
                let removed = std::mem::take(children);
                if let Some(deleted) = &mut self.deleted {
                    deleted.add_entries(path, removed, layer);
                }
            }
        }
        if let Some(attributes) = tree.root_attributes {
            self.root.attributes = attributes;
            (self.root.layer, self.root.offset) = (layer, tree.root.offset);
            self.has_root_entry = true;
        }
        if let (Some(below), Some(entries)) = (self.root.children_mut(), tree.root.children_mut()) {
            match &mut self.deleted {
                None => merge(below, std::mem::take(entries), None),
                Some(deleted) => {
                    let mut replaced = |path: &[Box<[u8]>], children| deleted.add_entries(path, children, layer);
                    merge(below, std::mem::take(entries), Some(&mut replaced));
                }
            }
        }
    }

    /// Moves the entries that a layer has below links of the layers below to where the links lead: `lib/x` to `usr/lib/x`.
    /// Links that lead to no directory stay to be replaced.
    pub(super) fn move_through_links(&self, tree: &mut LayerTree) {
        // A place may itself be below a link of the layer.
        for _ in 0..LINKS {
            let mut found = Vec::new();
            let mut pending: Vec<(Path, &Node, &Node)> = vec![(Path::new(), &self.root, &tree.root)];
            while let Some((path, below, layer)) = pending.pop() {
                for (name, node) in layer.children().into_iter().flatten().filter(|(_, node)| node.children().is_some())
                {
                    let Some(old) = below.children().and_then(|children| children.get(name)) else { continue };
                    let path: Path = path.iter().cloned().chain([name.clone()]).collect();
                    match &old.kind {
                        NodeKind::Link { .. } => {
                            let place = self.resolve(&path).ok().filter(|(_, node)| node.children().is_some());
                            found.extend(place.map(|(place, _)| (path, place)));
                        }
                        _ => pending.push((path, old, node)),
                    }
                }
            }
            if found.is_empty() {
                return;
            }
            found.iter().for_each(|(from, to)| tree.move_directory(from, to));
        }
    }

    /// Returns the file to which a hard link leads: links to its directory are followed, and it itself is not.
    fn linked(&self, path: &[Box<[u8]>]) -> Option<&Node> {
        self.place_of_linked(path).map(|(_, node)| node)
    }

    /// Returns the file to which a hard link leads, and its place.
    pub(super) fn place_of_linked(&self, path: &[Box<[u8]>]) -> Option<(Path, &Node)> {
        let (name, parents) = path.split_last()?;
        let (mut place, parent) = self.resolve(parents).ok()?;
        let node = parent.children()?.get(name).filter(|node| node.can_be_linked())?;
        place.push(name.clone());
        Some((place, node))
    }

    /// Returns the root directory.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Removes the files in the root with which other formats mark layers.
    pub(crate) fn remove_markers(&mut self) {
        remove_markers(&mut self.root);
    }

    /// Returns whether no layer has an entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.children().is_none_or(Children::is_empty)
    }

    /// Returns the attributes of the root directory, if a layer has an entry for it.
    pub(crate) fn root_attributes(&self) -> Option<&Attributes> {
        self.has_root_entry.then_some(&self.root.attributes)
    }

    /// Returns the node at a path. Links are not followed.
    pub(crate) fn find(&self, path: &[Box<[u8]>]) -> Option<&Node> {
        self.root.find(path)
    }

    /// Resolves a path inside the image: follows links, the last one too. Absolute links and `..` stay in the image.
    ///
    /// # Errors
    ///
    /// [`Unresolved::Nowhere`], and [`Unresolved::File`] if a component before the last is not a directory.
    pub(crate) fn resolve(&self, path: &[Box<[u8]>]) -> Result<(Path, &Node), Unresolved> {
        let (path, node) = resolve(&self.root, path, Missing::IsAnError)?;
        Ok((path, node.ok_or(Unresolved::Nowhere)?))
    }

    /// Finds a user or a group by name in the files of the image.
    pub(crate) fn account(&self, file: &str, name: &str) -> Option<Account> {
        let (_, node) = self.resolve(&accounts_path(file)).ok()?;
        let NodeKind::File { content: Some(content), .. } = &node.kind else { return None };
        find_account(content, name)
    }

    /// Returns the files of users and groups whose content was not kept: `/etc/passwd` is a link to a file of another
    /// name (images, rule B5).
    pub(crate) fn unread_accounts(&self) -> Vec<UnreadAccounts> {
        let unread = |file: &&str| {
            let (path, node) = self.resolve(&accounts_path(file)).ok()?;
            let is_unread = matches!(node.kind, NodeKind::File { content: None, .. })
                && (1..=KEPT_LIMIT).contains(&node.attributes.size);
            is_unread.then_some(UnreadAccounts { layer: node.layer, path, offset: node.offset })
        };
        ACCOUNTS.iter().filter_map(unread).collect()
    }

    /// Reads the content of a file of users or groups from its layer.
    ///
    /// # Errors
    ///
    /// Those of reading the tar.
    pub(crate) fn read_accounts(&mut self, unread: &UnreadAccounts, tar: impl Read) -> io::Result<()> {
        if let Some(content) = content_at(tar, unread.offset)? {
            self.keep_accounts(unread, content);
        }
        Ok(())
    }

    /// Keeps the content of a file of users or groups.
    pub(super) fn keep_accounts(&mut self, unread: &UnreadAccounts, read: Vec<u8>) {
        if let Some(node) = self.root.find_mut(&unread.path)
            && let NodeKind::File { content, .. } = &mut node.kind
        {
            *content = Some(read.into());
        }
    }

    /// Returns the layers and offsets of all regular files.
    pub(crate) fn files(&self) -> HashSet<(u32, u64)> {
        let mut files = HashSet::new();
        let mut walk = Walk::at(&self.root, &Path::new());
        while let Some(node) = walk.current {
            if matches!(node.kind, NodeKind::File { .. }) {
                files.insert((node.layer, node.offset));
            }
            walk.advance();
        }
        files
    }

    /// Returns all entries but the root, depth first, sorted by name.
    pub(crate) fn entries(&self) -> Vec<TreeEntry> {
        let mut entries = Vec::new();
        let mut walk = Walk::at(&self.root, &Path::new());
        walk.advance();
        while let Some(node) = walk.current {
            entries.push(entry_of(&walk.path, node));
            walk.advance();
        }
        entries
    }

    fn remove(&mut self, path: &[Box<[u8]>], layer: u32) {
        if let Some((name, parents)) = path.split_last()
            && let Some(children) = self.root.find_mut(parents).and_then(Node::children_mut)
        {
            let removed = children.remove(name);
            if let (Some(deleted), Some(node)) = (&mut self.deleted, removed) {
                deleted.add(path, node, layer);
            }
        }
    }
}

/// Returns the entry of a node.
pub(super) fn entry_of(path: &[u8], node: &Node) -> TreeEntry {
    let (flag, target) = match &node.kind {
        NodeKind::Directory { .. } => (b'5', Vec::new()),
        NodeKind::File { .. } => (b'0', Vec::new()),
        NodeKind::HardLink { target } => (b'1', target.join(&b'/')),
        NodeKind::Link { target } => (b'2', target.to_vec()),
        NodeKind::Special { flag, .. } => (*flag, Vec::new()),
    };
    let device = match &node.kind {
        NodeKind::Special { flag: b'3' | b'4', device } => Some((device.major, device.minor)),
        _ => None,
    };
    let Attributes { mode, uid, gid, modified, size, xattrs } = &node.attributes;
    let xattrs = xattrs.iter().flat_map(|all| all.iter()).map(|(name, value)| (name.to_vec(), value.to_vec()));
    TreeEntry {
        path: path.to_vec(),
        flag,
        mode: *mode,
        uid: *uid,
        gid: *gid,
        modified: *modified,
        size: *size,
        target,
        device,
        xattrs: xattrs.collect(),
        inode: node.inode,
        layer: node.layer,
        offset: node.offset,
    }
}

fn accounts_path(file: &str) -> [Box<[u8]>; 2] {
    [b"etc"[..].into(), file.as_bytes().into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::write::TarWriter;
    use crate::tar::written_entry::{EntryKind, TarEntry};

    /// Makes a layer: `dir/`, `file`, `link>target`, `hard=target`; with `:MODE` after a name.
    fn layer(entries: &[&str]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for entry in entries {
            let (entry, mode) = entry.rsplit_once(':').unwrap_or((entry, "644"));
            let (path, kind) = match (entry.split_once('>'), entry.split_once('=')) {
                (Some((path, target)), _) => (path, EntryKind::SymbolicLink { target: target.as_bytes() }),
                (_, Some((path, target))) => (path, EntryKind::HardLink { target: target.as_bytes() }),
                _ if entry.ends_with('/') => (entry, EntryKind::Directory),
                _ => (entry, EntryKind::File { size: 0 }),
            };
            let mode = u32::from_str_radix(mode, 8).expect("a mode");
            let entry = TarEntry { path: path.as_bytes(), kind, mode, uid: 0, gid: 0, modified: 0, xattrs: &[] };
            tar.begin(&entry).expect("written");
        }
        tar.finish().expect("written")
    }

    fn tree(layers: &[&[&str]]) -> MergedTree {
        let mut tree = MergedTree::default();
        for entries in layers {
            tree.apply(layer(entries).as_slice()).expect("applied");
        }
        tree
    }

    fn paths(layers: &[&[&str]]) -> Vec<String> {
        let text = |entry: TreeEntry| {
            let mark = match entry.flag {
                b'5' => "/",
                b'2' => "@",
                _ => "",
            };
            format!("{}{mark}:{:o}", String::from_utf8_lossy(&entry.path), entry.mode)
        };
        tree(layers).entries().into_iter().map(text).collect()
    }

    fn components(path: &str) -> Path {
        path.split('/').map(|part| part.as_bytes().into()).collect()
    }

    #[test]
    fn e5_whiteouts_remove_only_entries_of_lower_layers_whatever_their_order() {
        for upper in [&["d/.wh.a", "d/a"], &["d/a", "d/.wh.a"]] {
            assert_eq!(paths(&[&["d/:755", "d/a:600", "d/b"], upper]), ["d/:755", "d/a:644", "d/b:644"]);
        }
        assert_eq!(
            paths(&[&["d/:755", "d/a", "d/b/:755", "d/b/c"], &["d/.wh.b", "d/.wh.none"]]),
            ["d/:755", "d/a:644"]
        );
        assert_eq!(paths(&[&["d/:755", "d/old"], &[".wh.d", "d/:700", "d/new"]]), ["d/:700", "d/new:644"]);
    }

    #[test]
    fn e5_an_opaque_directory_hides_all_below() {
        for upper in [&["d/:700", "d/.wh..wh..opq", "d/new"], &["d/new", "d/:700", "d/.wh..wh..opq"]] {
            assert_eq!(paths(&[&["d/:755", "d/old", "d/x/:755", "d/x/y"], upper]), ["d/:700", "d/new:644"]);
        }
    }

    #[test]
    fn e5_files_replace_directories_and_directories_merge() {
        assert_eq!(paths(&[&["d/:755", "d/a"], &["d:600"]]), ["d:600"]);
        assert_eq!(paths(&[&["d:600"], &["d/:700", "d/a"]]), ["d/:700", "d/a:644"]);
        assert_eq!(paths(&[&["d/:755", "d/a"], &["d/:700", "d/b"]]), ["d/:700", "d/a:644", "d/b:644"]);
        // A directory that a layer only implies keeps its attributes, or is 0755.
        assert_eq!(paths(&[&["d/:700", "d/a"], &["d/b"]]), ["d/:700", "d/a:644", "d/b:644"]);
        assert_eq!(paths(&[&["d/b"]]), ["d/:755", "d/b:644"]);
    }

    #[test]
    fn e5_an_entry_below_a_link_hides_the_link() {
        assert_eq!(
            paths(&[&["usr/:755", "usr/lib/:755", "lib>usr/lib:777"], &["lib/x"]]),
            ["lib/:755", "lib/x:644", "usr/:755", "usr/lib/:755"]
        );
    }

    #[test]
    fn e5_replacing_one_name_of_a_file_leaves_the_other() {
        let tree = tree(&[&["a:600", "b=a"], &["a:644"]]);
        let modes: Vec<_> = tree.entries().iter().map(|entry| (entry.mode, entry.inode)).collect();
        assert_eq!((modes[0].0, modes[1].0), (0o644, 0o600));
        assert_ne!(modes[0].1, modes[1].1);
        // A link to a file of a layer below is that file, also where the layer removes its name.
        assert_eq!(paths(&[&["a:600"], &["b=a", ".wh.a"]]), ["b:600"]);
    }

    #[test]
    fn b5_files_of_users_are_read_again_where_they_are_links_to_others() {
        let content = b"app:x:1000:1000::/:\n";
        let with_file = |path: &[u8], others: &[&str]| {
            let mut tar = TarWriter::new(Vec::new());
            let kind = EntryKind::File { size: content.len() as u64 };
            let entry = TarEntry { path, kind, mode: 0o644, uid: 0, gid: 0, modified: 0, xattrs: &[] };
            tar.file(&entry, content).expect("written");
            let first = tar.finish().expect("written");
            // Two blocks of zeros end the first tar.
            [&first[..first.len() - 1024], &layer(others)].concat()
        };
        for (file, others, upper) in [
            ("usr/etc/passwd", &["etc>usr/etc"][..], &["x"][..]),
            ("usr/share/users", &["etc/passwd>/usr/share/users"], &["x"]),
            ("nix/store/1", &["nix/store/users=nix/store/1"], &["etc/passwd>../nix/store/users", ".wh.x"]),
            ("etc/passwd", &["y"], &["etc/group>passwd"]),
        ] {
            let layers = [layer(&["x", "y/", "d/.wh.z"]), with_file(file.as_bytes(), others), layer(upper)];
            let mut tree = MergedTree::default();
            layers.iter().for_each(|layer| tree.apply(layer.as_slice()).expect("applied"));
            for unread in tree.unread_accounts() {
                tree.read_accounts(&unread, layers[unread.layer as usize].as_slice()).expect("read");
            }
            assert_eq!(tree.account("passwd", "app").map(|account| account.id), Some(1000), "{file}");
            assert!(tree.unread_accounts().is_empty(), "{file}");
        }
    }

    #[test]
    fn e5_links_of_the_layer_itself_are_followed_to_a_parent() {
        let expected = ["lib@:777", "usr/:755", "usr/lib/:755", "usr/lib/x:644"];
        assert_eq!(paths(&[&["usr/lib/:755", "lib>usr/lib:777", "lib/x"]]), expected);
        // The layer need not have the directory.
        assert_eq!(paths(&[&["lib>/usr/./lib:777", "lib/x"]]), expected);
        assert_eq!(paths(&[&["usr/lib/:755"], &["lib>../usr/lib:777", "lib/x"]]), expected);
        // A link that leads to a file, or in a circle, is hidden.
        assert_eq!(paths(&[&["f", "l>f:777", "l/x"]]), ["f:644", "l/:755", "l/x:644"]);
        assert_eq!(paths(&[&["l>l:777", "l/x"]]), ["l/:755", "l/x:644"]);
        // A directory entry replaces the link.
        assert_eq!(paths(&[&["lib>usr/lib:777", "lib/:700", "lib/x"]]), ["lib/:700", "lib/x:644"]);
    }

    #[test]
    fn e5_whiteouts_do_not_depend_on_the_order_of_entries_and_links() {
        let base = &["usr/lib/:755", "usr/lib/a", "usr/lib/b"][..];
        for upper in [&["lib>usr/lib:777", "lib/.wh.a"][..], &["lib/.wh.a", "lib>usr/lib:777"]] {
            assert_eq!(paths(&[base, upper]), ["lib@:777", "usr/:755", "usr/lib/:755", "usr/lib/b:644"]);
        }
        // Below a file of the layer there is nothing to hide.
        for upper in [&["d/.wh.a", "d:600"][..], &["d:600", "d/.wh.a"], &["d/.wh..wh..opq", "d:600"]] {
            assert_eq!(paths(&[&["d/:755", "d/a"], upper]), ["d:600"]);
        }
    }

    #[test]
    fn j8_hard_links_may_come_before_their_targets() {
        let same = |layers: &[&[&str]], names: &[&str]| {
            let tree = tree(layers);
            let found: Vec<_> = names.iter().map(|name| tree.find(&components(name)).expect(name)).collect();
            assert!(
                found.iter().all(|node| (node.inode, node.offset) == (found[0].inode, found[0].offset)),
                "{names:?}"
            );
            assert!(found.iter().all(|node| matches!(node.kind, NodeKind::File { .. })), "{names:?}");
            found[0].layer
        };
        assert_eq!(same(&[&["c=b", "b=d/a", "d/a"]], &["c", "b", "d/a"]), 0);
        // The file of the layer comes before that below, and a new name may need a directory.
        assert_eq!(same(&[&["a"], &["n/b=a", "a"]], &["n/b", "a"]), 1);
        assert_eq!(same(&[&["a"], &["c=n/b", "n/b=a"]], &["c", "n/b", "a"]), 0);
        assert_eq!(same(&[&["usr/lib/a", "lib>usr/lib"], &["b=lib/a"]], &["b", "usr/lib/a"]), 0);
        assert_eq!(same(&[&["a"], &["a=a"]], &["a"]), 0);
        // A later entry takes the place of the link.
        assert_eq!(paths(&[&["b=a", "b:600", "a"]]), ["a:644", "b:600"]);
        assert_eq!(paths(&[&["b=a", "b/x", "a"]]), ["a:644", "b/:755", "b/x:644"]);
    }

    #[test]
    fn j8_a_hard_link_to_nothing_is_listed_as_one() {
        for (layers, names) in [
            (&[&["b=a", "c=b"][..]][..], ["b", "c"]),
            (&[&["b=c", "c=b"]], ["b", "c"]),
            (&[&["d/x"], &["b=d", "c=d/y"]], ["b", "c"]),
        ] {
            let entries = tree(layers).entries();
            let lost: Vec<_> = entries.iter().filter(|entry| entry.flag == b'1').collect();
            let found: Vec<_> = lost.iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
            assert_eq!(found, names);
        }
        let entries = tree(&[&["b=d/a"], &[".wh.b"]]).entries();
        assert_eq!(entries, []);
    }

    #[test]
    fn nodes_know_their_layer_and_the_offset_of_their_entry() {
        let tree = tree(&[&["a", "b"], &["b", "c=a", &format!("{}/f", "d".repeat(200))]]);
        let places: Vec<_> = tree.entries().into_iter().map(|entry| (entry.layer, entry.offset)).collect();
        // The long name has a pax header before its own.
        assert_eq!(places, [(0, 0), (1, 0), (0, 0), (1, 0), (1, 1024)]);
    }

    #[test]
    fn the_deepest_tree_is_merged_listed_and_dropped() {
        let deep = format!("{}f", "a/".repeat(2047));
        assert_eq!(paths(&[&[&deep], &[&deep]]).len(), 2048);
        let long = "a/".repeat(2048) + "f";
        let error = MergedTree::default().apply(layer(&[&long]).as_slice()).expect_err("too long");
        assert!(error.to_string().ends_with("has more than 4096 bytes"), "{error}");
    }

    #[test]
    fn paths_resolve_inside_the_image() {
        let tree = tree(&[&[
            "usr/lib/:755",
            "lib>usr/lib",
            "abs>/lib",
            "up>../../usr",
            "loop>loop",
            "file",
            "to-file>file",
            "gone>nothing",
        ]]);
        let resolve = |path: &str| {
            let found = tree.resolve(&components(path));
            found.map(|(path, _)| path.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join("/"))
        };
        for (path, expected) in [
            ("lib", Ok("usr/lib")),
            ("abs", Ok("usr/lib")),
            ("up/lib", Ok("usr/lib")),
            ("to-file", Ok("file")),
            ("to-file/x", Err(Unresolved::File)),
            ("gone", Err(Unresolved::Nowhere)),
            ("loop", Err(Unresolved::Nowhere)),
            ("lib/x", Err(Unresolved::Nowhere)),
        ] {
            assert_eq!(resolve(path), expected.map(str::to_owned), "{path}");
        }
    }
}
