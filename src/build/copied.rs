//! Blobs of views that are copied into a layout before a document of it refers to them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::fs::FileIdentity;
use crate::graph::verify::expect_digest;
use crate::layout::blob_directory::blob_directory;
use crate::layout::blobs::{PendingBlob, Share, StoredBlob};
use crate::layout::handle::{Layout, Lock};
use crate::layout::lock::take_lock;
use crate::layout::staging_file::Stage;
use crate::layout::unreferenced::remove_unreferenced;
use crate::oci::{Descriptor, Digest};
use crate::view::content::Content;
use crate::view::images::ImageLayer;
use crate::view::index_view::View;
use crate::view::reach::{MissingBlobs, Reached};
use crate::workers::map::{cores, map_bounded};

/// So many blobs wait at most for the document that refers to them: each is an open file. The blobs before them get
/// their names earlier.
const WAITING: usize = 128;

/// Copies the content of a blob, which may share the blocks of its file with the source, or be linked to it: the first
/// that the file systems can do. It is verified in each case.
///
/// # Errors
///
/// [`Error::DigestMismatch`], [`Error::UnsupportedAlgorithm`]; [`Error::Io`].
pub(super) fn copy_content(layout: &Layout, (digest, size): (&Digest, u64), content: &Content) -> Result<PendingBlob> {
    if let (Some(file), Some(path)) = (content.whole_file(), content.path()) {
        // A clone or a link is the file itself, so that is read first.
        layout.verify(digest, content.reader(), |_| ())?;
        return layout.copy_of((digest, size), (file, path), Share::File);
    }
    let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
    let mut blob = layout.new_blob_of(algorithm)?;
    let failed = |source| Error::Blob { digest: digest.clone(), source };
    io::copy(&mut content.reader(), &mut blob).map_err(failed)?;
    let blob = blob.finish()?;
    expect_digest(digest, blob.digest.clone())?;
    Ok(blob)
}

/// The blobs of views, copied into a layout.
pub(super) struct Copied<'a> {
    layout: &'a Layout,
    /// Blobs that have no name yet.
    waiting: Vec<PendingBlob>,
    /// Blobs that the layout has, verified: those that it had before, and those that have their names already.
    there: Vec<There>,
    /// Those of them that this process stored, with the times of their files: other processes that count on such a blob
    /// change its time.
    stored: Vec<(Digest, Option<SystemTime>)>,
}

/// A blob that a layout has, as it was when it was verified.
struct There {
    digest: Digest,
    size: u64,
    identity: FileIdentity,
}

/// How a blob is taken that another process stored again since it was verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// An error: there is time to look again.
    Error,
    /// It is verified while the layout is locked.
    Verified,
}

/// A blob after it was looked at.
enum Looked {
    There(There),
    Copied(PendingBlob),
}

impl<'a> Copied<'a> {
    /// Begins with no blobs.
    pub(super) fn none(layout: &'a Layout) -> Self {
        Self { layout, waiting: Vec::new(), there: Vec::new(), stored: Vec::new() }
    }

    /// Adds a blob that is complete. At most so many wait: the blobs before them get their names earlier.
    pub(super) fn add(&mut self, blob: PendingBlob, most: usize) -> Result<()> {
        if self.waiting.len() >= most {
            self.name_waiting()?;
        }
        self.waiting.push(blob);
        Ok(())
    }

    /// Copies a layer of an image, unless the layout has it. Returns whether it is stored, and not elsewhere only.
    ///
    /// # Errors
    ///
    /// Those of [`Copied::of`].
    pub(super) fn add_layer(&mut self, layer: &ImageLayer, most: usize) -> Result<bool> {
        let Some(content) = layer.content()? else { return Ok(false) };
        match look(self.layout, layer.descriptor(), || Ok(content))? {
            Looked::There(there) => self.there.push(there),
            Looked::Copied(blob) => self.add(blob, most)?,
        }
        Ok(true)
    }

