//! Blobs: content that is named by its digest.
//!
//! A blob is written where it has no name, and gets one when its digest is known and the layout is locked. Storing the
//! same bytes twice is not an error. A blob that was stored and is then not named by any document is taken away again.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread::JoinHandle;

use super::handle::{Layout, Lock};
use super::site::{BLOBS_DIRECTORY, Site};
use crate::compress::BUFFER;
use crate::error::{Error, Referrer, Result};
use crate::fs::{Directory, FileIdentity, TempFile, kind_of, open_inside, read_at_most, target_inside, touch};
use crate::graph::verify::expect_digest;
use crate::layout::blob_directory::{blob_directory, check_blob_directory, make_blob_directory, scratch};
use crate::layout::lock::take_lock;
use crate::metrics::Phase;
use crate::oci::{Algorithm, Digest, Hasher};

/// The largest manifest, index or config that is read. Registries take 4 MiB.
pub(crate) const DOCUMENT_BLOB_LIMIT: u64 = 8 * 1024 * 1024;

/// A blob that is being written.
pub(crate) struct NewBlob<'a> {
    site: &'a Site,
    /// The layout that may have the blob already; `None` if it is to be made.
    layout: Option<&'a Layout>,
    file: TempFile,
    hasher: Hasher,
    size: u64,
    early_sync: EarlySync,
}

/// Brings a large blob to the disk while it is being written, so that little is left to wait for in the end.
#[derive(Default)]
pub(crate) struct EarlySync {
    /// How many bytes were written when it last began.
    begun_at: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    /// How many bytes are worth beginning for.
    const STEP: u64 = 32 * 1024 * 1024;

    /// Starts the next sync if enough was written since and the last one has ended. A failed earlier sync is an error.
    pub(crate) fn go_on(&mut self, file: &TempFile, written: u64) -> io::Result<()> {
        if written - self.begun_at < Self::STEP || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        self.finish()?;
        self.begun_at = written;
        self.running = file.start_sync();
        Ok(())
    }

    /// Waits for the last one. Its error would not be told again by the sync that follows.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.running.take().map_or(Ok(()), |running| running.join().expect("syncing does not panic"))
    }
}

/// A blob that is written and synced, and has no name yet.
pub(crate) struct PendingBlob {
    site: Site,
    file: TempFile,
    /// The blob of this digest that the layout had before it was locked, verified: if it is still there this one is not
    /// needed. It is not synced so far.
    there: Option<File>,
    /// The digest of the written content.
    pub(crate) digest: Digest,
    /// How many bytes were written.
    pub(crate) size: u64,
}

/// A blob that has its name. If it is new and dropped without [`StoredBlob::keep`], it is deleted again.
pub(crate) struct StoredBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// The directory to delete it from.
    new_in: Option<Directory>,
}

/// How a blob may share storage with its source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// The file, under two names.
    File,
    /// Nothing that is seen: each has a file of its own.
    Nothing,
}

/// When a document refers to a blob that is being stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Before the lock is released.
    Now,
    /// By a later command. Until then a collection of garbage may keep young blobs only, so the time must be now.
    Later,
}

impl Site {
    /// Starts a blob of a layout that is to be made when the content is complete.
    pub(crate) fn new_blob_of(&self, algorithm: Algorithm) -> Result<NewBlob<'_>> {
        let scratch = scratch(self, algorithm.name())?;
        let file =
            TempFile::create_within(&scratch, self.interrupt()).map_err(Error::io("write to", scratch.path()))?;
        Ok(NewBlob::new(self, file, algorithm))
    }

    /// Reads content to its end and compares its digest; tells how far it is after every piece.
    pub(crate) fn verify(&self, digest: &Digest, mut content: impl Read, progress: impl Fn(u64)) -> Result<()> {
        let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match self.metrics().time(Phase::Read, || content.read(&mut buffer)) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.blob_path(digest))(error)),
            };
            self.metrics().count_read(read);
            self.metrics().time(Phase::Hash, || hasher.update(&buffer[..read]));
            progress(read as u64);
        }
        expect_digest(digest, hasher.finish())
    }
}

