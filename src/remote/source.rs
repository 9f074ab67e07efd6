//! The documents of a repository as a source of a view: manifests, indexes and configs, fetched when they are read.
//!
//! Layers are never fetched here. What a document refers to tells which digests are documents; each is fetched once, verified
//! and kept.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::auth::scope::Scope;
use super::client::{Client, Fetched, ManifestReference};
use super::first_fault::FirstFault;
use super::retry::Failure;
use crate::error::{Error, RemoteError, Result};
use crate::graph::verify::verify_bytes;
use crate::graph::walk::{Document, Role};
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, RepositoryName};
use crate::view::content::Content;
use crate::view::source::BlobSource;

/// The largest config that is fetched.
const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;

/// The most bytes of documents that are kept.
const DOCUMENTS_LIMIT: u64 = 256 * 1024 * 1024;

/// The number of documents that are fetched at once.
const AT_ONCE: usize = 16;

/// The documents of a repository.
#[derive(Clone)]
pub(crate) struct RemoteDocuments(Arc<Inner>, Arc<Client>);

struct Inner {
    repository: RepositoryName,
    scope: Scope,
    known: Mutex<HashMap<Digest, Known>>,
    /// The bytes of the documents that are kept.
    bytes: AtomicU64,
    /// Has documents that need not be fetched.
    beside: Option<Layout>,
}

/// What is known of a digest.
#[derive(Clone)]
enum Known {
    /// A manifest or index.
    Manifest(Box<Descriptor>),
    /// A config of so many bytes.
    Config(u64),
    Fetched(Content),
    Absent,
}

impl fmt::Debug for RemoteDocuments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RemoteDocuments").field("repository", &self.0.repository).finish_non_exhaustive()
    }
}

