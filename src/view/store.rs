//! A view as a read-only content store: the size and the bytes of each blob.

use super::content::Content;
use super::index_view::View;
use crate::error::Result;
use crate::oci::{Descriptor, Digest, MediaType};

/// A view in the form of a content-addressed store, as used by BuildKit and containerd to read images.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layout");
/// # let blob = regshape::registry::Registry::shared(&path)?
/// #     .ref_names()?
/// #     .push_blob(&b"content"[..], &Default::default())?;
/// use regshape::view::View;
///
/// let store = View::open(&path)?.content_store();
/// assert_eq!(store.info(&blob.digest)?.expect("it is there").size, 7);
/// let content = store.reader_at(&blob.digest)?.expect("it is there");
/// let mut buffer = [0; 3];
/// content.read_at(&mut buffer, 4)?;
/// assert_eq!(&buffer, b"ent");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ContentStore(View);

impl View {
    /// Returns the blobs as a content store.
    #[must_use]
    pub fn content_store(&self) -> ContentStore {
        ContentStore(self.clone())
    }
}

impl ContentStore {
    /// Returns the digest and the size of a blob; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`View::content`].
    pub fn info(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let content = self.0.content(digest)?;
        Ok(content.map(|content| Descriptor::new(MediaType::octet_stream(), digest.clone(), content.size())))
    }

    /// Returns the content of a blob, for reading from any offset; `None` if it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`View::content`].
    pub fn reader_at(&self, digest: &Digest) -> Result<Option<Content>> {
        self.0.content(digest)
    }
}