impl Layout {
    /// Starts a blob with a digest of the usual algorithm.
    pub(crate) fn new_blob(&self) -> Result<NewBlob<'_>> {
        self.new_blob_of(Algorithm::Sha256)
    }

    /// Starts a blob.
    pub(crate) fn new_blob_of(&self, algorithm: Algorithm) -> Result<NewBlob<'_>> {
        Ok(NewBlob { layout: Some(self), ..self.site().new_blob_of(algorithm)? })
    }

    /// Stores a document, unless it is larger than readers accept.
    pub(crate) fn store_document(&self, lock: &Lock, what: &str, content: &[u8]) -> Result<StoredBlob> {
        self.store_document_of(lock, what, content, Algorithm::Sha256)
    }

    /// Stores a document under a digest of some algorithm.
    pub(crate) fn store_document_of(
        &self,
        lock: &Lock,
        what: &str,
        content: &[u8],
        algorithm: Algorithm,
    ) -> Result<StoredBlob> {
        if content.len() as u64 > DOCUMENT_BLOB_LIMIT {
            return Err(Error::TooLarge { what: what.to_owned(), limit: DOCUMENT_BLOB_LIMIT });
        }
        let mut blob = self.new_blob_of(algorithm)?;
        blob.write_all(content).map_err(Error::io("write to", self.path()))?;
        blob.finish()?.commit(lock)
    }

    /// Returns the caller as the one who asks for a blob.
    pub(crate) fn caller(&self) -> Referrer {
        Referrer::Caller(self.path().to_owned())
    }

    /// Opens a blob and tells its size. The content is not verified.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with `referrer`; [`Error::NotAFile`], [`Error::LinkOutside`]; [`Error::Io`].
    pub(crate) fn open_blob(&self, digest: &Digest, referrer: &Referrer) -> Result<(File, u64)> {
        let path = self.blob_path(digest);
        check_blob_directory(self.site(), digest)?;
        let file = match open_inside(self.path(), &path) {
            Err(error) if self.shares_blobs() && error.kind() == io::ErrorKind::InvalidInput => {
                open_inside(&self.path().join(BLOBS_DIRECTORY), &path)
            }
            opened => opened,
        };
        let open = file.and_then(|file| Ok((file.metadata()?.len(), file)));
        match open {
            Ok((size, file)) => {
                self.metrics().count_blob_read();
                Ok((file, size))
            }
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() }
                }
                io::ErrorKind::InvalidInput if matches!(target_inside(self.path(), &path), Ok(None)) => {
                    Error::BlobLinkOutside { digest: digest.clone(), path }
                }
                io::ErrorKind::InvalidInput => {
                    let found = fs::metadata(&path).map_or("something else", |metadata| kind_of(&metadata));
                    Error::NotAFile { digest: digest.clone(), path, found }
                }
                _ => Error::io("read", path)(error),
            }),
        }
    }

    /// Checks that a blob is stored with a size; its content is not read.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open_blob`]; [`Error::SizeMismatch`].
    pub(crate) fn expect_blob(&self, digest: &Digest, expected: u64, referrer: &Referrer) -> Result<()> {
        let (_, actual) = self.open_blob(digest, referrer)?;
        if actual == expected {
            Ok(())
        } else {
            Err(Error::SizeMismatch { digest: Some(digest.clone()), expected, actual })
        }
    }

    /// Returns whether a blob is stored with a size; its content is not read.
    pub(crate) fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        self.open_blob(digest, &self.caller()).is_ok_and(|(_, actual)| actual == size)
    }

    /// Reads a document that is a blob, and verifies it.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open_blob`]; [`Error::TooLarge`]; [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`].
    pub(crate) fn read_document_blob(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        let (file, _) = self.open_blob(digest, referrer)?;
        self.read_opened_document(digest, &file)
    }

    /// Reads a document from its opened blob, and verifies it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`]; [`Error::Io`].
    pub(crate) fn read_opened_document(&self, digest: &Digest, file: &File) -> Result<Vec<u8>> {
        let content = self.read_limited(digest, file)?;
        self.verify(digest, content.as_slice(), |_| ())?;
        Ok(content)
    }

    /// Reads a document from its opened blob. It is not verified.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::Io`].
    pub(crate) fn read_limited(&self, digest: &Digest, file: &File) -> Result<Vec<u8>> {
        let read = self.metrics().time(Phase::Read, || read_at_most(file, DOCUMENT_BLOB_LIMIT));
        let content = read.map_err(Error::io("read", self.blob_path(digest)))?;
        let too_large = || Error::TooLarge { what: format!("document {digest}"), limit: DOCUMENT_BLOB_LIMIT };
        content.ok_or_else(too_large)
    }

    /// Reads content to its end and compares its digest; tells how far it is after every piece.
    pub(crate) fn verify(&self, digest: &Digest, content: impl Read, progress: impl Fn(u64)) -> Result<()> {
        self.site().verify(digest, content, progress)
    }

    /// Opens the blob of a digest and size if it is stored and its content matches. An unverifiable digest matches if
    /// the size does.
    pub(crate) fn sound_blob(&self, digest: &Digest, size: u64, progress: impl Fn(u64)) -> Option<File> {
        // One that cannot be read is replaced.
        let (file, _) = self.open_blob(digest, &self.caller()).ok().filter(|(_, found)| *found == size)?;
        let is_right = digest.algorithm().is_none() || self.verify(digest, &file, progress).is_ok();
        is_right.then_some(file)
    }

    /// Stores content that is complete and already verified, for a later command to refer to. A file with its name is
    /// replaced, unless it is `there`: a verified blob.
    pub(crate) fn adopt_blob(
        &self,
        (digest, size): (&Digest, u64),
        (content, path): (&File, &Path),
        there: Option<File>,
    ) -> Result<()> {
        if let Some(there) = there
            && self.keep_stored(&take_lock(self)?, digest, &there)?
        {
            return Ok(());
        }
        // It was deleted, or is another user's, who may let it grow old. The layout is not locked while it is copied.
        let copy = self.copy_of((digest, size), (content, path), Share::File)?;
        copy.commit_unnamed(&take_lock(self)?)?.keep();
        Ok(())
    }

    /// Returns whether a blob that was seen to be right before the layout was locked is still stored, and makes it young.
    pub(crate) fn keep_stored(&self, lock: &Lock, digest: &Digest, there: &File) -> Result<bool> {
        let Some(directory) = blob_directory(self.site(), lock.root(), digest.algorithm_name())? else {
            return Ok(false);
        };
        let path = self.blob_path(digest);
        if !is_still(&directory, digest, there) || touch(there, &path).is_err() {
            return Ok(false);
        }
        // The writer that stored it need not have waited for the disk.
        self.site().sync_stored(there, &path).map(|()| true)
    }

    /// Makes a blob of content that is open and verified: by a clone, which shares the blocks; by a link, if the file may be
    /// shared; or by a copy: the first that the system can do.
    pub(crate) fn copy_of(
        &self,
        (digest, size): (&Digest, u64),
        (content, path): (&File, &Path),
        share: Share,
    ) -> Result<PendingBlob> {
        let scratch = scratch(self.site(), digest.algorithm_name())?;
        let failed = || Error::io("write to", scratch.path());
        let pending = |file| PendingBlob { site: self.site().clone(), file, there: None, digest: digest.clone(), size };
        let clone = TempFile::create_within(&scratch, self.interrupt()).map_err(failed())?;
        if clone.clone_from(content) {
            self.site().sync_file(&clone)?;
            return Ok(pending(clone));
        }
        // A link has the time of the file, which must be now; that of another user cannot be set.
        if share == Share::File
            && touch(content, path).is_ok()
            && let Ok(link) = TempFile::link(content, path, &scratch, self.interrupt())
        {
            self.site().sync_file(&link)?;
            return Ok(pending(link));
        }
        let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
        let mut copy = NewBlob { layout: Some(self), ..NewBlob::new(self.site(), clone, algorithm) };
        let mut content = content;
        content.seek(SeekFrom::Start(0)).map_err(Error::io("read", path))?;
        io::copy(&mut content, &mut copy).map_err(failed())?;
        let copied = copy.finish()?;
        expect_digest(digest, copied.digest.clone())?;
        Ok(copied)
    }

    /// Deletes a blob that no document names any more. That it is gone already is not an error.
    pub(crate) fn remove_blob(&self, lock: &Lock, digest: &Digest) -> Result<()> {
        let Some(directory) = blob_directory(self.site(), lock.root(), digest.algorithm_name())? else { return Ok(()) };
        directory.remove_if_there(digest.encoded()).map_err(Error::io("delete", self.blob_path(digest)))
    }
}

