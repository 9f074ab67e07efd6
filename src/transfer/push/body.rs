//! The bytes of a blob on their way: hashed as they are read, or by another thread, and held back at the end until the
//! digest is right.
//!
//! A registry makes a blob of an upload that is complete. A blob whose bytes are wrong is therefore never sent to its end.

use std::io::{self, Read};

use crate::error::Error;
use crate::graph::verify::expect_digest_if_possible;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher};
use crate::remote::first_fault::FirstFault;
use crate::remote::http::Rewind;
use crate::transfer::event::{TransferEvent, TransferObserver};
use crate::view::content::Content;

/// The number of bytes at the end that are sent when the digest is known to be right.
const HELD_BACK: u64 = 64 * 1024;

/// The number of bytes that are hashed at a time.
const PIECE: usize = 256 * 1024;

/// A blob that is sent. Bytes that are sent again are not hashed again.
pub(crate) struct OutgoingBlob<'a> {
    content: &'a Content,
    descriptor: &'a Descriptor,
    hashing: Hashing<'a>,
    observer: TransferObserver<'a>,
    /// The number of bytes that were counted as sent.
    counted: u64,
    /// Why the bytes cannot be sent.
    fault: Option<Error>,
    /// Is set when the bytes need not be sent any more.
    stopped: Option<&'a FirstFault>,
}

/// How far the digest of a blob is known.
enum Hashing<'a> {
    /// The bytes up to an offset were hashed while they were read.
    OnTheWay(Box<Hasher>, u64),
    /// Another thread hashes all bytes; the function waits for it.
    Beside(JoinHash<'a>),
    /// The digest is right.
    Right,
}

/// Waits for the digest of a blob.
pub(crate) type JoinHash<'a> = Box<dyn FnOnce() -> io::Result<Digest> + 'a>;

/// Hashes content to its end, or until it is not wanted any more.
///
/// # Errors
///
/// The error of reading.
pub(crate) fn hash_all(content: &Content, digest: &Digest, is_over: impl Fn() -> bool) -> io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm().unwrap_or(Algorithm::Sha256));
    let (mut buffer, mut at) = (vec![0; PIECE], 0);
    while at < content.size() && !is_over() {
        let read = content.read_at(&mut buffer, at)?;
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(hasher.finish())
}

impl<'a> OutgoingBlob<'a> {
    /// Takes the content of a blob. `beside` waits for its digest, if another thread computes that.
    pub(crate) fn new(
        content: &'a Content,
        descriptor: &'a Descriptor,
        beside: Option<JoinHash<'a>>,
        observer: TransferObserver<'a>,
    ) -> Self {
        let on_the_way = || {
            let hasher = Hasher::new(descriptor.digest.algorithm().unwrap_or(Algorithm::Sha256));
            Hashing::OnTheWay(Box::new(hasher), 0)
        };
        let hashing = beside.map_or_else(on_the_way, Hashing::Beside);
        Self { content, descriptor, hashing, observer, counted: 0, fault: None, stopped: None }
    }

    /// Ends the reading when another blob fails.
    pub(crate) fn stopped_by(self, first: &'a FirstFault) -> Self {
        Self { stopped: Some(first), ..self }
    }

    fn check(&self) -> io::Result<()> {
        let is_stopped = self.stopped.is_some_and(FirstFault::is_set);
        if is_stopped { Err(io::Error::other("another blob failed")) } else { Ok(()) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.content.size()
    }

    /// Hashes the bytes up to an offset, which may be those that the registry has already.
    fn hash_to(&mut self, offset: u64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            self.check()?;
            let Hashing::OnTheWay(hasher, hashed) = &mut self.hashing else { return Ok(()) };
            if *hashed >= offset {
                return Ok(());
            }
            let wanted = usize::try_from(offset - *hashed).unwrap_or(usize::MAX).min(PIECE);
            let read = self.content.read_at(&mut buffer[..wanted], *hashed)?;
            hasher.update(&buffer[..read]);
            *hashed += read as u64;
        }
    }

    /// Counts the bytes that are sent from here on: those that were counted before and are sent again are taken back.
    pub(crate) fn count_from(&mut self, offset: u64) {
        if self.counted > offset {
            (self.observer)(TransferEvent::Again(self.counted - offset));
        } else if self.counted < offset {
            (self.observer)(TransferEvent::Bytes(offset - self.counted));
        }
        self.counted = offset;
    }

    /// Where the bytes begin that are held back.
    fn end_at(&self) -> u64 {
        self.size().saturating_sub(HELD_BACK)
    }

