//! The errors of the library. A message names the object and, for a mismatch, both values. Hints on how to fix an error
//! are up to the program that uses the library.

mod artifact;
mod base;
mod candidate;
mod code;
mod config;
mod copy;
mod edit;
mod files;
mod kind;
mod layer;
mod of_io;
mod push;
mod reason;
mod referrer;
mod remote;
mod unpack;
mod variants;
pub(crate) mod words;

pub use artifact::ArtifactError;
pub use base::BaseError;
pub use candidate::Candidate;
pub use code::ErrorCode;
pub use config::ConfigError;
pub use copy::CopyError;
pub use edit::EditError;
pub use files::FilesError;
pub use kind::ErrorKind;
pub use layer::LayerError;
pub use push::PushError;
pub use reason::Reason;
pub use referrer::Referrer;
pub use remote::{ConnectionFault, RemoteError};
pub use unpack::UnpackError;
pub use variants::{Error, Result};
