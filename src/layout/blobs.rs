//! Blobs: content that is named by its digest.
//!
//! A blob is written where it has no name, and gets one when its digest is known and the layout is locked. Storing the
//! same bytes twice is not an error. A blob that was stored and is then not named by any document is taken away again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use super::error::{Error, Result};
use super::handle::{BLOBS_DIRECTORY, Layout, Lock};
use super::metrics::Phase;
use crate::compress::BUFFER;
use crate::fs::{TempFile, open_inside, read_at_most, target_inside};
use crate::oci::{Algorithm, Digest, Hasher};

/// The largest manifest, index or config that is read. Registries take 4 MiB.
pub(super) const DOCUMENT_BLOB_LIMIT: u64 = 8 * 1024 * 1024;

/// A blob that is being written.
pub(super) struct NewBlob<'a> {
    layout: &'a Layout,
    file: TempFile,
    hasher: Hasher,
    size: u64,
    early_sync: EarlySync,
}

/// Brings a large blob to the disk while it is being written, so that little is left to wait for in the end.
#[derive(Default)]
pub(super) struct EarlySync {
    /// How many bytes were written when it last began.
    begun_at: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    /// How many bytes are worth beginning for.
    const STEP: u64 = 32 * 1024 * 1024;

    /// Begins again if enough was written since and the last one has ended. What it could not write is an error.
    pub(super) fn go_on(&mut self, file: &TempFile, written: u64) -> io::Result<()> {
        if written - self.begun_at < Self::STEP || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        self.finish()?;
        self.begun_at = written;
        self.running = Some(file.start_sync()?);
        Ok(())
    }

    /// Waits for the last one. Its error would not be told again by the sync that follows.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.running.take().map_or(Ok(()), |running| running.join().expect("syncing does not panic"))
    }
}

/// A blob that is written and synced, and has no name yet.
pub(super) struct PendingBlob<'a> {
    layout: &'a Layout,
    file: TempFile,
    /// Whether the layout has this blob already, with the right content: then this one is not needed, and not synced.
    is_there: bool,
    /// The digest of what was written.
    pub(super) digest: Digest,
    /// How many bytes were written.
    pub(super) size: u64,
}

/// A blob that has its name. If it is new and dropped without [`StoredBlob::keep`], it is deleted again.
pub(super) struct StoredBlob<'a> {
    layout: &'a Layout,
    pub(super) digest: Digest,
    pub(super) size: u64,
    remove: bool,
}

