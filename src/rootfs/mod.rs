//! The files of an image: the tree that its layers make together.

mod accounts;
mod layer_tree;
mod merge;
mod node;
mod stack;
mod start;

pub(crate) use accounts::Account;
pub use merge::TreeEntry;
pub(crate) use merge::{MergedTree, Unresolved};
pub(crate) use node::{Attributes, NodeKind};
pub use stack::Stack;
pub use start::StartFault;
