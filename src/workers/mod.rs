//! Scoped threads on systems that may refuse to start more: with a limit on processes, or on the memory for stacks.
//!
//! `Scope::spawn` panics in that case. Callers of this module get their threads before they hand over work, and run the
//! work on their own thread if they get none.

pub(crate) mod crew;
pub(crate) mod map;
pub(crate) mod pipe;
pub(crate) mod pool;

pub(crate) use crew::{Working, crew, worker};
