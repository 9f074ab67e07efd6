//! The upload of one blob: from asking whether it is there to the proof that it is.
//!
//! A blob goes in one body, unless the registry is known to cut or refuse bodies, or wants chunks. After each exchange in
//! doubt the registry is asked: for the blob, and for how far the upload is. What it has is not sent again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::body::{JoinHash, OutgoingBlob, hash_all};
use super::journal::{Entry, Journal, Saved};
use super::skip_or_mount::{has_blob, mount};
use crate::error::{Error, RemoteError};
use crate::oci::{Descriptor, Digest, RepositoryName};
use crate::remote::auth::scope::Scope;
use crate::remote::client::{Client, Payload, Started, UploadSession, UploadStatus};
use crate::remote::first_fault::FirstFault;
use crate::remote::retry::{Failure, Tries};
use crate::transfer::event::{TransferEvent, TransferObserver};
use crate::view::content::Content;
use crate::workers::map::cores;
use crate::workers::worker;

/// The size of chunks: between the smallest part of S3 (5 MiB) and the largest body that proxies take (100 MB).
const CHUNK: u64 = 32 * 1024 * 1024;

/// The smallest chunk to which one is halved.
const SMALLEST_CHUNK: u64 = 1024 * 1024;

/// The largest chunk.
pub(crate) const LARGEST_CHUNK: u64 = 1024 * 1024 * 1024;

/// Blobs from this size on are hashed by a thread of their own, unless each core has a thread.
const HASHED_BESIDE: u64 = 8 * 1024 * 1024;

/// After so many bytes more, an upload may fail as often again.
const PROGRESS: u64 = 1024 * 1024;

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadAction {
    /// All of it was sent.
    Uploaded,
    /// The rest of it was sent: an earlier run had begun.
    Resumed,
    /// The registry took it from another repository.
    Mounted,
    /// The registry had it.
    Skipped,
    /// It was left out: only its URLs have it.
    LeftOut,
}

/// The uploads of one push.
pub(crate) struct Uploads<'a> {
    pub(crate) client: &'a Client,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) scope: &'a Scope,
    pub(crate) mount_from: &'a [RepositoryName],
    /// Whether each blob is sent without asking.
    pub(crate) force: bool,
    pub(crate) journal: &'a Journal,
    pub(crate) observer: TransferObserver<'a>,
    /// What was learnt of the registry.
    pub(crate) manner: Manner,
    pub(crate) bytes_uploaded: AtomicU64,
    /// The threads that send and hash blobs.
    pub(crate) busy: AtomicUsize,
    pub(crate) first: &'a FirstFault,
}

/// Threads that are counted as busy.
struct Busy<'a>(&'a AtomicUsize, usize);

impl<'a> Busy<'a> {
    /// Counts the thread that sends a blob, and one that hashes it if that is wanted and there is a core for it.
    fn begin(busy: &'a AtomicUsize, wants_two: bool) -> Self {
        let others = busy.fetch_add(1, Ordering::Relaxed);
        let hashes_beside = wants_two && others + 1 < cores();
        busy.fetch_add(usize::from(hashes_beside), Ordering::Relaxed);
        Self(busy, 1 + usize::from(hashes_beside))
    }

