//! A blob on its way into a layout: a file among the uploads, which a later run goes on with.
//!
//! The name of the file comes from the digest, so that two pulls of one blob meet: the second waits for the first and takes
//! what it made. The file is locked while it is filled, and open until the blob is in the layout: even if a collection
//! of garbage deletes it after an hour, its bytes are there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::{Directory, FileIdentity};
use crate::graph::verify::expect_digest_if_possible;
use crate::interrupt::Registered;
use crate::layout::lock::acquire_unless;
use crate::layout::site::Site;
use crate::layout::uploads::{ID_LENGTH, UPLOADS_DIRECTORY, find_uploads};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher};
use crate::view::content::Content;

/// The number of bytes that are hashed at a time.
const PIECE: usize = 256 * 1024;

/// The directory of the uploads of a layout, or of one that is to be.
pub(super) struct Incoming<'a> {
    site: &'a Site,
    root: Directory,
}

/// A file that is filled, locked for this process.
pub(super) struct IncomingBlob {
    uploads: Directory,
    id: String,
    path: PathBuf,
    file: Arc<File>,
    /// Unlocks the file if the work is abandoned.
    locked: Option<Registered>,
    digest: Digest,
    hasher: Hasher,
    size: u64,
}

impl<'a> Incoming<'a> {
    /// Opens the directory of the layout, which must be there. The directory of uploads is made for the first blob.
    pub(super) fn open(site: &'a Site) -> Result<Self> {
        Ok(Self { site, root: site.open_root()? })
    }

    /// Opens the file of a blob, as far as an earlier run filled it. Waits for another process that fills it, unless a function
    /// says that the blob is not wanted any more.
    pub(super) fn blob(&self, descriptor: &Descriptor, is_over: &dyn Fn() -> bool) -> Result<IncomingBlob> {
        let id = id_of(&descriptor.digest);
        loop {
            let uploads = make_uploads(&self.root)?;
            let path = uploads.path_of(&id);
            let opened = match uploads.open_to_append(&id) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => uploads.create_to_append(&id),
                opened => opened,
            };
            let file = match opened {
                Ok(file) => file,
                // Another process made it, or took it or the empty directory away, at this moment.
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => return Err(Error::io("write to", &path)(error)),
            };
            let file = Arc::new(acquire_unless(self.site, file, &path, Instant::now(), is_over)?);
            let locked = self.site.interrupt().register_lock(Arc::clone(&file));
            let named = uploads.find(&id).ok().flatten();
            let opened = FileIdentity::from_file(&file).map_err(Error::io("read", &path))?;
            if !named.is_some_and(|named| named.identity == opened) {
                continue;
            }
            let size = file.metadata().map_err(Error::io("read", &path))?.len();
            if size > descriptor.size {
                // It is not shortened: it may have another name in a layout by now.
                uploads.remove_if_there(&id).map_err(Error::io("write to", &path))?;
                continue;
            }
            let digest = descriptor.digest.clone();
            let hasher = hasher_of(&digest);
            let mut blob = IncomingBlob { uploads, id, path, file, locked: Some(locked), digest, hasher, size: 0 };
            blob.hash_to(size, is_over)?;
            return Ok(blob);
        }
    }

    /// Forgets all bytes of a blob and opens a new file. Another process may open the file first: it is waited for, and its
    /// bytes are taken.
    pub(super) fn restart(
        &self,
        blob: &mut IncomingBlob,
        descriptor: &Descriptor,
        is_over: &dyn Fn() -> bool,
    ) -> Result<()> {
        // The file may have another name in a layout by now, so that it is never changed but replaced.
        blob.remove().map_err(Error::io("write to", &blob.path))?;
        *blob = self.blob(descriptor, is_over)?;
        Ok(())
    }

    /// Returns how many bytes are kept for a later run.
    pub(super) fn kept(&self, digests: &[Descriptor]) -> u64 {
        let Ok(Some(uploads)) = find_uploads(&self.root) else { return 0 };
        let size = |blob: &Descriptor| uploads.find(id_of(&blob.digest)).ok().flatten().map(|found| found.size);
        digests.iter().filter_map(size).sum()
    }

    /// Deletes files that are not needed any more, and the directory if nothing else is in it.
    pub(super) fn remove(&self, blobs: &[IncomingBlob]) {
        for blob in blobs {
            // What cannot be deleted is left to a collection of garbage.
            blob.delete();
        }
        self.remove_if_empty();
    }

    /// Deletes the bytes that earlier runs left of blobs, unless another process fills the file, and the directory if nothing else is
    /// in it.
    pub(super) fn discard(&self, blobs: &[Descriptor]) {
        let Ok(Some(uploads)) = find_uploads(&self.root) else { return };
        for id in blobs.iter().map(|blob| id_of(&blob.digest)) {
            let Ok(file) = uploads.open_to_append(&id) else { continue };
            let is_free = file.try_lock().is_ok();
            let named = uploads.find(&id).ok().flatten().map(|named| named.identity);
            if is_free && named == FileIdentity::from_file(&file).ok() {
                let _ = uploads.remove_if_there(&id);
            }
        }
        self.remove_if_empty();
    }

    pub(super) fn remove_if_empty(&self) {
        let _ = self.root.remove_directory(UPLOADS_DIRECTORY);
    }
}

