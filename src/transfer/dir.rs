//! Exporting to a layout on disk.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::{fs, io};

use super::built;
use super::contents::{Contents, ExportOptions, Exported, IndexDocument, Planned};
use super::scratch::Staging;
use crate::error::{Error, Referrer, Result};
use crate::fs::{Directory, FileIdentity, rename_new};
use crate::graph::edit::IndexEditor;
use crate::graph::names::Names;
use crate::graph::walk::INDEX_FILE;
use crate::layout::blob_directory::{blob_directory, check_blob_directory, make_blob_directory};
use crate::layout::commit::{sync_index, write_index};
use crate::layout::document_files::{DOCUMENT_LIMIT, STAGE_FILE, pretty};
use crate::layout::entries::read_entries;
use crate::layout::filling::{Filling, RECORD_FILE, is_vacant_but_for_fillings, is_vacant_but_for_uploads, moved_from};
use crate::layout::handle::{Layout, Lock};
use crate::layout::init::{DirectoryLock, NewDirectories};
use crate::layout::leftovers::{clean_directories_in, clean_directory};
use crate::layout::lock::take_lock;
use crate::layout::site::{MARKER_FILE, Site, marker};
use crate::layout::staging_file::Stage;
use crate::layout::unreferenced::remove_unreferenced;
use crate::metrics::Progress;
use crate::oci::{Descriptor, Digest, Index};
use crate::tally::Tally;
use crate::view::index_view::View;
use crate::workers::map::{cores, map_bounded};

/// How often an export starts over because another process created or deleted files at the target.
const TRIES: usize = 10;

/// A view as a new layout, or as an addition to an existing layout, before anything is written.
#[derive(Clone, Debug)]
pub(crate) struct LayoutPlan {
    view: View,
    options: ExportOptions,
    pub(crate) contents: Contents,
}

impl LayoutPlan {
    pub(crate) fn new(view: &View, options: &ExportOptions) -> Result<Self> {
        Ok(Self { view: view.clone(), options: options.clone(), contents: Contents::of(view, options)? })
    }

    /// Creates the layout, or adds to the layout that exists.
    pub(crate) fn write(&self, path: &Path, progress: Progress<'_>) -> Result<Exported> {
        let export = Export::new(self, path, progress);
        // The files that were written for a target that another process took in the meantime.
        let mut staging = None;
        for _ in 0..TRIES {
            let is_done = match export.settled_target()? {
                Target::Layout(layout) => return export.add(&layout),
                Target::Vacant => export.fill(&mut staging)?,
                Target::Missing => export.make(&mut staging)?,
                Target::HalfMade => {
                    export.site.finish_half_made()?;
                    false
                }
                Target::Occupied => break,
            };
            if is_done {
                return Ok(self.contents.exported.clone());
            }
        }
        Err(Error::NotEmpty { path: export.root().to_owned() })
    }

    /// Returns the blobs that would be written to a path, and those already there. Existing blobs are not read.
    pub(crate) fn totals_at(&self, path: &Path) -> Result<Exported> {
        let export = Export::new(self, path, Progress::none());
        match export.settled_target()? {
            Target::Missing | Target::Vacant | Target::HalfMade => Ok(self.contents.exported.clone()),
            Target::Occupied => Err(Error::NotEmpty { path: export.root().to_owned() }),
            Target::Layout(layout) => {
                let before = read_entries(layout.site())?;
                let (index, _) = export.merged(&layout, &before)?;
                let left_behind = export.left_behind(&layout, &before, &index);
                let blobs = self.contents.blobs.iter().map(|blob| &blob.descriptor);
                let missing = blobs.filter(|blob| !layout.has_blob(&blob.digest, blob.size));
                let exported = export.exported(&missing.map(|blob| &blob.digest).collect());
                Ok(Exported { left_behind, ..exported })
            }
        }
    }
}

/// The entries of a view that are to be added to a layout, before its blobs are there.
#[cfg(feature = "remote")]
pub(crate) struct NewEntries<'a> {
    pub(crate) view: &'a View,
    pub(crate) replace: bool,
}

