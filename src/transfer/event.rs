//! What happens while images are pushed or pulled.

use crate::oci::{Descriptor, Digest};

/// Something that happened while images were pushed or pulled.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TransferEvent<'a> {
    /// A blob is sent or fetched from its first byte on.
    Started(&'a Descriptor),
    /// A blob goes on after so many bytes.
    Resumed(&'a Descriptor, u64),
    /// So many more bytes are sent or fetched.
    Bytes(u64),
    /// So many bytes must be sent or fetched once more.
    Again(u64),
    /// All bytes are sent, and the registry stores the blob.
    Waiting(&'a Descriptor),
    /// A blob is complete.
    Done(&'a Descriptor),
    /// A blob is there already.
    Present(&'a Descriptor),
    /// The registry took the blob from another repository.
    Mounted(&'a Descriptor),
    /// A blob that only its URLs have was left out.
    LeftOut(&'a Descriptor),
    /// A manifest is complete.
    Manifest(&'a Digest),
}

/// Is called with each event, from several threads.
pub type TransferObserver<'a> = &'a (dyn Fn(TransferEvent<'_>) + Sync);
