//! Uploads: blobs that come in pieces, from more than one process if need be.
//!
//! The bytes so far are a file in `.regshape-uploads`, where no program looks for blobs, named by the id of the upload.
//! It is locked while a process writes to it. Collecting garbage deletes abandoned uploads.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::repository::Repository;
use crate::error::{Error, Result};
use crate::fs::{Directory, FileIdentity, FileKind, Found, random_name, touch};
use crate::graph::verify::expect_digest;
use crate::interrupt::Registered;
use crate::layout::blob_directory::{make_blob_directory, scratch};
use crate::layout::blobs::Share;
use crate::layout::handle::Layout;
use crate::layout::lock::acquire;
use crate::layout::lock::take_lock;
use crate::layout::uploads::{ID_LENGTH, UPLOADS_DIRECTORY};
use crate::layout::uploads::{find_uploads, unknown_upload, upload_path};
use crate::metrics::Phase;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};

/// A blob that comes in pieces. Dropped without a commit it stays, and can be resumed by its id.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layout");
/// use std::io::Write;
///
/// use regshape::registry::Registry;
/// use regshape::oci::Digest;
///
/// let app = Registry::shared(&path)?.repository("example/app".parse()?);
/// let mut upload = app.start_upload()?;
/// upload.write_all(b"one, ")?;
/// let id = upload.id().to_owned();
/// drop(upload);
///
/// // Later, perhaps in another process.
/// let mut upload = app.resume_upload(&id, Some(5))?;
/// upload.write_all(b"two")?;
/// let blob = upload.commit(&Digest::sha256_of(b"one, two"))?;
/// assert_eq!(blob.size, 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlobUpload {
    layout: Layout,
    /// Its directory, even if its path is renamed.
    uploads: Directory,
    id: String,
    /// For messages.
    path: PathBuf,
    file: Arc<File>,
    /// Unlocks the file if the work is abandoned.
    _locked: Registered,
    size: u64,
    /// The digest so far, if all of it came through here.
    hasher: Option<Hasher>,
}

/// An upload that could not be committed, and the reason. It can be continued or cancelled.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommitError {
    /// The reason.
    pub error: Error,
    /// The upload as it was.
    pub upload: Box<BlobUpload>,
}

impl fmt::Display for CommitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<CommitError> for Error {
    /// Closes the upload, which can still be resumed by its id.
    fn from(failed: CommitError) -> Self {
        failed.error
    }
}

impl Repository {
    /// Starts an upload.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the error of making a layout.
    pub fn start_upload(&self) -> Result<BlobUpload> {
        let layout = self.made_layout()?;
        let root = layout.site().open_root()?;
        let directory = root.path_of(UPLOADS_DIRECTORY);
        loop {
            if root.make(UPLOADS_DIRECTORY).map_err(Error::io("create", &directory))? {
                layout.site().sync_names(&root)?;
            }
            // A collection of garbage took the empty directory away.
            let Some(uploads) = find_uploads(&root)? else { continue };
            let id = random_name(ID_LENGTH);
            let path = directory.join(&id);
            let file = match uploads.create_to_append(&id) {
                Ok(file) => acquire(layout.site(), file, &path, Instant::now())?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("create", &path)(error)),
            };
            let hasher = Some(Hasher::new(Algorithm::Sha256));
            let (file, _locked) = registered(&layout, file);
            let upload = BlobUpload { layout: layout.clone(), uploads, id, path, file, _locked, size: 0, hasher };
            // Or the file, before it was locked.
            if upload.is_there() {
                return Ok(upload);
            }
        }
    }

    /// Goes on with an upload: at its end, which must be at some number of bytes if one is given.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUpload`]; [`Error::UploadOffset`]; [`Error::Locked`] if another process is writing to it for longer
    /// than is to be waited; [`Error::Io`].
    pub fn resume_upload(&self, id: &str, offset: Option<u64>) -> Result<BlobUpload> {
        let unknown = || unknown_upload(&self.site, id);
        let path = upload_path(&self.site, id).ok_or_else(unknown)?;
        let layout = Layout::find(&self.site)?.ok_or_else(unknown)?;
        let root = layout.site().open_root().ok();
        let uploads = root.map(|root| find_uploads(&root)).transpose()?.flatten();
        let uploads = uploads.ok_or_else(unknown)?;
        let is_file = |found: Option<Found>| found.is_some_and(|found| found.kind == FileKind::File);
        if !uploads.find(id).is_ok_and(is_file) {
            return Err(unknown());
        }
        let file = uploads.open_to_append(id).map_err(|error| match error.kind() {
            ErrorKind::NotFound => unknown(),
            _ => Error::io("open", &path)(error),
        })?;
        let file = acquire(layout.site(), file, &path, Instant::now())?;
        let size = file.metadata().map_err(Error::io("read", &path))?.len();
        match offset {
            Some(expected) if expected != size => {
                return Err(Error::UploadOffset { id: id.to_owned(), expected, actual: size });
            }
            _ => {}
        }
        let hasher = (size == 0).then(|| Hasher::new(Algorithm::Sha256));
        let (file, _locked) = registered(&layout, file);
        let upload = BlobUpload { layout, uploads, id: id.to_owned(), path, file, _locked, size, hasher };
        // Its earlier owner may have committed it.
        if upload.is_there() { Ok(upload) } else { Err(unknown()) }
    }
}

