//! Rewrites the layers of images (images, rules E4 and H): one engine, and a file a verb.

mod base;
mod engine;
mod maker;
mod options;
mod rebase;
mod recompress;
mod saved;
mod set_times;
mod squash;
mod strip;
mod three_way;

pub use base::Kept;
pub use engine::Rewritten;
pub use options::RewriteOptions;
pub use rebase::{Bases, Rebased, rebase};
pub use recompress::{RecompressOptions, recompress};
pub use set_times::set_times;
pub use squash::squash;
pub use strip::strip;

pub use crate::tar::retime::TimeChange;
