//! Threads of a scope, on a system that may have no more of them: a limit on processes, or on memory for stacks.
//!
//! `Scope::spawn` panics there. Callers ask for a thread here before they hand over any work, and do the work on their
//! own thread if there is none.

pub(crate) mod crew;
pub(crate) mod map;
pub(crate) mod pipe;

pub(crate) use crew::{Working, crew, worker};