impl IncomingBlob {
    /// Returns how many bytes are there.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Lets others have the file, which is complete: a process that waits for one blob while it holds another could wait for
    /// ever.
    pub(super) fn unlock(&mut self) -> Result<()> {
        self.locked = None;
        self.file.unlock().map_err(Error::io("unlock", &self.path))
    }

    /// Returns the digest that the bytes must have.
    pub(super) fn expected(&self) -> &Digest {
        &self.digest
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. If the disk is full, the file is deleted: it would keep the disk full.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        match (&*self.file).write_all(bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                if is_out_of_space(&error) {
                    self.delete();
                }
                Err(Error::io("write to", &self.path)(error))
            }
        }
    }

    /// Compares the bytes with the digest, and their number with the length of the file.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`]; [`Error::SizeMismatch`] if another process wrote to the file, as it can where there are no locks.
    pub(super) fn verify(&self) -> Result<()> {
        expect_digest_if_possible(&self.digest, self.hasher.clone().finish())?;
        let actual = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        if actual == self.size {
            return Ok(());
        }
        Err(Error::SizeMismatch { digest: Some(self.digest.clone()), expected: self.size, actual })
    }

    /// Deletes the file.
    pub(super) fn delete(&self) {
        let _ = self.remove();
    }

    /// Deletes the file, unless another one has its name by now.
    fn remove(&self) -> io::Result<()> {
        let own = FileIdentity::from_file(&self.file)?;
        match self.uploads.find(&self.id)? {
            Some(named) if named.identity == own => self.uploads.remove_if_there(&self.id),
            _ => Ok(()),
        }
    }

    /// Waits until the bytes are on the disk.
    pub(super) fn sync(&self, site: &Site) -> Result<()> {
        if site.waits_for_disk() {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        }
        Ok(())
    }

    /// Returns the bytes as the content of a blob.
    ///
    /// # Errors
    ///
    /// The errors of [`IncomingBlob::verify`].
    pub(super) fn content(&self) -> Result<Content> {
        self.verify()?;
        let file = self.file.try_clone().map_err(Error::io("read", &self.path))?;
        Ok(Content::from_file(file, self.path.clone(), self.size))
    }

    /// Hashes the bytes that an earlier run left.
    fn hash_to(&mut self, size: u64, is_over: &dyn Fn() -> bool) -> Result<()> {
        let failed = || Error::io("read", &self.path);
        (&*self.file).seek(SeekFrom::Start(0)).map_err(failed())?;
        let mut buffer = vec![0; PIECE];
        while self.size < size {
            if is_over() {
                return Err(failed()(io::ErrorKind::Interrupted.into()));
            }
            let read = (&*self.file).read(&mut buffer).map_err(failed())?;
            if read == 0 {
                break;
            }
            self.hasher.update(&buffer[..read]);
            self.size += read as u64;
        }
        Ok(())
    }
}

/// Returns whether the system has no room for more bytes.
pub(super) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes the directory of uploads if it is not there.
fn make_uploads(root: &Directory) -> Result<Directory> {
    let path = root.path_of(UPLOADS_DIRECTORY);
    loop {
        root.make(UPLOADS_DIRECTORY).map_err(Error::io("create", &path))?;
        // A collection of garbage, or another pull, takes an empty directory away.
        if let Some(uploads) = find_uploads(root)? {
            return Ok(uploads);
        }
    }
}

fn hasher_of(digest: &Digest) -> Hasher {
    Hasher::new(digest.algorithm().unwrap_or(Algorithm::Sha256))
}

/// Returns the id of the upload of a blob.
fn id_of(digest: &Digest) -> String {
    Digest::sha256_of(digest.as_str().as_bytes()).encoded()[..ID_LENGTH].to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::oci::MediaType;

    /// How often the file is made anew.
    const ROUNDS: usize = 1000;

    #[test]
    fn two_processes_never_fill_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let site = Site::new(directory.path().to_owned());
        let incoming = Incoming::open(&site).expect("opened");
        let descriptor = Descriptor::new(MediaType::manifest(), Digest::sha256_of(b"blob"), 4);
        let mut blob = incoming.blob(&descriptor, &|| false).expect("opened");
        let path = blob.path.clone();
        let (is_over, is_filled) = (AtomicBool::new(false), AtomicBool::new(false));
        let both = thread::scope(|scope| {
            // Stands for another pull: it opens and locks each file as soon as that has its name.
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let Ok(file) = File::options().append(true).open(&path) else { continue };
                    if file.try_lock().is_err() {
                        continue;
                    }
                    let named = fs::metadata(&path).map(|named| FileIdentity::from(&named));
                    if named.is_ok_and(|named| FileIdentity::from_file(&file).is_ok_and(|own| own == named)) {
                        is_filled.store(true, Ordering::SeqCst);
                        thread::sleep(Duration::from_micros(200));
                        is_filled.store(false, Ordering::SeqCst);
                    }
                }
            });
            let both = (0..ROUNDS).filter(|_| {
                let restarted = incoming.restart(&mut blob, &descriptor, &|| false);
                let start = Instant::now();
                let mut is_filled_now = restarted.is_err();
                while start.elapsed() < Duration::from_micros(50) {
                    is_filled_now |= is_filled.load(Ordering::SeqCst);
                }
                is_filled_now
            });
            let both = both.count();
            is_over.store(true, Ordering::SeqCst);
            both
        });
        assert_eq!(both, 0);
    }
}
