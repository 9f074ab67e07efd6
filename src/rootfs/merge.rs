//! The merged tree: the layers of an image applied in order, as overlayfs shows them (images, rule E5).

use std::io::{self, Read};

use super::accounts::{Account, find_account};
use super::layer_tree::{HardLink, KEPT_LIMIT, LayerTree, Path};
use super::node::{Attributes, Children, Node, NodeKind};

/// The most links that are followed, as on Linux.
const LINKS: usize = 40;

/// The files that the layers of an image make together: names, types and attributes, without content.
#[derive(Clone, Debug)]
pub(crate) struct MergedTree {
    root: Node,
    has_root_entry: bool,
    layers: u32,
    inodes: u64,
    /// The numbers of files that were given before each layer.
    inodes_before: Vec<u64>,
}

/// The files of users and groups in the image, which may be links.
const ACCOUNTS: [&str; 2] = ["passwd", "group"];

/// A file that names users or groups, whose content is not known yet.
pub(crate) struct UnreadAccounts {
    /// The position of its layer.
    pub(crate) layer: u32,
    path: Path,
    inode: u64,
}

/// An entry of the tree, for programs that list it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeEntry {
    /// The path, without a slash at its beginning.
    pub path: Vec<u8>,
    /// The type flag, as in a tar: `0` a file, `2` a link, `3` and `4` devices, `5` a directory, `6` a pipe.
    pub flag: u8,
    /// The permissions, and the setuid, setgid and sticky bits.
    pub mode: u32,
    /// The user.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The target of a link; empty for others.
    pub target: Vec<u8>,
    /// The identity of the file: names that are hard links have the same.
    pub inode: u64,
    /// The position of the layer that the entry comes from, from the lowest on.
    pub layer: u32,
}

/// Why a path inside the image leads to no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A link, or a chain of links, leads to nothing.
    Nowhere,
    /// A link leads to a file.
    File,
}

impl Default for MergedTree {
    fn default() -> Self {
        Self {
            root: Node::implied_directory(0),
            has_root_entry: false,
            layers: 0,
            inodes: 0,
            inodes_before: Vec::new(),
        }
    }
}

impl MergedTree {
    /// Applies the next layer, a tar.
    ///
    /// # Errors
    ///
    /// Those of reading the tar. The tree is unusable after an error.
    pub(crate) fn apply(&mut self, tar: impl Read) -> io::Result<()> {
        let layer = self.layers;
        self.layers += 1;
        self.inodes_before.push(self.inodes);
        let tree = LayerTree::read(tar, layer, &mut self.inodes)?;
        // A whiteout removes entries of the layers below only, wherever it stands in the layer. A link is to the file
        // that is there before anything is removed.
        let linked: Vec<(Path, Option<Node>)> = tree
            .links_below
            .into_iter()
            .map(|HardLink { path, target }| {
                (path, self.find(&target).filter(|node| node.children().is_none()).cloned())
            })
            .collect();
        for path in &tree.whiteouts {
            self.remove(path);
        }
        for path in &tree.opaque {
            if let Some(children) = self.children_mut(path) {
                children.clear();
            }
        }
        if let Some(attributes) = tree.root_attributes {
            self.root.attributes = attributes;
            self.has_root_entry = true;
        }
        merge(self.root_children(), tree.root);
        for (path, node) in linked {
            // A link to nothing is left out: no engine can unpack it.
            if let (Some(node), Some((name, parents))) = (node, path.split_last())
                && let Some(children) = self.children_mut(parents)
            {
                children.insert(name.clone(), Box::new(node));
            }
        }
        Ok(())
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
        let mut here = &self.root;
        for name in path {
            here = here.children()?.get(name)?;
        }
        Some(here)
    }