impl Layout {
    /// Starts a blob with a digest of the usual algorithm.
    pub(super) fn new_blob(&self) -> Result<NewBlob<'_>> {
        self.new_blob_of(Algorithm::Sha256)
    }

    /// Starts a blob.
    pub(super) fn new_blob_of(&self, algorithm: Algorithm) -> Result<NewBlob<'_>> {
        let file = TempFile::create_in(self.path()).map_err(Error::io("write to", self.path()))?;
        Ok(NewBlob { layout: self, file, hasher: Hasher::new(algorithm), size: 0, early_sync: EarlySync::default() })
    }

    /// Stores a document, unless it is larger than what is read.
    pub(super) fn store_document(&self, lock: &Lock, what: &str, content: &[u8]) -> Result<StoredBlob<'_>> {
        self.store_document_of(lock, what, content, Algorithm::Sha256)
    }

    /// Stores a document under a digest of some algorithm.
    pub(super) fn store_document_of(
        &self,
        lock: &Lock,
        what: &str,
        content: &[u8],
        algorithm: Algorithm,
    ) -> Result<StoredBlob<'_>> {
        if content.len() as u64 > DOCUMENT_BLOB_LIMIT {
            return Err(Error::TooLarge { what: what.to_owned(), limit: DOCUMENT_BLOB_LIMIT });
        }
        let mut blob = self.new_blob_of(algorithm)?;
        blob.write_all(content).map_err(Error::io("write to", self.path()))?;
        blob.finish()?.commit(lock)
    }

    /// Opens a blob and tells its size. The content is not verified.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with `referrer` as what refers to it; [`Error::NotAFile`], [`Error::LinkOutside`];
    /// [`Error::Io`].
    pub(super) fn open_blob(&self, digest: &Digest, referrer: &str) -> Result<(File, u64)> {
        let path = self.blob_path(digest);
        self.check_blob_directory(digest)?;
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
                    Error::MissingBlob { digest: digest.clone(), referrer: referrer.to_owned() }
                }
                io::ErrorKind::InvalidInput => Error::NotAFile { digest: digest.clone() },
                _ => Error::io("read", path)(error),
            }),
        }
    }

    /// Checks that a blob is there and has a size; what it holds is not looked at.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open_blob`]; [`Error::SizeMismatch`].
    pub(super) fn expect_blob(&self, digest: &Digest, expected: u64, referrer: &str) -> Result<()> {
        let (_, actual) = self.open_blob(digest, referrer)?;
        if actual == expected { Ok(()) } else { Err(Error::SizeMismatch { digest: digest.clone(), expected, actual }) }
    }

    /// Tells whether a blob is there and has a size; what it holds is not looked at.
    pub(super) fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        self.open_blob(digest, "").is_ok_and(|(_, actual)| actual == size)
    }

    /// Reads a document that is a blob, and verifies it.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open_blob`]; [`Error::TooLarge`]; [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`].
    pub(super) fn read_document_blob(&self, digest: &Digest, referrer: &str) -> Result<Vec<u8>> {
        let (file, _) = self.open_blob(digest, referrer)?;
        self.read_opened_document(digest, &file)
    }

    /// Reads a document from its opened blob, and verifies it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`]; [`Error::Io`].
    pub(super) fn read_opened_document(&self, digest: &Digest, file: &File) -> Result<Vec<u8>> {
        let content = self
            .metrics()
            .time(Phase::Read, || read_at_most(file, DOCUMENT_BLOB_LIMIT))
            .map_err(Error::io("read", self.blob_path(digest)))?
            .ok_or_else(|| Error::TooLarge { what: format!("document {digest}"), limit: DOCUMENT_BLOB_LIMIT })?;
        self.verify(digest, content.as_slice(), |_| ())?;
        Ok(content)
    }

    /// Reads content to its end and compares its digest; tells how far it is after every piece.
    pub(super) fn verify(&self, digest: &Digest, mut content: impl Read, progress: impl Fn(u64)) -> Result<()> {
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
        let actual = hasher.finish();
        if actual == *digest { Ok(()) } else { Err(Error::DigestMismatch { digest: digest.clone(), actual }) }
    }

    /// Tells whether the layout has a blob of a digest and size, with the right content.
    pub(super) fn has_sound_blob(&self, digest: &Digest, size: u64, progress: impl Fn(u64)) -> bool {
        // One that cannot be read is replaced.
        self.open_blob(digest, "")
            .is_ok_and(|(file, found)| found == size && self.verify(digest, file, progress).is_ok())
    }

    /// Gives a blob its name that is complete somewhere else, and verified. One that is there already is replaced, unless its
    /// content was seen to be right. If a new name cannot be brought to the disk, it is taken back.
    pub(super) fn adopt_blob(
        &self,
        _lock: &Lock,
        (digest, size): (&Digest, u64),
        is_sound: bool,
        put: impl FnOnce(&Path) -> io::Result<()>,
        take_back: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<()> {
        self.check_blob_directory(digest)?;
        let path = self.blob_path(digest);
        if is_sound && self.has_blob(digest, size) {
            self.freshen(digest);
            return self.sync_stored(&path);
        }
        self.make_blob_directory(&path)?;
        let is_new = fs::symlink_metadata(&path).is_err();
        if !is_new {
            fs::remove_file(&path).map_err(Error::io("delete", &path))?;
        }
        put(&path).map_err(Error::io("write", &path))?;
        self.metrics().count_blob_written();
        // It may be a file that was written long ago.
        self.freshen(digest);
        let synced = self.sync_stored(&path);
        // What was put where others share it may be theirs by now.
        if synced.is_err() && is_new && !self.shares_blobs() {
            // The error that made this necessary is on its way; a blob that stays is unreferenced, not wrong.
            let _ = take_back(&path);
        }
        synced
    }

    /// Gives a file of the layout's file system the name of the blob that it is: it is verified and on the disk. What has the
    /// name is replaced. Tells whether nothing had it; does not wait until the name is on the disk.
    pub(super) fn place_blob(&self, _lock: &Lock, digest: &Digest, file: &Path) -> Result<bool> {
        self.check_blob_directory(digest)?;
        let path = self.blob_path(digest);
        self.make_blob_directory(&path)?;
        let is_free = fs::symlink_metadata(&path).is_err();
        fs::rename(file, &path).map_err(Error::io("write", &path))?;
        Ok(is_free)
    }

    /// Makes a blob that was stored once more look as if it was stored now: who stored it is about to name it, and a collection
    /// of garbage may be told to keep what is young.
    pub(super) fn freshen(&self, digest: &Digest) {
        // It may be another user's, who may not want to keep it.
        let _ = File::open(self.blob_path(digest)).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// Makes the directory that a blob is in, if it is not there.
    fn make_blob_directory(&self, path: &Path) -> Result<()> {
        let directory = path.parent().expect("a blob is in a directory");
        if make_directory(directory).map_err(Error::io("create", directory))? {
            directory.parent().map_or(Ok(()), |blobs| self.sync_directory(blobs))?;
            self.sync_directory(self.path())?;
        }
        Ok(())
    }

    /// Checks that the directories on the way to a blob are in the layout, unless it shares its blobs with others.
    pub(super) fn check_blob_directory(&self, digest: &Digest) -> Result<()> {
        self.check_blob_directory_of(digest.algorithm_name())
    }

    /// Checks the directories on the way to the blobs of an algorithm.
    pub(super) fn check_blob_directory_of(&self, algorithm: &str) -> Result<()> {
        if self.shares_blobs() {
            return Ok(());
        }
        let blobs = self.path().join(BLOBS_DIRECTORY);
        for directory in [blobs.join(algorithm), blobs] {
            let is_link = fs::symlink_metadata(&directory).is_ok_and(|metadata| metadata.is_symlink());
            if is_link && target_inside(self.path(), &directory).is_ok_and(|target| target.is_none()) {
                return Err(Error::LinkOutside { path: directory });
            }
        }
        Ok(())
    }

    /// Deletes a blob that no document names any more. That it is gone already is not an error.
    pub(super) fn remove_blob(&self, _lock: &Lock, digest: &Digest) -> Result<()> {
        self.check_blob_directory(digest)?;
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", path)(error)),
            _ => Ok(()),
        }
    }

    /// Returns the path of a blob.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join(BLOBS_DIRECTORY).join(digest.algorithm_name()).join(digest.encoded())
    }
}

