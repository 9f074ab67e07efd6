//! Collecting garbage: blobs that nothing refers to, uploads that nobody goes on with, temporary files of killed writers.
//!
//! The layout is locked meanwhile, so no command is between storing a blob and naming it. A blob that was stored by itself, as
//! one pushes to a registry, is named by a later command: it is young until then, as [`GarbageOptions`] can say. Only
//! documents are read, never a layer.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::clean::delete_leftover;
use super::error::{Error, Result};
use super::handle::{BLOBS_DIRECTORY, Layout};
use super::registry::UPLOADS_DIRECTORY;
use super::stage::Stage;
use super::walk::Reach;
use crate::fs::unless_in_use;
use crate::oci::{Algorithm, Digest, Index};

/// How long an upload may rest by default.
const UPLOAD_REST: Duration = Duration::from_secs(60 * 60);

/// What is garbage.
#[derive(Clone, Debug, Default)]
pub struct GarbageOptions {
    /// Whether it is only looked for, and nothing deleted.
    pub dry_run: bool,
    /// What was written to less than so long ago stays. By default blobs go at once, and uploads after an hour.
    pub keep_younger_than: Option<Duration>,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// The blobs that nothing referred to, in the order of their digests.
    pub digests: Vec<Digest>,
    /// How many those are.
    pub blobs: Swept,
    /// Uploads that nobody went on with.
    pub uploads: Swept,
    /// Files of writers that were killed.
    pub temporary_files: Swept,
    /// Unreferenced blobs and uploads that are too young, or in use.
    pub kept: Swept,
    /// Blobs that only the staging file refers to.
    pub staged: Swept,
}

