//! Directory trees as values: from layers, and from disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::EntryType;

use super::lab::is_root;

/// A tree: its nodes by path, and its groups of hard links.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
    hard_links: BTreeSet<BTreeSet<PathBuf>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Directory { mode: u32 },
    File { mode: u32, owner: u32, modified: i64, size: usize, content: String },
    Link { target: PathBuf },
}

pub(crate) fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// Returns the owner to expect: without root, all files belong to the user.
fn owner(of: u32) -> u32 {
    if is_root() { of } else { 0 }
}

impl Tree {
    /// Applies layers to an empty tree, as specified by the image-spec (layer.md, "Applying Changesets").
    pub(crate) fn of_layers(layers: &[Vec<u8>]) -> Self {
        let mut nodes = BTreeMap::new();
        let mut names: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for layer in layers {
            hide(layer, &mut nodes);
            names.retain(|name, _| nodes.contains_key(name));
            let mut archive = tar::Archive::new(layer.as_slice());
            for entry in archive.entries().expect("a tar") {
                let mut entry = entry.expect("a tar entry");
                let path: PathBuf = entry.path().expect("a path").components().collect();
                let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
                if path.as_os_str().is_empty() || whiteout(&path).is_some() {
                    continue;
                }
                let header = entry.header().clone();
                let mode = header.mode().expect("a mode");
                let node = match header.entry_type() {
                    EntryType::Directory => Node::Directory { mode },
                    EntryType::Symlink => {
                        Node::Link { target: entry.link_name().expect("a target").expect("a target").into_owned() }
                    }
                    EntryType::Link => {
                        let target = entry.link_name().expect("a target").expect("a target").into_owned();
                        let first = names.get(&target).cloned().unwrap_or(target.clone());
                        names.insert(path.clone(), first.clone());
                        names.insert(target.clone(), first);
                        nodes[&target].clone()
                    }
                    EntryType::Regular => {
                        let mut content = Vec::new();
                        entry.read_to_end(&mut content).expect("content");
                        names.remove(&path);
                        Node::File {
                            mode,
                            owner: owner(header.uid().expect("an owner").try_into().expect("a small number")),
                            modified: header.mtime().expect("a time").cast_signed(),
                            size: content.len(),
                            content: sha256(&content),
                        }
                    }
                    other => panic!("{other:?} is in no sample"),
                };
                if !matches!(node, Node::Directory { .. }) {
                    nodes.retain(|other, _| !other.starts_with(&path));
                }
                nodes.insert(path, node);
            }
        }
        let mut groups: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for (name, first) in names {
            groups.entry(first).or_default().insert(name);
        }
        Self { nodes, hard_links: groups.into_values().filter(|group| group.len() > 1).collect() }
    }

    /// Reads a tree from disk.
    pub(crate) fn on_disk(root: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        let mut files: BTreeMap<(u64, u64), BTreeSet<PathBuf>> = BTreeMap::new();
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).expect("a readable directory") {
                let path = entry.expect("an entry").path();
                let metadata = fs::symlink_metadata(&path).expect("metadata");
                let mode = metadata.permissions().mode() & 0o7777;
                let name = path.strip_prefix(root).expect("below the root").to_owned();
                let node = if metadata.is_dir() {
                    left.push(path.clone());
                    Node::Directory { mode }
                } else if metadata.is_symlink() {
                    Node::Link { target: fs::read_link(&path).expect("a target") }
                } else {
                    files.entry((metadata.dev(), metadata.ino())).or_default().insert(name.clone());
                    let content = fs::read(&path).expect("a readable file");
                    Node::File {
                        mode,
                        owner: owner(metadata.uid()),
                        modified: metadata.mtime(),
                        size: content.len(),
                        content: sha256(&content),
                    }
                };
                nodes.insert(name, node);
            }
        }
        Self { nodes, hard_links: files.into_values().filter(|group| group.len() > 1).collect() }
    }

    /// Checks that the tree is another one without some paths. Files stay that have other names.
    pub(crate) fn assert_is_without(&self, other: &Self, removed: &[&str], who: &str) {
        let is_left = |path: &Path| !removed.iter().any(|removed| path.starts_with(removed));
        let left: BTreeMap<_, _> = other.nodes.iter().filter(|(path, _)| is_left(path)).collect();
        assert!(left.len() < other.nodes.len(), "{who}: nothing was removed");
        assert_eq!(self.nodes.iter().collect::<BTreeMap<_, _>>(), left, "{who}");
    }

    /// Checks that the tree is another one, but for times.
    pub(crate) fn assert_is_at_other_times(&self, other: &Self) {
        let without_times = |tree: &Self| {
            let mut nodes = tree.nodes.clone();
            for node in nodes.values_mut() {
                if let Node::File { modified, .. } = node {
                    *modified = 0;
                }
            }
            nodes
        };
        assert!(self.nodes != other.nodes, "the times are the same");
        assert_eq!(without_times(self), without_times(other));
        assert_eq!(self.hard_links, other.hard_links);
    }

    /// Compares the tree with that on disk, and shows the first paths that differ.
    pub(crate) fn assert_is_at(&self, root: &Path, who: &str) {
        let found = Self::on_disk(root);
        let paths: BTreeSet<_> = self.nodes.keys().chain(found.nodes.keys()).collect();
        let different: Vec<_> = paths
            .into_iter()
            .filter(|path| self.nodes.get(*path) != found.nodes.get(*path))
            .map(|path| {
                format!("{}: expected {:?}, found {:?}", path.display(), self.nodes.get(path), found.nodes.get(path))
            })
            .collect();
        assert!(different.is_empty(), "{who}:\n{}", different.join("\n"));
        assert_eq!(self.hard_links, found.hard_links, "{who}: hard links");
        assert!(!self.nodes.is_empty());
    }
}

/// Returns the file below that a whiteout deletes; `None` if the name is not that of a whiteout.
fn whiteout(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let deleted = name.strip_prefix(".wh.")?;
    let directory = path.parent().expect("a name has a parent");
    Some(if name == ".wh..wh..opq" { directory.join("*") } else { directory.join(deleted) })
}

/// Removes the files that a layer deletes from the layers below it.
fn hide(layer: &[u8], nodes: &mut BTreeMap<PathBuf, Node>) {
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries().expect("a tar") {
        let path: PathBuf = entry.expect("a tar entry").path().expect("a path").components().collect();
        let Some(deleted) = whiteout(&path) else { continue };
        if deleted.ends_with("*") {
            let directory = deleted.parent().expect("a directory");
            nodes.retain(|other, _| other == directory || !other.starts_with(directory));
        } else {
            nodes.retain(|other, _| !other.starts_with(&deleted));
        }
    }
}