impl RemoteDocuments {
    pub(crate) fn new(client: Arc<Client>, repository: RepositoryName, beside: Option<Layout>) -> Self {
        let scope = Scope::pull(&repository);
        let (known, bytes) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { repository, scope, known, bytes, beside }), client)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.1
    }

    /// Returns the same documents, which another client of the same registry fetches.
    pub(crate) fn by(&self, client: &Arc<Client>) -> Self {
        Self(Arc::clone(&self.0), Arc::clone(client))
    }

    pub(crate) fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// Adds a manifest or index that was fetched. Returns its descriptor.
    pub(crate) fn add(&self, fetched: Fetched) -> Descriptor {
        let Fetched { bytes, digest, media_type, .. } = fetched;
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        let content = Content::in_memory(bytes);
        self.note_parts(&descriptor, &content);
        self.known().insert(descriptor.digest.clone(), Known::Fetched(content));
        descriptor
    }

    /// Notes that a digest is one of a manifest or index.
    pub(crate) fn note_manifest(&self, descriptor: &Descriptor) {
        self.known().entry(descriptor.digest.clone()).or_insert_with(|| Known::Manifest(Box::new(descriptor.clone())));
    }

    /// Fetches documents, several at once. Those that are missing are no error.
    ///
    /// # Errors
    ///
    /// The first error of fetching.
    pub(crate) fn fetch_all(&self, digests: Vec<Digest>) -> Result<()> {
        let first = FirstFault::of(self.client());
        let documents = self.by(first.client());
        first.map(digests, AT_ONCE, |digest| documents.find(&digest).map(drop)).map(drop)
    }

    /// Returns a document that was fetched.
    pub(crate) fn fetched(&self, digest: &Digest) -> Option<Content> {
        match self.known().get(digest) {
            Some(Known::Fetched(content)) => Some(content.clone()),
            _ => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which digests a document names as documents.
    fn note_parts(&self, descriptor: &Descriptor, content: &Content) {
        let mut bytes = Vec::new();
        if content.reader().read_to_end(&mut bytes).is_err() {
            return;
        }
        // A document that cannot be read is reported by those who read it.
        let Ok(Some(document)) = Document::of_entry(descriptor, &bytes) else { return };
        let are_entries = matches!(document, Document::Index(_));
        let config = match &document {
            Document::Manifest(manifest) => Some(manifest.config.digest.clone()),
            _ => None,
        };
        let mut known = self.known();
        for part in document.into_parts() {
            let is_config = config.as_ref() == Some(&part.digest);
            let what = match Role::of_part(&part, are_entries) {
                Role::Blob if is_config && part.size <= CONFIG_LIMIT => Known::Config(part.size),
                Role::Blob => continue,
                _ => Known::Manifest(Box::new(part.clone())),
            };
            known.entry(part.digest).or_insert(what);
        }
    }

    /// Returns a document that the layout has, if its bytes are right.
    fn in_layout(&self, digest: &Digest, size: u64) -> Option<Content> {
        let content = self.0.beside.as_ref()?.find(digest).ok()?.filter(|content| content.size() == size)?;
        let mut bytes = Vec::new();
        content.reader().read_to_end(&mut bytes).ok()?;
        verify_bytes(digest, &bytes).ok()?;
        Some(Content::in_memory(bytes))
    }

    fn fetch_manifest(&self, digest: &Digest, size: u64) -> Result<Option<Content>> {
        let (client, Inner { repository, scope, .. }) = (self.client(), &*self.0);
        let reference = ManifestReference::Digest(digest.clone());
        let Some(fetched) = client.get_manifest(repository, &reference, scope)? else { return Ok(None) };
        let actual = fetched.bytes.len() as u64;
        if actual != size {
            return Err(Error::SizeMismatch { digest: Some(digest.clone()), expected: size, actual });
        }
        let descriptor = Descriptor::new(fetched.media_type, digest.clone(), size);
        let content = Content::in_memory(fetched.bytes);
        self.note_parts(&descriptor, &content);
        Ok(Some(content))
    }

    fn fetch_config(&self, digest: &Digest, size: u64) -> Result<Option<Content>> {
        let client = self.client();
        let mut tries = client.tries();
        let mut was_wrong = false;
        loop {
            let failure = match self.read_config(digest, size) {
                Ok(bytes) => match verify_bytes(digest, &bytes) {
                    Ok(()) => return Ok(Some(Content::in_memory(bytes))),
                    Err(error) if was_wrong => return Err(error),
                    // Once more, as blobs are.
                    Err(_) => {
                        was_wrong = true;
                        continue;
                    }
                },
                Err(failure) => failure,
            };
            match *failure.error {
                RemoteError::BlobNotFound { .. } => return Ok(None),
                _ => client.pause(&mut tries, failure)?,
            }
        }
    }

    fn read_config(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Failure> {
        let client = self.client();
        let mut body = client.get_blob(self.repository(), (digest, size), 0, self.scope())?.into_document();
        let mut bytes = vec![0; usize::try_from(size).expect("it is bounded")];
        let mut filled = 0;
        while filled < bytes.len() {
            match client.read_blob(&mut body, &mut bytes[filled..])? {
                0 => return Err(client.cut_short(digest, filled as u64, size)),
                read => filled += read,
            }
        }
        Ok(bytes)
    }
}

impl BlobSource for RemoteDocuments {
    fn find(&self, digest: &Digest) -> Result<Option<Content>> {
        let known = self.known().get(digest).cloned();
        let fetched = match known {
            None | Some(Known::Absent) => return Ok(None),
            Some(Known::Fetched(content)) => return Ok(Some(content)),
            Some(Known::Manifest(descriptor)) => match self.in_layout(digest, descriptor.size) {
                Some(content) => {
                    self.note_parts(&descriptor, &content);
                    Some(content)
                }
                None => self.fetch_manifest(digest, descriptor.size)?,
            },
            Some(Known::Config(size)) => match self.in_layout(digest, size) {
                Some(content) => Some(content),
                None => self.fetch_config(digest, size)?,
            },
        };
        if let Some(content) = &fetched {
            let all = self.0.bytes.fetch_add(content.size(), Ordering::Relaxed).saturating_add(content.size());
            if all > DOCUMENTS_LIMIT {
                return Err(Error::TooLarge {
                    what: "the documents of the images together".to_owned(),
                    limit: DOCUMENTS_LIMIT,
                });
            }
        }
        let now = fetched.clone().map_or(Known::Absent, Known::Fetched);
        self.known().insert(digest.clone(), now);
        Ok(fetched)
    }
}
