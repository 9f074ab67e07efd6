//! The steps of a validation: descriptors with their places, and the findings about each.

use super::schema::{Descriptor, Kind, Platform};
use crate::error::Referrer;
use crate::graph::finding::Finding;
use crate::graph::policy::{self, FaultKind};
use crate::oci::{Digest, MediaType};

/// The document that holds a descriptor.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) kind: Kind,
    /// `None` for `index.json`.
    pub(crate) digest: Option<Digest>,
    /// Whether it is a nested index of which an image is stored: those for other platforms may have been left out.
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
    /// An entry of an index of an unknown media type, which may be a document all the same.
    Unknown,
}

/// One step of the report, in its order.
pub(crate) enum Outcome {
    /// Something that is wrong.
    Found(FaultKind, Finding),
    /// A blob that is verified later, with all others.
    Blob { digest: Digest, location: String },
    /// A layer of an image that is looked into.
    Layer { digest: Digest, location: String, media_type: MediaType, manifest: Digest, at: usize },
    /// A descriptor states the platform of an image.
    Platform { location: String, platform: Platform, manifest: Digest },
    /// A manifest of an image has a number of layers.
    LayerCount { manifest: Digest },
}

/// The parts of an image as its manifest lists them.
pub(crate) struct Image {
    /// The image's config; `None` if there is none, or no layer of a type that is known to be one.
    pub(crate) config: Option<Digest>,
    pub(crate) layers: usize,
    /// Whether each layer is of a type that is known to be one.
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

    /// Returns the kind of the fault if the content is not in the layout.
    pub(crate) fn missing(&self) -> FaultKind {
        let Descriptor { has_urls, data, media_type, platform, .. } = &self.descriptor;
        if self.role == Role::Entry && self.holder.is_sparse && platform.is_some() {
            return FaultKind::MissingPlatform;
        }
        policy::missing(media_type.as_ref(), *has_urls, data.is_some())
    }
}