#[cfg(feature = "remote")]
impl NewEntries<'_> {
    /// Checks that the entries can be added. Returns for each whether the layout does not have it yet.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]; [`Error::NameTaken`]; the errors of reading the layout.
    pub(crate) fn check(&self, site: &Site) -> Result<Vec<bool>> {
        let options = ExportOptions::default().replace(self.replace);
        let plan = LayoutPlan { view: self.view.clone(), options, contents: Contents::none() };
        let export = Export { plan: &plan, progress: Progress::none(), site: site.clone() };
        let entries = &self.view.index().manifests;
        match export.settled_target()? {
            Target::Missing | Target::Vacant | Target::HalfMade => Ok(vec![true; entries.len()]),
            Target::Occupied => Err(Error::NotEmpty { path: site.path().to_owned() }),
            Target::Layout(layout) => {
                let before = read_entries(layout.site())?;
                export.merged(&layout, &before)?;
                let has = |entry: &Descriptor| {
                    before
                        .manifests
                        .iter()
                        .any(|there| there.digest == entry.digest && (!entry.is_named() || there.is_called_like(entry)))
                };
                Ok(entries.iter().map(|entry| !has(entry)).collect())
            }
        }
    }
}

/// The state of the path where a layout will be.
#[derive(Debug)]
enum Target {
    Layout(Layout),
    /// A directory that is empty, or holds only leftovers that can be cleaned.
    Vacant,
    Missing,
    /// A directory with the files that a killed `init` or first upload created.
    HalfMade,
    Occupied,
}

/// A plan being carried out.
struct Export<'a> {
    plan: &'a LayoutPlan,
    progress: Progress<'a>,
    /// Where the layout is that is added to, or will be created.
    site: Site,
}

impl<'a> Export<'a> {
    fn new(plan: &'a LayoutPlan, path: &Path, progress: Progress<'a>) -> Self {
        let options = &plan.options;
        let site = Site::new(path.to_owned());
        let site = site.with_write_options(options.write.clone()).with_metrics(options.metrics.clone());
        let site = if options.shares_blobs { site.with_shared_blobs() } else { site };
        Self { plan, progress, site }
    }

    fn root(&self) -> &Path {
        self.site.path()
    }

    /// Returns the state of the target. If another process is creating a layout there, waits until it is done.
    fn settled_target(&self) -> Result<Target> {
        for _ in 0..TRIES {
            let target = self.target()?;
            if !matches!(target, Target::Occupied) || !self.root().is_dir() {
                return Ok(target);
            }
            if let DirectoryLock::Held(_lock) = self.site.lock_directory()? {
                return self.target();
            }
        }
        Ok(Target::Occupied)
    }

