//! Collecting garbage: unreachable blobs, abandoned uploads, temporary files of killed writers.
//!
//! The layout is locked meanwhile, so no command is between storing a blob and naming it. A blob that was stored by itself, as
//! one pushes to a registry, is named by a later command: it is young until then, as [`GarbageOptions`] can say. Only
//! documents are read, never a layer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::handle::Layout;
use super::leftovers::delete_leftover;
use super::site::BLOBS_DIRECTORY;
use super::staging_file::Stage;
use crate::error::{Error, Result};
use crate::fs::{Directory, FileKind, Found};
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::blob_directory::{blob_directories, blob_directory, check_blob_directory_of, open_blobs};
use crate::layout::leftovers::work_on_leftovers;
use crate::layout::links::link_targets;
use crate::layout::lock::{take_lock, take_lock_to_read};
use crate::layout::reachable::{listed, roots};
use crate::layout::uploads::find_uploads;
use crate::layout::uploads::{UPLOADS_DIRECTORY, is_upload_id};
use crate::oci::{Algorithm, Descriptor, Digest, Index, MediaType};
use crate::options::setters;
use crate::tally::Tally;

/// How long an upload may rest by default.
const UPLOAD_REST: Duration = Duration::from_secs(60 * 60);

/// How many documents are read to name the referrers that keep a manifest which a command has just removed from `index.json`.
/// Ten thousand small ones take less than a second.
const REFERRER_LIMIT: usize = 10_000;

/// The rules of garbage.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GarbageOptions {
    /// Whether it is only looked for, and nothing deleted.
    pub dry_run: bool,
    /// Files that were written to within this time stay. By default blobs are deleted at once, and uploads after an
    /// hour.
    pub keep_younger_than: Option<Duration>,
}

impl GarbageOptions {
    setters! {
        dry_run: [bool],
        keep_younger_than: [option Duration],
    }
}

/// The files that were deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Garbage {
    /// The blobs that nothing referred to, in the order of their digests.
    pub digests: Vec<Digest>,
    /// How many those are.
    pub blobs: Tally,
    /// Abandoned uploads.
    pub uploads: Tally,
    /// Files of writers that were killed.
    pub temporary_files: Tally,
    /// Unreferenced blobs and uploads that are too young, or in use.
    pub kept: Tally,
    /// Blobs that only the staging file refers to.
    pub staged: Tally,
    /// Manifests that are kept by their referrers alone, in the order of their digests.
    pub subjects: Vec<KeptSubject>,
}

/// A manifest that nothing but its referrers keeps: no index lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeptSubject {
    /// The manifest.
    pub digest: Digest,
    /// The manifests that have it as their subject, in the order of their digests.
    pub referrers: Vec<Digest>,
}

/// Returns how long ago a file was written to. A time in the future counts as now.
fn age(found: &Found) -> Duration {
    SystemTime::now().duration_since(found.modified).unwrap_or_default()
}

