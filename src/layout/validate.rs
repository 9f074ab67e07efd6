//! Checking that a layout is whole: that everything that `index.json` leads to is there and is what it is said to be.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

use serde::Serialize;

use super::error::{Error, Reason, Result};
use super::handle::Layout;
use super::metrics::Progress;
use super::walk::Document;
use crate::oci::{Descriptor, Digest};

/// What a validation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What makes the layout invalid.
    pub errors: Vec<Finding>,
    /// What is legal, but may not be meant.
    pub warnings: Vec<Finding>,
    /// What was looked at.
    pub checked: Checked,
}

/// One thing that a validation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Finding {
    message: String,
    /// Where it is: `index.json`, or a part of a document.
    #[serde(skip)]
    location: String,
}

/// How much was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The number of blobs, each counted once.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Report {
    /// Tells whether the layout is valid. Warnings do not matter.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

impl Finding {
    /// Reports something that stands somewhere.
    pub fn new(message: impl Into<String>, location: impl Into<String>) -> Self {
        Self { message: message.into(), location: location.into() }
    }

    /// Returns what was found, naming the thing and both values.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns where it was found: `manifests[0] in index.json`, `layer[1] in manifest sha256:…`.
    pub fn location(&self) -> &str {
        &self.location
    }
}

/// A descriptor to follow: where it stands and what it says.
struct Reference {
    descriptor: Descriptor,
    /// The file or digest that holds the descriptor.
    referrer: String,
    /// Which of its descriptors it is.
    place: String,
}

impl Reference {
    fn location(&self) -> String {
        format!("{} in {}", self.place, self.referrer)
    }
}

/// What is known of one reference.
enum Outcome {
    /// All there is to say.
    Said(Vec<Said>),
    /// It leads to a blob that is verified later, with all others.
    Leaf(Digest, String),
}

enum Said {
    Error(Finding),
    Warning(Finding),
}

struct Validation<'a> {
    layout: &'a Layout,
    outcomes: Vec<Outcome>,
    checked: Checked,
    /// The documents that were read, with their sizes if they are sound.
    documents: HashMap<Digest, Option<u64>>,
    /// The blobs that are no documents, and their sizes.
    leaves: HashMap<Digest, u64>,
}

impl Layout {
    /// Checks `index.json`, everything that it leads to, and every digest and size on the way.
    ///
    /// Each blob is read once, the largest first, on as many threads as there are cores.
    ///
    /// # Errors
    ///
    /// What is wrong with the layout is in the report; an error is what keeps the checks from being made, such as
    /// [`Error::Io`].
    pub fn validate(&self, progress: Option<Progress<'_>>) -> Result<Report> {
        self.read_unlocked(|| self.validate_once(progress), Report::is_valid)
    }

    fn validate_once(&self, progress: Option<Progress<'_>>) -> Result<Report> {
        let mut validation = Validation {
            layout: self,
            outcomes: Vec::new(),
            checked: Checked::default(),
            documents: HashMap::new(),
            leaves: HashMap::new(),
        };
        match self.read_index() {
            Ok(index) => {
                if index.media_type.as_ref().is_some_and(|media_type| !media_type.is_index()) {
                    let path = self.path().to_owned();
                    let reason = Reason::new("its mediaType is not that of an index");
                    validation.say_error(Error::MalformedIndex { path, reason }.to_string(), "index.json");
                }
                validation.follow(&Document::Index(Box::new(index)));
            }
            Err(error @ Error::MalformedIndex { .. }) => {
                let reason = std::error::Error::source(&error).map(|reason| format!("index.json: {reason}"));
                validation.say_error(error.to_string(), "index.json");
                reason.into_iter().for_each(|reason| validation.say_error(reason, "index.json"));
            }
            Err(error) => return Err(error),
        }
        let verified = self.verify_all(&validation.leaves, progress);
        Ok(validation.report(&verified))
    }

    /// Verifies blobs; returns what is wrong with those that are not sound.
    fn verify_all(&self, blobs: &HashMap<Digest, u64>, progress: Option<Progress<'_>>) -> HashMap<Digest, Error> {
        let mut queue: Vec<_> = blobs.iter().collect();
        queue.sort_by_key(|(digest, size)| (std::cmp::Reverse(**size), *digest));
        let threads = available_parallelism().map_or(1, NonZeroUsize::get).min(queue.len());
        let next = AtomicUsize::new(0);
        let (queue, next) = (&queue, &next);
        let advance = |bytes| progress.into_iter().for_each(|progress| progress(bytes));
        let verify = move || {
            let mut unsound = Vec::new();
            while let Some((digest, _)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                let blob = self.open_blob(digest, "index.json");
                if let Err(error) = blob.and_then(|(file, _)| self.verify(digest, file, advance)) {
                    unsound.push(((*digest).clone(), error));
                }
            }
            unsound
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(verify)).collect();
            let own = verify();
            let others = others.into_iter().flat_map(|other| other.join().expect("verifying does not panic"));
            own.into_iter().chain(others).collect()
        })
    }
}

