//! Archives: layouts and what `docker save` writes, in a tar that may be compressed.
//!
//! Nothing is unpacked. `plain` finds the bytes of the tar: in the archive itself, in memory, or in a temporary file.
//! `entries` finds what is where in them, and refuses what is not safe, before anything is used. `oci` reads what it found as
//! a layout, `docker` turns what `listed` finds in `manifest.json`, which older programs write, into one, and `union` puts the
//! two together where both are there. What comes of it is a [`View`].

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::entries::Entries;
use super::plain::Plain;
use super::{docker_read, oci, union};
use crate::compress::Bounds;
use crate::error::{Error, Reason, Result};
use crate::metrics::Progress;
use crate::view::images::ArchiveImage;
use crate::view::index_view::{Source, View};

/// The file that lists the images in an archive that Docker writes.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

/// The file that listed them before.
pub(crate) const REPOSITORIES_FILE: &str = "repositories";

/// An archive of images: a tar of a layout, or what `docker save` and `podman save` write; plain or compressed.
///
/// A plain file is read where it is, and of it only what is asked for: a large archive costs nothing. What is compressed, or
/// comes through a pipe, is kept in memory, or, where it is large, in a temporary file, which is gone when nothing of the
/// archive is in use any more.
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
/// use regshape::transfer::{Archive, LoadOptions};
///
/// let archive = Archive::load(&path, &LoadOptions::default())?;
/// for image in archive.images()? {
///     for layer in image.layers {
///         std::io::copy(&mut layer.reader()?, &mut std::io::sink())?;
///     }
/// }
/// assert_eq!(archive.tag(), Some("v1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Archive {
    view: View,
}

/// How an archive is loaded.
#[derive(Clone)]
pub struct LoadOptions<'a> {
    /// Up to how many bytes of what cannot be read where it is are kept in memory, decompressed: 100 MiB by default.
    pub memory_threshold: u64,
    /// How much a compressed archive may decompress to.
    pub bounds: Bounds,
    /// Where what is not kept in memory is written; by default where the system has temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Who is told of the bytes that were read.
    pub progress: Option<Progress<'a>>,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { memory_threshold: 100 << 20, bounds: Bounds::default(), spill_directory: None, progress: None }
    }
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_threshold, bounds, spill_directory, progress: _ } = self;
        f.debug_struct("LoadOptions")
            .field("memory_threshold", memory_threshold)
            .field("bounds", bounds)
            .field("spill_directory", spill_directory)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens an archive: a file, a pipe, or whatever else can be read.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`], [`Error::IsDirectory`], [`Error::EmptyFile`]; those of [`Archive::from_reader`].
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::of(path, Plain::of_file(path, options)?, options)
    }

    /// Takes an archive from a reader; the name stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`], [`Error::CorruptStream`], [`Error::BeyondBound`]; [`Error::NotAnArchive`],
    /// [`Error::UnsafeEntry`]; [`Error::MalformedMarker`], [`Error::LayoutVersion`], [`Error::MalformedIndex`],
    /// [`Error::MalformedDocument`], [`Error::TooLarge`]; [`Error::Io`].
    pub fn from_reader(name: impl AsRef<Path>, reader: impl Read, options: &LoadOptions<'_>) -> Result<Self> {
        let path = name.as_ref();
        Self::of(path, Plain::of_reader(path, reader, None, options)?, options)
    }

    fn of(path: &Path, plain: Plain, options: &LoadOptions<'_>) -> Result<Self> {
        let Plain { content } = plain;
        let mut entries = Entries::find(path, &content)?;
        let is_docker = entries.has(MANIFEST_FILE);
        entries.settle_links()?;
        // What Docker writes today is both; for an image without a name it lists nothing in the index.
        let layout = if is_docker && !oci::is_one(&entries) { None } else { Some(oci::read(&entries)?) };
        let (index, blobs, has_both) = match layout {
            Some((index, blobs)) if !is_docker || !index.manifests.is_empty() => (index, blobs, is_docker),
            _ => {
                let (index, blobs) = docker_read::read(&entries, options)?;
                (index, blobs, false)
            }
        };
        let view = View::new(index, Source::Blobs(blobs), path.to_owned());
        Ok(Self { view: if has_both { union::unite(view, &entries, options)? } else { view } })
    }

    /// Returns the archive as a view.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Returns the images, as [`View::images`] does.
    ///
    /// # Errors
    ///
    /// Those of [`View::images`].
    pub fn images(&self) -> Result<Vec<ArchiveImage>> {
        self.view.images()
    }

    /// Returns the name, as [`View::tag`] does.
    pub fn tag(&self) -> Option<&str> {
        self.view.tag()
    }

    /// Tells whether there is more than one image, as [`View::is_multi_platform`] does.
    ///
    /// # Errors
    ///
    /// Those of [`View::is_multi_platform`].
    pub fn is_multi_platform(&self) -> Result<bool> {
        self.view.is_multi_platform()
    }
}

impl View {
    /// Opens whatever images are in: a layout, an archive, or a directory that skopeo calls `dir:` and podman `docker-dir`.
    ///
    /// # Errors
    ///
    /// Those of [`View::open`] and [`Archive::load`].
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions<'_>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Ok(Archive::load(path, options)?.view);
        }
        if Self::is_dir_image(path) { Self::of_dir_image(path) } else { Self::open(path) }
    }
}

/// Says that a file is no archive of images.
pub(crate) fn not_an_archive(path: &Path, reason: impl Into<String>) -> Error {
    Error::NotAnArchive { path: path.to_owned(), reason: Reason::new(reason) }
}
