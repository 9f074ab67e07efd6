//! The files of an image: the tree that its layers make together.

mod accounts;
mod layer_tree;
mod merge;
mod node;
mod resolve;
mod stack;
mod start;

pub(crate) use accounts::Account;
pub(crate) use merge::MergedTree;
pub use merge::TreeEntry;
pub(crate) use node::{Attributes, NodeKind};
pub(crate) use resolve::Unresolved;
pub use stack::Stack;
pub use start::StartFault;
