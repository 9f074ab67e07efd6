//! Copying a blob and verifying it on the way.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::error::{Error, Result};
use crate::graph::verify::expect_digest_if_possible;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::view::content::Content;
use crate::workers::worker;

/// The number of bytes in each piece.
const PIECE: usize = 1024 * 1024;

/// Content up to this size is hashed without a second thread.
const SMALL: u64 = 256 * 1024;

/// The number of pieces that can wait to be hashed.
const QUEUE: usize = 4;

/// Passes content to `write` in pieces, and verifies its digest at the end. Large content is hashed on another thread.
///
/// # Errors
///
/// [`Error::DigestMismatch`]; [`Error::Io`]; the errors of `write`.
pub(crate) fn copy_verified(
    content: &Content,
    digest: &Digest,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut hasher = Hasher::new(digest.algorithm().unwrap_or(Algorithm::Sha256));
    let failed = |error: io::Error| Error::Blob { digest: digest.clone(), source: error };
    if content.size() <= SMALL {
        let mut bytes = vec![0; usize::try_from(content.size()).expect("it is small")];
        content.read_at(&mut bytes, 0).map_err(failed)?;
        hasher.update(&bytes);
        write(&bytes)?;
        return expect_digest_if_possible(digest, hasher.finish());
    }
    thread::scope(|scope| {
        let Ok(thread) = worker(scope) else {
            let mut piece = vec![0; PIECE];
            let mut offset = 0;
            while offset < content.size() {
                let read = content.read_at(&mut piece, offset).map_err(failed)?;
                offset += read as u64;
                hasher.update(&piece[..read]);
                write(&piece[..read])?;
            }
            return expect_digest_if_possible(digest, hasher.finish());
        };
        let (sender, receiver) = sync_channel::<Arc<Vec<u8>>>(QUEUE);
        let hashing = thread.start(move || {
            receiver.iter().for_each(|piece| hasher.update(&piece));
            hasher.finish()
        });
        let mut offset = 0;
        // The buffers are reused in turn; a buffer that is still being hashed is replaced by a new allocation.
        let mut buffers: Vec<Arc<Vec<u8>>> = Vec::new();
        buffers.resize_with(QUEUE + 2, || Arc::new(vec![0; PIECE]));
        for at in (0..buffers.len()).cycle() {
            let left = usize::try_from(content.size() - offset).unwrap_or(usize::MAX).min(PIECE);
            if left == 0 {
                break;
            }
            let buffer = Arc::make_mut(&mut buffers[at]);
            buffer.resize(left, 0);
            let read = content.read_at(buffer, offset).map_err(failed)?;
            offset += read as u64;
            let piece = Arc::clone(&buffers[at]);
            sender.send(Arc::clone(&piece)).expect("the other side listens until this one ends");
            write(&piece)?;
        }
        drop(sender);
        expect_digest_if_possible(digest, hashing.join())
    })
}
