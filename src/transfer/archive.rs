//! Archives: layouts and the output of `docker save`, in a tar that may be compressed.
//!
//! Nothing is unpacked. `plain` finds the bytes of the tar: in the archive itself, in memory, or in a temporary file.
//! `entries` finds the place of each entry, and refuses unsafe entries before anything is used. `oci` reads the entries
//! as a layout, `docker` turns the images that `listed` finds in `manifest.json`, which older programs write, into one,
//! and `union` joins both where both are there. The result is a [`View`].

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
    /// Opens images from a layout; from an archive, which is a tar of a layout or the output of `docker save` and
    /// `podman save`, plain or compressed; or from a directory that skopeo calls `dir:` and podman `docker-dir`.
    ///
    /// A plain file is read in place, and only the parts that are needed: a large archive costs nothing. A compressed
    /// archive, or one from a pipe, is kept in memory, or, if it is large, in a temporary file, which is deleted when
    /// nothing of the archive is in use any more.
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
    /// Those of [`View::open`]; [`Error::FileNotFound`](crate::Error::FileNotFound), [`Error::IsDirectory`](crate::Error::IsDirectory), [`Error::EmptyFile`](crate::Error::EmptyFile); those of
    /// [`View::from_reader`].
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions<'_>) -> Result<Self> {
        let path = path.as_ref();
        match path.is_dir() {
            false => view_of(path, Plain::open(path, options)?, options),
            true if is_dir_image(path) => load_dir_image(path),
            true => Self::open(path),
        }
    }

    /// Opens an archive that comes from a reader; the name stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`](crate::Error::EmptyFile), [`Error::CorruptStream`](crate::Error::CorruptStream), [`Error::BeyondBound`](crate::Error::BeyondBound); [`Error::NotAnArchive`](crate::Error::NotAnArchive), [`Error::UnsafeEntry`](crate::Error::UnsafeEntry);
    /// [`Error::MalformedMarker`](crate::Error::MalformedMarker), [`Error::LayoutVersion`](crate::Error::LayoutVersion), [`Error::MalformedIndex`](crate::Error::MalformedIndex), [`Error::MalformedDocument`](crate::Error::MalformedDocument),
    /// [`Error::TooLarge`](crate::Error::TooLarge); [`Error::Io`](crate::Error::Io).
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
    // Docker's archives of today are both; the index lists nothing for an image without a name.
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
