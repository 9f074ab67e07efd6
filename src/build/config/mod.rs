//! The config of an image: generated from the staged layers, and changed.

pub(crate) mod changes;
pub(crate) mod fault;
pub(crate) mod generate;
pub(crate) mod history;
pub(crate) mod process;

pub use changes::ConfigChanges;
pub use generate::{ConfigOptions, PreparedConfig};
pub use process::ProcessChanges;

#[cfg(test)]
mod tests;
