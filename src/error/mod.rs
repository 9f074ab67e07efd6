//! Errors of a layout. Each names the object and both values; the program that uses the library adds the way out.

mod candidate;
mod code;
mod kind;
mod reason;
mod referrer;
mod variants;
mod words;

pub use candidate::Candidate;
pub use code::ErrorCode;
pub use kind::ErrorKind;
pub use reason::Reason;
pub use referrer::Referrer;
pub use variants::{Error, Result};
