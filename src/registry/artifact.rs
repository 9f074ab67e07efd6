//! One referrer of a manifest, and the files in it.

use std::path::PathBuf;

use super::referrers::Referrers;
use super::repository::Repository;
use crate::error::{ArtifactError, Error, Referrer, Result};
use crate::graph::resolve::begins_with;
use crate::graph::walk::Document;
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, TITLE, is_short_digest};
use crate::options::setters;

/// How many referrers or files an error names.
pub(super) const NAMED: usize = 16;

/// Which referrer of a manifest is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReferrerFilter {
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// Its digest, or the beginning of it.
    pub digest: Option<String>,
}

impl ReferrerFilter {
    setters! {
        artifact_type: [option String],
        digest: [option String],
    }
}

/// A referrer of a manifest, and its files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Artifact {
    /// Its descriptor, with its artifact type and annotations.
    pub descriptor: Descriptor,
    /// Its files, in order.
    pub files: Vec<ArtifactFile>,
    /// The documents that could not be read, and might be referrers.
    pub warnings: Vec<String>,
}

/// A file of an artifact: a layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ArtifactFile {
    /// The descriptor of the layer.
    pub descriptor: Descriptor,
}

impl ArtifactFile {
    /// Returns the name that the artifact gives the file, which may be any text.
    pub fn title(&self) -> Option<&str> {
        let title = self.descriptor.annotations.as_ref()?.get(TITLE)?;
        Some(title.as_str()).filter(|title| !title.is_empty())
    }

    /// Returns the path below a directory at which the file is written: its title, or its digest if it has none. `None` if
    /// the title is no path that stays below a directory.
    pub fn path(&self) -> Option<PathBuf> {
        let digest = &self.descriptor.digest;
        let Some(title) = self.title() else {
            return Some(format!("{}-{}", digest.algorithm_name(), digest.encoded()).into());
        };
        // On Windows these begin another path.
        let is_special = |character| character == '\0' || cfg!(windows) && matches!(character, '\\' | ':');
        if title.starts_with('/') || title.contains(is_special) {
            return None;
        }
        let parts: Vec<&str> = title.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.iter().collect())
    }

    /// Returns the file as messages name it.
    pub(super) fn name(&self) -> String {
        self.title().map_or_else(|| self.descriptor.digest.to_string(), |title| title.escape_debug().to_string())
    }
}

impl Repository {
    /// Finds the one referrer of a manifest that matches, and its files.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::NoReferrer`], [`ArtifactError::SeveralReferrers`]; [`Error::Digest`]; [`Error::MissingBlob`],
    /// [`Error::DigestMismatch`], [`Error::MalformedDocument`] if it cannot be read; those of [`Repository::referrers`].
    pub fn artifact(&self, subject: &Digest, filter: &ReferrerFilter) -> Result<Artifact> {
        let Referrers { mut manifests, warnings, .. } = self.referrers(subject, filter.artifact_type.as_deref())?;
        if let Some(text) = &filter.digest {
            match text.parse::<Digest>() {
                Ok(digest) => manifests.retain(|found| found.digest == digest),
                Err(_) if is_short_digest(text) => manifests.retain(|found| begins_with(&found.digest, text)),
                Err(error) => return Err(error.into()),
            }
        }
        let ReferrerFilter { artifact_type, digest } = filter.clone();
        let layout = self.layout()?;
        match manifests.len() {
            1 => {
                let descriptor = manifests.remove(0);
                Ok(Artifact { files: files_of(&layout, &descriptor)?, descriptor, warnings })
            }
            0 => {
                Err(ArtifactError::NoReferrer { subject: subject.clone(), artifact_type, digest, unread: warnings }
                    .into())
            }
            count => {
                let named = manifests.iter().take(NAMED).map(|found| described(&layout, found)).collect();
                let subject = subject.clone();
                Err(ArtifactError::SeveralReferrers { subject, artifact_type, referrers: named, count }.into())
            }
        }
    }
}

/// Describes a referrer among several.
fn described(layout: &Layout, referrer: &Descriptor) -> String {
    let files = match files_of(layout, referrer) {
        Ok(files) if files.is_empty() => "no files".to_owned(),
        Ok(files) => files.iter().take(NAMED).map(ArtifactFile::name).collect::<Vec<_>>().join(", "),
        Err(error) => error.report(),
    };
    let artifact_type = referrer.artifact_type.as_deref().unwrap_or("-").escape_debug();
    format!("{} ({artifact_type}: {files})", referrer.digest)
}

/// Returns the files of a referrer: its layers, but the empty one. An index has none.
fn files_of(layout: &Layout, referrer: &Descriptor) -> Result<Vec<ArtifactFile>> {
    let content = layout.read_document_blob(&referrer.digest, &Referrer::Index)?;
    let layers = match Document::of_entry(referrer, &content)? {
        Some(Document::Manifest(manifest)) => manifest.layers,
        Some(document @ Document::Other(_)) => document.into_parts(),
        Some(Document::Index(_)) | None => Vec::new(),
    };
    let is_file = |layer: &Descriptor| !layer.media_type.is_empty();
    Ok(layers.into_iter().filter(is_file).map(|descriptor| ArtifactFile { descriptor }).collect())
}

impl Artifact {
    /// Returns the file of an artifact that has one.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::NoFiles`], [`ArtifactError::SeveralFiles`].
    pub fn only_file(&self) -> Result<&ArtifactFile> {
        match self.files.as_slice() {
            [file] => Ok(file),
            [] => Err(self.no_files()),
            files => {
                let named = files.iter().take(NAMED).map(ArtifactFile::name).collect();
                let digest = self.descriptor.digest.clone();
                Err(ArtifactError::SeveralFiles { digest, files: named, count: files.len() }.into())
            }
        }
    }

    pub(super) fn no_files(&self) -> Error {
        ArtifactError::NoFiles { digest: self.descriptor.digest.clone() }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Annotations, MediaType};

    /// Returns the path of a file with a title.
    fn path(title: &str) -> Option<PathBuf> {
        let mut descriptor = Descriptor::new(MediaType::octet_stream(), Digest::sha256_of(b""), 0);
        descriptor.annotations = Some(Annotations::from([(TITLE.to_owned(), title.to_owned())]));
        ArtifactFile { descriptor }.path()
    }

    #[test]
    fn g1_a_title_is_a_path_below_a_directory_or_none() {
        let digest = Digest::sha256_of(b"");
        assert_eq!(path(""), Some(format!("sha256-{}", digest.encoded()).into()));
        for (title, expected) in
            [("a", "a"), ("a/b", "a/b"), ("./a", "a"), ("a//b/", "a/b"), ("..a", "..a"), ("a b\n", "a b\n")]
        {
            assert_eq!(path(title), Some(expected.into()), "{title}");
        }
        for bad in ["/", "/etc/passwd", "..", "../a", "a/..", "a/../../b", ".", "./", "a\0b"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