    /// Reads from an offset, and hashes the bytes that were not hashed yet.
    fn read_from(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end_at = self.end_at();
        if offset < end_at {
            // The registry may have the bytes before from an earlier run.
            self.hash_to(offset)?;
            let before_end = usize::try_from(end_at - offset).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.content.read_at(&mut buffer[..before_end], offset)?;
            if let Hashing::OnTheWay(hasher, hashed) = &mut self.hashing {
                let new = usize::try_from(*hashed - offset).unwrap_or(usize::MAX);
                let new = buffer[..read].get(new..).unwrap_or_default();
                hasher.update(new);
                *hashed += new.len() as u64;
            }
            return Ok(read);
        }
        if !matches!(self.hashing, Hashing::Right) {
            self.hash_to(self.size())?;
            let actual = match std::mem::replace(&mut self.hashing, Hashing::Right) {
                Hashing::OnTheWay(hasher, _) => Some(hasher.finish()),
                Hashing::Beside(join) => Some(join()?),
                Hashing::Right => None,
            };
            if let Some(Err(error)) = actual.map(|actual| expect_digest_if_possible(&self.descriptor.digest, actual)) {
                self.fault = Some(error);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        self.content.read_at(buffer, offset)
    }

    /// Returns whether the bytes cannot be sent.
    pub(crate) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Returns why the bytes cannot be sent, if they cannot.
    pub(crate) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// Notes that the bytes could not be read.
    fn note(&mut self, error: &io::Error) {
        let source = io::Error::new(error.kind(), error.to_string());
        self.fault.get_or_insert_with(|| Error::Blob { digest: self.descriptor.digest.clone(), source });
    }

    /// Returns a reader of a part.
    pub(crate) fn part(&mut self, offset: u64, length: u64) -> PartReader<'_, 'a> {
        self.count_from(offset);
        PartReader { blob: self, start: offset, at: offset, end: offset + length }
    }
}

/// Reads a part of a blob.
pub(crate) struct PartReader<'p, 'a> {
    blob: &'p mut OutgoingBlob<'a>,
    start: u64,
    at: u64,
    end: u64,
}

impl Rewind for PartReader<'_, '_> {
    fn rewind(&mut self) {
        self.at = self.start;
        self.blob.count_from(self.start);
    }
}

impl Read for PartReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.blob.check().and_then(|()| self.blob.read_from(self.at, &mut buffer[..wanted]));
        let read = read.inspect_err(|error| self.blob.note(error))?;
        self.at += read as u64;
        self.blob.count_from(self.at);
        if self.at == self.blob.size() {
            (self.blob.observer)(TransferEvent::Waiting(self.blob.descriptor));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::oci::{Digest, MediaType};

    fn described(bytes: &[u8], size: usize) -> Descriptor {
        Descriptor::new(MediaType::octet_stream(), Digest::sha256_of(bytes), size as u64)
    }

    fn read_all(blob: &mut OutgoingBlob<'_>, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let length = blob.size() - offset;
        blob.part(offset, length).read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn right_bytes_are_read_from_any_offset_and_hashed_once() {
        for size in [0_usize, 1, 65_535, 65_536, 65_537, 300_000] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (content, descriptor) = (Content::in_memory(bytes.clone()), described(&bytes, size));
            let sent = AtomicU64::new(0);
            let count = |event: TransferEvent<'_>| match event {
                TransferEvent::Bytes(more) => drop(sent.fetch_add(more, Ordering::Relaxed)),
                TransferEvent::Again(less) => drop(sent.fetch_sub(less, Ordering::Relaxed)),
                _ => {}
            };
            for is_beside in [false, true] {
                sent.store(0, Ordering::Relaxed);
                let mut blob =
                    OutgoingBlob::new(&content, &descriptor, beside(is_beside, &content, &descriptor), &count);
                for offset in [0, size as u64 / 2, size as u64, 0] {
                    let expected = &bytes[usize::try_from(offset).expect("small")..];
                    assert_eq!(read_all(&mut blob, offset).expect("read"), expected, "{size} from {offset}");
                    assert_eq!(sent.load(Ordering::Relaxed), size as u64, "{size} from {offset}");
                }
            }
        }
    }

    fn beside<'a>(is_beside: bool, content: &'a Content, descriptor: &'a Descriptor) -> Option<JoinHash<'a>> {
        let hash = move || hash_all(content, &descriptor.digest, || false);
        is_beside.then(|| Box::new(hash) as JoinHash<'a>)
    }

    #[test]
    fn an_upload_that_goes_on_hashes_the_bytes_before() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        let (content, descriptor) = (Content::in_memory(bytes.clone()), described(&bytes, bytes.len()));
        for offset in [1, 100_000, 299_999] {
            let mut blob = OutgoingBlob::new(&content, &descriptor, None, &|_| ());
            let expected = &bytes[usize::try_from(offset).expect("small")..];
            assert_eq!(read_all(&mut blob, offset).expect("read"), expected, "from {offset}");
        }
    }

    #[test]
    fn wrong_bytes_are_never_sent_to_their_end() {
        for size in [1_usize, 65_536, 300_000] {
            let bytes = vec![7; size];
            let (content, descriptor) = (Content::in_memory(bytes), described(b"others", size));
            for (offset, is_beside) in [(0, false), (size as u64 / 2, true), (size as u64 - 1, false), (0, true)] {
                let beside = beside(is_beside, &content, &descriptor);
                let mut blob = OutgoingBlob::new(&content, &descriptor, beside, &|_| ());
                let mut reader = blob.part(offset, size as u64 - offset);
                let mut read = Vec::new();
                reader.read_to_end(&mut read).expect_err("wrong bytes");
                assert!(read.len() as u64 + offset <= (size as u64).saturating_sub(HELD_BACK).max(offset));
                assert!(matches!(blob.take_fault(), Some(Error::DigestMismatch { .. })));
            }
        }
    }
}
