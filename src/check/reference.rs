//! The references that a validation follows, and the outcomes of following them.

use super::schema::{Descriptor, Kind, Platform};
use crate::error::Referrer;
use crate::graph::finding::Finding;
use crate::graph::severity::{self, FaultKind};
use crate::oci::{Digest, MediaType};

/// The document that holds a descriptor.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) kind: Kind,
    /// `None` for `index.json`.
    pub(crate) digest: Option<Digest>,
    /// Whether this is a nested index with at least one stored image: images for other platforms may have been left
    /// out.
    pub(crate) is_sparse: bool,
}

/// The role of a descriptor in its document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Entry,
    Config,
    Layer(usize),
    /// The subject of a document. It need not be in the layout.
    Subject,
    Other,
}

/// A descriptor to follow.
pub(crate) struct Reference {
    pub(crate) descriptor: Descriptor,
    pub(crate) holder: Holder,
    pub(crate) place: String,
    pub(crate) role: Role,
}

/// How content is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Document(Kind),
    ImageConfig,
    /// An entry of an index with an unknown media type: it may still be a document.
    Unknown,
}

/// An outcome of the walk, in the order of the report.
pub(crate) enum Outcome {
    /// A fault.
    Found(FaultKind, Finding),
    /// A blob whose digest is verified at the end.
    Blob { digest: Digest, location: String },
    /// A layer of an image that is decompressed at the end.
    Layer { digest: Digest, location: String, media_type: MediaType, manifest: Digest, at: usize },
    /// A platform in a descriptor, to be compared with the config.
    Platform { location: String, platform: Platform, manifest: Digest },
    /// An image whose number of layers is to be compared with the config.
    LayerCount { manifest: Digest },
}

/// The parts of a manifest that are compared with the image's config.
pub(crate) struct Image {
    /// The image's config; `None` if there is none, or if none of the layers has a known layer type.
    pub(crate) config: Option<Digest>,
    pub(crate) layers: usize,
    /// Whether all layers have a known layer type.
    pub(crate) has_known_layers: bool,
}

impl Holder {
    pub(crate) fn name(&self) -> String {
        match &self.digest {
            None => "index.json".to_owned(),
            Some(digest) => format!("{} {digest}", self.kind.word()),
        }
    }

    /// Returns the referrer that the reference's message about a missing blob names.
    pub(crate) fn referrer(&self) -> Referrer {
        Referrer::of_entry(self.digest.as_ref())
    }
}

impl Reference {
    pub(crate) fn location(&self) -> String {
        format!("{} in {}", self.place, self.holder.name())
    }

    /// Returns the kind of fault if the content is not in the layout.
    pub(crate) fn missing(&self) -> FaultKind {
        let Descriptor { has_urls, data, media_type, platform, .. } = &self.descriptor;
        if self.role == Role::Entry && self.holder.is_sparse && platform.is_some() {
            return FaultKind::MissingPlatform;
        }
        severity::missing(media_type.as_ref(), *has_urls, data.is_some())
    }
}