    fn target(&self) -> Result<Target> {
        match Layout::at(self.site.clone()) {
            Ok(layout) => return Ok(Target::Layout(layout)),
            Err(Error::NotALayout { .. }) => {}
            Err(Error::MalformedMarker { .. }) if self.is_half_made()? => return Ok(Target::HalfMade),
            Err(error) => return Err(error),
        }
        match fs::metadata(self.root()) {
            Ok(metadata) if metadata.is_dir() => {
                let is_vacant = is_vacant_but_for_fillings(self.root()).map_err(Error::io("read", self.root()))?;
                Ok(match is_vacant {
                    true => Target::Vacant,
                    false if self.is_half_made()? => Target::HalfMade,
                    false => Target::Occupied,
                })
            }
            // A dangling link is not followed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(self.root()).is_err() => {
                Ok(Target::Missing)
            }
            Ok(_) => Ok(Target::Occupied),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Target::Occupied),
            Err(error) => Err(Error::io("read", self.root())(error)),
        }
    }

    fn is_half_made(&self) -> Result<bool> {
        match self.site.is_half_made() {
            // A file disappeared: another process is at work there, and is waited for.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map_err(Error::io("read", self.root())),
        }
    }

    /// Creates a layout that does not exist yet, next to its path, and renames it; `false` if the path was taken in the
    /// meantime.
    fn make<'s>(&'s self, staged: &mut Option<Staging<'s>>) -> Result<bool> {
        let create = || Error::io("create", self.root());
        let (Some(parent), Some(name)) = (self.root().parent(), self.root().file_name()) else {
            return Err(create()(io::ErrorKind::InvalidInput.into()));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let mut made = NewDirectories::default();
        made.directories(&self.site, parent)?;
        let staging = self.staged(parent, staged.take())?;
        // A trailing slash cannot be part of the name of a directory that does not exist.
        let target = parent.join(name);
        match staging.persist(&target) {
            Ok(()) => made.keep(),
            Err(failed) if fs::symlink_metadata(&target).is_ok() => {
                *staged = Some(failed.0);
                made.keep();
                return Ok(false);
            }
            Err(failed) => return Err(create()(failed.1)),
        }
        // If syncing the name fails, the layout stays: another process may already use it.
        self.site.sync_directory(parent)?;
        Ok(true)
    }

    /// Creates a layout in an empty directory, the marker last; `false` if the directory is no longer empty. The
    /// directory itself is kept: it may be a mount point or the working directory of a process, and its mode was chosen
    /// by its owner.
    fn fill<'s>(&'s self, staged: &mut Option<Staging<'s>>) -> Result<bool> {
        let root = self.root();
        let staging = self.staged(root, staged.take())?;
        // If two processes create a layout here, one waits and then finds the layout of the other.
        let DirectoryLock::Held(lock) = self.site.lock_directory()? else {
            return Ok(false);
        };
        let _section = self.site.interrupt().begin_section_with(&lock);
        if !matches!(self.target()?, Target::Vacant) {
            return Ok(false);
        }
        clean_directory(&self.site, root);
        if !is_vacant_but_for_uploads(root).map_err(Error::io("read", root))? {
            return Ok(false);
        }
        let filling = Filling::of(staging.path()).map_err(Error::io("read", root))?;
        staging.write_document(RECORD_FILE, &filling.to_json())?;
        self.site.sync_directory(staging.path())?;
        let done = moved_from(staging.path()).try_for_each(|name| {
            let to = root.join(name);
            rename_new(&staging.path().join(name), &to).map_err(Error::io("write", to))?;
            self.site.sync_directory(root)
        });
        if done.is_err() {
            // A file that cannot be deleted cannot be reported either: the first error is the result.
            let _ = filling.take_away(root);
        }
        done?;
        // The process that created the directory may not have synced it.
        self.site.sync_name(root)?;
        Ok(true)
    }

    /// Writes a whole layout into a temporary directory, unless a written one can be moved into `parent`.
    fn staged<'s>(&'s self, parent: &Path, staged: Option<Staging<'s>>) -> Result<Staging<'s>> {
        clean_directories_in(&self.site, parent);
        if let Some(mut staging) = staged
            && staging.move_into(parent).is_ok()
        {
            return Ok(staging);
        }
        let staging = Staging::create_in(parent, &self.site, &self.plan.options)?;
        staging.write_all(self.plan.contents.blobs.iter().map(|blob| (blob, self.progress)).collect())?;
        let index = IndexDocument::new(&self.plan.view, INDEX_FILE, DOCUMENT_LIMIT)?;
        staging.write_pieces(INDEX_FILE, index.size, |writer| index.write(writer))?;
        if self.plan.options.is_build {
            staging.write_document(STAGE_FILE, &pretty(&built::first_stage(self.plan.view.index())))?;
        }
        staging.write_document(MARKER_FILE, marker().as_bytes())?;
        staging.sync_directories()?;
        Ok(staging)
    }

    /// Adds the view to an existing layout.
    fn add(&self, layout: &Layout) -> Result<Exported> {
        // Conflicts are reported before anything is written; they are checked again under the lock.
        self.merged(layout, &read_entries(layout.site())?)?;
        for blob in &self.plan.contents.blobs {
            check_blob_directory(layout.site(), &blob.descriptor.digest)?;
        }
        let mut blobs = self.look(layout)?;
        let mut staging = None;
        self.stage(&mut staging, blobs.to_write())?;

        for is_last in [false, false, true] {
            let lock = take_lock(layout)?;
            let gone = blobs.gone(layout, &lock)?;
            if gone.is_empty() {
                return self.place(layout, &lock, staging.as_ref(), &blobs);
            }
            // Blobs of the layout were deleted or replaced. The layout is not locked while they are written.
            drop(lock);
            let gone = if is_last { blobs.present() } else { gone };
            blobs.forget(&gone);
            self.stage(&mut staging, gone.into_iter().map(|blob| (blob, Progress::none())).collect())?;
        }
        // All blobs are written at this point.
        let lock = take_lock(layout)?;
        self.place(layout, &lock, staging.as_ref(), &blobs)
    }

    /// Writes blobs to the scratch directory, from where they can be renamed into the layout.
    fn stage<'s>(&'s self, staging: &mut Option<Staging<'s>>, blobs: Vec<(&Planned, Progress<'_>)>) -> Result<()> {
        if blobs.is_empty() {
            return Ok(());
        }
        let staging = match staging {
            Some(staging) => staging,
            None => {
                let digests = self.plan.contents.blobs.iter().map(|blob| &blob.descriptor.digest);
                let algorithms = digests.map(Digest::algorithm_name).collect();
                staging.insert(Staging::create_in_layout(&self.site, &self.plan.options, &algorithms)?)
            }
        };
        staging.write_all(blobs)
    }

    /// Renames the written blobs into the layout, and then adds the entries.
    fn place(
        &self,
        layout: &Layout,
        lock: &Lock,
        staging: Option<&Staging<'_>>,
        blobs: &Blobs<'_>,
    ) -> Result<Exported> {
        let before = read_entries(layout.site())?;
        let (index, replaced) = self.merged(layout, &before)?;
        let left_behind = self.left_behind(layout, &before, &index);
        let mut new = Vec::new();
        let done = self.place_blobs(layout, lock, staging, blobs, &mut new).and_then(|()| {
            if self.plan.options.is_build {
                return built::write(layout, lock, &index, &self.plan.view.index().manifests, &replaced);
            }
            // The process that wrote the same entries may not have synced them.
            if index == before { sync_index(layout) } else { write_index(layout, lock, &index, []) }
        });
        if let Err(error) = done {
            if let (Ok(index), Ok(stage)) = (read_entries(layout.site()), layout.find_stage()) {
                remove_unreferenced(layout, lock, &index, &stage.unwrap_or_else(Stage::empty), new);
            }
            return Err(error);
        }
        Ok(Exported { left_behind, ..self.exported(&blobs.written()) })
    }

    /// Returns the names of the referrers of images that lose a tag to a build.
    fn left_behind(&self, layout: &Layout, before: &Index, after: &Index) -> Vec<String> {
        if !self.plan.options.is_build {
            return Vec::new();
        }
        let made = self.plan.contents.blobs.iter().map(|blob| &blob.descriptor.digest).collect();
        built::left_behind_by(layout, before, after, &made)
    }

    /// Returns the index of the layout with the entries of the view added, and the entries that a build replaces.
    fn merged(&self, layout: &Layout, index: &Index) -> Result<(Index, Vec<Descriptor>)> {
        let mut index = index.clone();
        let entries = &self.plan.view.index().manifests;
        let replaced = if self.plan.options.is_build {
            let stage = layout.find_stage()?.unwrap_or_else(Stage::empty);
            built::take_places(&mut index, entries, &stage)
        } else {
            Vec::new()
        };
        let names = Names::AsTheyStand { default: None };
        let editor = IndexEditor { names: &names, documents: layout, path: layout.path() };
        editor.add_entries(&mut index, entries, self.plan.options.replace)?;
        Ok((index, replaced))
    }

    /// Looks up which blobs the layout has with the right content.
    fn look(&self, layout: &Layout) -> Result<Blobs<'_>> {
        let mut blobs: Vec<_> = self.plan.contents.blobs.iter().collect();
        blobs.sort_by_key(|blob| Reverse(blob.descriptor.size));
        let looked_at = map_bounded(blobs, cores(), |blob| -> Result<_> {
            let (digest, told) = (&blob.descriptor.digest, Cell::new(false));
            let there = if self.plan.options.trusted.contains(digest) {
                let opened = layout.open_blob(digest, &Referrer::Index).ok();
                opened.filter(|(_, size)| *size == blob.descriptor.size).map(|(file, _)| file)
            } else {
                layout.sound_blob(digest, blob.descriptor.size, |bytes| {
                    told.set(true);
                    self.progress.add(bytes);
                })
            };
            let Some(there) = there else {
                return Ok((blob, BlobState::Missing(if told.get() { Progress::none() } else { self.progress })));
            };
            // The process that stored the blob may not have synced it.
            let path = layout.blob_path(digest);
            match layout.site().sync_stored(&there, &path) {
                // The blob is looked up again under the lock.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
            let identity = FileIdentity::from_file(&there).map_err(Error::io("read", path))?;
            Ok((blob, BlobState::Present(identity)))
        })?;
        Ok(Blobs(looked_at))
    }

    /// Renames the written blobs into the layout.
    fn place_blobs(
        &self,
        layout: &Layout,
        lock: &Lock,
        staging: Option<&Staging<'_>>,
        blobs: &Blobs<'_>,
        new: &mut Vec<Digest>,
    ) -> Result<()> {
        let Some(staging) = staging else { return Ok(()) };
        let mut directories: HashMap<&str, Directory> = HashMap::new();
        for digest in blobs.written() {
            let algorithm = digest.algorithm_name();
            let directory = match directories.get(algorithm) {
                Some(directory) => directory,
                None => {
                    let made = make_blob_directory(layout.site(), lock, algorithm)?;
                    directories.entry(algorithm).or_insert(made)
                }
            };
            let failed = || Error::io("write", layout.blob_path(digest));
            let is_free = directory.find(digest.encoded()).map_err(failed())?.is_none();
            directory.take(&staging.blob_path(digest), digest.encoded()).map_err(failed())?;
            if is_free {
                new.push(digest.clone());
            }
        }
        directories.values().try_for_each(|directory| layout.site().sync_names(directory))
    }

    /// Counts the blobs that were written and those that were present.
    fn exported(&self, staged: &HashSet<&Digest>) -> Exported {
        let mut exported = Exported { blobs: Tally::default(), ..self.plan.contents.exported.clone() };
        for blob in &self.plan.contents.blobs {
            let is_staged = staged.contains(&blob.descriptor.digest);
            let counted = if is_staged { &mut exported.blobs } else { &mut exported.present };
            counted.add(blob.descriptor.size);
        }
        exported
    }
}