    fn hashes_beside(&self) -> bool {
        self.1 > 1
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// How the registry takes bodies.
#[derive(Debug)]
pub(crate) struct Manner {
    /// Whether blobs go in chunks.
    chunked: AtomicBool,
    /// Whether the registry takes no chunks.
    refuses_chunks: AtomicBool,
    chunk: AtomicU64,
    /// Whether connections were cut, so that each body gets one of its own.
    was_cut: AtomicBool,
    /// The size that the user chose.
    is_chosen: bool,
    lock: Mutex<()>,
}

impl Manner {
    pub(crate) fn new(chunked: bool, chunk: Option<u64>) -> Self {
        Self {
            chunked: AtomicBool::new(chunked || chunk.is_some()),
            refuses_chunks: AtomicBool::new(false),
            chunk: AtomicU64::new(chunk.unwrap_or(CHUNK)),
            was_cut: AtomicBool::new(false),
            is_chosen: chunk.is_some(),
            lock: Mutex::new(()),
        }
    }

    fn is_chunked(&self) -> bool {
        self.chunked.load(Ordering::Relaxed) && !self.refuses_chunks.load(Ordering::Relaxed)
    }

    fn chunk_for(&self, session: &UploadSession) -> u64 {
        let chunk = self.chunk.load(Ordering::Relaxed);
        chunk.max(session.smallest_chunk.filter(|smallest| *smallest <= LARGEST_CHUNK).unwrap_or_default())
    }

    /// Learns that a body of so many bytes is too large. Returns whether a smaller one may do.
    fn too_large(&self, sent: u64) -> bool {
        let _lock = self.lock.lock();
        let chunk = self.chunk.load(Ordering::Relaxed);
        if self.refuses_chunks.load(Ordering::Relaxed) {
            return false;
        }
        if !self.chunked.swap(true, Ordering::Relaxed) && sent > chunk {
            return true;
        }
        if sent <= SMALLEST_CHUNK || self.is_chosen && sent <= chunk {
            return false;
        }
        self.shrink_to(sent / 2);
        true
    }

    /// Learns that a body of so many bytes was cut, and that nothing of it is there: the next chunks are smaller, since a
    /// refusal may look like that too.
    fn was_lost(&self, sent: u64) {
        if !self.is_chosen {
            self.shrink_to(sent / 4);
        }
    }

    /// Makes chunks smaller, unless another upload has done that.
    fn shrink_to(&self, size: u64) {
        self.chunk.fetch_min(size.max(SMALLEST_CHUNK), Ordering::Relaxed);
    }
}

/// Ends the hashing of a blob whose upload ended.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One upload on its way.
struct Upload<'u, 'a> {
    all: &'u Uploads<'a>,
    descriptor: &'u Descriptor,
    blob: OutgoingBlob<'u>,
    entry: Entry,
    session: UploadSession,
    /// How many bytes the registry has.
    at: u64,
    /// How many it ever had: what goes forward may fail as often again.
    furthest: u64,
    tries: Tries,
}

impl<'a> Uploads<'a> {
    /// Makes sure that the registry has a blob.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`]; [`RemoteError::Upload`].
    pub(crate) fn upload(&self, descriptor: &Descriptor, content: &Content) -> Result<UploadAction, Error> {
        let (digest, size) = (&descriptor.digest, content.size());
        let failed = |error| failed(digest, error);
        if !self.force && self.is_there(digest, size).map_err(failed)? {
            self.journal.forget(&self.client.host().to_string(), self.repository, digest);
            (self.observer)(TransferEvent::Present(descriptor));
            return Ok(UploadAction::Skipped);
        }
        self.send(descriptor, content)
    }

    /// Sends a blob, or has it mounted.
    fn send(&self, descriptor: &Descriptor, content: &Content) -> Result<UploadAction, Error> {
        let (digest, size) = (&descriptor.digest, content.size());
        let failed = |error| failed(digest, error);
        let mut entry = self.journal.entry(&self.client.host().to_string(), self.repository, digest);
        let mut tries = self.client.tries();
        let resumed = match entry.saved() {
            Some(saved) => self.resume(&saved, size).map_err(failed)?,
            None => None,
        };
        let is_resumed = resumed.is_some();
        let (session, at) = match resumed {
            Some((session, at)) => {
                (self.observer)(TransferEvent::Resumed(descriptor, at));
                (session, at)
            }
            None => match self.start(digest, &mut tries).map_err(failed)? {
                Started::Mounted => {
                    (self.observer)(TransferEvent::Mounted(descriptor));
                    return Ok(UploadAction::Mounted);
                }
                Started::Session(session) => {
                    (self.observer)(TransferEvent::Started(descriptor));
                    (session, 0)
                }
            },
        };
        if session.smallest_chunk.is_some() {
            self.manner.chunked.store(true, Ordering::Relaxed);
        }
        let started = (session, at, entry, tries);
        let is_stopped = AtomicBool::new(false);
        let (is_stopped, first) = (&is_stopped, self.first);
        thread::scope(|scope| {
            let _stop = Stop(is_stopped);
            // Large blobs are hashed beside, so that hashing does not hold up the network. Both threads read the blob, which is
            // a waste where all cores are busy anyway.
            let busy = Busy::begin(&self.busy, size >= HASHED_BESIDE);
            let thread = if busy.hashes_beside() { worker(scope).ok() } else { None };
            let beside = thread.map(|thread| {
                let hashing = thread
                    .start(move || hash_all(content, digest, || is_stopped.load(Ordering::Relaxed) || first.is_set()));
                Box::new(move || hashing.join()) as JoinHash<'_>
            });
            let blob = OutgoingBlob::new(content, descriptor, beside, self.observer).stopped_by(self.first);
            self.complete(descriptor, blob, started)
        })?;
        (self.observer)(TransferEvent::Done(descriptor));
        Ok(if is_resumed { UploadAction::Resumed } else { UploadAction::Uploaded })
    }

    /// Sends a blob in an upload that was begun, until the registry has it.
    fn complete(
        &self,
        descriptor: &Descriptor,
        blob: OutgoingBlob<'_>,
        (session, at, entry, tries): (UploadSession, u64, Entry, Tries),
    ) -> Result<(), Error> {
        let mut upload = Upload { all: self, descriptor, blob, entry, session, at, furthest: at, tries };
        upload.save();
        let error = match upload.run() {
            Ok(()) => {
                upload.entry.delete();
                return Ok(());
            }
            Err(error) => error,
        };
        let fault = upload.blob.take_fault();
        if let Some(fault @ Error::DigestMismatch { .. }) = fault {
            upload.give_up();
            return Err(fault);
        }
        if self.first.is_set() {
            // The fault of another blob is the error. What is worth it goes on in a later run.
            if !upload.entry.is_kept() || descriptor.size < SMALLEST_CHUNK {
                upload.give_up();
            }
            return Err(failed(&descriptor.digest, error));
        }
        if let Some(fault) = fault {
            upload.give_up();
            return Err(fault);
        }
        // After a cut it goes on later; after a refusal it does not.
        if !matches!(error, RemoteError::Unreachable { .. } | RemoteError::Later { .. }) {
            upload.give_up();
        }
        Err(failed(&descriptor.digest, error))
    }

    /// Makes sure that the registry has a blob that it was asked about before.
    ///
    /// # Errors
    ///
    /// As [`Uploads::upload`].
    pub(crate) fn upload_if_absent(&self, descriptor: &Descriptor, content: &Content) -> Result<(), Error> {
        let is_there = self.is_there(&descriptor.digest, content.size());
        if is_there.map_err(|error| failed(&descriptor.digest, error))? {
            return Ok(());
        }
        self.send(descriptor, content).map(drop)
    }

    fn is_there(&self, digest: &Digest, size: u64) -> Result<bool, RemoteError> {
        has_blob(self.client, self.repository, self.scope, digest, size)
    }

    /// Begins an upload, or has the blob mounted.
    fn start(&self, digest: &Digest, tries: &mut Tries) -> Result<Started, RemoteError> {
        if let Some(started) = mount(self.client, self.repository, self.scope, digest, self.mount_from) {
            return Ok(started);
        }
        loop {
            match self.client.start_upload(self.repository, None, self.scope) {
                Ok(started) => return Ok(started),
                Err(failure) => self.client.pause(tries, failure)?,
            }
        }
    }

    /// Asks how far the upload of an earlier run is; `None` if it does not go on.
    fn resume(&self, saved: &Saved, size: u64) -> Result<Option<(UploadSession, u64)>, RemoteError> {
        let Some(session) = self.client.saved_session(&saved.location) else { return Ok(None) };
        if saved.chunked {
            self.manner.chunked.store(true, Ordering::Relaxed);
        }
        match self.client.upload_status(&session, self.scope) {
            Ok(UploadStatus::At(session, at)) if at > 0 && at <= size => Ok(Some((session, at))),
            Ok(_) => Ok(None),
            // Whether the registry can be reached shows with the next request.
            Err(_) => Ok(None),
        }
    }
}

impl Upload<'_, '_> {
    /// Sends what the registry lacks, until it has the blob.
    fn run(&mut self) -> Result<(), RemoteError> {
        loop {
            let failure = match self.send_next() {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(failure) => failure,
            };
            if self.blob.has_fault() {
                return Err(*failure.error);
            }
            if self.recover(failure)? {
                return Ok(());
            }
        }
    }

    /// Returns how many bytes the next body has, and whether it is a chunk that others follow.
    fn next_body(&self) -> (u64, bool) {
        let manner = &self.all.manner;
        let left = self.blob.size() - self.at;
        let chunk = manner.chunk_for(&self.session);
        if manner.is_chunked() && left > chunk { (chunk, true) } else { (left, false) }
    }

    /// Sends the next chunk, or the rest. Returns whether the blob is complete.
    fn send_next(&mut self) -> Result<bool, Failure> {
        let (length, is_chunk) = self.next_body();
        let (at, size) = (self.at, self.blob.size());
        let Uploads { client, scope, manner, bytes_uploaded, .. } = self.all;
        let closes = manner.was_cut.load(Ordering::Relaxed);
        let mut reader = self.blob.part(at, length);
        let payload = Payload::Stream { length, reader: &mut reader };
        if is_chunk {
            self.session = client.send_chunk(&self.session, at, (length, payload), closes, scope)?;
        } else {
            let range = (at > 0 && length > 0).then(|| (at, size - 1));
            let digest = &self.descriptor.digest;
            client.finish_upload(&self.session, digest, range, payload, closes, scope)?;
        }
        bytes_uploaded.fetch_add(length, Ordering::Relaxed);
        self.reach(at + length);
        if is_chunk {
            self.save();
        }
        Ok(!is_chunk)
    }

    /// Notes how many bytes the registry has.
    fn reach(&mut self, at: u64) {
        self.at = at;
        if at >= self.furthest.saturating_add(PROGRESS) {
            self.furthest = at;
            self.tries = self.all.client.tries();
        }
    }

    /// Finds out what the registry has after an exchange that failed. Returns whether it has the blob.
    fn recover(&mut self, failure: Failure) -> Result<bool, RemoteError> {
        let (length, is_chunk) = self.next_body();
        let manner = &self.all.manner;
        match failure.status {
            Some(413) => {
                let can_shrink = manner.too_large(length);
                // The registry may want chunks that the proxy before it refuses.
                if !can_shrink || is_chunk && manner.chunk_for(&self.session) >= length {
                    return Err(*failure.error);
                }
                self.all.client.cancel_upload(&self.session, self.all.scope);
                return self.begin_anew().map(|()| false);
            }
            // A registry without chunks.
            Some(400 | 402 | 404..=407 | 409..=412 | 414..=415 | 417..=424 | 426..=428 | 431..=499 | 501)
                if is_chunk && self.at == 0 =>
            {
                manner.refuses_chunks.store(true, Ordering::Relaxed);
                self.all.client.cancel_upload(&self.session, self.all.scope);
                return self.begin_anew().map(|()| false);
            }
            _ => {}
        }
        let is_in_doubt = failure.is_transient || failure.status == Some(404);
        if !is_chunk && is_in_doubt && self.all.is_there(&self.descriptor.digest, self.blob.size())? {
            return Ok(true);
        }
        let is_lost = matches!(failure.status, Some(404 | 409 | 416)) || self.may_be_mixed_up(&failure);
        let was_cut = failure.is_transient && failure.status.is_none();
        if was_cut {
            manner.was_cut.store(true, Ordering::Relaxed);
            if length > SMALLEST_CHUNK {
                manner.chunked.store(true, Ordering::Relaxed);
            }
        }
        let is_mixed_up = self.may_be_mixed_up(&failure);
        self.all.client.pause(&mut self.tries, Failure { is_transient: failure.is_transient || is_lost, ..failure })?;
        if is_mixed_up {
            return self.begin_anew().map(|()| false);
        }
        match self.all.client.upload_status(&self.session, self.all.scope) {
            Ok(UploadStatus::At(session, at)) if at <= self.blob.size() => {
                if was_cut && at <= self.at {
                    manner.was_lost(length);
                }
                self.all.bytes_uploaded.fetch_add(at.saturating_sub(self.at), Ordering::Relaxed);
                self.session = session;
                self.reach(at);
                self.save();
                Ok(false)
            }
            _ => {
                if was_cut {
                    manner.was_lost(length);
                }
                self.begin_anew().map(|()| false)
            }
        }
    }

    /// Returns whether a registry says that the digest is wrong of bytes that came in parts: it may have put them together
    /// wrongly.
    fn may_be_mixed_up(&self, failure: &Failure) -> bool {
        let says_digest = match &*failure.error {
            RemoteError::Status { codes, .. } => codes
                .iter()
                .any(|code| matches!(code.as_str(), "DIGEST_INVALID" | "BLOB_UPLOAD_INVALID" | "SIZE_INVALID")),
            _ => false,
        };
        says_digest && (self.at > 0 || self.all.manner.is_chunked())
    }

    /// Begins another upload of the same blob.
    fn begin_anew(&mut self) -> Result<(), RemoteError> {
        loop {
            match self.all.client.start_upload(self.all.repository, None, self.all.scope) {
                Ok(Started::Session(session)) => {
                    self.session = session;
                    self.at = 0;
                    self.save();
                    return Ok(());
                }
                Ok(Started::Mounted) => unreachable!("no other repository was named"),
                Err(failure) => self.all.client.pause(&mut self.tries, failure)?,
            }
        }
    }

    /// Notes in the journal where the upload goes on.
    fn save(&mut self) {
        let chunked = self.all.manner.is_chunked();
        self.entry.save(&Saved { location: self.session.location.as_request(), chunked });
    }

    /// Ends an upload that does not go on.
    fn give_up(&mut self) {
        self.all.client.cancel_upload(&self.session, self.all.scope);
        self.entry.delete();
    }
}

fn failed(digest: &Digest, error: RemoteError) -> Error {
    Error::Remote(RemoteError::Upload { digest: digest.clone(), source: Box::new(error) })
}