/// Registers a locked file with the value by which the work on a layout is ended.
fn registered(layout: &Layout, file: File) -> (Arc<File>, Registered) {
    let file = Arc::new(file);
    let locked = layout.interrupt().register_lock(Arc::clone(&file));
    (file, locked)
}

impl BlobUpload {
    /// Returns the id of the upload.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns how many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes a blob of the uploaded bytes, if they have the given digest.
    ///
    /// # Errors
    ///
    /// The upload, and [`Error::DigestMismatch`] or [`Error::UnsupportedAlgorithm`]; [`Error::UnknownUpload`] if it was
    /// deleted; [`Error::Locked`]; [`Error::Io`].
    pub fn commit(mut self, digest: &Digest) -> Result<Descriptor, CommitError> {
        match self.store(digest) {
            Ok(()) => Ok(Descriptor::new(MediaType::octet_stream(), digest.clone(), self.size)),
            Err(error) => Err(CommitError { error, upload: Box::new(self) }),
        }
    }

    fn store(&mut self, digest: &Digest) -> Result<()> {
        if !self.is_there() {
            return Err(unknown_upload(self.layout.site(), &self.id));
        }
        self.verify(digest)?;
        self.layout
            .metrics()
            .time(Phase::Sync, || if self.layout.site().waits_for_disk() { self.file.sync_data() } else { Ok(()) })
            .map_err(Error::io("sync", &self.path))?;
        let there = self.layout.sound_blob(digest, self.size, |_| ());
        if let Some(there) = there
            && self.layout.keep_stored(&take_lock(&self.layout)?, digest, &there)?
        {
            return self.remove();
        }
        let scratch = scratch(self.layout.site(), digest.algorithm_name())?;
        if self.uploads.is_on_mount_of(&scratch).map_err(Error::io("read", &self.path))? {
            self.rename(digest)?;
        } else {
            // Not linked: if this process is killed the upload may be resumed, and the blob must not change.
            let copy = self.layout.copy_of((digest, self.size), (&self.file, &self.path), Share::Nothing)?;
            copy.commit_unnamed(&take_lock(&self.layout)?)?.keep();
        }
        self.remove()
    }

    /// Renames a verified, synced file to the blob's path.
    fn rename(&self, digest: &Digest) -> Result<()> {
        let lock = take_lock(&self.layout)?;
        let directory = make_blob_directory(self.layout.site(), &lock, digest.algorithm_name())?;
        let (name, path) = (digest.encoded(), self.layout.blob_path(digest));
        let failed = || Error::io("write", &path);
        // A later command refers to it; until then a collection of garbage may keep young blobs only.
        touch(&self.file, &self.path).map_err(failed())?;
        let is_new = directory.find(name).map_err(failed())?.is_none();
        self.uploads.rename(&self.id, &directory, name).map_err(failed())?;
        self.layout.metrics().count_blob_written();
        let synced = self.layout.site().sync_names(&directory);
        // In a shared store the blob may already belong to another layout.
        if synced.is_err() && is_new && !self.layout.shares_blobs() {
            // The error that made this necessary is on its way; a blob that stays is unreferenced, not wrong.
            let _ = directory.rename(name, &self.uploads, &self.id);
        }
        synced
    }

    /// Compares the digest of the uploaded bytes with another one.
    fn verify(&mut self, digest: &Digest) -> Result<()> {
        let sha256 = self.hasher.clone().filter(|_| digest.algorithm() == Some(Algorithm::Sha256));
        if let Some(hasher) = sha256 {
            return expect_digest(digest, hasher.finish());
        }
        (&*self.file).seek(SeekFrom::Start(0)).map_err(Error::io("read", &self.path))?;
        self.layout.verify(digest, &*self.file, |_| ())
    }

    /// Deletes the upload. An upload that is already deleted is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn cancel(self) -> Result<()> {
        if self.is_there() { self.remove() } else { Ok(()) }
    }

    /// Deletes the file if it has still its name. The directory is for others, who may be about to use it.
    fn remove(&self) -> Result<()> {
        self.uploads.remove_if_there(&self.id).map_err(Error::io("delete", &self.path))
    }

    /// Returns whether the file still has its name.
    fn is_there(&self) -> bool {
        let Ok(Some(named)) = self.uploads.find(&self.id) else { return false };
        FileIdentity::from_file(&self.file).is_ok_and(|opened| opened == named.identity)
    }
}

impl Write for BlobUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Once the work is abandoned, another upload may go on with the file.
        let _section = self.layout.interrupt().begin_section();
        let metrics = self.layout.metrics();
        let written = metrics.time(Phase::Write, || (&*self.file).write(bytes))?;
        if let Some(hasher) = &mut self.hasher {
            metrics.time(Phase::Hash, || hasher.update(&bytes[..written]));
        }
        metrics.count_written(written);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).flush()
    }
}
