//! What can go wrong with a layout, in words that name the thing and both values. What to do about it is for the program
//! that uses the library to say.

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
