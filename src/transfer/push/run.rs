//! Carrying out a push.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::journal::Journal;
use super::options::PushOptions;
use super::plan::{PlannedDocument, PlannedPush, PushPlan};
use super::upload::{Manner, UploadAction, Uploads};
use crate::error::{Referrer, RemoteError, Result};
use crate::graph::verify::verify_bytes;
use crate::graph::walk::Documents as _;
use crate::oci::{Descriptor, Digest, RepositoryName, Tag};
use crate::remote::auth::scope::Scope;
use crate::remote::client::{Client, ManifestReference, ManifestState};
use crate::remote::first_fault::FirstFault;
use crate::transfer::event::{TransferEvent, TransferObserver};
use crate::transfer::fallback_tag::add_to_fallback;

/// The number of blobs that are sent at once.
const JOBS: usize = 4;

/// The number of small blobs that are sent at once.
const SMALL_JOBS: usize = 16;

/// Blobs below this size are small: they cost round trips, not bytes.
const SMALL: u64 = 1024 * 1024;

/// How often a manifest is sent again whose blobs the registry does not see yet.
const UNSEEN_TRIES: usize = 3;

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushStatus {
    /// It was sent.
    Pushed,
    /// The registry had it, with all its tags.
    Exists,
}

/// An image that the registry has now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedImage {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Its tags; none if it was pushed by its digest.
    pub tags: Vec<Tag>,
    /// What became of it.
    pub status: PushStatus,
    /// Its blobs.
    pub blobs: Vec<PushedBlob>,
}

/// A blob that the registry has now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedBlob {
    /// The blob.
    pub descriptor: Descriptor,
    /// What became of it.
    pub action: UploadAction,
}

/// The result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The images.
    pub images: Vec<PushedImage>,
    /// The counts.
    pub summary: PushSummary,
}

/// The counts of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushSummary {
    /// The manifests and indexes of the index that were sent.
    pub manifests_pushed: usize,
    /// The blobs that were sent.
    pub blobs_uploaded: usize,
    /// The blobs that were not sent: the registry has them.
    pub blobs_skipped: usize,
    /// The bytes that were sent.
    pub bytes_uploaded: u64,
    /// The bytes of all blobs.
    pub bytes_total: u64,
    /// The requests that were sent.
    pub requests: u64,
    /// The requests that were sent again.
    pub retries: u64,
    /// The time that it took.
    pub duration: Duration,
}

impl PushPlan {
    /// Sends the images to a repository.
    ///
    /// # Errors
    ///
    /// [`RemoteError::TagTaken`] before anything is sent; [`RemoteError::Upload`], [`RemoteError::PushManifest`] with their
    /// reasons; [`Error::DigestMismatch`](crate::Error::DigestMismatch) for a blob whose bytes are wrong.
    pub fn push(
        &self,
        client: &Client,
        repository: &RepositoryName,
        options: &PushOptions,
        observer: TransferObserver<'_>,
    ) -> Result<Pushed> {
        let start = client.policy().clock().now();
        let journal = Journal::at(options.journal.clone());
        // A request that fails for good ends all others.
        let first = FirstFault::of(client);
        let client = first.client();
        let scope = Scope::push(repository).and_pull(&options.mount_from);
        let push = Push {
            plan: self,
            client,
            repository,
            options,
            scope: &scope,
            uploads: Uploads {
                client,
                repository,
                scope: &scope,
                mount_from: &options.mount_from,
                force: options.force,
                journal: &journal,
                observer,
                manner: Manner::new(options.chunked, options.chunk_size),
                bytes_uploaded: AtomicU64::new(0),
                busy: AtomicUsize::new(0),
                first: &first,
            },
            observer,
            has_referrers: Mutex::default(),
        };
        let mut pushed = push.run()?;
        pushed.summary.duration = client.policy().clock().now().saturating_sub(start);
        Ok(pushed)
    }
}

struct Push<'a> {
    plan: &'a PushPlan,
    client: &'a Client,
    repository: &'a RepositoryName,
    options: &'a PushOptions,
    scope: &'a Scope,
    uploads: Uploads<'a>,
    observer: TransferObserver<'a>,
    /// Whether the registry has lists of referrers, once it was asked.
    has_referrers: Mutex<Option<bool>>,
}

/// An image, and the tags that it lacks in the registry.
struct Wanted<'a> {
    image: &'a PlannedPush,
    /// Whether the registry has the manifest.
    is_there: bool,
    missing_tags: Vec<Tag>,
}