/// Some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How many there are.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Swept {
    pub(super) fn count(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// A file that may be garbage.
struct Candidate {
    size: u64,
    age: Duration,
}

impl Candidate {
    /// Looks at a file; `None` if it is none, or gone.
    fn at(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // What comes from the future was written just now.
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        Ok(Some(Self { size: metadata.len(), age }))
    }
}

impl Layout {
    /// Deletes what nothing needs: blobs that nothing refers to which `index.json` or the staging file leads to, uploads that
    /// nobody goes on with, temporary files of writers that were killed.
    ///
    /// Files in `blobs` that are not called like a blob of a known algorithm are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::BlobsAreShared`], [`Error::LinkOutside`]; whatever keeps a document from being read that may refer to
    /// blobs, such as [`Error::DigestMismatch`] or [`Error::MalformedDocument`]: then nothing is deleted.
    /// [`Error::Locked`]; [`Error::Io`].
    pub fn collect_garbage(&self, options: &GarbageOptions) -> Result<Garbage> {
        let mut garbage = Garbage::default();
        if self.shares_blobs() {
            return Err(Error::BlobsAreShared { path: self.path().to_owned() });
        }
        let _lock = self.lock_as_it_is()?;
        let index = self.read_index()?;
        let stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let listed = self.named(&index, &Stage::empty())?;
        let staged = self.named(&Index::empty(), &stage)?;
        let mut unlisted = self.unlisted_blobs(&listed)?;
        unlisted.sort();
        let uploads = self.uploads()?;

        self.for_each_leftover(self.path(), |path, metadata| {
            // An export that was killed leaves a directory.
            let sizes = sizes_of_files(path)?;
            if !options.dry_run {
                delete_leftover(self.path(), path, metadata)?;
            }
            sizes.into_iter().for_each(|size| garbage.temporary_files.count(size));
            Ok(())
        });
        for digest in unlisted {
            let path = self.blob_path(&digest);
            let Some(found) = Candidate::at(&path).map_err(Error::io("read", &path))? else { continue };
            if staged.contains(&digest) {
                garbage.staged.count(found.size);
                continue;
            }
            if found.age < options.keep_younger_than.unwrap_or_default() {
                garbage.kept.count(found.size);
                continue;
            }
            options.delete(&path).map_err(Error::io("delete", &path))?;
            garbage.blobs.count(found.size);
            garbage.digests.push(digest);
        }
        self.collect_uploads(options, uploads, &mut garbage)?;
        Ok(garbage)
    }

    /// Returns everything that documents refer to.
    fn named(&self, index: &Index, stage: &Stage) -> Result<HashSet<Digest>> {
        let roots = Self::roots(index, stage);
        let mut named: HashSet<Digest> = stage.blobs().cloned().collect();
        named.extend(roots.iter().map(|root| root.digest.clone()));
        let listed = Self::listed(index);
        for visit in self.walk(&roots, Reach::Subjects) {
            let document = visit.surely_leads_to(&listed)?;
            named.extend(document.iter().flat_map(|document| document.digests()).cloned());
        }
        Ok(named)
    }

    /// Returns the blobs that are not among some.
    fn unlisted_blobs(&self, listed: &HashSet<Digest>) -> Result<Vec<Digest>> {
        let mut unlisted = Vec::new();
        for algorithm in Algorithm::ALL {
            // What is not in the layout is not its garbage.
            self.check_blob_directory_of(algorithm.name())?;
            let directory = self.path().join(BLOBS_DIRECTORY).join(algorithm.name());
            // Nor is what has another digest where it is.
            if fs::symlink_metadata(&directory).is_ok_and(|metadata| metadata.is_symlink()) {
                continue;
            }
            for name in file_names(&directory)? {
                let digest = name.and_then(|name| format!("{}:{name}", algorithm.name()).parse::<Digest>().ok());
                unlisted.extend(digest.filter(|digest| !listed.contains(digest)));
            }
        }
        Ok(unlisted)
    }

    /// Returns the uploads. What has another name is none.
    fn uploads(&self) -> Result<Vec<PathBuf>> {
        let names = file_names(&self.uploads_directory()?)?;
        Ok(names.into_iter().flatten().filter_map(|name| self.upload_path(&name)).collect())
    }

    fn collect_uploads(&self, options: &GarbageOptions, uploads: Vec<PathBuf>, garbage: &mut Garbage) -> Result<()> {
        for path in uploads {
            let mut swept = false;
            let looked_at = unless_in_use(&path, |path| {
                // Nobody goes on with it while it is looked at.
                let Some(found) = Candidate::at(path)? else { return Ok(()) };
                swept = found.age >= options.keep_younger_than.unwrap_or(UPLOAD_REST);
                if swept {
                    options.delete(path)?;
                    garbage.uploads.count(found.size);
                }
                Ok(())
            });
            looked_at.map_err(Error::io("delete", &path))?;
            if let Some(kept) = Candidate::at(&path).map_err(Error::io("read", &path))?.filter(|_| !swept) {
                garbage.kept.count(kept.size);
            }
        }
        if !options.dry_run {
            // Another upload may be in it.
            let _ = fs::remove_dir(self.path().join(UPLOADS_DIRECTORY));
        }
        Ok(())
    }
}

impl GarbageOptions {
    /// Deletes a file, unless it is only to be found.
    fn delete(&self, path: &Path) -> io::Result<()> {
        if self.dry_run {
            return Ok(());
        }
        fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }
}

/// Returns the sizes of the files that are at a path, or below it. Those that vanish meanwhile do not count.
fn sizes_of_files(path: &Path) -> io::Result<Vec<u64>> {
    let (mut paths, mut sizes) = (vec![path.to_owned()], Vec::new());
    while let Some(path) = paths.pop() {
        if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            sizes.extend(Candidate::at(&path)?.map(|found| found.size));
            continue;
        }
        match fs::read_dir(&path) {
            Ok(entries) => entries.flatten().for_each(|entry| paths.push(entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sizes)
}

/// Returns the names in a directory, those that are text; none if it is not there.
fn file_names(directory: &Path) -> Result<Vec<Option<String>>> {
    let failed = || Error::io("read", directory);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(failed())?.file_name().into_string().ok()))
            .collect::<Result<Vec<Option<String>>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed()(error)),
    }
}
