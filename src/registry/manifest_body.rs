//! A manifest or index that is to be stored: its bytes and its document.

use crate::error::{Error, Reason, Result};
use crate::graph::verify::verify_bytes;
use crate::graph::walk::Document;
use crate::json::Node;
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};

/// A manifest or index that is to be stored, parsed once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use regshape::registry::ManifestBody;
///
/// let body = ManifestBody::parse(r#"{"schemaVersion":2,"manifests":[]}"#)?;
/// assert!(body.descriptor().media_type.is_index());
/// assert!(ManifestBody::parse("{}").is_err());
/// # Ok(())
/// # }
/// ```
pub struct ManifestBody {
    content: Vec<u8>,
    descriptor: Descriptor,
    /// `None` for content of a media type that is not known to be a document's.
    pub(crate) document: Option<Document>,
}

impl std::fmt::Debug for ManifestBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ManifestBody").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl ManifestBody {
    /// Parses a manifest or index by the media type that it states, or that its fields suggest.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidManifest`]; [`Error::TooLarge`].
    pub fn parse(content: impl Into<Vec<u8>>) -> Result<Self> {
        let content = content.into();
        check_size(&content)?;
        let fields = Node::object(&content).map_err(|error| invalid(error.into()))?;
        let media_type = Document::media_type_of(fields).map_err(invalid)?;
        let document = document_of(&media_type, &content, Some(fields))?;
        Ok(Self::of(content, media_type, document))
    }

    /// Parses a manifest, an index, or other content, as that of a media type.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidManifest`], also if the content says that it is of another media type; [`Error::TooLarge`].
    pub fn parse_as(content: impl Into<Vec<u8>>, media_type: MediaType) -> Result<Self> {
        let content = content.into();
        check_size(&content)?;
        let document = if Document::is_one(&media_type) {
            let fields = Node::object(&content).map_err(|error| invalid(error.into()))?;
            document_of(&media_type, &content, Some(fields))?
        } else {
            document_of(&media_type, &content, Node::parse(&content).ok())?
        };
        Ok(Self::of(content, media_type, document))
    }

    /// Demands a digest, under which the content is stored then, in place of its SHA-256 digest.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`], [`Error::UnsupportedAlgorithm`].
    pub fn with_digest(mut self, digest: Digest) -> Result<Self> {
        verify_bytes(&digest, &self.content)?;
        self.descriptor.digest = digest;
        Ok(self)
    }

    /// Returns its bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns its media type, digest and size.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn of(content: Vec<u8>, media_type: MediaType, document: Option<Document>) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content);
        let descriptor = Descriptor::new(media_type, hasher.finish(), content.len() as u64);
        Self { content, descriptor, document }
    }
}

fn invalid(reason: Reason) -> Error {
    Error::InvalidManifest { reason }
}

fn check_size(content: &[u8]) -> Result<()> {
    if content.len() as u64 > DOCUMENT_BLOB_LIMIT {
        return Err(Error::TooLarge { what: "the manifest".to_owned(), limit: DOCUMENT_BLOB_LIMIT });
    }
    Ok(())
}

/// Reads content by its media type; content of an unknown type must only not state another one.
fn document_of(media_type: &MediaType, content: &[u8], fields: Option<Node<'_>>) -> Result<Option<Document>> {
    let says = fields.and_then(|fields| fields.get("mediaType")?.as_str());
    let is_document = Document::is_one(media_type);
    let Some(fields) = fields.filter(|_| is_document) else {
        check_media_type(says.as_deref(), media_type)?;
        return Ok(None);
    };
    // Its type must not depend on its reader (CVE-2021-41190).
    let is_index = fields.get("manifests").is_some();
    if is_index && (fields.get("config").is_some() || fields.get("layers").is_some()) {
        return Err(invalid(Reason::new("it has the fields of a manifest and of an index")));
    }
    if fields.get("layers").is_some_and(Node::is_null) {
        return Err(invalid(Reason::new("its layers are null, not a list")));
    }
    let document = Document::read(media_type, content).map_err(|error| invalid(error.into()))?;
    check_media_type(says.as_deref(), media_type)?;
    Ok(Some(document))
}

/// Checks that the media type that content says it is of, if it says one, is the one that it is stored with.
fn check_media_type(says: Option<&str>, media_type: &MediaType) -> Result<()> {
    match says {
        Some(says) if says != media_type.as_str() => {
            Err(invalid(Reason::new(format!("its mediaType is {says}, not {media_type}"))))
        }
        _ => Ok(()),
    }
}