/// The digests that documents refer to.
#[derive(Default)]
struct Named {
    /// The digests, and whether something else than a subject is one.
    digests: HashMap<Digest, bool>,
    /// The subjects, by the manifests that have them.
    subjects: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl Named {
    /// Notes the digests that a document refers to.
    fn note(&mut self, digest: &Digest, document: &Document) {
        let subject = document.subject().map(|subject| &subject.digest);
        for named in document.digests() {
            let is_part = subject != Some(named) || document.parts().iter().any(|part| part.digest == *named);
            *self.digests.entry(named.clone()).or_default() |= is_part;
        }
        if let Some(subject) = subject {
            self.subjects.entry(subject.clone()).or_default().insert(digest.clone());
        }
    }

    /// Returns the subjects that nothing else refers to.
    fn kept(&self) -> impl Iterator<Item = KeptSubject> {
        let alone = self.subjects.iter().filter(|(digest, _)| self.digests.get(*digest) == Some(&false));
        alone.map(|(digest, referrers)| KeptSubject {
            digest: digest.clone(),
            referrers: referrers.iter().filter(|referrer| *referrer != digest).cloned().collect(),
        })
    }
}

impl Layout {
    /// Deletes unreachable blobs, abandoned uploads and leftover temporary files. A blob is reachable if `index.json`
    /// or the staging file refers to it, directly or through documents.
    ///
    /// Files in `blobs` that are not called like a blob of a known algorithm are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::BlobsAreShared`], [`Error::LinkOutside`]; the error of reading a document that may refer to blobs, such
    /// as [`Error::DigestMismatch`] or [`Error::MalformedDocument`]: then nothing is deleted. [`Error::Locked`];
    /// [`Error::Io`].
    pub fn collect_garbage(&self, options: &GarbageOptions) -> Result<Garbage> {
        let mut garbage = Garbage::default();
        if self.shares_blobs() {
            return Err(Error::BlobsAreShared { path: self.path().to_owned() });
        }
        let lock = if options.dry_run { take_lock_to_read(self) } else { take_lock(self) }?;
        let index = self.read_index()?;
        let stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let listed = self.named(&index, &Stage::empty())?;
        let staged = self.named(&Index::empty(), &stage)?;
        let kept = listed.kept().filter(|kept| !staged.digests.contains_key(&kept.digest));
        garbage.subjects = kept.filter(|kept| self.open_blob(&kept.digest, &self.caller()).is_ok()).collect();
        let unlisted = self.unlisted_blobs(lock.root(), &listed)?;
        let uploads = find_uploads(lock.root())?;

        for directory in std::iter::once(lock.root().clone()).chain(blob_directories(self.site(), lock.root())?) {
            work_on_leftovers(self.site(), directory.path(), |path, metadata| {
                // An export that was killed leaves a directory.
                let sizes = sizes_of_files(path)?;
                if !options.dry_run {
                    delete_leftover(directory.path(), path, metadata)?;
                }
                sizes.into_iter().for_each(|size| garbage.temporary_files.add(size));
                Ok(())
            });
        }
        self.collect_blobs(options, unlisted, (&listed, &staged), &mut garbage)?;
        if let Some(uploads) = uploads {
            Self::collect_uploads(options, lock.root(), &uploads, &mut garbage)?;
        }
        Ok(garbage)
    }

    /// Returns the manifests that nothing but referrers keeps from being garbage, among one and the entries of an index.
    ///
    /// Nothing is read if the manifest is not stored, or `index.json` lists it still. Otherwise any document of the layout may
    /// refer to it, and up to 10,000 of them are read; in a layout that has more, none is named.
    ///
    /// # Errors
    ///
    /// The error of reading a document.
    pub fn kept_by_referrers(&self, digest: &Digest) -> Result<Vec<KeptSubject>> {
        self.kept_by_referrers_in(&self.read_index()?, digest)
    }

    /// Returns the result of [`Layout::kept_by_referrers`] for another `index.json`.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::kept_by_referrers`].
    pub fn kept_by_referrers_in(&self, index: &Index, digest: &Digest) -> Result<Vec<KeptSubject>> {
        if index.manifests.iter().any(|entry| entry.digest == *digest)
            || self.open_blob(digest, &self.caller()).is_err()
        {
            return Ok(Vec::new());
        }
        let stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let Some(named) = self.named_within(index, &stage, REFERRER_LIMIT)? else { return Ok(Vec::new()) };
        let mut kept: Vec<KeptSubject> = named.kept().collect();
        if kept.is_empty() {
            return Ok(kept);
        }
        // Its kind is detected from its content.
        let entry = Descriptor::new(MediaType::octet_stream(), digest.clone(), 0);
        let of_it: HashSet<Digest> =
            walk(self, [&entry], Reach::Indexes).map(|visit| visit.entry.digest.clone()).collect();
        kept.retain(|kept| of_it.contains(&kept.digest) && self.open_blob(&kept.digest, &self.caller()).is_ok());
        Ok(kept)
    }

    /// Returns everything that documents refer to.
    fn named(&self, index: &Index, stage: &Stage) -> Result<Named> {
        Ok(self.named_within(index, stage, usize::MAX)?.expect("there is no limit"))
    }

    /// Returns everything that documents refer to, unless there are more documents than a limit.
    fn named_within(&self, index: &Index, stage: &Stage, limit: usize) -> Result<Option<Named>> {
        if index.manifests.len() > limit {
            return Ok(None);
        }
        let roots = roots(index, stage);
        let mut named = Named::default();
        named
            .digests
            .extend(stage.blobs().chain(roots.iter().map(|root| &root.digest)).map(|root| (root.clone(), true)));
        let listed = listed(index);
        for (visited, visit) in walk(self, roots.iter(), Reach::Subjects).enumerate() {
            if visited == limit {
                return Ok(None);
            }
            let digest = visit.entry.digest.clone();
            if let Some(document) = visit.surely_leads_to(&listed)? {
                named.note(&digest, &document);
            }
        }
        Ok(Some(named))
    }