    /// Copies the blobs that are reachable from views and that the layout does not have.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the document that refers to it; [`Error::SizeMismatch`]; those of [`copy_content`].
    pub(super) fn of(layout: &'a Layout, views: &[View]) -> Result<Self> {
        let mut copied = Self::none(layout);
        let mut seen: HashSet<Digest> = HashSet::new();
        for view in views {
            let reached = view.reached(MissingBlobs::LeftOut).map_err(|error| view.by_platform(error))?;
            let mut blobs: Vec<Descriptor> = Vec::new();
            for Reached { descriptor, is_there } in reached {
                if is_there && seen.insert(descriptor.digest.clone()) {
                    blobs.push(descriptor);
                }
            }
            for blobs in blobs.chunks(WAITING) {
                if copied.waiting.len() + blobs.len() > WAITING {
                    copied.name_waiting()?;
                }
                for looked in map_bounded(blobs, cores(), |blob| look(layout, blob, || view.find(blob)))? {
                    match looked {
                        Looked::There(there) => copied.there.push(there),
                        Looked::Copied(blob) => copied.waiting.push(blob),
                    }
                }
            }
        }
        Ok(copied)
    }

    /// Gives the blobs that wait their names, for a document that refers to them later.
    fn name_waiting(&mut self) -> Result<()> {
        let lock = take_lock(self.layout)?;
        for blob in std::mem::take(&mut self.waiting) {
            let stored = blob.commit_unnamed(&lock)?;
            let (digest, size) = (stored.digest.clone(), stored.size);
            if stored.is_new() {
                self.stored.push((digest.clone(), self.time_of(&digest)));
            }
            stored.keep();
            let identity = identity_of(self.layout, &lock, &digest)?.ok_or_else(|| self.changed())?;
            self.there.push(There { digest, size, identity });
        }
        Ok(())
    }

    /// Returns the blobs for a document that is about to refer to them.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if a blob is gone that the layout had; [`Error::Io`].
    pub(super) fn commit(&mut self, lock: &Lock, replaced: Replaced) -> Result<Vec<StoredBlob>> {
        for There { digest, size, identity } in &self.there {
            let is_same = identity_of(self.layout, lock, digest)? == Some(*identity);
            let is_sound = || self.layout.sound_blob(digest, *size, |_| ()).is_some();
            if !is_same && (replaced == Replaced::Error || !is_sound()) {
                return Err(self.changed());
            }
        }
        std::mem::take(&mut self.waiting).into_iter().map(|blob| blob.commit(lock)).collect()
    }

    fn time_of(&self, digest: &Digest) -> Option<SystemTime> {
        fs::metadata(self.layout.blob_path(digest)).and_then(|metadata| metadata.modified()).ok()
    }

    fn changed(&self) -> Error {
        Error::Changed { path: self.layout.path().to_owned() }
    }
}

/// Blobs that have their names and that no document refers to are deleted.
impl Drop for Copied<'_> {
    fn drop(&mut self) {
        if self.stored.is_empty() {
            return;
        }
        // The error that made this necessary is on its way; a blob that stays is unreferenced, not wrong.
        if let Ok(lock) = take_lock(self.layout)
            && let (Ok(index), Ok(stage)) = (self.layout.read_index(), self.layout.find_stage())
        {
            let stage = stage.unwrap_or_else(Stage::empty);
            let stored = self.stored.iter().filter(|(digest, time)| time.is_some() && self.time_of(digest) == *time);
            let stored = stored.map(|(digest, _)| digest.clone()).collect();
            remove_unreferenced(self.layout, &lock, &index, &stage, stored);
        }
    }
}

fn look(layout: &Layout, blob: &Descriptor, content: impl FnOnce() -> Result<Content>) -> Result<Looked> {
    if let Some(there) = layout.sound_blob(&blob.digest, blob.size, |_| ()) {
        // The process that stored it may not have synced it.
        let path = layout.blob_path(&blob.digest);
        layout.site().sync_stored(&there, &path)?;
        let identity = FileIdentity::from_file(&there).map_err(Error::io("read", path))?;
        return Ok(Looked::There(There { digest: blob.digest.clone(), size: blob.size, identity }));
    }
    copy_content(layout, (&blob.digest, blob.size), &content()?).map(Looked::Copied)
}

/// Returns the identity of the file that is a blob of a locked layout.
fn identity_of(layout: &Layout, lock: &Lock, digest: &Digest) -> Result<Option<FileIdentity>> {
    let Some(directory) = blob_directory(layout.site(), lock.root(), digest.algorithm_name())? else { return Ok(None) };
    let found = directory.find_target(digest.encoded()).map_err(Error::io("read", layout.blob_path(digest)))?;
    Ok(found.map(|found| found.identity))
}
