//! Carrying out a pull.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use super::fetch::DownloadAction;
use super::fetch::{Downloads, is_cut, is_full};
use super::images::RemoteImages;
use super::incoming::{Incoming, IncomingBlob};
use super::options::PullOptions;
use crate::error::{Error, RemoteError, Result};
use crate::graph::severity::may_be_missing;
use crate::graph::walk::{Document, Reach, Role, walk};
use crate::layout::handle::Layout;
use crate::layout::init::NewDirectories;
use crate::layout::site::Site;
use crate::oci::{Descriptor, Digest};
use crate::remote::first_fault::FirstFault;
use crate::remote::source::RemoteDocuments;
use crate::transfer::contents::ExportOptions;
use crate::transfer::dir::NewEntries;
use crate::transfer::event::{TransferEvent, TransferObserver};
use crate::transfer::format::Format;
use crate::view::content::Content;
use crate::view::index_view::View;
use crate::view::reach::MissingBlobs;
use crate::view::source::BlobSource;

/// The number of blobs that are fetched at once.
const JOBS: usize = 6;

/// The number of small blobs that are fetched at once.
const SMALL_JOBS: usize = 16;

/// Blobs below this size are small: they cost round trips, not bytes.
const SMALL: u64 = 1024 * 1024;

/// How often blobs are fetched that the layout had and lost in the meantime.
const TRIES: usize = 3;

/// A pull before a blob is fetched: all documents are there.
#[derive(Debug)]
pub struct PullPlan {
    documents: RemoteDocuments,
    view: View,
    images: Vec<PlannedImage>,
    /// All blobs but documents, the largest first.
    blobs: Vec<Descriptor>,
    /// The manifests that indexes list and the registry lacks.
    missing: Vec<Digest>,
}

#[derive(Clone, Debug)]
struct PlannedImage {
    entry: Descriptor,
    blobs: Vec<Descriptor>,
    /// The manifests that the registry lacks.
    missing: Vec<Descriptor>,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PullStatus {
    /// It was fetched.
    Pulled,
    /// The layout had it, with its name.
    Exists,
}

/// An image that the layout has now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledImage {
    /// The entry, with its names.
    pub descriptor: Descriptor,
    /// What became of it.
    pub status: PullStatus,
    /// Its blobs, configs included.
    pub blobs: Vec<PulledBlob>,
    /// The manifests that its indexes list and the registry lacks.
    pub left_out: Vec<Descriptor>,
}

/// A blob of a pulled image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledBlob {
    /// The blob.
    pub descriptor: Descriptor,
    /// What became of it.
    pub action: DownloadAction,
}

/// The result of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// The images.
    pub images: Vec<PulledImage>,
    /// The counts.
    pub summary: PullSummary,
}

/// The counts of a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullSummary {
    /// The entries that are new in the layout.
    pub manifests_pulled: usize,
    /// The blobs that were fetched.
    pub blobs_downloaded: usize,
    /// The blobs that the layout had.
    pub blobs_skipped: usize,
    /// The bytes that were fetched.
    pub bytes_downloaded: u64,
    /// The requests that were sent.
    pub requests: u64,
    /// The requests that were sent again.
    pub retries: u64,
    /// The time that it took.
    pub duration: Duration,
}

impl RemoteImages {
    /// Plans to pull the images of a view, which is a part of [`RemoteImages::view`]: fetches their documents.
    ///
    /// # Errors
    ///
    /// The errors of fetching; [`Error::MissingBlob`] for a document that the registry does not have;
    /// [`Error::MalformedDocument`].
    pub fn plan_pull(&self, view: &View) -> Result<PullPlan> {
        self.fetch_documents(view)?;
        let mut blobs: HashMap<Digest, Descriptor> = HashMap::new();
        let (mut images, mut missing) = (Vec::new(), Vec::new());
        for entry in &view.index().manifests {
            let (mut own, mut lacking) = (Vec::new(), Vec::new());
            let mut seen = HashSet::new();
            for visit in walk(view, [entry], Reach::Manifests) {
                let is_top = visit.entry.digest == entry.digest;
                let document = match visit.document {
                    Ok(document) => document,
                    // An index may list images that were never copied to the registry.
                    Err(Error::MissingBlob { digest, .. }) if !is_top => {
                        if !missing.contains(&digest) {
                            missing.push(digest);
                        }
                        if seen.insert(visit.entry.digest.clone()) {
                            lacking.push(visit.entry.into_owned());
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let Some(document) = document else { continue };
                let are_entries = matches!(document, Document::Index(_));
                for part in document.into_parts() {
                    let is_blob = Role::of_part(&part, are_entries) == Role::Blob;
                    if is_blob && seen.insert(part.digest.clone()) {
                        blobs.entry(part.digest.clone()).or_insert_with(|| part.clone());
                        own.push(part);
                    }
                }
            }
            images.push(PlannedImage { entry: entry.clone(), blobs: own, missing: lacking });
        }
        let mut blobs: Vec<Descriptor> = blobs.into_values().collect();
        blobs.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.digest.cmp(&other.digest)));
        Ok(PullPlan { documents: self.documents.clone(), view: view.clone(), images, blobs, missing })
    }
}

impl PullPlan {
    /// Returns the manifests that indexes of the pull list and the registry lacks.
    pub fn missing(&self) -> &[Digest] {
        &self.missing
    }

