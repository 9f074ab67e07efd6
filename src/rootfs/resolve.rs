//! Resolves paths inside a tree of files.

use super::node::{Node, NodeKind, Path};

/// The most links that are followed, as on Linux.
pub(super) const LINKS: usize = 40;

/// The longest path in bytes, as on Linux. No engine can unpack a longer one.
pub(super) const PATH_LIMIT: usize = 4096;

/// The most components of a path: those of the longest one.
const COMPONENTS: usize = PATH_LIMIT / 2;

/// The most steps to resolve a path: those of the longest one, and of a few links as long.
const STEPS: usize = 4 * COMPONENTS;

/// Returns the components of the target of a link.
pub(super) fn components_of(target: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// Why a path inside the image leads to no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A link, or a chain of links, leads to nothing.
    Nowhere,
    /// A link leads to a file.
    File,
}

/// How a component counts that is not in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The path is [`Unresolved::Nowhere`].
    IsAnError,
    /// It is taken for a directory to be made.
    IsPassed,
}

/// Resolves a path: follows links, the last one too. Absolute links and `..` stay in the tree. Returns the path without
/// links, and the node there.
///
/// # Errors
///
/// [`Unresolved::Nowhere`], and [`Unresolved::File`] if a component before the last is not a directory.
pub(super) fn resolve<'a>(
    root: &'a Node,
    path: &[Box<[u8]>],
    missing: Missing,
) -> Result<(Path, Option<&'a Node>), Unresolved> {
    let mut pending: Vec<Box<[u8]>> = path.iter().rev().cloned().collect();
    let mut done = Path::new();
    // The nodes of the root and of each component that is done.
    let mut nodes = vec![Some(root)];
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = pending.pop() {
        match &*name {
            b"." | b"" => continue,
            b".." => {
                if done.pop().is_some() {
                    nodes.pop();
                }
                continue;
            }
            _ => {}
        }
        steps += 1;
        if done.len() + pending.len() >= COMPONENTS || steps > STEPS {
            return Err(Unresolved::Nowhere);
        }
        let next = match nodes.last().copied().flatten() {
            Some(here) => here.children().ok_or(Unresolved::File)?.get(&name).map(|node| &**node),
            None => None,
        };
        match next.map(|node| &node.kind) {
            Some(NodeKind::Link { target }) => {
                links += 1;
                if links > LINKS || target.len() > PATH_LIMIT {
                    return Err(Unresolved::Nowhere);
                }
                if target.starts_with(b"/") {
                    done.clear();
                    nodes.truncate(1);
                }
                pending.extend(components_of(target).rev().map(Box::from));
            }
            None if missing == Missing::IsAnError => return Err(Unresolved::Nowhere),
            _ => {
                done.push(name);
                nodes.push(next);
            }
        }
    }
    Ok((done, nodes.pop().flatten()))
}
