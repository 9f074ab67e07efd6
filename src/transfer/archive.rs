//! Archives: OCI layouts and `docker save` archives, in a tar that may be compressed.
//!
//! Nothing is unpacked. `plain` provides the bytes of the tar: the archive itself, a copy in memory, or a temporary
//! file. `entries` maps names to byte ranges and rejects unsafe entries before any content is used. `oci` reads those
//! files as a layout. `docker_read` converts the images that `listed` reads from `manifest.json`, the format of older
//! programs, into a layout. `union` merges both lists where the archive has both. The result is a [`View`].

use std::io::Read;
use std::path::Path;

use super::dir_image::{is_dir_image, load_dir_image};
use super::entries::Entries;
use super::listed::MANIFEST_FILE;
use super::load::LoadOptions;
use super::plain::Plain;
use super::{docker_read, oci, union};
use crate::error::Result;
use crate::view::index_view::View;

impl View {
    /// Opens the images at a path: a layout; an archive, plain or compressed, of a layout or written by `docker save`
    /// or `podman save`; or a directory in the format that skopeo calls `dir:` and podman `docker-dir`.
    ///
    /// A plain archive is read in place, and only the requested parts of it, so a large archive costs nothing to open.
    /// A compressed archive, or one read from a pipe, is copied to memory or, if it is large, to a temporary file. The
    /// file is deleted when no content of the archive is in use any more.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("image.tar");
    /// # let mut builder = tar::Builder::new(std::fs::File::create(&path)?);
    /// # for (name, content) in [
    /// #     ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
    /// #     ("index.json", r#"{"schemaVersion":2,"manifests":[],"annotations":{"org.opencontainers.image.ref.name":"v1"}}"#),
    /// # ] {
    /// #     let mut header = tar::Header::new_ustar();
    /// #     header.set_size(content.len() as u64);
    /// #     builder.append_data(&mut header, name, content.as_bytes())?;
    /// # }
    /// # builder.finish()?;
    /// use regshape::transfer::LoadOptions;
    /// use regshape::view::View;
    ///
    /// let archive = View::load(&path, &LoadOptions::default())?;
    /// for image in archive.images()? {
    ///     for layer in image.layers {
    ///         std::io::copy(&mut layer.reader()?, &mut std::io::sink())?;
    ///     }
    /// }
    /// assert_eq!(archive.tag(), Some("v1"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`View::open`]; [`Error::FileNotFound`](crate::Error::FileNotFound),
    /// [`Error::IsDirectory`](crate::Error::IsDirectory), [`Error::EmptyFile`](crate::Error::EmptyFile); those of
    /// [`View::from_reader`].
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions<'_>) -> Result<Self> {
        let path = path.as_ref();
        match path.is_dir() {
            false => view_of(path, Plain::open(path, options)?, options),
            true if is_dir_image(path) => load_dir_image(path),
            true => Self::open(path),
        }
    }

    /// Opens an archive from a reader. Errors show `name` as its path.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`](crate::Error::EmptyFile), [`Error::CorruptStream`](crate::Error::CorruptStream),
    /// [`Error::BeyondBound`](crate::Error::BeyondBound); [`Error::NotAnArchive`](crate::Error::NotAnArchive),
    /// [`Error::UnsafeEntry`](crate::Error::UnsafeEntry); [`Error::MalformedMarker`](crate::Error::MalformedMarker),
    /// [`Error::LayoutVersion`](crate::Error::LayoutVersion), [`Error::MalformedIndex`](crate::Error::MalformedIndex),
    /// [`Error::MalformedDocument`](crate::Error::MalformedDocument), [`Error::TooLarge`](crate::Error::TooLarge);
    /// [`Error::Io`](crate::Error::Io).
    pub fn from_reader(name: impl AsRef<Path>, reader: impl Read, options: &LoadOptions<'_>) -> Result<Self> {
        let path = name.as_ref();
        view_of(path, Plain::from_reader(path, reader, None, options)?, options)
    }
}

fn view_of(path: &Path, plain: Plain, options: &LoadOptions<'_>) -> Result<View> {
    let Plain { content } = plain;
    let mut entries = Entries::find(path, &content)?;
    let is_docker = entries.has(MANIFEST_FILE);
    entries.settle_links()?;
    // Current Docker versions write both formats; for an image without a name, the index has no entry.
    let layout = if is_docker && !oci::is_one(&entries) { None } else { Some(oci::read(&entries)?) };
    let (index, blobs, has_both) = match layout {
        Some((index, blobs)) if !is_docker || !index.manifests.is_empty() => (index, blobs, is_docker),
        _ => {
            let (index, blobs) = docker_read::read(&entries, options)?;
            (index, blobs, false)
        }
    };
    let view = View::new(index, blobs, path.to_owned());
    if has_both { union::unite(view, &entries, options) } else { Ok(view) }
}