    /// Returns the number of bytes of all blobs.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size))
    }

    /// Says what a pull to a layout would do.
    ///
    /// # Errors
    ///
    /// The errors of [`PullPlan::pull`] that can be known before anything is fetched.
    pub fn preview(&self, path: &Path, options: &PullOptions) -> Result<Pulled> {
        let target = self.target(path, options)?;
        let actions = self.blobs.iter().map(|blob| {
            let has = target.has(blob);
            (blob.digest.clone(), if has { DownloadAction::Skipped } else { DownloadAction::Downloaded })
        });
        Ok(self.result(&target, &actions.collect(), 0))
    }

    /// Pulls the images into a layout, which is created if it is not there.
    ///
    /// # Errors
    ///
    /// Before anything is fetched: [`Error::NotEmpty`], [`Error::NameTaken`], and the errors of opening the layout. Then
    /// [`RemoteError::Download`](crate::RemoteError::Download), [`Error::DigestMismatch`], [`Error::Io`],
    /// [`Error::Locked`].
    pub fn pull(&self, path: &Path, options: &PullOptions, observer: TransferObserver<'_>) -> Result<Pulled> {
        let clock = self.documents.client().policy().clock();
        let start = clock.now();
        let target = self.target(path, options)?;
        let mut pulled = if target.is_complete(self) {
            // An earlier run may have been killed when it had added all.
            if let Ok(incoming) = Incoming::open(&target.site) {
                incoming.discard(&self.blobs);
            }
            let actions = self.blobs.iter().map(|blob| (blob.digest.clone(), DownloadAction::Skipped)).collect();
            self.result(&target, &actions, 0)
        } else {
            self.fetch_and_add(&target, options, observer)?
        };
        pulled.summary.duration = clock.now().saturating_sub(start);
        Ok(pulled)
    }

    /// Looks at the target: whether the images can be added, and which blobs it has.
    fn target(&self, path: &Path, options: &PullOptions) -> Result<Target> {
        let mut site = Site::new(path.to_owned()).with_write_options(options.write.clone());
        site = site.with_metrics(Arc::clone(&options.metrics));
        if options.shares_blobs {
            site = site.with_shared_blobs();
        }
        let entries = NewEntries { view: &self.view, replace: options.replace };
        let is_new_entry = entries.check(&site)?;
        let layout = Layout::find(&site)?;
        let reachable = match &layout {
            Some(layout) => {
                // Where a document or a size is wrong, no blob is taken without looking at its bytes.
                let reached = View::of(layout.clone())?.reached(MissingBlobs::Fine).unwrap_or_default();
                reached.into_iter().filter(|blob| blob.is_there).map(|blob| blob.descriptor.digest).collect()
            }
            None => HashSet::new(),
        };
        Ok(Target { site, layout, reachable, is_new_entry })
    }

