//! Checking that a layout is whole: that everything that `index.json` leads to is there and is what it is said to be.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use serde::Serialize;

use super::error::{Error, Result};
use super::handle::Layout;
use super::layer::Progress;
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

struct Validation<'a> {
    layout: &'a Layout,
    progress: Option<Progress<'a>>,
    report: Report,
    /// The blobs that were read, with their sizes if they are sound.
    read: HashMap<Digest, Option<u64>>,
    /// The findings that were made: a blob that two documents refer to is not reported twice in the same words.
    said: HashSet<String>,
}

impl Layout {
    /// Checks `index.json`, everything that it leads to, and every digest and size on the way.
    ///
    /// # Errors
    ///
    /// What is wrong with the layout is in the report; an error is what keeps the checks from being made, such as
    /// [`Error::Io`].
    pub fn validate(&self, progress: Option<Progress<'_>>) -> Result<Report> {
        let mut validation = Validation {
            layout: self,
            progress,
            report: Report::default(),
            read: HashMap::new(),
            said: HashSet::new(),
        };
        let index = match self.read_index() {
            Ok(index) => index,
            Err(error @ Error::MalformedIndex { .. }) => {
                let reason = std::error::Error::source(&error).map(|reason| format!("index.json: {reason}"));
                validation.error(error.to_string(), "index.json");
                reason.into_iter().for_each(|reason| validation.error(reason, "index.json"));
                return Ok(validation.report);
            }
            Err(error) => return Err(error),
        };
        let media_type = index.media_type.clone();
        if media_type.is_some_and(|media_type| !media_type.is_index()) {
            let path = self.path().to_owned();
            let reason = super::Reason::new("its mediaType is not that of an index");
            validation.error(Error::MalformedIndex { path, reason }.to_string(), "index.json");
        }
        validation.follow(&Document::Index(Box::new(index)));
        Ok(validation.report)
    }
}

impl Validation<'_> {
    fn error(&mut self, message: String, location: &str) {
        if self.said.insert(message.clone()) {
            self.report.errors.push(Finding::new(message, location));
        }
    }

    /// Checks what a document leads to. Neither the depth of nesting nor a cycle matters: nothing is read twice.
    fn follow(&mut self, index: &Document) {
        let mut queue = references(index, "index.json");
        let mut opened = HashSet::new();
        while let Some(reference) = queue.pop() {
            let descriptor = &reference.descriptor;
            let is_document = Document::is_one(&descriptor.media_type) && !opened.contains(&descriptor.digest);
            match self.check(&reference, is_document) {
                Ok(None) => {}
                Ok(Some(content)) => {
                    opened.insert(descriptor.digest.clone());
                    match Document::parse(descriptor, &content) {
                        Ok(document) => queue.extend(references(&document, descriptor.digest.as_str())),
                        Err(error) => self.error(error.to_string(), &reference.location()),
                    }
                }
                Err(error) => self.error(error.to_string(), &reference.location()),
            }
        }
    }

    /// Checks one blob against what refers to it; returns the content of a document.
    fn check(&mut self, reference: &Reference, is_document: bool) -> Result<Option<Vec<u8>>> {
        let descriptor = &reference.descriptor;
        let digest = &descriptor.digest;
        let known = self.read.get(digest).copied();
        let size = match known {
            // It was found unsound before.
            Some(None) => None,
            Some(Some(size)) if !is_document => Some(size),
            _ => match self.layout.open_blob(digest, &reference.referrer) {
                Ok((file, size)) => {
                    // The size is told without reading: a wrong one is said, and the content verified all the same.
                    self.compare_size(descriptor, size, reference);
                    let content = self.read(digest, file, size, is_document)?;
                    return Ok(content);
                }
                Err(error @ Error::MissingBlob { .. }) if may_be_elsewhere(descriptor) => {
                    let finding = Finding::new(error.to_string(), reference.location());
                    self.report.warnings.push(finding);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        if let Some(size) = size {
            self.compare_size(descriptor, size, reference);
        }
        Ok(None)
    }

    fn compare_size(&mut self, descriptor: &Descriptor, actual: u64, reference: &Reference) {
        if descriptor.size != actual {
            let digest = descriptor.digest.clone();
            let error = Error::SizeMismatch { digest, expected: descriptor.size, actual };
            self.error(error.to_string(), &reference.location());
        }
    }

    /// Verifies a blob, once, and returns the content of a document.
    fn read(&mut self, digest: &Digest, file: File, size: u64, is_document: bool) -> Result<Option<Vec<u8>>> {
        let is_new = self.read.insert(digest.clone(), None).is_none();
        if is_new {
            self.report.checked.blobs += 1;
            self.report.checked.bytes += size;
        }
        let content = if is_document {
            Some(self.layout.read_opened_document(digest, &file)?)
        } else {
            let progress = |bytes| self.progress.into_iter().for_each(|progress| progress(bytes));
            self.layout.verify(digest, file, progress)?;
            None
        };
        self.read.insert(digest.clone(), Some(size));
        Ok(content)
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