/// The blobs that are added to a layout, and the state of each.
struct Blobs<'a>(Vec<(&'a Planned, BlobState<'a>)>);

/// The state of a blob that is added to a layout.
#[derive(Clone, Copy)]
enum BlobState<'a> {
    /// The layout has the blob, with the right content, as this file.
    Present(FileIdentity),
    /// The blob is to be written, or was written since. There is no callback if its bytes were counted already.
    Missing(Progress<'a>),
}

impl<'a> Blobs<'a> {
    /// Returns the blobs to write, and the callbacks for their bytes.
    fn to_write(&self) -> Vec<(&'a Planned, Progress<'a>)> {
        let missing = self.0.iter().filter_map(|(blob, state)| match state {
            BlobState::Missing(progress) => Some((*blob, *progress)),
            BlobState::Present(_) => None,
        });
        missing.collect()
    }

    /// Returns the digests of the blobs that were written.
    fn written(&self) -> HashSet<&'a Digest> {
        self.to_write().into_iter().map(|(blob, _)| &blob.descriptor.digest).collect()
    }

    /// Returns the blobs that were in the layout.
    fn present(&self) -> Vec<&'a Planned> {
        self.0.iter().filter(|(_, state)| matches!(state, BlobState::Present(_))).map(|(blob, _)| *blob).collect()
    }

    /// Returns the blobs that were in the layout, and are no longer there as the same file.
    fn gone(&self, layout: &Layout, lock: &Lock) -> Result<Vec<&'a Planned>> {
        let mut directories: HashMap<&str, Option<Directory>> = HashMap::new();
        let mut gone = Vec::new();
        for (blob, state) in &self.0 {
            let BlobState::Present(identity) = state else { continue };
            let digest = &blob.descriptor.digest;
            let algorithm = digest.algorithm_name();
            if !directories.contains_key(algorithm) {
                directories.insert(algorithm, blob_directory(layout.site(), lock.root(), algorithm)?);
            }
            let found = directories[algorithm].as_ref().and_then(|there| there.find_target(digest.encoded()).ok()?);
            if !found.is_some_and(|found| found.identity == *identity && found.size == blob.descriptor.size) {
                gone.push(*blob);
            }
        }
        Ok(gone)
    }

    /// Marks blobs as to be written.
    fn forget(&mut self, gone: &[&Planned]) {
        let gone: HashSet<&Digest> = gone.iter().map(|blob| &blob.descriptor.digest).collect();
        for (blob, state) in &mut self.0 {
            if gone.contains(&blob.descriptor.digest) {
                *state = BlobState::Missing(Progress::none());
            }
        }
    }
}
