//! Artifacts: the subject that a manifest refers to, and the titles of files.

use std::collections::HashMap;

use crate::error::{ArtifactError, Error, Referrer, Result};
use crate::graph::names::Names;
use crate::graph::platform::{Choice, Chosen};
use crate::graph::resolve::Resolver;
use crate::graph::walk::{read_entry, with_lister};
use crate::layout::handle::Layout;
use crate::layout::staging_file::Stage;
use crate::oci::{Descriptor, Index, Platform, TITLE};

/// The manifest that a new one refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The manifest or index in the layout that a reference resolves to.
    Stored(String),
    /// A manifest or index that need not be in the layout. If `index.json` leads to one of the digest, its size must be the
    /// same.
    Described(Box<Descriptor>),
}

/// A subject that was found in a layout.
pub(super) struct FoundSubject {
    /// Its media type, digest and size.
    pub(super) descriptor: Descriptor,
    /// The platform that was chosen, if one was asked for.
    pub(super) choice: Option<Choice>,
}

impl Subject {
    /// Returns the media type, the digest and the size of the subject.
    ///
    /// # Errors
    ///
    /// Those of [`find_subject`]; [`Error::SizeMismatch`].
    pub(super) fn resolve(&self, layout: &Layout, index: &Index) -> Result<Descriptor> {
        match self {
            Self::Stored(reference) => Ok(find_subject(layout, index, reference, None)?.descriptor),
            Self::Described(described) => {
                let names = Names::AsTheyStand { default: None };
                let resolver = Resolver { names: names.clone(), index, documents: layout, path: layout.path() };
                match resolver.by_digest(&names, &described.digest)? {
                    Some(found) if found.size != described.size => Err(Error::SizeMismatch {
                        digest: Some(found.digest),
                        expected: found.size,
                        actual: described.size,
                    }),
                    found => Ok(bare(found.as_ref().unwrap_or(described))),
                }
            }
        }
    }
}

/// Returns a descriptor with the fields that every one has.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(descriptor.media_type.clone(), descriptor.digest.clone(), descriptor.size)
}

/// Finds the manifest or index that a reference resolves to, and in an index the image for a platform.
///
/// # Errors
///
/// [`Error::UnknownManifest`], [`Error::AmbiguousName`], [`Error::AmbiguousDigest`]; [`Error::UnknownPlatform`];
/// [`Error::MissingBlob`], [`Error::SizeMismatch`] if it is not stored; [`ArtifactError::NotASubject`]; [`Error::Io`].
pub(super) fn find_subject(
    layout: &Layout,
    index: &Index,
    reference: &str,
    platform: Option<&Platform>,
) -> Result<FoundSubject> {
    let names = Names::AsTheyStand { default: None };
    let resolver = Resolver { names, index, documents: layout, path: layout.path() };
    let found = resolver.find(reference)?;
    let Chosen { descriptor, choice, .. } = match platform {
        Some(platform) => resolver.for_platform(&found, reference, platform)?,
        None => Chosen { descriptor: resolver.one(&found, reference)?, choice: None },
    };
    let expected = layout.expect_blob(&descriptor.digest, descriptor.size, &Referrer::Index);
    expected.map_err(|error| with_lister(error, layout, index))?;
    match read_entry(layout, &descriptor, None)? {
        Some(_) => Ok(FoundSubject { descriptor: bare(&descriptor), choice }),
        None => Err(ArtifactError::NotASubject { reference: reference.to_owned() }.into()),
    }
}

/// Returns whether a title is the name of a file, not a path: other programs write the file by this name.
pub(super) fn is_file_name(title: &str) -> bool {
    !matches!(title, "" | "." | "..") && !title.contains(['/', '\0'])
}

/// Checks that the titles of staged layers are names of files, each of one layer (images, rule G1).
pub(super) fn check_titles(stage: &Stage) -> Result<()> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let titled = stage.layers.iter().enumerate().filter_map(|(at, layer)| Some((at, layer.annotations.get(TITLE)?)));
    for (index, title) in titled {
        if !is_file_name(title) {
            return Err(ArtifactError::StagedTitle { index, title: title.clone() }.into());
        }
        if let Some(one) = known.insert(title, index) {
            return Err(ArtifactError::SameTitle { title: title.clone(), one, other: index }.into());
        }
    }
    Ok(())
}
