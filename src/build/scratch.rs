//! A layout in a temporary directory, in which images are built before they are written to their places.

use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::TempDirectory;
use crate::layout::commit::write_stage;
use crate::layout::handle::Layout;
use crate::layout::leftovers::clean_directories_in;
use crate::layout::lock::take_lock;
use crate::layout::options::WriteOptions;
use crate::layout::site::{SCRATCH_DIRECTORY, Site, has_marker};
use crate::layout::staging_file::{Stage, StagedLayer};

/// A layout in a temporary directory. It is deleted when this value is dropped.
#[derive(Debug)]
pub struct Scratch {
    layout: Layout,
    _directory: TempDirectory,
}

impl Scratch {
    /// Makes a layout on the file system of a path: in the directory at the path if there is one, or else in the first
    /// directory above it. Nothing in it waits for the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn beside(path: impl AsRef<Path>, options: &WriteOptions) -> Result<Self> {
        let path = path.as_ref();
        let is_there = |path: &&Path| !path.as_os_str().is_empty() && path.is_dir();
        let parent = path.ancestors().find(is_there).unwrap_or(Path::new("."));
        // Those of builds that were killed, beside a layout that they had made.
        let beside = path.parent().map(|beside| if beside.as_os_str().is_empty() { Path::new(".") } else { beside });
        if let Some(beside) = beside.filter(|beside| beside.is_dir() && !has_marker(beside)) {
            clean_directories_in(&Site::new(beside.to_owned()).with_write_options(options.clone()), beside);
        }
        let directory = TempDirectory::create_in(parent, &options.interrupt).map_err(Error::io("write to", parent))?;
        let options = WriteOptions::default().no_sync(true).interrupt(options.interrupt.clone());
        let layout = Layout::init_with(directory.path().join(SCRATCH_DIRECTORY), &options)?;
        Ok(Self { layout, _directory: directory })
    }

    /// Returns the layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Begins another image: empties the staging area. All blobs stay.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn begin_image(&self) -> Result<()> {
        let lock = take_lock(&self.layout)?;
        write_stage(&self.layout, &lock, &Stage::empty(), [])
    }

    /// Stages a layer that was made for an earlier image.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedStage`]; [`Error::Io`].
    pub fn stage_again(&self, layer: &StagedLayer) -> Result<()> {
        let lock = take_lock(&self.layout)?;
        let mut stage = self.layout.find_stage()?.unwrap_or_else(Stage::empty);
        stage.layers.push(layer.clone());
        write_stage(&self.layout, &lock, &stage, [])
    }
}