impl<'a> NewBlob<'a> {
    fn new(site: &'a Site, file: TempFile, algorithm: Algorithm) -> Self {
        let (hasher, early_sync) = (Hasher::new(algorithm), EarlySync::default());
        Self { site, layout: None, file, hasher, size: 0, early_sync }
    }

    /// Learns the digest of the content and waits until it is on the disk, unless the layout has it already.
    pub(crate) fn finish(self) -> Result<PendingBlob> {
        let Self { site, layout, file, hasher, size, mut early_sync } = self;
        let digest = hasher.finish();
        site.metrics().time(Phase::Sync, || early_sync.finish()).map_err(Error::io("write to", site.path()))?;
        let there = layout.and_then(|layout| layout.sound_blob(&digest, size, |_| ()));
        if there.is_none() {
            site.sync_file(&file)?;
        }
        Ok(PendingBlob { site: site.clone(), file, there, digest, size })
    }
}

impl Write for NewBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let metrics = self.site.metrics();
        let written = metrics.time(Phase::Write, || self.file.write(bytes))?;
        metrics.time(Phase::Hash, || self.hasher.update(&bytes[..written]));
        metrics.count_written(written);
        self.size += written as u64;
        if self.site.waits_for_disk() {
            self.early_sync.go_on(&self.file, self.size)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl PendingBlob {
    /// Renames the blob to its path, for a document that is about to refer to it. A file with that name is replaced,
    /// unless it is a verified blob.
    pub(crate) fn commit(self, lock: &Lock) -> Result<StoredBlob> {
        self.place(lock, Named::Now)
    }

    /// Renames the blob to its path as [`PendingBlob::commit`] does, for a later command to refer to it.
    pub(crate) fn commit_unnamed(self, lock: &Lock) -> Result<StoredBlob> {
        self.place(lock, Named::Later)
    }

    fn place(self, lock: &Lock, named: Named) -> Result<StoredBlob> {
        let Self { site, file, there, digest, size } = self;
        let directory = make_blob_directory(&site, lock, digest.algorithm_name())?;
        let path = site.blob_path(&digest);
        let is_synced = there.is_none();
        let there = there.filter(|there| is_still(&directory, &digest, there));
        if let Some(there) = &there
            && touch(there, &path).is_ok()
        {
            // The writer that stored it need not have waited for the disk.
            site.sync_stored(there, &path)?;
            return Ok(StoredBlob { digest, size, new_in: None });
        }
        if !is_synced {
            // It was deleted meanwhile, or another user stored it: then this one takes its place, so that its time is now.
            site.sync_file(&file)?;
        }
        if named == Named::Later {
            // This process may have waited long for the lock.
            touch(file.file(), &path).map_err(Error::io("write", &path))?;
        }
        let name = digest.encoded().as_ref();
        let found = directory.find(name).map_err(Error::io("read", &path))?;
        let own = FileIdentity::from_file(file.file()).map_err(Error::io("read", &path))?;
        if found.as_ref().is_some_and(|found| found.identity == own) {
            // Another process linked the same file here. To rename one of its names to the other does nothing.
            site.sync_names(&directory)?;
            return Ok(StoredBlob { digest, size, new_in: None });
        }
        let is_new = found.is_none();
        let placed =
            if is_new { file.persist_new_within(&directory, name) } else { file.persist_within(&directory, name) };
        match (placed, there) {
            // Where a file of another user cannot be replaced, it stays; a document keeps it from now on.
            (Err(_), Some(there)) if named == Named::Now => {
                site.sync_stored(&there, &path)?;
                return Ok(StoredBlob { digest, size, new_in: None });
            }
            (placed, _) => placed.map_err(Error::io("write", &path))?,
        }
        site.metrics().count_blob_written();
        // In a shared store the blob may already belong to another layout.
        let new_in = (is_new && !site.shares_blobs()).then(|| directory.clone());
        let stored = StoredBlob { digest, size, new_in };
        site.sync_names(&directory)?;
        Ok(stored)
    }
}

/// Returns whether a blob's name still belongs to the file that was opened by it. Nothing else has the identity of an open file.
fn is_still(directory: &Directory, digest: &Digest, there: &File) -> bool {
    let found = directory.find_target(digest.encoded()).ok().flatten();
    found.is_some_and(|found| FileIdentity::from_file(there).is_ok_and(|identity| identity == found.identity))
}

impl StoredBlob {
    /// Returns whether the layout did not have the blob before. In a shared store that is not known.
    pub(crate) fn is_new(&self) -> bool {
        self.new_in.is_some()
    }

    /// Keeps the blob: a document refers to it now.
    pub(crate) fn keep(mut self) {
        self.new_in = None;
    }
}

impl Drop for StoredBlob {
    fn drop(&mut self) {
        if let Some(directory) = &self.new_in {
            // The error that made this necessary is on its way; a blob that stays is unreferenced, not wrong.
            let _ = directory.remove_file(self.digest.encoded());
        }
    }
}