impl Validation<'_> {
    fn say_error(&mut self, message: String, location: &str) {
        self.outcomes.push(Outcome::Said(vec![Said::Error(Finding::new(message, location))]));
    }

    /// Checks what a document leads to. Neither the depth of nesting nor a cycle matters: nothing is read twice.
    fn follow(&mut self, index: &Document) {
        let mut queue = references(index, "index.json");
        while let Some(reference) = queue.pop() {
            let mut said = Vec::new();
            let location = reference.location();
            match self.check(&reference, &mut said) {
                Ok(Some(document)) => queue.extend(references(&document, reference.descriptor.digest.as_str())),
                Ok(None) => {}
                Err(missing @ Error::MissingBlob { .. }) if may_be_elsewhere(&reference.descriptor) => {
                    said.push(Said::Warning(Finding::new(missing.to_string(), location.clone())));
                }
                Err(error) => said.push(Said::Error(Finding::new(error.to_string(), location.clone()))),
            }
            self.outcomes.push(Outcome::Said(said));
            if self.leaves.contains_key(&reference.descriptor.digest) {
                self.outcomes.push(Outcome::Leaf(reference.descriptor.digest, location));
            }
        }
    }

    /// Checks what a descriptor says of a blob; returns a document the first time that it is met.
    fn check(&mut self, reference: &Reference, said: &mut Vec<Said>) -> Result<Option<Document>> {
        let descriptor = &reference.descriptor;
        let digest = &descriptor.digest;
        let is_document = Document::is_one(&descriptor.media_type);
        let known =
            if is_document { self.documents.get(digest).copied() } else { self.leaves.get(digest).copied().map(Some) };
        let (file, size) = match known {
            // It was found unsound before, which is said.
            Some(None) => return Ok(None),
            Some(Some(size)) => (None, size),
            None => {
                let (file, size) = self.layout.open_blob(digest, &reference.referrer)?;
                (Some(file), size)
            }
        };
        if descriptor.size != size {
            let error = Error::SizeMismatch { digest: digest.clone(), expected: descriptor.size, actual: size };
            said.push(Said::Error(Finding::new(error.to_string(), reference.location())));
        }
        let Some(file) = file else { return Ok(None) };
        self.checked.blobs += 1;
        self.checked.bytes += size;
        if !is_document {
            if digest.algorithm().is_none() {
                return Err(Error::UnsupportedAlgorithm { digest: digest.clone() });
            }
            self.leaves.insert(digest.clone(), size);
            return Ok(None);
        }
        self.documents.insert(digest.clone(), None);
        let content = self.layout.read_opened_document(digest, &file)?;
        self.documents.insert(digest.clone(), Some(size));
        Document::parse(descriptor, &content).map(Some)
    }

    /// Puts together what was found, in the order of the references. The same words are not said twice.
    fn report(self, unsound: &HashMap<Digest, Error>) -> Report {
        let mut report = Report { checked: self.checked, ..Report::default() };
        let mut words = HashSet::new();
        let said = self.outcomes.into_iter().flat_map(|outcome| match outcome {
            Outcome::Said(said) => said,
            Outcome::Leaf(digest, location) => {
                let error = unsound.get(&digest);
                error.map(|error| Said::Error(Finding::new(error.to_string(), location))).into_iter().collect()
            }
        });
        for said in said {
            let (findings, finding) = match said {
                Said::Error(finding) => (&mut report.errors, finding),
                Said::Warning(finding) => (&mut report.warnings, finding),
            };
            if words.insert(finding.message.clone()) {
                findings.push(finding);
            }
        }
        report
    }
}

/// Tells whether content need not be in the layout (image-spec, descriptor.md, `urls` and `data`; layer.md).
fn may_be_elsewhere(descriptor: &Descriptor) -> bool {
    descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty())
        || descriptor.data.is_some()
        || descriptor.media_type.is_non_distributable()
}

/// Lists what a document refers to, the last first: the queue is taken from its end.
fn references(document: &Document, referrer: &str) -> Vec<Reference> {
    let place = |at: usize| match (document, at) {
        (Document::Index(_), at) => format!("manifests[{at}]"),
        (Document::Manifest(_), 0) => "config".to_owned(),
        (Document::Manifest(_), at) => format!("layer[{}]", at - 1),
    };
    let parts = document.parts().into_iter().enumerate();
    let mut references: Vec<_> = parts
        .map(|(at, part)| Reference { descriptor: part.clone(), referrer: referrer.to_owned(), place: place(at) })
        .collect();
    references.reverse();
    references
}