    /// Resolves a path inside the image: follows links, the last one too. Absolute links and `..` stay in the image.
    ///
    /// # Errors
    ///
    /// [`Unresolved::Nowhere`], and [`Unresolved::File`] if a component before the last is not a directory.
    pub(crate) fn resolve(&self, path: &[Box<[u8]>]) -> Result<(Path, &Node), Unresolved> {
        let mut pending: Vec<Box<[u8]>> = path.iter().rev().cloned().collect();
        let mut done: Path = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            match &*name {
                b"." | b"" => continue,
                b".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let here = self.find(&done).ok_or(Unresolved::Nowhere)?;
            let node = here.children().ok_or(Unresolved::File)?.get(&name).ok_or(Unresolved::Nowhere)?;
            if let NodeKind::Link { target } = &node.kind {
                links += 1;
                if links > LINKS {
                    return Err(Unresolved::Nowhere);
                }
                if target.starts_with(b"/") {
                    done.clear();
                }
                pending.extend(target.split(|byte| *byte == b'/').rev().map(Box::from));
            } else {
                done.push(name);
            }
        }
        let node = self.find(&done).ok_or(Unresolved::Nowhere)?;
        Ok((done, node))
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
            is_unread.then_some(UnreadAccounts { layer: node.layer, path, inode: node.inode })
        };
        ACCOUNTS.iter().filter_map(unread).collect()
    }

    /// Reads the content of a file of users or groups from its layer.
    ///
    /// # Errors
    ///
    /// Those of reading the tar.
    pub(crate) fn read_accounts(&mut self, unread: &UnreadAccounts, tar: impl Read) -> io::Result<()> {
        let UnreadAccounts { layer, path, inode } = unread;
        let found = LayerTree::content_of(tar, *inode, self.inodes_before[*layer as usize])?;
        if let Some((name, parents)) = path.split_last()
            && let Some(node) = self.children_mut(parents).and_then(|children| children.get_mut(name))
            && let NodeKind::File { content, .. } = &mut node.kind
        {
            *content = found;
        }
        Ok(())
    }

    /// Returns all entries but the root, depth first, sorted by name.
    pub(crate) fn entries(&self) -> Vec<TreeEntry> {
        let mut entries = Vec::new();
        list(&self.root, &mut Vec::new(), &mut entries);
        entries
    }

    fn root_children(&mut self) -> &mut Children {
        let NodeKind::Directory { children, .. } = &mut self.root.kind else { unreachable!("the root is a directory") };
        children
    }

    fn children_mut(&mut self, path: &[Box<[u8]>]) -> Option<&mut Children> {
        let mut here = self.root_children();
        for name in path {
            let NodeKind::Directory { children, .. } = &mut here.get_mut(name)?.kind else { return None };
            here = children;
        }
        Some(here)
    }

    fn remove(&mut self, path: &[Box<[u8]>]) {
        if let Some((name, parents)) = path.split_last()
            && let Some(children) = self.children_mut(parents)
        {
            children.remove(name);
        }
    }
}

/// Applies the entries of a layer to those below. A directory over a directory merges, and replaces the attributes if
/// the layer has an entry for it; everything else replaces what is below with all its entries.
fn merge(below: &mut Children, layer: Children) {
    for (name, node) in layer {
        let Some(old) = below.get_mut(&name) else {
            below.insert(name, node);
            continue;
        };
        let node = *node;
        match (&mut old.kind, node.kind) {
            (
                NodeKind::Directory { children: below, is_implied: was_implied },
                NodeKind::Directory { children, is_implied },
            ) => {
                if !is_implied {
                    *was_implied = false;
                    old.attributes = node.attributes;
                    old.layer = node.layer;
                    old.inode = node.inode;
                }
                merge(below, children);
            }
            (_, kind) => **old = Node { kind, ..node },
        }
    }
}

fn list(node: &Node, path: &mut Vec<u8>, entries: &mut Vec<TreeEntry>) {
    let length = path.len();
    for (name, node) in node.children().into_iter().flatten() {
        if length > 0 {
            path.push(b'/');
        }
        path.extend(name);
        let (flag, target) = match &node.kind {
            NodeKind::Directory { .. } => (b'5', &[][..]),
            NodeKind::File { .. } => (b'0', &[][..]),
            NodeKind::Link { target } => (b'2', &**target),
            NodeKind::Special(flag) => (*flag, &[][..]),
        };
        let Attributes { mode, uid, gid, .. } = node.attributes;
        let (target, inode, layer) = (target.to_vec(), node.inode, node.layer);
        entries.push(TreeEntry { path: path.clone(), flag, mode, uid, gid, target, inode, layer });
        list(node, path, entries);
        path.truncate(length);
    }
}

fn accounts_path(file: &str) -> [Box<[u8]>; 2] {
    [b"etc"[..].into(), file.as_bytes().into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::entry::{EntryKind, TarEntry};
    use crate::tar::write::TarWriter;

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