    /// Returns the blobs that are not listed, in the order of their digests, with the directories that they are in.
    fn unlisted_blobs(&self, root: &Directory, listed: &Named) -> Result<Vec<(Digest, Directory)>> {
        let mut unlisted = Vec::new();
        for algorithm in Algorithm::ALL {
            let algorithm = algorithm.name();
            // A directory outside the layout holds none of its garbage.
            check_blob_directory_of(self.site(), algorithm)?;
            let Some(blobs) = open_blobs(self.site(), root, Path::new(BLOBS_DIRECTORY))? else { continue };
            // Nor is a file with another digest at the path.
            let found = blobs.find(algorithm).map_err(Error::io("read", blobs.path_of(algorithm)))?;
            if found.is_none_or(|found| found.kind != FileKind::Directory) {
                continue;
            }
            let Some(directory) = blob_directory(self.site(), root, algorithm)? else { continue };
            let entries = directory.entries().map_err(Error::io("read", directory.path()))?;
            let files = entries.into_iter().filter(|(_, kind)| *kind == FileKind::File);
            let digests =
                files.filter_map(|(name, _)| format!("{algorithm}:{}", name.to_str()?).parse::<Digest>().ok());
            let new = digests.filter(|digest| !listed.digests.contains_key(digest));
            unlisted.extend(new.map(|digest| (digest, directory.clone())));
        }
        unlisted.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(unlisted)
    }

    fn collect_blobs(
        &self,
        options: &GarbageOptions,
        unlisted: Vec<(Digest, Directory)>,
        (listed, staged): (&Named, &Named),
        garbage: &mut Garbage,
    ) -> Result<()> {
        if unlisted.is_empty() {
            return Ok(());
        }
        let linked = link_targets(self, listed.digests.keys().chain(staged.digests.keys()));
        for (digest, directory) in unlisted {
            let path = directory.path_of(digest.encoded());
            let found = directory.find(digest.encoded()).map_err(Error::io("read", &path))?;
            let Some(found) = found.filter(|found| found.kind == FileKind::File) else { continue };
            if linked.contains(&found.identity) {
                continue;
            }
            if staged.digests.contains_key(&digest) {
                garbage.staged.add(found.size);
                continue;
            }
            if age(&found) < options.keep_younger_than.unwrap_or_default() {
                garbage.kept.add(found.size);
                continue;
            }
            options.delete(|| directory.remove_file(digest.encoded())).map_err(Error::io("delete", &path))?;
            garbage.blobs.add(found.size);
            garbage.digests.push(digest);
        }
        Ok(())
    }

    /// Deletes uploads. Files with other names are none.
    fn collect_uploads(
        options: &GarbageOptions,
        root: &Directory,
        uploads: &Directory,
        garbage: &mut Garbage,
    ) -> Result<()> {
        let entries = uploads.entries().map_err(Error::io("read", uploads.path()))?;
        let names = entries.iter().filter_map(|(name, _)| name.to_str()).filter(|name| is_upload_id(name));
        for name in names {
            let path = uploads.path_of(name);
            let find = || uploads.find(name).map(|found| found.filter(|found| found.kind == FileKind::File));
            let Some(found) = find().map_err(Error::io("read", &path))? else { continue };
            // The lock keeps the upload from being resumed meanwhile.
            let file = uploads.open_file(name).ok().filter(|file| file.try_lock().is_ok());
            let found = find().map_err(Error::io("read", &path))?.unwrap_or(found);
            if file.is_none() || age(&found) < options.keep_younger_than.unwrap_or(UPLOAD_REST) {
                garbage.kept.add(found.size);
                continue;
            }
            options.delete(|| uploads.remove_file(name)).map_err(Error::io("delete", &path))?;
            garbage.uploads.add(found.size);
        }
        if !options.dry_run {
            // Another upload may be in it.
            let _ = root.remove_directory(UPLOADS_DIRECTORY);
        }
        Ok(())
    }
}

impl GarbageOptions {
    /// Deletes a file, unless it is only to be found.
    fn delete(&self, delete: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.dry_run {
            return Ok(());
        }
        delete().or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }
}

/// Returns the sizes of the files that are at a path, or below it. Those that vanish meanwhile do not count.
fn sizes_of_files(path: &Path) -> io::Result<Vec<u64>> {
    let (mut paths, mut sizes) = (vec![path.to_owned()], Vec::new());
    while let Some(path) = paths.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !metadata.is_dir() {
            sizes.extend(metadata.is_file().then_some(metadata.len()));
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