    /// Fetches the blobs that the layout lacks, and adds all to it.
    fn fetch_and_add(&self, target: &Target, options: &PullOptions, observer: TransferObserver<'_>) -> Result<Pulled> {
        let site = &target.site;
        let mut made = NewDirectories::default();
        if target.layout.is_none() {
            made.directories(site, site.path())?;
        }
        let incoming = Incoming::open(site)?;
        let first = FirstFault::of(self.documents.client());
        let documents = self.documents.by(first.client());
        let downloads = Downloads {
            documents: &documents,
            incoming: &incoming,
            allow_foreign: options.allow_foreign,
            observer,
            bytes: AtomicU64::new(0),
            first: &first,
            done: Mutex::new(Vec::new()),
        };
        let mut actions: HashMap<Digest, DownloadAction> = HashMap::new();
        let mut wanted: Vec<&Descriptor> = self.blobs.iter().collect();
        for is_last in (1..=TRIES).map(|attempt| attempt == TRIES) {
            let result = self.fetch(&downloads, target, &wanted, options, &mut actions);
            if let Err(error) = result {
                let goes_on = is_cut(&error) || (is_full(&error) && target.layout.is_some());
                let kept = self.leave(&downloads, &mut made, goes_on);
                return Err(match error {
                    Error::Remote(RemoteError::Download { digest, source, .. }) => {
                        RemoteError::Download { digest, kept, source }.into()
                    }
                    error => error,
                });
            }
            let added = self.add(target, options, &downloads.done());
            match added {
                Ok(()) => {
                    made.keep();
                    // An earlier run may have been killed when it had added them.
                    incoming.discard(&self.blobs);
                    incoming.remove(&downloads.done());
                    let bytes = downloads.bytes.load(Ordering::Relaxed);
                    return Ok(self.result(target, &actions, bytes));
                }
                // The layout lost a blob that it had.
                Err(Error::MissingBlob { digest, .. }) if !is_last => {
                    wanted = self.blobs.iter().filter(|blob| blob.digest == digest).collect();
                    actions.remove(&digest);
                }
                Err(error) => {
                    // A layout that another process is changing, or that has no room now, is tried again later.
                    let is_busy = matches!(error, Error::Locked { .. });
                    self.leave(&downloads, &mut made, is_busy || (is_full(&error) && target.layout.is_some()));
                    return Err(error);
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// Ends a pull that failed. Its blobs stay if the same command would go on with them. Returns how many bytes are
    /// kept.
    fn leave(&self, downloads: &Downloads<'_>, made: &mut NewDirectories, goes_on: bool) -> u64 {
        let done = std::mem::take(&mut *downloads.done());
        if !goes_on {
            downloads.incoming.remove(&done);
            downloads.incoming.discard(&self.blobs);
        }
        drop(done);
        downloads.incoming.remove_if_empty();
        let kept = downloads.incoming.kept(&self.blobs);
        if kept > 0 {
            made.keep();
        }
        kept
    }

    /// Fetches blobs that the layout lacks: the largest first, several at once.
    fn fetch(
        &self,
        downloads: &Downloads<'_>,
        target: &Target,
        wanted: &[&Descriptor],
        options: &PullOptions,
        actions: &mut HashMap<Digest, DownloadAction>,
    ) -> Result<()> {
        let is_retry = !actions.is_empty();
        let fetch_one = |blob: &Descriptor| -> Result<(Digest, DownloadAction)> {
            if !is_retry && target.has(blob) {
                (downloads.observer)(TransferEvent::Present(blob));
                return Ok((blob.digest.clone(), DownloadAction::Skipped));
            }
            if let Some(config) = self.documents.fetched(&blob.digest) {
                downloads.bytes.fetch_add(config.size(), Ordering::Relaxed);
                (downloads.observer)(TransferEvent::Bytes(config.size()));
                return Ok((blob.digest.clone(), DownloadAction::Downloaded));
            }
            let (action, fetched) = downloads.fetch(blob, &target.site)?;
            if let Some(mut fetched) = fetched {
                if let Err(error) = fetched.sync(&target.site) {
                    // Its bytes may not be on the disk.
                    fetched.delete();
                    return Err(error);
                }
                fetched.unlock()?;
                downloads.done().push(fetched);
            }
            Ok((blob.digest.clone(), action))
        };
        let (large, small): (Vec<&Descriptor>, Vec<&Descriptor>) = wanted.iter().partition(|blob| blob.size >= SMALL);
        for (blobs, jobs) in [(large, JOBS), (small, SMALL_JOBS)] {
            actions.extend(downloads.first.map(blobs, options.jobs.unwrap_or(jobs).max(1), fetch_one)?);
        }
        Ok(())
    }

    /// Adds the images to the layout, as an import does.
    fn add(&self, target: &Target, options: &PullOptions, done: &[IncomingBlob]) -> Result<()> {
        let fetched: HashMap<Digest, Content> =
            done.iter().map(|blob| Ok((blob.expected().clone(), blob.content()?))).collect::<Result<_>>()?;
        let verified: HashSet<Digest> = fetched.keys().cloned().collect();
        let source = PulledBlobs { documents: self.documents.clone(), fetched, layout: Layout::find(&target.site)? };
        let view = View::new(self.view.index().clone(), source, self.view.path().to_owned());
        let view = view.with_blobs_of(&self.view);
        let mut export = ExportOptions::default()
            .allow_missing(true)
            .link(true)
            .replace(options.replace)
            .write(options.write.clone())
            .shares_blobs(options.shares_blobs)
            .metrics(Arc::clone(&options.metrics));
        export.verified = Arc::new(verified);
        export.trusted = Arc::new(target.reachable.clone());
        view.plan_export(Format::Directory, &export)?.write(target.site.path()).map(drop)
    }

    fn result(&self, target: &Target, actions: &HashMap<Digest, DownloadAction>, bytes: u64) -> Pulled {
        let action = |blob: &Descriptor| actions.get(&blob.digest).copied().unwrap_or(DownloadAction::Skipped);
        let images: Vec<PulledImage> = self
            .images
            .iter()
            .zip(&target.is_new_entry)
            .map(|(image, is_new)| PulledImage {
                descriptor: image.entry.clone(),
                status: if *is_new { PullStatus::Pulled } else { PullStatus::Exists },
                blobs: image
                    .blobs
                    .iter()
                    .map(|blob| PulledBlob { descriptor: blob.clone(), action: action(blob) })
                    .collect(),
                left_out: image.missing.clone(),
            })
            .collect();
        let count =
            |is_counted: fn(DownloadAction) -> bool| self.blobs.iter().filter(|blob| is_counted(action(blob))).count();
        let client = self.documents.client();
        let summary = PullSummary {
            manifests_pulled: images.iter().filter(|image| image.status == PullStatus::Pulled).count(),
            blobs_downloaded: count(|action| matches!(action, DownloadAction::Downloaded | DownloadAction::Resumed)),
            blobs_skipped: count(|action| action == DownloadAction::Skipped),
            bytes_downloaded: bytes,
            requests: client.requests(),
            retries: client.retries(),
            duration: Duration::ZERO,
        };
        Pulled { images, summary }
    }
}

/// A layout that is, or will be, at a path.
struct Target {
    site: Site,
    layout: Option<Layout>,
    /// The blobs that `index.json` reaches, with their sizes: they are taken as they are.
    reachable: HashSet<Digest>,
    /// For each entry, whether the layout does not have it yet.
    is_new_entry: Vec<bool>,
}

impl Target {
    /// Returns whether the layout has a blob: by its size if `index.json` reaches it, or else by its content.
    fn has(&self, blob: &Descriptor) -> bool {
        let Some(layout) = &self.layout else { return false };
        if self.reachable.contains(&blob.digest) {
            return layout.has_blob(&blob.digest, blob.size);
        }
        layout.sound_blob(&blob.digest, blob.size, |_| ()).is_some()
    }

    /// Returns whether the layout has all of a pull: nothing is to be done.
    fn is_complete(&self, plan: &PullPlan) -> bool {
        let Some(layout) = &self.layout else { return false };
        let has = |descriptor: &Descriptor| {
            self.reachable.contains(&descriptor.digest) && layout.has_blob(&descriptor.digest, descriptor.size)
        };
        self.is_new_entry.iter().all(|is_new| !is_new)
            && plan.images.iter().all(|image| has(&image.entry))
            && plan.blobs.iter().all(|blob| has(blob) || may_be_missing(blob))
    }
}

/// The blobs of a pull: documents in memory, fetched blobs in files, and those that the layout has.
struct PulledBlobs {
    documents: RemoteDocuments,
    fetched: HashMap<Digest, Content>,
    layout: Option<Layout>,
}

impl BlobSource for PulledBlobs {
    fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        if let Some(content) = self.fetched.get(digest).cloned().or_else(|| self.documents.fetched(digest)) {
            return Ok(Some(content));
        }
        match &self.layout {
            Some(layout) => layout.find(digest),
            None => Ok(None),
        }
    }
}
