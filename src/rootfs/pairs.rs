//! Walking two trees at once.

use std::collections::BTreeSet;

use super::node::Node;

/// The nodes that two trees have at one path: one of them, or both.
pub(super) struct Pair<'a> {
    pub(super) path: Vec<u8>,
    pub(super) before: Option<&'a Node>,
    pub(super) after: Option<&'a Node>,
}

/// The paths of two trees, depth first, sorted by name. The first is that of the roots.
pub(super) struct Pairs<'a> {
    pending: Vec<Pair<'a>>,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(before: &'a Node, after: &'a Node) -> Self {
        Self { pending: vec![Pair { path: Vec::new(), before: Some(before), after: Some(after) }] }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let pair = self.pending.pop()?;
        let [before, after] = [pair.before, pair.after].map(|node| node.and_then(Node::children));
        let names: BTreeSet<&[u8]> =
            [before, after].into_iter().flatten().flat_map(|all| all.keys().map(|name| &**name)).collect();
        for name in names.into_iter().rev() {
            let [before, after] = [before, after].map(|all| all.and_then(|all| all.get(name)).map(|node| &**node));
            let path = if pair.path.is_empty() { name.to_vec() } else { [&pair.path, &b"/"[..], name].concat() };
            self.pending.push(Pair { path, before, after });
        }
        Some(pair)
    }
}
