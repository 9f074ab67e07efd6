//! The files of an image as one flattened tar.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file;
use crate::compress::CompressFormat;
use crate::error::Result;
use crate::layout::options::WriteOptions;
use crate::metrics::{Metrics, Progress};
use crate::oci::Digest;
use crate::options::setters;
use crate::rootfs::{Contents, ImageFiles, LoadContents, TreeTar};
use crate::tally::Tally;

/// Options of a tar of the files of an image.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RootfsOptions {
    /// The directory of the temporary file for contents of more than 64 MiB; by default that of the system.
    pub spill_directory: Option<PathBuf>,
    /// How the file is written.
    pub write: WriteOptions,
    /// The counters of the work.
    pub metrics: Arc<Metrics>,
}

impl RootfsOptions {
    setters! {
        spill_directory: [some PathBuf],
        write: [WriteOptions],
        metrics: [Arc<Metrics>],
    }
}

/// The files of an image, read and verified, as one tar that is to be written: the merged tree without whiteouts, depth first,
/// siblings sorted by bytes. The first name of a file carries its content, the other ones are hard links to it. Equal
/// images give equal bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (image, rootfs) = (directory.path().join("image"), directory.path().join("rootfs.tar"));
/// # let layer = directory.path().join("layer.tar");
/// # std::fs::write(&layer, [0; 1024])?;
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # let layout = regshape::layout::Layout::init(&image)?;
/// # layout.stage_layer(LayerInput::open(&layer)?, &LayerOptions::default())?;
/// # layout.generate_config(&ConfigOptions::default())?;
/// # layout.generate_manifest(&ManifestOptions::default())?;
/// use regshape::compress::Bounds;
/// use regshape::metrics::Progress;
/// use regshape::rootfs::ImageFiles;
/// use regshape::transfer::RootfsOptions;
/// use regshape::view::View;
///
/// let view = View::open(&image)?;
/// let mut files = ImageFiles::of(&view, Bounds::default())?;
/// let tar = files.rootfs_tar(&RootfsOptions::default(), Progress::none())?;
/// println!("{} entries", tar.tally().count);
/// tar.write(&rootfs, None, Progress::none())?;
/// # Ok(())
/// # }
/// ```
pub struct RootfsTar {
    manifest: Digest,
    tree: TreeTar,
    contents: Contents,
    options: RootfsOptions,
}

impl fmt::Debug for RootfsTar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RootfsTar").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl ImageFiles {
    /// Reads and verifies all layers, each once, and keeps the contents of files for a tar. `progress` is called with the
    /// bytes that are read of the layers.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`]; [`FilesError::LostHardLink`](crate::FilesError::LostHardLink),
    /// [`FilesError::Sparse`](crate::FilesError::Sparse); [`UnpackError::TooHigh`](crate::UnpackError::TooHigh);
    /// [`Error::Io`](crate::Error::Io) if the temporary file cannot be written.
    pub fn rootfs_tar(&mut self, options: &RootfsOptions, progress: Progress<'_>) -> Result<RootfsTar> {
        let directory = options.spill_directory.clone().unwrap_or_else(std::env::temp_dir);
        let layers = 0..self.layer_count();
        let load = LoadContents { layers, directory: &directory, interrupt: &options.write.interrupt, progress };
        let (tree, contents) = Contents::load(self, &load)?;
        Ok(RootfsTar {
            manifest: self.manifest().clone(),
            tree: TreeTar::new(tree)?,
            contents,
            options: options.clone(),
        })
    }

    /// Returns the entries of the tar that [`ImageFiles::rootfs_tar`] makes, and the bytes of content. All layers are read and
    /// verified, and nothing is kept of the contents.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::rootfs_tar`], but for those of the contents.
    pub fn rootfs_tally(&mut self, progress: Progress<'_>) -> Result<Tally> {
        Ok(TreeTar::new(self.tree_with(progress, |_, _| Ok(()))?)?.tally())
    }
}

impl RootfsTar {
    /// Returns the digest of the manifest.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Returns the number of entries, and the bytes of the content of files.
    pub fn tally(&self) -> Tally {
        self.tree.tally()
    }

    /// Writes the tar to a path. An existing file is replaced only when the tar is complete. An open descriptor, a pipe or a
    /// device is written to directly. `progress` is called with the bytes of content that are written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io).
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        compression: Option<CompressFormat>,
        progress: Progress<'_>,
    ) -> Result<()> {
        let path = path.as_ref();
        let archive = |writer: &mut dyn Write| self.write_plain(writer, path, progress);
        file::write_file(path, compression, &self.options.write, archive)
    }

    /// Writes the tar to a stream. After an error, the bytes written so far are not a valid tar.
    ///
    /// # Errors
    ///
    /// Those of [`RootfsTar::write`].
    pub fn write_to(
        &self,
        writer: impl Write + Send,
        compression: Option<CompressFormat>,
        progress: Progress<'_>,
    ) -> Result<()> {
        let path = Path::new("standard output");
        file::write(writer, path, compression, |writer| self.write_plain(writer, path, progress))
    }

    fn write_plain(&self, writer: &mut dyn Write, path: &Path, progress: Progress<'_>) -> Result<()> {
        self.tree.write(&self.contents, writer, path, (&self.options.metrics, progress))
    }
}