impl Push<'_> {
    fn run(&self) -> Result<Pushed> {
        let wanted = self.look()?;
        let needed = self.needed(&wanted)?;
        let actions = self.upload_blobs(&needed)?;
        self.push_documents(&needed, &actions)?;
        for wanted in wanted.iter().filter(|wanted| !wanted.image.is_referrer) {
            self.tag(wanted, &actions)?;
        }
        self.list_referrers(&needed)?;
        Ok(self.result(&wanted, &actions))
    }

    /// Asks which images the registry has, tag by tag.
    fn look(&self) -> Result<Vec<Wanted<'_>>> {
        let images = self.plan.images.iter();
        self.uploads.first.map(images.collect(), SMALL_JOBS, |image| self.look_at(image))
    }

    fn look_at<'p>(&self, image: &'p PlannedPush) -> Result<Wanted<'p>> {
        let digest = &image.descriptor.digest;
        if self.options.force && !self.options.no_clobber {
            return Ok(Wanted { image, is_there: false, missing_tags: image.tags.clone() });
        }
        let mut missing_tags = Vec::new();
        let (mut is_there, mut is_absent) = (false, false);
        for tag in &image.tags {
            match self.state_of(&ManifestReference::Tag(tag.clone()), digest)? {
                ManifestState::Is(there) if there == *digest => is_there = true,
                ManifestState::Is(other) if self.options.no_clobber => {
                    let reference = format!("{}/{}:{tag}", self.client.host(), self.repository);
                    return Err(RemoteError::TagTaken { reference, digest: other }.into());
                }
                ManifestState::Absent | ManifestState::Unknown | ManifestState::Is(_) => {
                    missing_tags.push(tag.clone());
                    is_absent = true;
                }
            }
        }
        // A registry that has none of the tags may have the manifest all the same.
        if !is_there && (image.tags.is_empty() || is_absent) {
            let reference = ManifestReference::Digest(digest.clone());
            is_there = self.state_of(&reference, digest)? == ManifestState::Is(digest.clone());
        }
        if self.options.force {
            return Ok(Wanted { image, is_there: false, missing_tags: image.tags.clone() });
        }
        Ok(Wanted { image, is_there, missing_tags })
    }

    /// Asks which manifest a tag or a digest is: by HEAD, and by GET if that does not tell.
    fn state_of(&self, reference: &ManifestReference, digest: &Digest) -> Result<ManifestState> {
        let state = self.client.head_manifest(self.repository, reference, self.scope)?;
        match &state {
            ManifestState::Absent => return Ok(state),
            ManifestState::Is(there) if there.algorithm() == digest.algorithm() => return Ok(state),
            ManifestState::Is(_) | ManifestState::Unknown => {}
        }
        Ok(match self.client.get_manifest(self.repository, reference, self.scope) {
            Ok(None) => ManifestState::Absent,
            Ok(Some(fetched)) if verify_bytes(digest, &fetched.bytes).is_ok() => ManifestState::Is(digest.clone()),
            Ok(Some(fetched)) => ManifestState::Is(fetched.digest),
            // A registry that refuses to tell may take what it is sent.
            Err(RemoteError::Status { .. } | RemoteError::Schema1 { .. }) if !self.options.no_clobber => {
                ManifestState::Unknown
            }
            Err(error) => return Err(error.into()),
        })
    }

    /// Returns the documents that the registry lacks, each after those that it refers to. One that is there is there with all
    /// that it refers to.
    fn needed(&self, wanted: &[Wanted<'_>]) -> Result<Vec<&PlannedDocument>> {
        let by_digest: HashMap<&Digest, &PlannedDocument> =
            self.plan.documents.iter().map(|document| (&document.descriptor.digest, document)).collect();
        let mut needed: HashSet<&Digest> = HashSet::new();
        let mut level: Vec<&Digest> =
            wanted.iter().filter(|wanted| !wanted.is_there).map(|wanted| &wanted.image.descriptor.digest).collect();
        let mut seen: HashSet<&Digest> = level.iter().copied().collect();
        let mut is_top = true;
        while !level.is_empty() {
            let lacking = if is_top || self.options.force {
                level
            } else {
                let asked = self.uploads.first.map(level, SMALL_JOBS, |digest| {
                    let reference = ManifestReference::Digest(digest.clone());
                    let state = self.state_of(&reference, digest)?;
                    Ok((digest, state == ManifestState::Is(digest.clone())))
                })?;
                asked.into_iter().filter(|(_, is_there)| !is_there).map(|(digest, _)| digest).collect()
            };
            is_top = false;
            needed.extend(&lacking);
            let children = lacking.iter().filter_map(|digest| by_digest.get(digest)).flat_map(|found| &found.children);
            level = children.filter(|child| seen.insert(child)).collect();
        }
        Ok(self.plan.documents.iter().filter(|document| needed.contains(&document.descriptor.digest)).collect())
    }

    /// Sends the blobs of documents: the largest first, several at once.
    fn upload_blobs(&self, needed: &[&PlannedDocument]) -> Result<HashMap<Digest, UploadAction>> {
        let digests: HashSet<&Digest> =
            needed.iter().flat_map(|document| &document.blobs).map(|blob| &blob.digest).collect();
        let blobs = self.plan.blobs.iter().filter(|blob| digests.contains(&blob.digest));
        let (large, small): (Vec<&Descriptor>, Vec<&Descriptor>) = blobs.partition(|blob| blob.size >= SMALL);
        let upload = |blob: &Descriptor| {
            let content = self.plan.view.find(blob)?;
            Ok((blob.digest.clone(), self.uploads.upload(blob, &content)?))
        };
        let jobs = self.options.jobs.unwrap_or(JOBS).max(1);
        let small_jobs = self.options.jobs.unwrap_or(SMALL_JOBS).max(1);
        let mut actions: HashMap<Digest, UploadAction> = HashMap::new();
        for (blobs, jobs) in [(large, jobs), (small, small_jobs)] {
            actions.extend(self.uploads.first.map(blobs, jobs, upload)?);
        }
        Ok(actions)
    }

    /// Sends documents by their digests: those that others refer to, level by level. The images themselves come with their tags.
    fn push_documents(&self, needed: &[&PlannedDocument], actions: &HashMap<Digest, UploadAction>) -> Result<()> {
        let tops: HashSet<&Digest> = self
            .plan
            .images
            .iter()
            .filter(|image| !image.tags.is_empty())
            .map(|image| &image.descriptor.digest)
            .collect();
        let is_needed_by_others: HashSet<&Digest> = needed.iter().flat_map(|document| document.referred_to()).collect();
        let heights = heights(needed);
        let mut levels: Vec<Vec<&PlannedDocument>> = Vec::new();
        for document in needed {
            let digest = &document.descriptor.digest;
            let height = heights[digest];
            if tops.contains(digest) && !is_needed_by_others.contains(digest) {
                continue;
            }
            if levels.len() <= height {
                levels.resize_with(height + 1, Vec::new);
            }
            levels[height].push(document);
        }
        for level in levels {
            self.uploads.first.map(level, SMALL_JOBS, |document| {
                let reference = ManifestReference::Digest(document.descriptor.digest.clone());
                self.put(document, &reference, &[], actions)
            })?;
        }
        Ok(())
    }

    /// Gives an image the tags that it lacks.
    fn tag(&self, wanted: &Wanted<'_>, actions: &HashMap<Digest, UploadAction>) -> Result<()> {
        let digest = &wanted.image.descriptor.digest;
        let document = self.plan.documents.iter().find(|document| document.descriptor.digest == *digest);
        let document = document.expect("each image was planned");
        let tags = &wanted.missing_tags;
        match tags.as_slice() {
            [] => {}
            [tag] => drop(self.put(document, &ManifestReference::Tag(tag.clone()), &[], actions)?),
            _ => {
                // One request for all, where the registry knows that (end-7b); the rest one by one.
                let given = self.put(document, &ManifestReference::Digest(digest.clone()), tags, actions)?;
                for tag in tags.iter().filter(|tag| !given.iter().any(|given| given == tag.as_str())) {
                    self.put(document, &ManifestReference::Tag(tag.clone()), &[], actions)?;
                }
            }
        }
        if !tags.is_empty() || !wanted.is_there {
            (self.observer)(TransferEvent::Manifest(digest));
        }
        Ok(())
    }

    /// Sends a document. Returns the tags that the registry says it gave.
    fn put(
        &self,
        document: &PlannedDocument,
        reference: &ManifestReference,
        tags: &[Tag],
        actions: &HashMap<Digest, UploadAction>,
    ) -> Result<Vec<String>> {
        let descriptor = &document.descriptor;
        let bytes = self.plan.view.read(&descriptor.digest, &Referrer::Index)?;
        let (mut tries, mut attempt) = (self.client.tries(), 0);
        let stored = loop {
            let put = self.client.put_manifest(
                self.repository,
                reference,
                (&bytes, &descriptor.media_type),
                tags,
                self.scope,
                &mut tries,
            );
            match put {
                Ok(stored) => break stored,
                Err(error)
                    if attempt < UNSEEN_TRIES && lacks_blobs(&error) && self.client.takes_another(&mut tries) =>
                {
                    // A registry that stores in several places may not see yet what it took.
                    attempt += 1;
                    self.upload_unseen(document, actions)?;
                    self.client.wait_for_registry(attempt);
                }
                Err(error) => {
                    let digest = descriptor.digest.clone();
                    return Err(RemoteError::PushManifest { digest, source: Box::new(error) }.into());
                }
            }
        };
        if let Some(subject) = &document.subject
            && !(stored.lists_referrer && self.has_referrers(subject)?)
        {
            add_to_fallback(self.client, self.repository, self.scope, subject, &document.as_referrer)?;
        }
        Ok(stored.tags)
    }

    /// Lists those referrers that an earlier run sent and did not list, where the registry does not do it.
    fn list_referrers(&self, needed: &[&PlannedDocument]) -> Result<()> {
        let sent: HashSet<&Digest> = needed.iter().map(|document| &document.descriptor.digest).collect();
        for document in &self.plan.documents {
            if let Some(subject) = &document.subject
                && !sent.contains(&document.descriptor.digest)
                && !self.has_referrers(subject)?
            {
                add_to_fallback(self.client, self.repository, self.scope, subject, &document.as_referrer)?;
            }
        }
        Ok(())
    }

    /// Returns whether the registry has lists of referrers. Some say that they list one and have no lists.
    fn has_referrers(&self, subject: &Descriptor) -> Result<bool> {
        let mut has_referrers = self.has_referrers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has_referrers) = *has_referrers {
            return Ok(has_referrers);
        }
        let list = self.client.referrers(self.repository, &subject.digest, self.scope)?;
        Ok(*has_referrers.insert(list.is_some()))
    }

    /// Sends those blobs of a document once more that the registry does not have after all.
    fn upload_unseen(&self, document: &PlannedDocument, actions: &HashMap<Digest, UploadAction>) -> Result<()> {
        for blob in document.blobs.iter().filter(|blob| actions.get(&blob.digest) != Some(&UploadAction::LeftOut)) {
            let content = self.plan.view.find(blob)?;
            let unforced = &self.uploads;
            unforced.upload_if_absent(blob, &content)?;
        }
        Ok(())
    }

    fn result(&self, wanted: &[Wanted<'_>], actions: &HashMap<Digest, UploadAction>) -> Pushed {
        let left_out: HashSet<&Digest> = self.plan.left_out.iter().map(|blob| &blob.digest).collect();
        let images: Vec<PushedImage> = wanted
            .iter()
            .map(|wanted| {
                let blobs = wanted.image.blobs.iter().map(|blob| PushedBlob {
                    descriptor: blob.clone(),
                    action: match actions.get(&blob.digest) {
                        _ if left_out.contains(&blob.digest) => UploadAction::LeftOut,
                        Some(action) => *action,
                        None => UploadAction::Skipped,
                    },
                });
                let exists = wanted.is_there && wanted.missing_tags.is_empty();
                PushedImage {
                    descriptor: wanted.image.descriptor.clone(),
                    tags: wanted.image.tags.clone(),
                    status: if exists { PushStatus::Exists } else { PushStatus::Pushed },
                    blobs: blobs.collect(),
                }
            })
            .collect();
        let mut blobs: HashMap<&Digest, (UploadAction, u64)> = HashMap::new();
        for blob in images.iter().flat_map(|image| &image.blobs) {
            blobs.insert(&blob.descriptor.digest, (blob.action, blob.descriptor.size));
        }
        let count =
            |is_counted: fn(UploadAction) -> bool| blobs.values().filter(|(action, _)| is_counted(*action)).count();
        let summary = PushSummary {
            manifests_pushed: images.iter().filter(|image| image.status == PushStatus::Pushed).count(),
            blobs_uploaded: count(|action| matches!(action, UploadAction::Uploaded | UploadAction::Resumed)),
            blobs_skipped: count(|action| matches!(action, UploadAction::Skipped | UploadAction::Mounted)),
            bytes_uploaded: self.uploads.bytes_uploaded.load(Ordering::Relaxed),
            bytes_total: blobs.values().fold(0, |sum: u64, (_, size)| sum.saturating_add(*size)),
            requests: self.client.requests(),
            retries: self.client.retries(),
            duration: Duration::ZERO,
        };
        Pushed { images, summary }
    }
}

/// Returns for each document how many levels of others go before it: those that it lists, and its subject.
fn heights<'d>(documents: &[&'d PlannedDocument]) -> HashMap<&'d Digest, usize> {
    let mut heights: HashMap<&Digest, usize> = HashMap::new();
    // A subject may come after those that refer to it.
    for _ in documents {
        let before = heights.clone();
        for document in documents {
            let below = document.referred_to().filter_map(|digest| heights.get(digest)).max();
            let height = below.map_or(0, |below| below + 1);
            heights.insert(&document.descriptor.digest, height);
        }
        if heights == before {
            break;
        }
    }
    heights
}

/// Returns whether a registry refuses a manifest because it does not have what the manifest refers to.
fn lacks_blobs(error: &RemoteError) -> bool {
    match error {
        RemoteError::Status { codes, .. } => codes
            .iter()
            .any(|code| matches!(code.as_str(), "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN")),
        _ => false,
    }
}
