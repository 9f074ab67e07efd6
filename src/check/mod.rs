//! Validates layouts, looks for faults of images, and builds trees of layouts. Nothing in this module writes.

pub(crate) mod blobs;
pub(crate) mod compare;
pub(crate) mod documents;
pub(crate) mod fields;
pub(crate) mod follow;
pub(crate) mod hidden_links;
pub(crate) mod images;
pub(crate) mod json;
pub(crate) mod lint;
pub(crate) mod lint_report;
pub(crate) mod node;
pub(crate) mod reference;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod secrets;
pub(crate) mod tree;
pub(crate) mod validate;
pub(crate) mod values;
pub(crate) mod verify;

pub use images::{ImagePlace, Images};
pub use lint_report::{LintOptions, LintReport};
pub use node::{ChildrenAt, Node, NodeKind, NodeState, Totals, Tree};
pub use report::{Report, ValidateOptions};