impl<'a> NewBlob<'a> {
    /// Learns the digest of the content and waits until it is on the disk, unless the layout has it already.
    pub(super) fn finish(self) -> Result<PendingBlob<'a>> {
        let Self { layout, file, hasher, size, mut early_sync } = self;
        let digest = hasher.finish();
        layout.metrics().time(Phase::Sync, || early_sync.finish()).map_err(Error::io("write to", layout.path()))?;
        let is_there = layout.has_sound_blob(&digest, size, |_| ());
        if !is_there {
            layout.sync_file(&file)?;
        }
        Ok(PendingBlob { layout, file, is_there, digest, size })
    }
}

impl Write for NewBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let metrics = self.layout.metrics();
        let written = metrics.time(Phase::Write, || self.file.write(bytes))?;
        metrics.time(Phase::Hash, || self.hasher.update(&bytes[..written]));
        metrics.count_written(written);
        self.size += written as u64;
        if self.layout.waits_for_disk() {
            self.early_sync.go_on(&self.file, self.size)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'a> PendingBlob<'a> {
    /// Gives the blob its name. One that was there is replaced, unless its content is right.
    pub(super) fn commit(self, _lock: &Lock) -> Result<StoredBlob<'a>> {
        let Self { layout, file, is_there, digest, size } = self;
        layout.check_blob_directory(&digest)?;
        let path = layout.blob_path(&digest);
        // A link that leads nowhere has the name too.
        let is_new = fs::symlink_metadata(&path).is_err();
        if is_there && !is_new {
            layout.freshen(&digest);
            // Whoever stored it need not have waited for the disk.
            layout.sync_stored(&path)?;
            return Ok(StoredBlob { layout, digest, size, remove: false });
        }
        if is_there {
            // Somebody deleted it meanwhile.
            layout.sync_file(&file)?;
        }
        layout.make_blob_directory(&path)?;
        let named = if is_new { file.persist_new(&path) } else { file.persist(&path) };
        named.map_err(Error::io("write", &path))?;
        let stored = StoredBlob { layout, digest, size, remove: is_new };
        layout.metrics().count_blob_written();
        layout.sync_directory(path.parent().expect("a blob is in a directory"))?;
        Ok(stored)
    }
}

/// Compares the digest of some bytes with what it should be.
///
/// # Errors
///
/// [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`].
pub(super) fn verify_bytes(digest: &Digest, bytes: &[u8]) -> Result<()> {
    let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == *digest { Ok(()) } else { Err(Error::DigestMismatch { digest: digest.clone(), actual }) }
}

/// Makes the directory of an algorithm if it is not there, and tells whether it was made.
fn make_directory(directory: &Path) -> io::Result<bool> {
    if directory.is_dir() {
        return Ok(false);
    }
    fs::create_dir_all(directory)?;
    Ok(true)
}

impl StoredBlob<'_> {
    /// Tells that a document names the blob now.
    pub(super) fn keep(mut self) {
        self.remove = false;
    }
}

impl Drop for StoredBlob<'_> {
    fn drop(&mut self) {
        // What was stored where others share it may be theirs by now.
        if self.remove && !self.layout.shares_blobs() {
            // The error that made this necessary is on its way; a blob that stays is unreferenced, not wrong.
            let _ = fs::remove_file(self.layout.blob_path(&self.digest));
        }
    }
}
