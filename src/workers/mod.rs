//! Threads of a scope, on a system that may have no more of them: a limit on processes, or on memory for stacks.
//!
//! `Scope::spawn` panics there. Whoever wants a thread asks for one here before handing over any work, and does the work on
//! its own thread if there is none.

pub(crate) mod crew;
pub(crate) mod map;
pub(crate) mod pipe;

pub(crate) use crew::{Working, crew, worker};
